"""Rules in the claim: a change of preferences holds at once, and a cap holds exactly, whoever claims."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, time
from time import sleep
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from notifyctl.core.change import Release
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.policy import OnCap, Policy
from notifyctl.store import standings
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.schema.tables import (
    cap_usage,
    categories,
    category_opt_outs,
    notification_preferences,
    notifications,
    user_limits,
)
from tests.support import seed

ME = "11111111-1111-4111-8111-111111111111"
HOUR = 3_600_000
NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp() * 1_000)
"""In Auckland it is midnight, in Los Angeles five in the morning."""


def take(db: Database, now: int = NOON, limit: int = 500, policy: Policy | None = None, **order: Any) -> Batch:
    """Claim in a transaction of its own."""
    asked = ClaimRequest("sendgrid", ME, limit, 65_000, policy=policy or Policy(), **order)
    return db.write(lambda tx: claim(tx.at(now), asked))


def wish(db: Database, user: str, **values: Any) -> None:
    """Write what a user wants of mails."""
    row = {"id": str(uuid.uuid4()), "user_id": user, "channel": "email", "timezone": "Etc/UTC", **values}
    db.write(lambda tx: tx.execute(insert(notification_preferences).values(row)))


def marketing(db: Database, name: str = "news") -> None:
    """Write a category that can be left."""
    row = {"id": str(uuid.uuid4()), "name": name, "kind": "marketing"}
    db.write(lambda tx: tx.execute(insert(categories).values(row)))


def end(db: Database, claimed: Claim, kind: Kind, now: int = NOON, **more: Any) -> None:
    """Record what an attempt came to."""
    change = decide(Attempt(claimed, now, now), Outcome(kind, "as it was"), 0.0, **more)
    db.write(lambda tx: apply(tx.at(now), [change]))


def reserved(db: Database) -> set[str]:
    """Return which notifications count for a cap."""
    with db.read() as tx:
        return set(tx.execute(select(notifications.c.id).where(notifications.c.counted_at.is_not(None))).scalars())


@pytest.fixture
def anna(database: Database) -> str:
    """A user, with sendgrid configured."""
    seed.provider(database)
    return seed.user(database)


def test_a_disabled_channel_cancels(database: Database, anna: str) -> None:
    """Policy ends it, without an attempt and without a dead letter."""
    wish(database, anna, enabled=False)
    (id_,) = seed.pending(database, anna)
    assert take(database).claims == ()
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.error_message) == ("cancelled", 0, "the user has disabled email")


def test_quiet_hours_put_off_until_they_end(database: Database, anna: str) -> None:
    """The stored moment is the first that is allowed, or up to a quarter of an hour later; the rule is named."""
    wish(database, anna, quiet_hours_start=time(11), quiet_hours_end=time(14))
    ids = seed.pending(database, anna, count=50)
    assert take(database).claims == ()
    rows = [seed.notification(database, each) for each in ids]
    assert {(row.status, row.attempt_count, row.deferred_by) for row in rows} == {("pending", 0, "quiet_hours")}
    dues = {row.due_at for row in rows}
    assert all(NOON + 2 * HOUR <= due < NOON + 2 * HOUR + 15 * 60_000 for due in dues)
    assert len(dues) > 25  # not all in one moment
    assert len(take(database, NOON + 2 * HOUR + 15 * 60_000).claims) == 50
    assert {seed.notification(database, each).deferred_by for each in ids} == {None}


def test_critical_passes_quiet_hours_and_cap(database: Database, anna: str) -> None:
    """And nothing else: it counts for the cap all the same."""
    wish(database, anna, quiet_hours_start=time(11), quiet_hours_end=time(14), frequency_cap=1)
    ids = seed.pending(database, anna, count=2, is_critical=True)
    assert {each.id for each in take(database).claims} == set(ids)
    assert reserved(database) == set(ids)


def test_a_left_category_cancels_and_others_go(database: Database, anna: str) -> None:
    """Who left the newsletter still gets what is in no category."""
    marketing(database)
    row = {"id": str(uuid.uuid4()), "user_id": anna, "category": "news", "source": "one_click"}
    database.write(lambda tx: tx.execute(insert(category_opt_outs).values(row)))
    (news,) = seed.pending(database, anna, category="news")
    (plain,) = seed.pending(database, anna)
    assert [each.id for each in take(database).claims] == [plain]
    assert seed.notification(database, news).error_message == "the user has left the category news"


def test_a_cap_holds_in_one_batch(database: Database, anna: str) -> None:
    """Those of one claim count for each other; what is over it waits for the user's next day."""
    wish(database, anna, frequency_cap=3)
    seed.pending(database, anna, count=10)
    assert len(take(database).claims) == 3
    tomorrow = NOON + 12 * HOUR
    with database.read() as tx:
        n = notifications.c
        waiting = tx.execute(select(n.due_at).where(n.deferred_by == "cap")).scalars().all()
    assert len(waiting) == 7
    assert all(tomorrow <= due < tomorrow + 15 * 60_000 for due in waiting)
    assert len(take(database, tomorrow + 15 * 60_000).claims) == 3


