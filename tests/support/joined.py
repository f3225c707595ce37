"""A database whose transactions are one: use-cases are run by the hundred, at a moment that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

T = TypeVar("T")


class Joined:
    """Stands for a database: what is read and written joins a transaction that somebody else began and commits."""

    def __init__(self, db: Database, tx: Tx) -> None:
        self._db = db
        self._tx = tx

    def write(self, work: Callable[[Tx], T]) -> T:
        """Do it within the transaction."""
        return work(self._tx)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Yield the transaction."""
        yield self._tx

    def moment(self) -> int:
        """Return the moment that was chosen."""
        return self._tx.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def at(db: Database, moment: int, work: Callable[[Any], T]) -> T:
    """Run `work` on a database in one transaction, at that moment (milliseconds since the epoch)."""
    return db.write(lambda tx: work(Joined(db, tx.at(moment))))
