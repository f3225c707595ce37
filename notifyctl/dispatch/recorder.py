"""Results on their way to the database: whatever has gathered is one transaction.

A result is kept until it is recorded, however long the database is away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from sqlalchemy.exc import IntegrityError

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotifyctlError
from notifyctl.dispatch.queues import Done
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store.db.tx import Tx

BATCH = 512
RETRY_CEILING_S = 5.0
GATHER_S = 0.002


@dataclass(frozen=True, slots=True)
class Settling(Generic[Done]):
    """How results of one kind are recorded.

    `settle` writes some and returns what is to be known of it; `bare` returns one without its texts, which cannot fail
    for the reason for which it failed with them; `settled` takes note of what was recorded.
    """

    settle: Callable[[Tx, Sequence[Done]], Any]
    bare: Callable[[Done], Done]
    settled: Callable[[Sequence[Done], Any], None]


class Recorder(Generic[Done]):
    """Writes results in batches; `notice` says what people should know."""

    def __init__(self, threads: StoreThreads, settling: Settling[Done], notice: Callable[[str], None]) -> None:
        self._threads = threads
        self._settling = settling
        self._notice = notice
        self._gathered: list[Done] = []
        self._arrived = asyncio.Event()
        self._closing = False

    def put(self, result: Done) -> None:
        """Take a result to record."""
        self._gathered.append(result)
        self._arrived.set()

    def finish(self) -> None:
        """Let `run` end when everything that was put is recorded."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Record until finished."""
        while self._gathered or not self._closing:
            await self._arrived.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            batch, self._gathered = self._gathered[:BATCH], self._gathered[BATCH:]
            if not self._gathered and not self._closing:
                self._arrived.clear()
            if batch:
                await self._record(batch)

    async def _record(self, batch: list[Done]) -> None:
        try:
            report = await self._persist(batch)
        except (NotifyctlError, IntegrityError):
            for result in batch:
                await self._record_alone(result)
            return
        self._settling.settled(batch, report)

    async def _record_alone(self, result: Done) -> None:
        """Record one of a batch that the database refused: if need be without its texts, which cannot fail again."""
        try:
            report = await self._persist([result])
        except (NotifyctlError, IntegrityError) as error:
            self._notice(f"recorded without its details: {error}")
            report = await self._persist([self._settling.bare(result)])
        self._settling.settled([result], report)

    async def _persist(self, batch: list[Done]) -> Any:
        """Write a batch, however long the database is away. An unknown COMMIT is repeated: the fence holds."""

        def work(tx: Tx) -> Any:
            return self._settling.settle(tx, batch)

        wait = 0.05
        while True:
            try:
                return await self._threads.write(work)
            except (DatabaseUnavailable, CommitUnknown) as error:
                if wait == 0.05:
                    self._notice(f"{error.message}; {len(batch)} results wait")
                await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311
                wait = min(wait * 2, RETRY_CEILING_S)
