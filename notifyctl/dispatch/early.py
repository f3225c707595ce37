"""Receipts that came too early, looked at again by the dispatchers."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotifyctlError
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import early, receipts


class EarlyReceipts:
    """Looks whether receipts that were kept can be written now; `tell` says what people should know."""

    def __init__(self, threads: StoreThreads, tell: Callable[[str], None]) -> None:
        self._threads = threads
        self._tell = tell
        self._told: str | None = None

    async def look(self) -> None:
        """Write what can be written of some. Read first: to find nothing must not wait for those who write.

        What goes wrong is said once and ends nothing; raises only while the database is away.
        """
        try:
            if await self._threads.read(early.is_due):
                for provider, report in (await self._threads.write(receipts.look_again)).items():
                    if report.paused is not None:
                        self._tell(f"{provider} paused: {report.paused}")
        except (DatabaseUnavailable, CommitUnknown):
            raise
        except (NotifyctlError, SQLAlchemyError) as error:
            if self._told != str(error):
                self._told = str(error)
                self._tell(f"receipts that came early cannot be written: {error}")
