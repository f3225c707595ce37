"""Deliveries that whoever makes them takes at once: written as claimed, under a lease, and told as they would be."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core.webhook.attempt import Delivery, HookReply
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.offer import Offer
from notifyctl.core.webhook.telling import CREATED, Telling
from notifyctl.store.db.database import Database
from notifyctl.store.queue import deliveries, outbox
from notifyctl.store.queue.deliveries import Attempted
from notifyctl.store.queue.due_deliveries import DeliveryRequest, claim
from notifyctl.store.schema.tables import webhook_deliveries
from tests.support import seed

NOW = 1_700_000_000_000
LEASE_MS = 45_000
"""Twice the 20 seconds of a webhook's deadline, and the margin."""
ME = "d" * 36


def offer(**values: Any) -> Offer:
    """Return an offer to take ten of each webhook."""
    given = {"least_ms": 1, "usual": 10, "room": {}, "places": 100, "began": time.monotonic(), **values}
    return Offer(ME, str(uuid.uuid4()), **given)


def put(db: Database, ids: list[str], to: Offer, at: int = NOW) -> Offer:
    """Tell webhooks of the creation of these, in a transaction with an offer."""
    db.write(lambda tx: outbox.put(tx.at(at).offering(to), [(id_, CREATED) for id_ in ids]))
    return to


def take(db: Database, at: int) -> list[Delivery]:
    """Claim what is due."""
    order = DeliveryRequest("e" * 36, str(uuid.uuid4()), most=100, lease_ms=1, usual=50, room={})
    return db.write(lambda tx: claim(tx.at(at), order))


@pytest.fixture
def anna(database: Database) -> str:
    """A user."""
    return seed.user(database)


def test_what_is_taken_is_as_if_it_were_claimed(database: Database, anna: str) -> None:
    """Counted as an attempt, leased to who takes it until the lease ends; then it is due for anybody, the same."""
    seed.webhook(database, anna, previous_secret="sealed too", previous_secret_ends=NOW + 1)
    ids = seed.pending(database, anna, count=3)
    made = put(database, ids, offer())
    rows = {row.id: row for row in seed.deliveries(database)}
    assert {each.id for each in made.taken} == set(rows)
    assert not made.left
    for row in rows.values():
        assert (row.attempt_count, row.created_at, row.next_retry_at) == (1, NOW, NOW + LEASE_MS)
        assert (row.lease_id, row.leased_by, row.delivered, row.ended) == (made.lease_id, ME, False, None)
    assert take(database, NOW + LEASE_MS - 1) == []
    again = {each.id: each for each in take(database, NOW + LEASE_MS)}
    for each in made.taken:
        lease_id = again[each.id].lease_id
        assert again[each.id] == each._replace(attempt=2, due_at=NOW + LEASE_MS, lease_id=lease_id)


def test_what_is_taken_is_recorded_under_its_lease(database: Database, anna: str) -> None:
    """As a claim's; where somebody else has it by then, nothing is."""
    seed.webhook(database, anna)
    one, other = put(database, seed.pending(database, anna, count=2), offer()).taken
    said = HookReply(NOW, 5, 202)
    written = database.write(lambda tx: deliveries.record(tx.at(NOW + 9), [Attempted(one, said)]))
    assert written.stale == frozenset()
    [row] = seed.deliveries(database, id=one.id)
    assert (row.delivered, row.delivered_at, row.next_retry_at, row.lease_id) == (True, NOW + 9, None, None)
    assert [each.id for each in take(database, NOW + LEASE_MS)] == [other.id]
    late = database.write(lambda tx: deliveries.record(tx.at(NOW + LEASE_MS), [Attempted(other, said)]))
    assert late.stale == {other.id}