def test_a_cap_cancels_where_the_policy_says_so(database: Database, anna: str) -> None:
    """`on_cap = "cancel"`: what is over it is never sent."""
    wish(database, anna, frequency_cap=3)
    seed.pending(database, anna, count=5)
    assert len(take(database, policy=Policy(on_cap=OnCap.CANCEL)).claims) == 3
    with database.read() as tx:
        cancelled = select(func.count()).where(notifications.c.status == "cancelled")
        assert tx.execute(cancelled).scalar_one() == 2


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLED, Kind.PERMANENT])
def test_what_did_not_go_out_is_given_back(database: Database, anna: str, kind: Kind) -> None:
    """A refusal uses up nobody's cap: another may go the same day."""
    wish(database, anna, frequency_cap=1)
    seed.pending(database, anna, count=2)
    (first,) = take(database).claims
    assert reserved(database) == {first.id}
    end(database, first, kind)
    assert reserved(database) == set()
    seed.pending(database, anna)
    (second,) = take(database, limit=1).claims
    end(database, second, Kind.ACCEPTED)
    assert reserved(database) == {second.id}
    seed.pending(database, anna)
    assert take(database, NOON + HOUR).claims == ()


def test_what_the_cap_put_off_takes_the_place_of_what_dies(database: Database, anna: str) -> None:
    """A cap of two lets two out that day, though the first be refused: else the next would wait for nothing."""
    wish(database, anna, frequency_cap=2)
    ids = [seed.pending(database, anna, due_at=NOON - 10 + at, created_at=at + 1)[0] for at in range(4)]
    claimed = take(database).claims
    assert [each.id for each in claimed] == ids[:2]
    end(database, claimed[0], Kind.PERMANENT)
    (third,) = take(database).claims
    assert third.id == ids[2]
    assert take(database).claims == ()
    assert seed.notification(database, ids[3]).deferred_by == "cap"


def test_what_is_tried_again_keeps_its_turn(database: Database, anna: str) -> None:
    """Its place is free until then, and is its own when it comes; nothing is woken for it."""
    wish(database, anna, frequency_cap=1)
    first, second = (seed.pending(database, anna, due_at=NOON - 10 + at)[0] for at in range(2))
    (claimed,) = take(database).claims
    end(database, claimed, Kind.TRANSIENT)
    assert [each.id for each in take(database, NOON + 1_000).claims] == [first]
    assert seed.notification(database, second).deferred_by == "cap"


