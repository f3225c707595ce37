"""Receipts that came too early, looked at again by the dispatchers."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotifyctlError
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import early, receipts
from notifyctl.store.db.tx import Tx
from notifyctl.store.early import EarlyReceipt
from notifyctl.store.receipts import RecordedReceipts

_AWAY = (DatabaseUnavailable, CommitUnknown)
_REFUSED = (NotifyctlError, SQLAlchemyError)


class EarlyReceipts:
    """Looks whether receipts that were kept can be written now; `tell` says what people should know."""

    def __init__(self, threads: StoreThreads, tell: Callable[[str], None]) -> None:
        self._threads = threads
        self._tell = tell
        self._told: str | None = None

    async def look(self) -> None:
        """Write what can be written of some. Read first: to find nothing must not wait for those who write.

        What goes wrong with one holds up no other, is said once and ends nothing; raises only while the database is
        away.
        """
        if not await self._threads.read(early.is_due):
            return
        try:
            await self._write(receipts.look_again)
        except _AWAY:
            raise
        except _REFUSED:
            for each in await self._threads.read(early.due):
                await self._look_at(each)

    async def _look_at(self, kept: EarlyReceipt) -> None:
        """Write what one says; one that cannot be written waits on, as one that matches nothing."""
        try:
            await self._write(lambda tx: receipts.record_kept(tx, [kept]))
        except _AWAY:
            raise
        except _REFUSED as error:
            if self._told != str(error):
                self._told = str(error)
                self._tell(f"a receipt that came early cannot be written: {error}")
            await self._threads.write(lambda tx: early.put_off(tx, [kept]))

    async def _write(self, work: Callable[[Tx], dict[str, RecordedReceipts]]) -> None:
        for provider, report in (await self._threads.write(work)).items():
            if report.paused is not None:
                self._tell(f"{provider} paused: {report.paused}")
