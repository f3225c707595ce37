"""Deliveries to webhooks as a queue: who takes what, in which order, and what becomes of it."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, select

from notifyctl.core.webhook.attempt import Delivery, HookReply
from notifyctl.core.webhook.schedule import DELAYS_MS
from notifyctl.store import webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.queue import deliveries
from notifyctl.store.queue.deliveries import Attempted, Delivered
from notifyctl.store.queue.due_deliveries import DeliveryRequest, claim
from notifyctl.store.schema.tables import audit_logs, webhook_deliveries
from tests.support import seed
from tests.support.databases import PostgreSQLMaker

NOW = 1_700_000_000_000
LEASE_MS = 45_000
"""Twice the 20 seconds of a webhook's deadline, and the margin."""
DAY_MS = 86_400_000


def owe(db: Database, webhook_id: str, notification_id: str, count: int = 1, **values: Any) -> list[str]:
    """Write deliveries that are due since `NOW`, unless it is said otherwise, in this order; return their ids."""
    rows = [
        {
            "id": f"{number:08d}-{uuid.uuid4()}"[:36],
            "webhook_id": webhook_id,
            "notification_id": notification_id,
            "event_type": "notification.sent",
            "payload": "{}",
            "attempt_count": 0,
            "created_at": NOW,
            "next_retry_at": NOW,
            **values,
        }
        for number in range(count)
    ]
    db.write(lambda tx: tx.execute(insert(webhook_deliveries), rows))
    return [row["id"] for row in rows]


def take(db: Database, at: int = NOW, **wanted: Any) -> list[Delivery]:
    """Claim at a moment."""
    order = {"holder": "h" * 36, "lease_id": str(uuid.uuid4()), "most": 100, "lease_ms": 1, "usual": 50, "room": {}}
    return db.write(lambda tx: claim(tx.at(at), DeliveryRequest(**{**order, **wanted})))


def settle(db: Database, taken: list[Delivery], at: int = NOW, **reply: Any) -> Delivered:
    """Record the same answer for each; without a status nothing was begun."""
    said = HookReply(at, 10, **reply) if reply else None
    results = [Attempted(each, said and HookReply(at, 10, **reply, probe=each.probe)) for each in taken]
    return db.write(lambda tx: deliveries.record(tx.at(at), results))


def one(db: Database, id_: str) -> Any:
    """Return a delivery's row."""
    [row] = seed.deliveries(db, id=id_)
    return row


def hook(db: Database, id_: str) -> Any:
    """Return a webhook."""
    with db.read() as tx:
        found = webhooks.get(tx, id_)
    assert found is not None
    return found


@pytest.fixture
def anna(database: Database) -> str:
    """A user's id."""
    seed.provider(database)
    return seed.user(database)


@pytest.fixture
def notes(database: Database, anna: str) -> list[str]:
    """Ids of notifications that events may be about."""
    return seed.pending(database, anna, count=10)


# The claim


def test_what_is_claimed(database: Database, anna: str, notes: list[str]) -> None:
    """What is due of an active webhook, counted as an attempt and left alone until the lease ends; nothing else."""
    active = seed.webhook(database, anna, "https://example.org/a", secret_key="sealed", timeout_seconds=20)
    asleep = seed.webhook(database, anna, is_active=False)
    [due] = owe(database, active, notes[0])
    owe(database, active, notes[1], next_retry_at=NOW + 1)
    owe(database, active, notes[2], next_retry_at=None, ended="given_up")
    owe(database, asleep, notes[3])
    [taken] = take(database, lease_id="l" * 36)
    assert (taken.id, taken.attempt, taken.due_at, taken.payload) == (due, 1, NOW, "{}")
    assert (taken.url, taken.secret_key, taken.timeout_seconds) == ("https://example.org/a", "sealed", 20)
    assert (taken.lease_id, taken.lease_ms, taken.probe) == ("l" * 36, LEASE_MS, False)
    row = one(database, due)
    assert (row.attempt_count, row.lease_id, row.leased_by) == (1, "l" * 36, "h" * 36)
    assert row.next_retry_at == NOW + LEASE_MS
    assert take(database) == []
    assert take(database, NOW + LEASE_MS - 1, room={active: 0}) == []
    [again] = [each for each in take(database, NOW + LEASE_MS) if each.id == due]
    assert again.attempt == 2, "a lease that ended is as if nobody had had it"