def test_a_call_that_was_never_begun_is_given_back(database: Database, anna: str) -> None:
    """A drain releases what it has not begun: the cap is as before."""
    wish(database, anna, frequency_cap=1)
    seed.pending(database, anna)
    (claimed,) = take(database).claims
    database.write(lambda tx: apply(tx.at(NOON), [Release(claimed, claimed.due_at, 0, None)]))
    assert reserved(database) == set()
    assert [each.id for each in take(database).claims] == [claimed.id]


def test_an_unknown_outcome_keeps_its_place_and_its_retry_uses_it(database: Database, anna: str) -> None:
    """It may have gone out: nothing else may take its place, it may, and it never counts twice."""
    wish(database, anna, frequency_cap=1)
    (id_,) = seed.pending(database, anna)
    assert len(take(database).claims) == 1
    seed.pending(database, anna, due_at=2_000)
    (again,) = take(database, NOON + 65_000, lost=frozenset({ME})).claims  # its dispatcher is gone
    assert (again.id, again.attempt, again.counted) == (id_, 2, False)
    end(database, again, Kind.TRANSIENT, NOON + 66_000)  # of the attempt before nobody knows
    assert reserved(database) == {id_}
    with database.read() as tx:
        assert tx.execute(select(cap_usage.c.used)).scalars().all() == [1]


def test_a_dead_letter_of_unknown_outcome_still_counts(database: Database, anna: str) -> None:
    """As it may have arrived."""
    wish(database, anna, frequency_cap=1)
    seed.pending(database, anna)
    (claimed,) = take(database).claims
    end(database, claimed, Kind.UNKNOWN, on_unknown=OnUnknown.HOLD)
    seed.pending(database, anna)
    assert take(database).claims == ()


def test_what_was_sent_before_there_was_a_cap_counts(database: Database, anna: str) -> None:
    """The cap counts what was sent that day, not what was sent since it was set."""
    seed.pending(database, anna, count=2, status="sent", sent_at=NOON - HOUR)
    seed.pending(database, anna, count=5, status="sent", sent_at=NOON - 13 * HOUR)  # yesterday
    wish(database, anna, frequency_cap=3)
    seed.pending(database, anna, count=3)
    assert len(take(database).claims) == 1


@pytest.mark.parametrize("on_unknown", [OnUnknown.HOLD, OnUnknown.RETRY])
def test_what_may_have_gone_out_before_there_was_a_cap_counts(
    database: Database, anna: str, on_unknown: OnUnknown
) -> None:
    """Nobody knows whether it arrived; a cap that is set the same day holds for it, too, and once."""
    seed.pending(database, anna, count=2)
    for each in take(database, NOON - HOUR).claims:
        end(database, each, Kind.UNKNOWN, NOON - HOUR, on_unknown=on_unknown)
    wish(database, anna, frequency_cap=3)
    new = seed.pending(database, anna, count=2, due_at=NOON - 2 * HOUR)
    taken = {each.id for each in take(database).claims}
    assert len(taken & set(new)) == 1
    assert len(taken) == (1 if on_unknown is OnUnknown.HOLD else 3)


def test_what_died_before_there_was_a_cap_counts(database: Database, anna: str) -> None:
    """Of an attempt whose dispatcher died nobody knows either, whatever becomes of the next one."""
    seed.pending(database, anna)
    assert len(take(database, NOON - HOUR).claims) == 1
    (again,) = take(database, NOON - HOUR + 65_000, lost=frozenset({ME})).claims
    end(database, again, Kind.PERMANENT, NOON - HOUR + 66_000)
    wish(database, anna, frequency_cap=1)
    seed.pending(database, anna)
    assert take(database).claims == ()


def test_moving_begins_no_new_count(database: Database, anna: str) -> None:
    """From Auckland to Los Angeles: what went out within the present local day counts, whatever the date was."""
    wish(database, anna, frequency_cap=2, timezone="Pacific/Auckland")
    seed.pending(database, anna, count=2)
    sent_at = NOON - HOUR  # 23:00 on 1 July in Auckland, 4:00 on 1 July in Los Angeles
    for each in take(database, sent_at).claims:
        end(database, each, Kind.ACCEPTED, sent_at)
    seed.pending(database, anna)
    zone = update(notification_preferences).values(timezone="America/Los_Angeles")
    database.write(lambda tx: tx.execute(zone))
    assert take(database).claims == ()


