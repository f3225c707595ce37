"""Dead letters in the store: filters, revival, resolving, suppressed addresses."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, update

from notifyctl.core.model import Category, Channel
from notifyctl.store import claims
from notifyctl.store import dlq as store
from notifyctl.store.claims import Order
from notifyctl.store.dlq import DeadLetter, Filter, Revival
from notifyctl.store.engine import Database
from notifyctl.store.page import Cursor
from notifyctl.store.tables import contact_points, notification_dlq, suppressions
from tests.support import letters, seed

NOW = 10_000_000


def found(database: Database, wanted: Filter) -> set[str]:
    """Return the notifications whose dead letters the filter finds; the count agrees."""
    with database.read() as conn:
        rows = store.page(conn, wanted, None, 1_000)
        assert store.count(conn, wanted) == len(rows)
        return {row.notification_id for row in rows}


def locked(database: Database, ids: list[str], do: Callable[[Connection, list[DeadLetter]], Any]) -> Any:
    """Act on the dead letters in the transaction that locked them."""

    def work(conn: Connection) -> Any:
        rows = store.lock(conn, database.dialect, ids)
        return do(conn, [rows[id_] for id_ in ids])

    return database.write(work)


def revive(database: Database, ids: list[str], due_at: int = NOW, retries: int = 5) -> set[str]:
    """Send them once more."""
    return set(
        locked(
            database,
            ids,
            lambda conn, rows: store.revive(
                conn, database.dialect, [Revival(row, due_at, retries) for row in rows], NOW
            ),
        )
    )


def test_filters(database: Database) -> None:
    """Each filter narrows by what it says and nothing else; resolved ones are another list."""
    anna, omar = seed.user(database, "anna"), seed.user(database, "omar")
    [busy] = letters.dead(database, anna, at=100)
    [wrong] = letters.dead(
        database, omar, "twilio", reason="invalid_recipient", at=200, error_message="21211 100% Invalid_Number"
    )
    [done] = letters.dead(database, omar, at=300)
    database.write(lambda conn: store.resolve(conn, database.dialect, [done], by=anna, note="n", now=NOW))
    for wanted, expected in {
        Filter(): {busy, wrong},
        Filter(resolved=True): {done},
        Filter(resolved=None): {busy, wrong, done},
        Filter(reason=Category.INVALID_RECIPIENT): {wrong},
        Filter(error="invalid_n"): {wrong},
        Filter(error="100%"): {wrong},
        Filter(error="100_"): set(),
        Filter(error="BUSY"): {busy},
        Filter(channel=Channel.SMS): {wrong},
        Filter(provider="sendgrid"): {busy},
        Filter(user_id=omar): {wrong},
        Filter(since=200): {wrong},
        Filter(until=200): {busy},
    }.items():
        assert found(database, wanted) == expected, wanted


def test_pages(database: Database) -> None:
    """The latest first, by the moment of the burial, and a cursor goes on where the page ended."""
    anna = seed.user(database)
    early, late = letters.dead(database, anna, at=100, count=2), letters.dead(database, anna, at=200)
    with database.read() as conn:
        first = store.page(conn, Filter(), None, 2)
        rest = store.page(conn, Filter(), Cursor(first[-1].moved_to_dlq_at, first[-1].id), 2)
    assert first[0].notification_id == late[0]
    assert {row.notification_id for row in (*first[1:], *rest)} == set(early)


def test_revival_is_claimed_again(database: Database) -> None:
    """A retried dead letter is an ordinary pending notification: the next claim takes it, with attempts left."""
    anna = seed.user(database)
    seed.provider(database)
    [id_] = letters.dead(database, anna)
    [other] = letters.dead(database, anna)
    assert revive(database, [id_], retries=3) == {id_}
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.max_retries, row.due_at) == ("pending", 6, 9, NOW)
    assert (row.failed_at, row.error_message, row.lease_id) == (None, None, None)
    assert seed.dead_letter(database, id_) is None
    assert seed.dead_letter(database, other) is not None
    past = json.loads(row.retry_history)
    assert [entry.get("event", entry.get("outcome")) for entry in past] == ["transient", "dead_letter"]
    assert past[1]["reason"] == "retries_exhausted"
    assert (past[1]["message"], past[1]["moved_to_dlq_at"], past[1]["retried_at"]) == ("503 busy", 2_000, NOW)
    order = Order("sendgrid", "2" * 36, 10, 60_000)
    batch = database.write(lambda conn: claims.claim(conn, database.dialect, order, NOW))
    assert [(claim.id, claim.attempt, claim.max_retries) for claim in batch.claims] == [(id_, 7, 9)]


def test_revival_of_many(database: Database) -> None:
    """One statement for all of them; each gets its own history and due moment."""
    ids = letters.dead(database, seed.user(database), count=300)

    def spaced(conn: Connection, rows: list[DeadLetter]) -> set[str]:
        revivals = [Revival(row, NOW + index, 5) for index, row in enumerate(rows)]
        return store.revive(conn, database.dialect, revivals, NOW)

    assert locked(database, ids, spaced) == set(ids)
    assert [seed.notification(database, id_).due_at for id_ in (ids[0], ids[-1])] == [NOW, NOW + 299]
    assert found(database, Filter(resolved=None)) == set()
    assert database.write(lambda conn: store.revive(conn, database.dialect, [], NOW)) == set()


def test_revival_needs_a_failed_notification(database: Database) -> None:
    """An entry whose notification is not failed keeps its row: nothing is sent that was sent already."""
    [id_] = letters.dead(database, seed.user(database))
    letters.change(database, id_, status="sent")
    assert revive(database, [id_]) == set()
    assert seed.notification(database, id_).status == "sent"
    assert seed.dead_letter(database, id_) is not None


def test_resolving_and_reopening(database: Database) -> None:
    """The three columns and the note say who, when and what; reopening clears them; each acts on the other's rows."""
    anna = seed.user(database)
    ids = letters.dead(database, anna, count=2)
    resolve = lambda conn: store.resolve(conn, database.dialect, ids, by=anna, note="checked", now=NOW)  # noqa: E731
    assert database.write(resolve) == set(ids)
    assert database.write(resolve) == set()
    row = seed.dead_letter(database, ids[0])
    assert (row.resolved, row.resolved_at, row.resolved_by, row.note) == (True, NOW, anna, "checked")
    assert seed.notification(database, ids[0]).status == "failed"
    with database.read() as conn:
        assert store.get(conn, database.dialect, ids)[ids[0]].resolver == "anna"
    reopen = lambda conn: store.reopen(conn, database.dialect, ids[:1])  # noqa: E731
    assert database.write(reopen) == {ids[0]}
    assert database.write(reopen) == set()
    row = seed.dead_letter(database, ids[0])
    assert (row.resolved, row.resolved_at, row.resolved_by, row.note) == (False, None, None, None)