def test_the_least_lease(database: Database, anna: str, notes: list[str]) -> None:
    """It may be said, and holds where the webhook's deadline needs less."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0])
    [taken] = take(database, lease_ms=60_000)
    assert taken.lease_ms == 60_000
    assert one(database, taken.id).next_retry_at == NOW + 60_000


def test_each_receiver_has_its_share(database: Database, anna: str, notes: list[str]) -> None:
    """No more of one than it has room for; where places are few, each receiver in its turn."""
    busy, quiet, full = (seed.webhook(database, anna) for _ in range(3))
    for webhook, count in ((busy, 40), (quiet, 2), (full, 5)):
        for note in notes[:count]:
            owe(database, webhook, note, max(1, count // 10))
    found = Counter(each.webhook_id for each in take(database, most=10, room={busy: 30, full: 0}))
    assert found == {busy: 8, quiet: 2}
    found = Counter(each.webhook_id for each in take(database, room={busy: 3}, usual=4))
    assert found == {busy: 3, full: 4}


def test_a_claim_says_of_whom_more_is_due(database: Database, anna: str, notes: list[str]) -> None:
    """On the last one of each receiver's that has more than there was room for, and on no other."""
    more, just, fewer, later = (seed.webhook(database, anna) for _ in range(4))
    for webhook, count in ((more, 4), (just, 3), (fewer, 2), (later, 3)):
        for note in notes[:count]:
            owe(database, webhook, note)
    owe(database, later, notes[3], next_retry_at=NOW + 1)
    told = [(each.webhook_id, bool(each.more)) for each in take(database, usual=3)]
    assert {webhook_id for webhook_id, is_more in told if is_more} == {more}
    assert Counter(told) == {(more, True): 1, (more, False): 2, (just, False): 3, (fewer, False): 2, (later, False): 3}
    assert [bool(each.more) for each in take(database, usual=3)] == [False]


def test_what_is_new_goes_before_what_was_queued_again(database: Database, anna: str, notes: list[str]) -> None:
    """However long that has been due."""
    webhook = seed.webhook(database, anna)
    old = owe(database, webhook, notes[0], 3, is_replay=True, next_retry_at=NOW - 1_000)
    new = owe(database, webhook, notes[1], 3)
    assert {each.id for each in take(database, room={webhook: 4})} > set(new)
    assert {each.id for each in take(database)} < set(old)


def test_of_a_notification_the_earlier_event_goes_first(database: Database, anna: str, notes: list[str]) -> None:
    """Nothing goes while something that happened before is under way; what waits for its retry holds nothing up."""
    webhook, other = seed.webhook(database, anna), seed.webhook(database, anna)
    [first] = owe(database, webhook, notes[0], created_at=NOW - 2)
    [second] = owe(database, webhook, notes[0], created_at=NOW - 1)
    [elsewhere] = owe(database, other, notes[0], created_at=NOW - 1)
    [apart] = owe(database, webhook, notes[1], created_at=NOW - 1)
    taken = take(database, room={webhook: 1, other: 0})
    assert [each.id for each in taken] == [first]
    assert {each.id for each in take(database)} == {apart, elsewhere}
    settle(database, taken, status=500)
    assert [each.id for each in take(database)] == [second]


def test_together_they_come_in_their_order(database: Database, anna: str, notes: list[str]) -> None:
    """Of one claim the earlier one stands before the later one, whichever was due first."""
    webhook = seed.webhook(database, anna)
    [second] = owe(database, webhook, notes[0], created_at=NOW - 1, next_retry_at=NOW - 1)
    [first] = owe(database, webhook, notes[0], created_at=NOW - 2, next_retry_at=NOW)
    assert [each.id for each in take(database)] == [first, second]


