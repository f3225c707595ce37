"""Pages by key."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import insert

from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.store import notifications
from notifyctl.store import users as store
from notifyctl.store.db.database import Database
from notifyctl.store.notifications import NotificationFilter
from notifyctl.store.schema.tables import users
from tests.support import seed


def _stored(database: Database, moments: list[int]) -> list[str]:
    rows = [
        {"id": str(uuid.uuid4()), "username": f"u{n}", "email": f"u{n}@example.org", "created_at": at}
        for n, at in enumerate(moments)
    ]
    database.write(lambda tx: tx.execute(insert(users), rows))
    return [row["id"] for row in sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_together_are_the_list(database: Database, size: int) -> None:
    """Whatever the size of a page, also where many rows share a moment, each row comes once and in order."""
    expected = _stored(database, [5, 5, 5, 5, 9, 1, 5])
    found: list[str] = []
    after = None
    with database.read() as tx:
        while page := store.page(tx, after, size):
            found += [user.id for user in page]
            after = Cursor.parse(str(Cursor(page[-1].created_at, page[-1].id)))
    assert found == expected


def test_a_page_goes_on_where_its_row_was_deleted(database: Database) -> None:
    """A cursor stays good when its row is gone and new rows arrive meanwhile."""
    expected = _stored(database, [1, 2, 3, 4])
    with database.read() as tx:
        last = store.page(tx, None, 2)[-1]
    database.write(lambda tx: store.remove(tx, last.id))
    _new = {"id": str(uuid.uuid4()), "username": "new", "email": "new@example.org", "created_at": 99}
    database.write(lambda tx: tx.execute(insert(users).values(_new)))
    with database.read() as tx:
        assert [user.id for user in store.page(tx, Cursor(last.created_at, last.id), 10)] == expected[2:]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_pages_of_notifications_are_one_list_of_all_statuses(database: Database, size: int) -> None:
    """Though each status is read for itself, they come as one list in order, with whatever filter; also in ties."""
    anna, omar = seed.user(database, "anna"), seed.user(database, "omar")
    moments = [7, 3, 7, 7, 1, 9, 7]
    made = {
        (at, id_)
        for status in ("pending", "sent", "failed", "cancelled")
        for at in moments
        for id_ in seed.pending(database, anna, status=status, created_at=at)
    }
    seed.pending(database, omar, "twilio", created_at=7, status="sent")
    ordered = [id_ for _, id_ in sorted(made, reverse=True)]
    before = [id_ for at, id_ in sorted(made, reverse=True) if at < 9]
    assert _all_pages(database, NotificationFilter(channel=Channel.EMAIL), size) == ordered
    assert _all_pages(database, NotificationFilter(user_id=anna), size) == ordered
    assert _all_pages(database, NotificationFilter(provider="sendgrid", since=0, until=9), size) == before
    assert len(_all_pages(database, NotificationFilter(), size)) == len(made) + 1


def _all_pages(database: Database, wanted: NotificationFilter, size: int) -> list[str]:
    found: list[str] = []
    after = None
    with database.read() as tx:
        while page := notifications.page(tx.at(10), wanted, after, size):
            found += [row.id for row in page]
            after = Cursor(page[-1].created_at, page[-1].id)
    return found


@pytest.mark.parametrize("text", ["", "1", "1_x", "x_3f9c2a71-4b4b-4b4b-8b8b-123456789012", "9" * 30 + "_" + "a" * 36])
def test_what_is_no_cursor(text: str) -> None:
    """A damaged cursor is a usage error, not an empty list."""
    with pytest.raises(UsageError, match="is no cursor"):
        Cursor.parse(text)
