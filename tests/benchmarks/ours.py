"""One dispatcher in a process of its own: `python -m tests.benchmarks.ours URL STUB [CONCURRENCY [LIMIT]]`.

Works off what is due, or LIMIT of it, and prints what it did as JSON. The interpreter's start and the
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

from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.loop import Dispatcher
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.store.engine import Database
from tests.benchmarks.ground import keyring

SAMPLE_S = 0.25
LOOK_S = 0.01
IDLE_S = 0.7


@dataclass(frozen=True)
class Run:
    """What a dispatcher did: how many it sent in how many seconds, its CPU seconds, and its memory over time.

    That is in MB, each time with how many it had sent.
    """

    sent: int
    seconds: float
    cpu_seconds: float
    memory_mb: list[tuple[int, float]]


def run(url: str, stub: str, concurrency: int, limit: int | None) -> Run:
    """Dispatch and return what was done."""
    db = Database(url)
    options = DispatchOptions(concurrency=concurrency, limit=limit, provider_urls={"sendgrid": stub})
    memory: list[tuple[int, float]] = []
    gc.freeze()  # as the command does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        began, cpu = time.perf_counter(), _cpu()
        sent, ended = runner.run(_dispatch(db, keyring(), options, memory))
        elapsed, used = ended - began, _cpu() - cpu
    db.close()
    return Run(sent, elapsed, used, memory)


async def _dispatch(
    db: Database, keys: Keyring, options: DispatchOptions, memory: list[tuple[int, float]]
) -> tuple[int, float]:
    """Return how many were sent and when the last of them was recorded."""
    dispatcher = Dispatcher(db, keys, options)
    sampling = asyncio.create_task(_sample(dispatcher, memory))
    watching = asyncio.create_task(_until_idle(dispatcher))
    await dispatcher.run()
    sampling.cancel()
    return dispatcher.tally.accepted, await watching


async def _until_idle(dispatcher: Dispatcher) -> float:
    """Stop it when nothing came for a while; return when the last came."""
    last, accepted = time.perf_counter(), 0
    while not accepted or time.perf_counter() - last < IDLE_S:
        await asyncio.sleep(LOOK_S)
        if dispatcher.tally.accepted != accepted:
            last, accepted = time.perf_counter(), dispatcher.tally.accepted
    dispatcher.stop()
    return last


async def _sample(dispatcher: Dispatcher, memory: list[tuple[int, float]]) -> None:
    while True:
        memory.append((dispatcher.tally.accepted, _memory_mb()))
        await asyncio.sleep(SAMPLE_S)


def _memory_mb() -> float:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - no path object in a measuring loop
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    rest = sys.argv[3:]
    done = run(sys.argv[1], sys.argv[2], int(rest[0]) if rest else 64, int(rest[1]) if len(rest) > 1 else None)
    print(json.dumps(asdict(done)))