def test_a_run_of_its_own(database: Database, anna: str, notes: list[str]) -> None:
    """A moment for what is tried again, and one for what is new: what was made meanwhile goes, retries wait."""
    webhook = seed.webhook(database, anna)
    [before] = owe(database, webhook, notes[0], attempt_count=1, next_retry_at=NOW - 10)
    [new] = owe(database, webhook, notes[1], next_retry_at=NOW - 2)
    owe(database, webhook, notes[2], attempt_count=1, next_retry_at=NOW - 2)
    owe(database, webhook, notes[3], next_retry_at=NOW)
    assert {each.id for each in take(database, due_by=NOW - 5, new_by=NOW - 1)} == {before, new}


def test_two_dispatchers_share(postgresql_maker: PostgreSQLMaker) -> None:
    """While one claims of a webhook another one passes it by and waits for nothing; none is taken twice."""
    with postgresql_maker.migrated() as url:
        db = Database(url)
        anna = seed.user(db)
        seed.provider(db)
        one_hook, other_hook = seed.webhook(db, anna), seed.webhook(db, anna)
        [note] = seed.pending(db, anna)
        owe(db, one_hook, note, 4)
        order = {"holder": "h" * 36, "most": 9, "lease_ms": 1, "usual": 2}

        def work(tx: Any) -> tuple[list[Delivery], list[Delivery]]:
            mine = claim(tx.at(NOW), DeliveryRequest(**order, lease_id="1" * 36, room={}))
            owe(db, other_hook, note, 2)
            return mine, take(db)

        mine, theirs = db.write(work)
        assert {each.webhook_id for each in mine} == {one_hook}
        assert {each.webhook_id for each in theirs} == {other_hook}
        db.close()


# What becomes of it


def test_a_success(database: Database, anna: str, notes: list[str]) -> None:
    """Any 2xx: delivered, with the answer, never tried again."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0])
    taken = take(database)
    assert settle(database, taken, NOW + 5, status=204, body="thanks") == Delivered()
    row = one(database, taken[0].id)
    assert (row.delivered, row.delivered_at, row.next_retry_at, row.ended) == (True, NOW + 5, None, None)
    assert (row.response_status, row.response_body, row.lease_id, row.leased_by) == (204, "thanks", None, None)
    assert json.loads(row.attempts) == [{"at": NOW + 5, "ms": 10, "status": 204}]
    assert hook(database, webhook).failing_since is None


@pytest.mark.parametrize("status", [None, 301, 400, 404, 500])
def test_a_failure_is_tried_again(database: Database, anna: str, notes: list[str], status: int | None) -> None:
    """After the schedule's wait, however it failed; a redirect is a failure as well."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0])
    settle(database, take(database), status=status, problem=None if status else "example.org: no answer")
    [row] = seed.deliveries(database)
    assert (row.delivered, row.ended, row.lease_id, row.attempt_count) == (False, None, None, 1)
    assert 0.8 * DELAYS_MS[0] <= row.next_retry_at - NOW <= 1.2 * DELAYS_MS[0]
    said = {"status": status} if status else {"problem": "example.org: no answer"}
    assert json.loads(row.attempts) == [{"at": NOW, "ms": 10, **said}]
    health = hook(database, webhook)
    assert (health.failing_since, health.failures_apart, health.slowed) == (NOW + 10, 1, 0)
    settle(database, take(database, NOW + DAY_MS), NOW + DAY_MS, status=200)
    assert hook(database, webhook).failing_since is None


