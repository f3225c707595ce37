"""Celery with Redis, httpx and psycopg: `celery_peer.py URL STUB COUNT PROCESSES REDIS`; the table `outbox` is filled.

A task names a row; the work is to read it, to post its payload and to mark it sent. Each of the worker's processes
has a connection of its own to the database and to the provider.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import cache

import httpx
import psycopg
from celery import Celery

HEADERS = {"Authorization": "Bearer SG.bench", "Content-Type": "application/json"}

app = Celery("celery_peer", broker=os.environ.get("BENCH_REDIS", "memory://"))
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 64  # as its guide to optimizing has it for short tasks
app.conf.broker_connection_retry_on_startup = True


@cache
def _client() -> httpx.Client:
    return httpx.Client()


@cache
def _database() -> psycopg.Connection:
    return psycopg.connect(os.environ["BENCH_URL"], autocommit=True)


@app.task(acks_late=True)
def send(id_: int) -> None:
    """Send one row of the outbox."""
    row = _database().execute("SELECT payload FROM outbox WHERE id = %s AND status = 'pending'", (id_,)).fetchone()
    assert row is not None
    answer = _client().post(f"{os.environ['BENCH_STUB']}/v3/mail/send", content=row[0], headers=HEADERS)
    assert answer.status_code == 202
    _database().execute(
        "UPDATE outbox SET status = 'sent', sent_at = %s, response = %s WHERE id = %s",
        (time.time_ns() // 1_000_000, answer.headers["X-Message-Id"], id_),
    )


def _sent(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT count(*) FROM outbox WHERE status = 'sent'").fetchone()
    assert row is not None
    return int(row[0])


def main(url: str, count: int, processes: int) -> tuple[int, float, float]:
    """Return how many rows were sent from when to when: after the first, so that the worker's start does not count."""
    for id_ in range(1, count + 1):
        send.delay(id_)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "-c", str(processes), "-l", "ERROR"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            while not (first := _sent(conn)):
                time.sleep(0.02)
            began = time.time()
            while _sent(conn) < count:
                time.sleep(0.02)
            return count - first, began, time.time()
    finally:
        worker.terminate()
        worker.wait(30)


if __name__ == "__main__":
    _, url, stub, count, processes, redis = sys.argv
    os.environ |= {"BENCH_URL": url, "BENCH_STUB": stub, "BENCH_REDIS": redis}
    app.conf.broker_url = redis
    sent, began, ended = main(url, int(count), int(processes))
    print(json.dumps({"sent": sent, "began": began, "ended": ended}))