def test_a_cap_counts_marketing_only_where_the_policy_says_so(database: Database, anna: str) -> None:
    """Then receipts neither use it up nor are stopped by it."""
    marketing(database)
    wish(database, anna, frequency_cap=1)
    seed.pending(database, anna, count=3)
    seed.pending(database, anna, count=2, category="news")
    policy = Policy(cap_counts_transactional=False)
    assert len(take(database, policy=policy).claims) == 4


def test_a_minute_has_at_most_the_limit(database: Database, anna: str) -> None:
    """Of any sixty seconds; what is over it goes as soon as it may."""
    row = {"id": str(uuid.uuid4()), "user_id": anna, "limit_type": "notification", "per_minute": 5}
    database.write(lambda tx: tx.execute(insert(user_limits).values(row)))
    seed.pending(database, anna, count=12)
    sent: list[int] = []
    for now in range(NOON, NOON + 200_000, 7_000):
        for each in take(database, now).claims:
            end(database, each, Kind.ACCEPTED, now)
            sent.append(now)
    assert len(sent) == 12
    assert max(sum(at <= each < at + 60_000 for each in sent) for at in sent) == 5


def test_a_policy_limits_everybody_who_has_no_limit(database: Database, anna: str) -> None:
    """The profile's default."""
    seed.pending(database, anna, count=12)
    assert len(take(database, policy=replace(Policy(), notification_limit=4)).claims) == 4


def test_a_zone_that_cannot_be_read_stops_nobody_else(database: Database, anna: str) -> None:
    """It counts as one that nobody set; the others of the batch go on."""
    wish(database, anna, frequency_cap=5, timezone="Europe/Nowhere")
    bob = seed.user(database, "bob")
    seed.pending(database, anna)
    seed.pending(database, bob)
    assert len(take(database).claims) == 2


def test_a_cap_holds_between_dispatchers(database: Database, anna: str) -> None:
    """Four that claim at once, a few at a time: exactly three of 200 go out that day."""
    wish(database, anna, frequency_cap=3)
    seed.pending(database, anna, count=200)
    taken: list[str] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(15):
                for each in take(database, limit=4).claims:
                    taken.append(each.id)
                    end(database, each, Kind.ACCEPTED)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(taken) == 3
    assert reserved(database) == set(taken)


def test_rules_that_let_everything_pass_wait_for_nobody(database: Database, anna: str) -> None:
    """What is read with the row decides: neither a statement more nor a lock for who is asleep at another time."""
    wish(database, anna, quiet_hours_start=time(22), quiet_hours_end=time(7))
    seed.pending(database, anna)
    locked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standings, "lock", lambda tx, users: locked.extend(users))
        assert len(take(database).claims) == 1
    assert locked == []


def test_a_rule_that_is_loosened_meanwhile_puts_nothing_off(database: Database, anna: str) -> None:
    """Who changes a rule wakes what is put off, and cannot see what a claim is about to: that asks again, and waits."""
    wish(database, anna, quiet_hours_start=time(11), quiet_hours_end=time(13))
    seed.pending(database, anna)
    begun, claiming = threading.Event(), threading.Event()

    def loosen(tx: Tx) -> None:
        standings.lock(tx, [anna])
        tx.execute(delete(notification_preferences))
        begun.set()
        claiming.wait(60)
        sleep(0.2)  # longer than a claim takes to read what was

    changing = threading.Thread(target=lambda: database.write(loosen))
    changing.start()
    assert begun.wait(60)
    claiming.set()
    batch = take(database)
    changing.join()
    assert (len(batch.claims), dict(batch.settled)) == (1, {})
