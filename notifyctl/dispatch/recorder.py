"""Results on their way to the database: whatever has gathered is one transaction.

A result is kept until it is recorded, however long the database is away. One that the database refuses, whatever the
reason, holds up no other: it is recorded without its texts, and if that is refused too, it is kept with its lease and
tried again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable
from notifyctl.core.frozen import dataclass
from notifyctl.dispatch.notices import Say
from notifyctl.dispatch.queues import Done
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store.db.tx import Tx

BATCH = 512
RETRY_CEILING_S = 5.0
GATHER_S = 0.002
KEPT_AGAIN_S = 2.0
MOST_KEPT = 16
"""Results that cannot be recorded: where there are so many, something is wrong with the database, not with them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settling(Generic[Done]):
    """How results of one kind are recorded.

    `settle` writes some and returns what is to be known of it; `bare` returns one without its texts, which cannot fail
    for the reason for which it failed with them. `hold` writes that those which could not be recorded are still ours,
    so that nobody does them again; without it they are left for later. `freed` gives the places of some in flight back,
    `note` takes note of what was recorded. `begins` is called before each transaction.
    """

    settle: Callable[[Tx, Sequence[Done]], Any]
    bare: Callable[[Done], Done]
    hold: Callable[[Tx, Sequence[Done]], None] | None
    freed: Callable[[Sequence[Done]], None]
    note: Callable[[Sequence[Done], Any], None]
    begins: Callable[[], None] = lambda: None


class Recorder(Generic[Done]):
    """Writes results in batches; `notice` says what people should know."""

    def __init__(self, threads: StoreThreads, settling: Settling[Done], notice: Say) -> None:
        self._threads = threads
        self._settling = settling
        self._notice = notice
        self._gathered: list[Done] = []
        self._kept: list[Done] = []
        self._again_at = 0.0
        self._arrived = asyncio.Event()
        self._closing = False

    @property
    def kept(self) -> int:
        """How many results the database refuses to take."""
        return len(self._kept)

    @property
    def is_stuck(self) -> bool:
        """Whether so many are refused that nothing more should be done of which nobody would know."""
        return len(self._kept) >= MOST_KEPT

    def put(self, result: Done) -> None:
        """Take a result to record."""
        self._gathered.append(result)
        self._arrived.set()

    def finish(self) -> None:
        """Let `run` end when everything that was put is recorded, or was refused once more."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Record until finished."""
        while self._gathered or not self._closing:
            await self._until_there_is_work()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            batch, self._gathered = self._gathered[:BATCH], self._gathered[BATCH:]
            if not self._gathered and not self._closing:
                self._arrived.clear()
            if batch:
                await self._record(batch)
            if self._kept and time.monotonic() >= self._again_at:
                await self._try_again()
        if self._kept:
            await self._try_again()

    async def _until_there_is_work(self) -> None:
        wait = max(0.0, self._again_at - time.monotonic()) if self._kept else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._arrived.wait()

    async def _record(self, batch: list[Done]) -> None:
        try:
            report = await self._persist(batch)
        except Exception:
            log.debug("a batch was refused", exc_info=True)
            for result in batch:
                await self._record_alone(result)
            await self._hold()
            return
        self._note(batch, report)
        self._settling.freed(batch)

    async def _record_alone(self, result: Done) -> None:
        """Record one of a batch that was refused: if need be without its texts; else keep it."""
        refused = await self._refusal(result)
        if refused is not None:
            self._notice(f"a result could not be recorded: {refused}")
            self._kept.append(result)
            if len(self._kept) == MOST_KEPT:
                self._notice(f"{MOST_KEPT} results cannot be recorded: nothing more is sent until they can")
            if time.monotonic() >= self._again_at:
                await self._hold()
        self._settling.freed([result])

    async def _refusal(self, result: Done) -> Exception | None:
        """Record one result, if need be without its texts; return why that cannot be."""
        try:
            self._note([result], await self._persist([result]))
            return None
        except Exception as error:
            first = error
        plain = self._settling.bare(result)
        try:
            report = await self._persist([plain])
        except Exception:
            log.debug("a result was refused", exc_info=True)
            return first
        self._notice(f"recorded without its details: {first}")
        self._note([plain], report)
        return None

    async def _try_again(self) -> None:
        """Try those that were refused once more; what is still refused remains ours."""
        refused = [result for result in self._kept if await self._refusal(result) is not None]
        if len(refused) < len(self._kept):
            self._notice(f"{len(self._kept) - len(refused)} results could be recorded after all", good=True)
        self._kept = refused
        await self._hold()

    async def _hold(self) -> None:
        """Let nobody take what was done and could not be recorded."""
        self._again_at = time.monotonic() + KEPT_AGAIN_S
        hold = self._settling.hold
        if hold is None:
            self._kept = []
        elif kept := list(self._kept):
            with suppress(Exception):  # the next turn tries it again, well before a lease ends
                await self._threads.write(lambda tx: hold(tx, kept))

    def _note(self, batch: Sequence[Done], report: Any) -> None:
        """Take note of what is recorded: whatever goes wrong in that is no reason to record it again."""
        try:
            self._settling.note(batch, report)
        except Exception:
            log.exception("what was recorded could not be told")

    async def _persist(self, batch: list[Done]) -> Any:
        """Write a batch, however long the database is away. An unknown COMMIT is repeated: the fence holds."""

        def work(tx: Tx) -> Any:
            return self._settling.settle(tx, batch)

        wait = 0.05
        while True:
            self._settling.begins()
            try:
                return await self._threads.write(work)
            except (DatabaseUnavailable, CommitUnknown):
                await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311
                wait = min(wait * 2, RETRY_CEILING_S)
