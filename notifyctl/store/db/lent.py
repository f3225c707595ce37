"""A transaction on a connection to a SQLite file that somebody else has opened, and that stays theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from notifyctl.core.model import Actor
from notifyctl.store.db.database import host_clock_ms
from notifyctl.store.db.dialect import SQLITE
from notifyctl.store.db.failures import translated
from notifyctl.store.db.tx import Tx

_LENT: ContextVar[sqlite3.Connection] = ContextVar("lent")


@contextmanager
def lent(connection: sqlite3.Connection, actor: Actor) -> Iterator[Tx]:
    """Yield the transaction of a connection, as the store works on it. It is not committed, nor rolled back.

    What the connection makes of rows and texts is set aside meanwhile. Raises what `Database.write` does.
    """
    before, text_factory = _LENT.set(connection), connection.text_factory
    connection.text_factory = str
    try:
        with translated("the database", served=False), _engine().connect() as conn:
            yield Tx(conn, SQLITE, host_clock_ms(), actor)
    finally:
        connection.text_factory = text_factory
        _LENT.reset(before)


def plain_cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """Return a cursor whose rows are tuples, whatever class the connection is of."""
    cursor = sqlite3.Connection.cursor(connection)
    cursor.row_factory = None
    return cursor


class _Borrowed:
    """What SQLAlchemy takes for a connection of its own: it makes cursors, and leaves everything as it is."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.isolation_level = connection.isolation_level

    def cursor(self) -> sqlite3.Cursor:
        return plain_cursor(self._connection)

    def commit(self) -> None:
        """It is the lender's to commit."""

    def rollback(self) -> None:
        """It is the lender's to roll back."""

    def close(self) -> None:
        """It is the lender's to close."""

    def create_function(self, *_: Any, **__: Any) -> None:
        """The lender's functions stay."""


@cache
def _engine() -> Engine:
    """Return what makes statements for a connection that is lent; it has none."""
    return create_engine("sqlite://", creator=lambda: _Borrowed(_LENT.get()), poolclass=NullPool, hide_parameters=True)