def test_the_last_retry(database: Database, anna: str, notes: list[str]) -> None:
    """One attempt and its retries, then it is given up, and that is said."""
    webhook = seed.webhook(database, anna, retry_count=2)
    owe(database, webhook, notes[0])
    for day in range(3):
        taken = take(database, NOW + day * DAY_MS)
        assert [each.attempt for each in taken] == [day + 1]
        settle(database, taken, NOW + day * DAY_MS, status=500)
    [row] = seed.deliveries(database)
    assert (row.ended, row.next_retry_at, row.attempt_count) == ("given_up", None, 3)
    assert len(json.loads(row.attempts)) == 3


def test_only_the_last_attempts_are_kept(database: Database, anna: str, notes: list[str]) -> None:
    """Twenty of them; a text that somebody damaged costs no delivery."""
    webhook = seed.webhook(database, anna, retry_count=100)
    many = json.dumps([{"at": number, "ms": 1, "status": 500} for number in range(20)])
    owe(database, webhook, notes[0], attempts=many)
    owe(database, webhook, notes[1], attempts='[{"at": 1, ')
    settle(database, take(database), status=500)
    kept = {row.notification_id: json.loads(row.attempts) for row in seed.deliveries(database)}
    assert [each["at"] for each in kept[notes[0]]] == [*range(1, 20), NOW]
    assert [each["at"] for each in kept[notes[1]]] == [NOW]


def test_a_lost_lease_records_nothing(database: Database, anna: str, notes: list[str]) -> None:
    """Whoever has it now says what becomes of it; and of a webhook nothing is learned by it."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0])
    early = take(database)
    late = take(database, NOW + LEASE_MS)
    assert settle(database, early, status=410).stale == {early[0].id}
    assert one(database, late[0].id).lease_id == late[0].lease_id
    assert hook(database, webhook).is_active
    settle(database, late, status=200)
    assert settle(database, early, status=500).stale == {early[0].id}
    assert one(database, late[0].id).delivered


def test_what_was_not_begun_is_given_back(database: Database, anna: str, notes: list[str]) -> None:
    """Due as before, without an attempt, at once anybody's."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0], next_retry_at=NOW - 7)
    settle(database, take(database))
    [row] = seed.deliveries(database)
    assert (row.attempt_count, row.next_retry_at, row.lease_id, row.attempts) == (0, NOW - 7, None, None)
    assert len(take(database)) == 1


