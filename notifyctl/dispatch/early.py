"""Receipts that came too early, looked at again by the dispatchers."""

from __future__ import annotations

from collections.abc import Callable

from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import early, receipts


class EarlyReceipts:
    """Looks whether receipts that were kept can be written now; `tell` says what people should know."""

    def __init__(self, threads: StoreThreads, tell: Callable[[str], None]) -> None:
        self._threads = threads
        self._tell = tell

    async def look(self) -> None:
        """Write what can be written. Read first: to find nothing must not wait for those who write."""
        while await self._threads.read(early.is_due):
            for provider, report in (await self._threads.write(receipts.look_again)).items():
                if report.paused is not None:
                    self._tell(f"{provider} paused: {report.paused}")
