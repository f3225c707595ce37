"""The sealer beside those who write: what is committed is sealed once, whenever that is, by however many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import func, select

from notifyctl.core.audit.chain import TrailFinding
from notifyctl.core.audit.sealing import Anchor, newest_key
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring
from notifyctl.services import auditing
from notifyctl.store import trail
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_logs, audit_seals

RING = Keyring({"k1": bytes(range(64))})
ACTOR = Actor(agent="notifyctl/test", name="root@test")


def _acting(database: Database) -> Database:
    return database.acting_for(ACTOR).authenticating(lambda: newest_key(RING))


def _write(database: Database, number: int = 1) -> None:
    facts = [(None, {"number": [None, each]}) for each in range(number)]
    _acting(database).write(lambda tx: tx.audit("update", "user", facts))


def _faults(database: Database) -> list[TrailFinding]:
    told = list[TrailFinding]()
    auditing.verify(database, RING, [], told.append)
    return told


def _counts(database: Database) -> tuple[int, int, int]:
    """Return how many rows there are, how many seals, and the last position."""
    with database.read() as tx:
        rows = tx.execute(select(func.count()).select_from(audit_logs)).scalar_one()
        seals, last = tx.execute(select(func.count(), func.max(audit_seals.c.position)).select_from(audit_seals)).one()
    return rows, seals, last


def test_many_seal_and_write_at_a_time(database: Database, database_url: str) -> None:
    """The chain is one, without a gap and with every row once."""

    def work(number: int) -> None:
        with closing(Database(database_url)) as own:
            for _ in range(10):
                if number % 2:
                    _write(own, 7)
                else:
                    trail.seal_all(_acting(own), RING)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    trail.seal_all(_acting(database), RING)
    assert _counts(database) == (211, 211, 211)  # and the row about the key that was kept
    assert _faults(database) == []


@pytest.fixture
def open_transaction(postgresql_url: str) -> Iterator[tuple[Database, Database]]:
    """Two connections to one PostgreSQL database."""
    with closing(Database(postgresql_url)) as one, closing(Database(postgresql_url)) as other:
        yield one, other


def test_what_commits_late_is_sealed_late(open_transaction: tuple[Database, Database]) -> None:
    """A row of a transaction that was open while others were sealed has an older time, and is taken all the same."""
    one, other = open_transaction

    def work(tx: Tx) -> int:
        tx.audit("update", "user", [(None, {"late": True})])
        _write(other, 3)
        return trail.seal_all(_acting(other), RING)

    assert _acting(one).write(work) == 4
    assert trail.seal_all(_acting(other), RING, 60_000) == 1
    assert _counts(one) == (5, 5, 5)
    assert _faults(one) == []


def test_what_is_rolled_back_leaves_nothing(database: Database) -> None:
    """A rehearsal writes no row, so that the chain has none that never was."""
    _acting(database).rehearsal().write(lambda tx: tx.audit("update", "user", [(None, {"dry": True})]))
    trail.seal_all(_acting(database), RING)
    assert _counts(database)[0] == 1


def test_the_latest_rows_are_enough(database: Database) -> None:
    """A dispatcher that looks every few seconds reads the end of the trail, not all of it."""
    _write(database, 20)
    trail.seal_all(_acting(database), RING)
    _write(database, 1)
    assert trail.seal_all(_acting(database), RING, 60_000) == 1
    with database.read() as tx:
        assert not trail.is_loose(tx, 60_000) and not trail.is_loose(tx)


def test_what_covers_most_is_the_last_anchor(database: Database) -> None:
    """Also when the clock was put back since the one before it: nothing is overdue, and none is written twice."""
    _write(database, 2)
    trail.seal_all(_acting(database), RING)
    now = database.moment()
    with database.read() as tx:
        first, last = trail.at(tx, 1), trail.head(tx)
    assert first is not None and last is not None
    for sealed, at in ((first, now + 3_600_000), (last, now)):
        made = Anchor(sealed.position, sealed.value, at)
        database.write(lambda tx: trail.note_anchor(tx, made, "file"))  # noqa: B023 - called at once
    with database.read() as tx:
        found = trail.last_anchor(tx, "file")
        assert found is not None and found.position == last.position
        assert trail.uncovered_since(tx, "file") is None
