"""Procrastinate with aiohttp: `procrastinate_peer.py URL STUB COUNT CONCURRENCY`; the table `outbox` is filled.

A job names a row; the work is to read it, to post its payload and to mark it sent.
"""

from __future__ import annotations

import json
import sys
import time

import aiohttp
import uvloop
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

HEADERS = {"Authorization": "Bearer SG.bench", "Content-Type": "application/json"}


async def main(url: str, stub: str, count: int, concurrency: int) -> tuple[float, float]:
    """Return when the work began and ended, in seconds since the epoch."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=4, max_size=16))
    async with (
        app.open_async(),
        AsyncConnectionPool(url, min_size=4, max_size=16, kwargs={"autocommit": True}) as pool,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session,
    ):
        await app.schema_manager.apply_schema_async()

        @app.task(name="send")
        async def send(id_: int) -> None:
            async with pool.connection() as conn:
                found = await conn.execute("SELECT payload FROM outbox WHERE id = %s AND status = 'pending'", (id_,))
                row = await found.fetchone()
            assert row is not None
            async with session.post(f"{stub}/v3/mail/send", data=row[0], headers=HEADERS) as answer:
                assert answer.status == 202
                response = answer.headers["X-Message-Id"]
            async with pool.connection() as conn:
                await conn.execute(
                    "UPDATE outbox SET status = 'sent', sent_at = %s, response = %s WHERE id = %s",
                    (time.time_ns() // 1_000_000, response, id_),
                )

        await send.batch_defer_async(*({"id_": id_} for id_ in range(1, count + 1)))
        async with pool.connection() as conn:
            await conn.execute("VACUUM ANALYZE")
        began = time.time()
        await app.run_worker_async(concurrency=concurrency, wait=False, install_signal_handlers=False)
        return began, time.time()


if __name__ == "__main__":
    _, url, stub, count, concurrency = sys.argv
    began, ended = uvloop.run(main(url, stub, int(count), int(concurrency)))
    print(json.dumps({"sent": int(count), "began": began, "ended": ended}))