@pytest.mark.parametrize("owed", ["due", "under way", "waits"])
def test_nothing_overtakes_what_is_owed_of_the_same_notification(database: Database, anna: str, owed: str) -> None:
    """What happened later is left for a claim, which keeps the order; once the earlier one has arrived, it is taken."""
    seed.webhook(database, anna)
    [id_, free] = seed.pending(database, anna, count=2)
    database.write(lambda tx: outbox.put(tx.at(NOW - 9), [(id_, CREATED)]))
    if owed != "due":
        [earlier] = take(database, NOW - 9)
    if owed == "waits":
        database.write(lambda tx: deliveries.record(tx.at(NOW - 9), [Attempted(earlier, HookReply(NOW - 9, 5, 500))]))
    made = put(database, [id_, free], offer())
    assert [each.notification_id for each in made.taken] == [free]
    assert made.left
    [later] = seed.deliveries(database, notification_id=id_, created_at=NOW)
    assert (later.attempt_count, later.next_retry_at, later.lease_id, later.leased_by) == (0, NOW, None, None)
    database.write(lambda tx: tx.execute(update(webhook_deliveries).values(next_retry_at=None)))
    assert len(put(database, [id_], offer()).taken) == 1


def test_two_events_at_once_are_left(database: Database, anna: str) -> None:
    """Of one notification, the second of which waits for the first."""
    seed.webhook(database, anna)
    [id_] = seed.pending(database, anna)
    to = offer()
    said = [(id_, CREATED), (id_, Telling(WebhookEvent.SENT, {}))]
    assert database.write(lambda tx: outbox.put(tx.at(NOW).offering(to), said)) == 2
    assert (to.taken, to.left) == ([], True)
    assert [row.lease_id for row in seed.deliveries(database)] == [None, None]


def test_no_more_is_taken_than_there_is_room_for(database: Database, anna: str) -> None:
    """Of each webhook, and of all together."""
    busy, full, usual = (seed.webhook(database, anna) for _ in range(3))
    ids = seed.pending(database, anna, count=4)
    made = put(database, ids, offer(room={busy: 3, full: 0}, usual=2))
    taken = [each.webhook_id for each in made.taken]
    assert (taken.count(busy), taken.count(full), taken.count(usual), made.left) == (3, 0, 2, True)
    assert len(seed.deliveries(database)) == 12
    assert len(put(database, seed.pending(database, anna, count=4), offer(places=5)).taken) == 5


@pytest.mark.parametrize(
    ("state", "left"),
    [({"is_active": False}, False), ({"slowed": 1}, True), ({"slowed": 1, "rests_until": NOW + 1}, True)],
    ids=["disabled", "slowed", "rests"],
)
def test_who_is_not_called_as_usual_is_left_to_a_claim(
    database: Database, anna: str, state: dict[str, Any], left: bool
) -> None:
    """That knows how to try a receiver that asked for less. A disabled one is not called at all."""
    seed.webhook(database, anna, **state)
    made = put(database, seed.pending(database, anna), offer())
    assert (made.taken, made.left) == ([], left)
    [row] = seed.deliveries(database)
    assert (row.attempt_count, row.ended) == (0, None if left else "disabled")


def test_a_transaction_that_runs_again_takes_once(database: Database, anna: str) -> None:
    """What the first try took was rolled back with it."""
    seed.webhook(database, anna)
    ids, to = seed.pending(database, anna, count=2), offer(usual=2)

    class Stop(Exception):
        pass

    def fail(tx: Any) -> None:
        outbox.put(tx.at(NOW).offering(to), [(id_, CREATED) for id_ in ids])
        raise Stop

    with pytest.raises(Stop):
        database.write(fail)
    assert {each.id for each in put(database, ids, to).taken} == {row.id for row in seed.deliveries(database)}
    assert len(to.taken) == 2


def test_without_an_offer_nothing_is_taken(database: Database, anna: str) -> None:
    """As everything else that changes notifications makes them: due now, and never tried."""
    seed.webhook(database, anna)
    [id_] = seed.pending(database, anna)
    database.write(lambda tx: outbox.put(tx.at(NOW), [(id_, CREATED)]))
    [row] = seed.deliveries(database)
    assert (row.attempt_count, row.next_retry_at, row.lease_id, row.leased_by) == (0, NOW, None, None)
