"""Hints: whoever makes something due says so, and the dispatchers that wait for it look at once.

Only PostgreSQL has them: NOTIFY, which is delivered when the transaction commits. A hint may get lost. What is due is
found by looking; a hint only lets somebody look earlier.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from notifyctl.core.errors import DatabaseUnavailable
from notifyctl.store.db.database import Database
from notifyctl.store.db.pooled import Pooled
from notifyctl.store.db.tx import Tx

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CHANNEL = "notifyctl_due"
TEST_S = 5.0
LOOK_S = 5.0
"""How often a listener that hears nothing asks whether there is still somebody to hear."""


def give(tx: Tx, providers: Iterable[str]) -> None:
    """Say that something of these providers may be due as soon as this transaction is committed.

    Not for what a dispatcher writes: transactions with a hint wait for each other's commits.
    """
    tx.notify(CHANNEL, sorted(set(providers)))


def test(tx: Tx, own: str) -> None:
    """Let the listener that `own` names hear that it hears."""
    tx.notify(_test_channel(own), ["test"])


class Listener:
    """A connection to the database that may hear hints; `own` tells it from all others."""

    def __init__(self, conn: AsyncConnection, own: str, connections: Pooled) -> None:
        self._conn = conn
        self._own = own
        self._connections = connections
        self._age = connections.age

    async def prove(self) -> None:
        """Listen for hints, if the `test` is heard that somebody else's transaction makes at about this time.

        Raises DatabaseUnavailable when it is not: a pooler between here and the server takes LISTEN and passes nothing
        on. That server connection listens on, and is somebody else's: so far only to a channel where nothing is said.
        """
        heard = [each async for each in self._conn.notifies(timeout=TEST_S, stop_after=1)]
        await self._conn.execute("UNLISTEN *")
        if not heard:
            raise DatabaseUnavailable(f"a notification did not arrive within {TEST_S:g} s")
        await _listen(self._conn, CHANNEL)

    async def hints(self) -> AsyncIterator[str | None]:
        """Yield the provider of each hint; None for one that names none, as what submits in SQL gives it.

        Raises DatabaseUnavailable when the pool's connections became useless, as this one may have, and when the
        server does not answer or takes no changes any more: it would not have anything to say for ever.
        """
        while True:
            async for each in self._conn.notifies(timeout=LOOK_S):
                yield each.payload or None
            if self._age != self._connections.age:
                raise DatabaseUnavailable("the connections made so far are of no use any more")
            answer = await (await self._conn.execute("SHOW transaction_read_only")).fetchone()
            if answer is None or answer[0] != "off":
                raise DatabaseUnavailable("the server became read-only")


@asynccontextmanager
async def listener(db: Database, own: str) -> AsyncIterator[Listener]:
    """Yield a listener with a connection of its own, outside the pool, that has to be proved.

    Inside too, DatabaseUnavailable is what becomes of every trouble with that connection.
    """
    import psycopg  # here, because on SQLite nobody has a use for it

    from notifyctl.store.db.limited import LimitedAsyncConnection

    try:
        conn = await LimitedAsyncConnection.connect(**db.driver_arguments(), autocommit=True)
        try:
            await _listen(conn, _test_channel(own))
            yield Listener(conn, own, db.connections)
        finally:
            await conn.close()
    except (psycopg.Error, OSError) as error:
        raise DatabaseUnavailable(f"{db.label}: {error}") from error


async def _listen(conn: AsyncConnection, channel: str) -> None:
    from psycopg import sql

    await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))


def _test_channel(own: str) -> str:
    return f"notifyctl_test_{own}"
