"""Putting back into the queue what templates and batches held back, once that has ended; beside the sending."""

from __future__ import annotations

import time
from contextlib import suppress

from notifyctl.core.errors import CommitUnknown
from notifyctl.dispatch.run import Run
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store.queue import parked

FIRST_S = 5.0
"""For how long a run with `once` does so before it claims: what is left comes back while it sends, and by the next."""


class Returning:
    """One dispatcher's part in it."""

    def __init__(self, threads: StoreThreads, run: Run) -> None:
        self._threads = threads
        self._run = run

    async def begin(self) -> None:
        """With `once` put back what belongs to the run, before it claims: it may end before there is another look."""
        if self._run.once:
            with suppress(CommitUnknown):
                await self._return(time.monotonic() + FIRST_S)

    async def look(self) -> None:
        """Put back what is to come back, a portion at a time."""
        await self._return()

    async def _return(self, until: float | None = None) -> None:
        if not await self._threads.read(parked.is_freed):
            return
        while not self._run.is_told and (until is None or time.monotonic() < until):
            if await self._threads.write(parked.come_back) < parked.PORTION:
                return