@pytest.mark.parametrize("suppress", ["+14155552345", "+14155550001", "anna@example.org"])
def test_suppressed_targets(database: Database, suppress: str) -> None:
    """The address in the payload, the contact point and the e-mail address are each found as the claim finds them."""
    anna = seed.user(database)
    channel = "email" if "@" in suppress else "sms"
    point = {"id": str(uuid.uuid4()), "user_id": anna, "channel": "sms", "address": "+14155550001"}
    entry = {"id": str(uuid.uuid4()), "channel": channel, "address": suppress, "reason": "STOP"}

    def prepare(conn: Connection) -> None:
        conn.execute(contact_points.insert().values(point))
        conn.execute(suppressions.insert().values(entry))

    database.write(prepare)
    targets: list[store.Target] = [
        (anna, Channel.SMS, "+14155552345"),
        (anna, Channel.SMS, None),
        (anna, Channel.EMAIL, None),
    ]
    with database.read() as conn:
        hit = store.suppressed(conn, database.dialect, targets)
        assert store.suppressed(conn, database.dialect, []) == []
    assert [(each.user, each.channel, each.address, each.reason) for each in hit] == [
        ("anna", channel, suppress, "STOP")
    ]


def test_entries_name_their_notifications(database: Database) -> None:
    """An entry's id leads to the notification, and a notification without a history keeps the entry's."""
    [id_] = letters.dead(database, seed.user(database), retry_history=None)
    entry = seed.dead_letter(database, id_)
    with database.read() as conn:
        assert store.notification_ids(conn, database.dialect, [entry.id, "x" * 36]) == {entry.id: id_}
    revive(database, [id_])
    assert len(json.loads(seed.notification(database, id_).retry_history)) == 2


def test_a_damaged_history_is_no_obstacle(database: Database) -> None:
    """Whatever stands in the column, the retry goes through and says where it came from."""
    [id_] = letters.dead(database, seed.user(database), retry_history="{broken")
    where = notification_dlq.c.notification_id == id_
    database.write(lambda conn: conn.execute(update(notification_dlq).where(where).values(retry_history="[")))
    assert revive(database, [id_]) == {id_}
    [event] = json.loads(seed.notification(database, id_).retry_history)
    assert event["event"] == "dead_letter"
