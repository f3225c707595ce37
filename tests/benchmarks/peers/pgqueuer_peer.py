"""PgQueuer with aiohttp and asyncpg: `pgqueuer_peer.py URL STUB COUNT CONCURRENCY`; the table `outbox` is filled.

A job names a row; the work is to read it, to post its payload and to mark it sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

BATCH = 100
HEADERS = {"Authorization": "Bearer SG.bench", "Content-Type": "application/json"}


async def main(url: str, stub: str, count: int, concurrency: int) -> tuple[float, float]:
    """Return when the work began and ended, in seconds since the epoch."""
    async with (
        asyncpg.create_pool(url, min_size=4, max_size=16) as pool,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session,
    ):
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        for first in range(1, count + 1, 1_000):
            ids = range(first, min(first + 1_000, count + 1))
            await queries.enqueue(["send"] * len(ids), [str(id_).encode() for id_ in ids], [0] * len(ids))
        await pool.execute("VACUUM ANALYZE")
        worker = PgQueuer(AsyncpgPoolDriver(pool))
        done, finished = 0, asyncio.Event()

        # The connections limit the posts in flight. This limit also counts jobs whose end waits to be written in a
        # batch: one below the batch's size would make them wait for its timer.
        @worker.entrypoint("send", concurrency_limit=4 * concurrency)
        async def send(job: Job) -> None:
            nonlocal done
            assert job.payload is not None
            id_ = int(job.payload)
            payload = await pool.fetchval("SELECT payload FROM outbox WHERE id = $1 AND status = 'pending'", id_)
            async with session.post(f"{stub}/v3/mail/send", data=payload, headers=HEADERS) as answer:
                assert answer.status == 202
                response = answer.headers["X-Message-Id"]
            await pool.execute(
                "UPDATE outbox SET status = 'sent', sent_at = $2, response = $3 WHERE id = $1",
                id_,
                time.time_ns() // 1_000_000,
                response,
            )
            done += 1
            if done == count:
                finished.set()

        began = time.time()
        running = asyncio.create_task(worker.run(batch_size=BATCH))
        waiting = asyncio.create_task(finished.wait())
        await asyncio.wait({running, waiting}, return_when="FIRST_COMPLETED")
        ended = time.time()
        worker.shutdown.set()
        await running
        assert finished.is_set()
        return began, ended


if __name__ == "__main__":
    _, url, stub, count, concurrency = sys.argv
    began, ended = uvloop.run(main(url, stub, int(count), int(concurrency)))
    print(json.dumps({"sent": int(count), "began": began, "ended": ended}))