def test_what_cannot_be_recorded_is_held(database: Database, anna: str, notes: list[str]) -> None:
    """Its lease runs on, and nobody makes the attempt again."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0])
    taken = take(database)
    later = NOW + LEASE_MS - 1
    database.write(lambda tx: deliveries.hold(tx.at(later), [Attempted(each, None) for each in taken]))
    assert take(database, NOW + LEASE_MS + 1) == []
    plain = deliveries.bare(Attempted(taken[0], HookReply(NOW, 10, 500, "\x00", 7, "\ud800")))
    database.write(lambda tx: deliveries.record(tx.at(NOW), [plain]))
    assert (one(database, taken[0].id).response_status, one(database, taken[0].id).response_body) == (500, None)


# The receiver


def test_a_receiver_that_is_gone(database: Database, anna: str, notes: list[str]) -> None:
    """410 disables it, with an audit row that names the host alone; what waits is kept, and what is under way ends."""
    webhook = seed.webhook(database, anna, "https://example.org/secret/path", name="crm")
    owe(database, webhook, notes[0], 2)
    gone, other = take(database)
    [waiting] = owe(database, webhook, notes[1], next_retry_at=NOW + DAY_MS, attempt_count=3)
    done = settle(database, [gone], status=410)
    why = "its receiver answered that it is gone (410)"
    assert done.told == (f"webhook crm (example.org) disabled: {why}",)
    found = hook(database, webhook)
    assert (found.is_active, found.disabled_because, found.disabled_at) == (False, why, NOW)
    for id_ in (gone.id, waiting):
        assert (one(database, id_).ended, one(database, id_).next_retry_at) == ("disabled", None)
    with database.read() as tx:
        audit = tx.execute(select(audit_logs).where(audit_logs.c.action == "disable")).one()
    assert (audit.resource_type, audit.resource_id) == ("webhook", webhook)
    assert json.loads(audit.changes) == {"name": "crm", "host": "example.org", "reason": why, "waiting": 2}
    settle(database, [other], status=503)
    assert (one(database, other.id).ended, one(database, other.id).next_retry_at) == ("disabled", None)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_that_asks_for_less(database: Database, anna: str, notes: list[str], status: int) -> None:
    """It rests, for all dispatchers; then one delivery tries it, and when that works there are many again."""
    webhook = seed.webhook(database, anna)
    owe(database, webhook, notes[0], 5)
    settle(database, take(database, room={webhook: 2}), status=status, retry_after_ms=60_000)
    slowed = hook(database, webhook)
    assert (slowed.slowed, slowed.rests_until) == (1, NOW + 60_000)
    assert take(database, NOW + 59_999) == []
    [probe] = take(database, NOW + 60_000)
    assert probe.probe
    assert take(database, NOW + 60_001) == [], "one tries it"
    settle(database, [probe], NOW + 60_002, status=status)
    again = hook(database, webhook)
    assert again.slowed == 2
    assert 8_000 <= again.rests_until - NOW - 60_002 <= 12_000
    [probe] = take(database, again.rests_until)
    settle(database, [probe], again.rests_until)
    [probe] = take(database, again.rests_until)
    settle(database, [probe], again.rests_until, status=200)
    assert (hook(database, webhook).slowed, hook(database, webhook).rests_until) == (0, None)
    assert len(take(database, again.rests_until)) >= 2


def test_five_days_of_failures_disable(database: Database, anna: str, notes: list[str]) -> None:
    """Over all its deliveries, where there were several well apart; a success in between begins it anew."""
    webhook = seed.webhook(database, anna, retry_count=0)

    def fail(day: float, status: int = 500) -> Delivered:
        at = NOW + round(day * DAY_MS)
        owe(database, webhook, notes[0], next_retry_at=at)
        return settle(database, take(database, at), at, status=status)

    for day in (0, 0.1, 4.9):
        fail(day)
    fail(5.2, 200)
    for day in (6, 6.1, 11.1):
        assert fail(day).told == ()
    assert fail(11.5).told == ()
    [told] = fail(11.7).told
    assert "nothing was delivered for 5d" in told
    assert not hook(database, webhook).is_active


# Queued again


def test_requeue(database: Database, anna: str, notes: list[str]) -> None:
    """All that was not delivered since then, tried or not, at a rate, in its order, with all its retries."""
    webhook = seed.webhook(database, anna)
    [old] = owe(database, webhook, notes[0], created_at=NOW - 5_000, next_retry_at=None, ended="disabled")
    [untried] = owe(database, webhook, notes[1], created_at=NOW - 100, next_retry_at=None, ended="disabled")
    past = {"attempt_count": 10, "attempts": '[{"at":1,"ms":1,"status":500}]'}
    [failed] = owe(database, webhook, notes[2], created_at=NOW - 200, next_retry_at=None, ended="given_up", **past)
    [waiting] = owe(database, webhook, notes[3], created_at=NOW - 50, next_retry_at=NOW + DAY_MS, attempt_count=2)
    [done] = owe(database, webhook, notes[4], created_at=NOW - 60, delivered=True, next_retry_at=None)
    [flying] = owe(database, webhook, notes[5], created_at=NOW - 1)
    take(database)
    assert database.write(lambda tx: deliveries.requeue(tx.at(NOW), webhook, NOW - 1_000, 500)) == 3
    for place, id_ in enumerate((failed, untried, waiting)):
        row = one(database, id_)
        assert (row.next_retry_at, row.is_replay, row.ended) == (NOW + place * 500, True, None)
        assert row.attempt_count == 0
    assert one(database, failed).attempts == past["attempts"]
    assert (one(database, old).ended, one(database, done).is_replay) == ("disabled", False)
    assert one(database, flying).lease_id is not None
