"""Adopting a policy: what another one put off is judged anew by the claims, beside the sending."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from notifyctl.core.errors import CommitUnknown
from notifyctl.dispatch.run import Run
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import adopting
from notifyctl.store.db.tx import Tx

FIRST_S = 5.0
"""For how long a run with `once` wakes before it claims: what is left is woken while it sends, and by the next."""


class Adopting:
    """One dispatcher's part in it; `digest` is of its policy, `tell` says what people should know."""

    def __init__(self, threads: StoreThreads, run: Run, digest: str, tell: Callable[[str], None]) -> None:
        self._threads = threads
        self._run = run
        self._digest = digest
        self._tell = tell
        self._adopted = False

    def enter(self, tx: Tx) -> None:
        """Adopt this dispatcher's policy, unless it is the one that was adopted last."""
        self._adopted = adopting.adopt(tx, self._digest)

    async def begin(self) -> None:
        """Say what `enter` did; with `once` wake what belongs to the run, before it claims."""
        if self._adopted:
            self._tell("the policy changed: what the last one put off is judged anew")
        if self._run.once:
            with suppress(CommitUnknown):
                await self._wake(time.monotonic() + FIRST_S)

    async def wake(self) -> None:
        """Wake what is still to be woken, a portion at a time."""
        await self._wake()

    def leave(self, tx: Tx) -> None:
        """Let others judge anew what this dispatcher put off, if they adopted another policy meanwhile."""
        adopting.leave(tx, self._digest)

    async def _wake(self, until: float | None = None) -> None:
        if not await self._threads.read(adopting.is_waking):
            return
        while not self._run.is_told and (until is None or time.monotonic() < until):
            if not await self._threads.write(lambda tx: adopting.wake_portion(tx, self._run.due_by)):
                return
