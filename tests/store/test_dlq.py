"""Dead letters in the store: filters, revival, resolving, suppressed addresses."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core import operate
from notifyctl.core.cursor import Cursor
from notifyctl.core.deadletter import DeadLetter
from notifyctl.core.model import Category, Channel
from notifyctl.store import dlq as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.dlq import DeadLetterFilter
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import contact_points, notification_dlq, suppressions
from tests.support import letters, seed

NOW = 10_000_000


def found(database: Database, wanted: DeadLetterFilter) -> set[str]:
    """Return the notifications whose dead letters the filter finds; the count agrees."""
    with database.read() as tx:
        rows = store.page(tx, wanted, None, 1_000)
        assert store.count(tx, wanted) == len(rows)
        return {row.notification_id for row in rows}


def locked(database: Database, ids: list[str], do: Callable[[Tx, list[DeadLetter]], Any]) -> Any:
    """Act on the dead letters in the transaction that locked them."""

    def work(tx: Tx) -> Any:
        rows = store.lock(tx, ids)
        return do(tx, [rows[id_] for id_ in ids])

    return database.write(work)


def requeue(tx: Tx, rows: list[DeadLetter], due_ats: list[int], retries: int = 5) -> set[str]:
    """Send them once more, each at its moment."""
    made = [operate.requeue(row, due, retries, NOW) for row, due in zip(rows, due_ats, strict=True)]
    return apply(tx.at(NOW), made).ids


def revive(database: Database, ids: list[str], due_at: int = NOW, retries: int = 5) -> set[str]:
    """Send them once more."""
    return set(
        locked(
            database,
            ids,
            lambda tx, rows: requeue(tx, rows, [due_at] * len(rows), retries),
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
    database.write(lambda tx: store.resolve(tx.at(NOW), [done], by=anna, note="n"))
    for wanted, expected in {
        DeadLetterFilter(): {busy, wrong},
        DeadLetterFilter(resolved=True): {done},
        DeadLetterFilter(resolved=None): {busy, wrong, done},
        DeadLetterFilter(reason=Category.INVALID_RECIPIENT): {wrong},
        DeadLetterFilter(error="invalid_n"): {wrong},
        DeadLetterFilter(error="100%"): {wrong},
        DeadLetterFilter(error="100_"): set(),
        DeadLetterFilter(error="BUSY"): {busy},
        DeadLetterFilter(channel=Channel.SMS): {wrong},
        DeadLetterFilter(provider="sendgrid"): {busy},
        DeadLetterFilter(user_id=omar): {wrong},
        DeadLetterFilter(since=200): {wrong},
        DeadLetterFilter(until=200): {busy},
    }.items():
        assert found(database, wanted) == expected, wanted


def test_pages(database: Database) -> None:
    """The latest first, by the moment of the burial, and a cursor goes on where the page ended."""
    anna = seed.user(database)
    early, late = letters.dead(database, anna, at=100, count=2), letters.dead(database, anna, at=200)
    with database.read() as tx:
        first = store.page(tx, DeadLetterFilter(), None, 2)
        rest = store.page(tx, DeadLetterFilter(), Cursor(first[-1].moved_to_dlq_at, first[-1].id), 2)
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
    order = ClaimRequest("sendgrid", "2" * 36, 10, 60_000)
    batch = database.write(lambda tx: claim(tx.at(NOW), order))
    assert [(each.id, each.attempt, each.max_retries) for each in batch.claims] == [(id_, 7, 9)]


def test_revival_of_many(database: Database) -> None:
    """One statement for all of them; each gets its own history and due moment."""
    ids = letters.dead(database, seed.user(database), count=300)

    def spaced(tx: Tx, rows: list[DeadLetter]) -> set[str]:
        return requeue(tx, rows, [NOW + index for index in range(len(rows))])

    assert locked(database, ids, spaced) == set(ids)
    assert [seed.notification(database, id_).due_at for id_ in (ids[0], ids[-1])] == [NOW, NOW + 299]
    assert found(database, DeadLetterFilter(resolved=None)) == set()


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
    resolve = lambda tx: store.resolve(tx.at(NOW), ids, by=anna, note="checked")  # noqa: E731
    assert database.write(resolve) == set(ids)
    assert database.write(resolve) == set()
    row = seed.dead_letter(database, ids[0])
    assert (row.resolved, row.resolved_at, row.resolved_by, row.note) == (True, NOW, anna, "checked")
    assert seed.notification(database, ids[0]).status == "failed"
    with database.read() as tx:
        assert store.get(tx, ids)[ids[0]].resolver == "anna"
    reopen = lambda tx: store.reopen(tx, ids[:1])  # noqa: E731
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

    def prepare(tx: Tx) -> None:
        tx.execute(contact_points.insert().values(point))
        tx.execute(suppressions.insert().values(entry))

    database.write(prepare)
    targets: list[store.Target] = [
        (anna, Channel.SMS, "+14155552345"),
        (anna, Channel.SMS, None),
        (anna, Channel.EMAIL, None),
    ]
    with database.read() as tx:
        hit = store.suppressed(tx, targets)
        assert store.suppressed(tx, []) == []
    assert [(each.user, each.channel, each.address, each.reason) for each in hit] == [
        ("anna", channel, suppress, "STOP")
    ]


def test_entries_name_their_notifications(database: Database) -> None:
    """An entry's id leads to the notification, and a notification without a history keeps the entry's."""
    [id_] = letters.dead(database, seed.user(database), retry_history=None)
    entry = seed.dead_letter(database, id_)
    with database.read() as tx:
        assert store.notification_ids(tx, [entry.id, "x" * 36]) == {entry.id: id_}
    revive(database, [id_])
    assert len(json.loads(seed.notification(database, id_).retry_history)) == 2


def test_a_damaged_history_is_no_obstacle(database: Database) -> None:
    """Whatever stands in the column, the retry goes through and says where it came from."""
    [id_] = letters.dead(database, seed.user(database), retry_history="{broken")
    where = notification_dlq.c.notification_id == id_
    database.write(lambda tx: tx.execute(update(notification_dlq).where(where).values(retry_history="[")))
    assert revive(database, [id_]) == {id_}
    [event] = json.loads(seed.notification(database, id_).retry_history)
    assert event["event"] == "dead_letter"
