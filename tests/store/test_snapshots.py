"""What is read in one snapshot is what there was at one moment; whoever writes meanwhile waits for nobody."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from notifyctl.core.errors import NotifyctlError
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import users
from tests.support import seed


def count(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(users)).scalar_one()


def test_a_snapshot_stays_as_it_began(database: Database) -> None:
    """What others add, change and delete after its first question is not there; a plain read sees it between two."""
    seed.user(database, "anna")
    seen = []

    def work(tx: Tx) -> None:
        seen.append(count(tx))
        seed.user(database, "bob")
        seen.append(count(tx))
        database.write(lambda other: other.execute(delete(users).where(users.c.username == "anna")))
        names = tx.execute(select(users.c.username)).scalars().all()
        seen.extend([count(tx), names])

    database.snapshot(work)
    assert seen == [1, 1, 1, ["anna"]]
    with database.read() as tx:
        assert count(tx) == 1


def test_a_snapshot_knows_the_moment(database: Database) -> None:
    """The same as every other transaction's, by the database's clock."""
    before = database.moment()
    assert before <= database.snapshot(lambda tx: tx.now) <= database.moment()


def test_nothing_can_be_written_in_a_snapshot(postgresql_url: str) -> None:
    """The server refuses it, and the connection is good for the next transaction, which may write again."""
    database = Database(postgresql_url)
    row = {"id": "1" * 36, "username": "anna", "email": "anna@example.org"}
    with pytest.raises((NotifyctlError, DBAPIError)):
        database.snapshot(lambda tx: tx.execute(insert(users).values(row)))
    level = text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    with database.read() as tx:
        assert tx.execute(level).one() == ("read committed", "off")
    database.write(lambda tx: tx.execute(insert(users).values(row)))
    database.close()
