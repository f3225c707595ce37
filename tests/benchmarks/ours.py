"""One dispatcher in a process of its own: `python -m tests.benchmarks.ours URL STUB [CONCURRENCY [SECONDS]]`.

Works off what is due, or with SECONDS runs that long, and prints what it did as JSON. The interpreter's start and the
imports are not counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass

import uvloop
from sqlalchemy import func, select

from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.loop import Dispatcher
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.store.engine import Database
from notifyctl.store.states import PENDING
from notifyctl.store.tables import notifications
from tests.benchmarks.ground import keyring

SAMPLE_S = 0.25


@dataclass(frozen=True)
class Run:
    """What a dispatcher did: how many it sent in how many seconds, its CPU seconds, and its memory over time in MB."""

    sent: int
    seconds: float
    cpu_seconds: float
    memory_mb: list[float]


def run(url: str, stub: str, concurrency: int, seconds: float | None) -> Run:
    """Dispatch and return what was done."""
    db = Database(url)
    options = DispatchOptions(
        concurrency=concurrency, limit=_due(db), max_time_s=seconds, provider_urls={"sendgrid": stub}
    )
    memory: list[float] = []
    gc.freeze()  # as the command does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        began, cpu = time.perf_counter(), _cpu()
        sent = runner.run(_dispatch(db, keyring(), options, memory))
        elapsed, used = time.perf_counter() - began, _cpu() - cpu
    db.close()
    return Run(sent, elapsed, used, memory)


def _due(db: Database) -> int:
    with db.read() as conn:
        return conn.execute(select(func.count()).select_from(notifications).where(PENDING)).scalar_one()


async def _dispatch(db: Database, keys: Keyring, options: DispatchOptions, memory: list[float]) -> int:
    dispatcher = Dispatcher(db, keys, options)
    sampling = asyncio.create_task(_sample(memory))
    await dispatcher.run()
    sampling.cancel()
    return dispatcher.tally.accepted


async def _sample(memory: list[float]) -> None:
    while True:
        memory.append(_memory_mb())
        await asyncio.sleep(SAMPLE_S)


def _memory_mb() -> float:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - no path object in a measuring loop
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    rest = sys.argv[3:]
    done = run(sys.argv[1], sys.argv[2], int(rest[0]) if rest else 64, float(rest[1]) if len(rest) > 1 else None)
    print(json.dumps(asdict(done)))
