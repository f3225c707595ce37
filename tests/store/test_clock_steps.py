"""The clock is put forward or back while dispatchers work: theirs stays theirs, and no wait grows by the step."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core import ratelimit
from notifyctl.core.health import Cause, Hold
from notifyctl.core.presence import Heartbeat
from notifyctl.store import dispatchers, providers, status
from notifyctl.store.db.database import Database
from notifyctl.store.queue import questions
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.queue.questions import QuestionRequest
from notifyctl.store.schema.tables import provider_configs
from tests.support import seed

NOW = 1_800_000_000_000
STEP = 2 * 3_600_000
ME = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
LEASE_MS = 65_000


@pytest.fixture
def anna(database: Database) -> str:
    """A user, with sendgrid configured."""
    seed.provider(database)
    return seed.user(database)


def take(db: Database, now: int, holder: str = ME, limit: int = 10, **order: Any) -> Batch:
    """Claim in a transaction of its own."""
    asked = ClaimRequest(provider="sendgrid", holder=holder, limit=limit, lease_ms=LEASE_MS, **order)
    return db.write(lambda tx: claim(tx.at(now), asked))


def beat(db: Database, id_: str, now: int, beats: int = 1) -> None:
    """Let a dispatcher say that it lives."""
    db.write(lambda tx: dispatchers.beat(tx.at(now), Heartbeat(id_, "host", 1, 0, 0, beats)))


# Forward


def test_what_a_live_dispatcher_holds_is_left_to_it(database: Database, anna: str) -> None:
    """Two hours later by the clock its lease has ended; it is in the middle of the call all the same."""
    seed.pending(database, anna, due_at=NOW)
    beat(database, OTHER, NOW)
    assert len(take(database, NOW, OTHER).claims) == 1
    assert take(database, NOW + STEP).claims == ()
    assert take(database, NOW + STEP, OTHER).claims == ()  # nor does it take its own once more


@pytest.mark.parametrize("how", ["left", "lost"])
def test_what_a_dispatcher_held_that_is_gone_is_taken(database: Database, anna: str, how: str) -> None:
    """Who left, and whose counter stood still, works on nothing: when the lease has ended, not before."""
    seed.pending(database, anna, due_at=NOW)
    beat(database, OTHER, NOW)
    take(database, NOW, OTHER)
    lost = {"lost": frozenset({OTHER})} if how == "lost" else {}
    if how == "left":
        database.write(lambda tx: dispatchers.leave(tx, OTHER))
    assert take(database, NOW + LEASE_MS - 1, **lost).claims == ()
    assert len(take(database, NOW + LEASE_MS, **lost).claims) == 1


@pytest.mark.parametrize("how", ["lives", "lost"])
def test_a_step_of_days_buries_nobody_alive(database: Database, anna: str, how: str) -> None:
    """Who leaves forgets those that died long ago: not by the clock, by what it saw of them."""
    seed.pending(database, anna, due_at=NOW)
    beat(database, OTHER, NOW)
    take(database, NOW, OTHER)
    later = NOW + 12 * STEP + 1
    beat(database, ME, later)
    lost = frozenset({OTHER}) if how == "lost" else frozenset[str]()
    database.write(lambda tx: dispatchers.leave(tx.at(later), ME, lost))
    with database.read() as tx:
        assert [each.id for each in dispatchers.signs(tx)] == ([OTHER] if how == "lives" else [])
    assert len(take(database, later).claims) == (0 if how == "lives" else 1)


def test_that_a_holder_is_undecided_is_said(database: Database, anna: str) -> None:
    """A run with `once` that has just come cannot know yet; it is told that there may be something."""
    seed.pending(database, anna, due_at=NOW)
    beat(database, OTHER, NOW)
    take(database, NOW, OTHER)
    later = NOW + LEASE_MS
    assert [take(database, later, undecided=frozenset({each})).unproven for each in (OTHER, ME)] == [True, False]
    assert not take(database, later - 1, undecided=frozenset({OTHER})).unproven


def test_what_an_unheard_claim_took_is_given_back(database: Database, anna: str) -> None:
    """The connection broke at COMMIT: nobody works on what was taken, and its holder lives. No attempt is charged."""
    (id_,) = seed.pending(database, anna, due_at=NOW)
    beat(database, ME, NOW)
    lost = take(database, NOW)
    (again,) = take(database, NOW + 1, unheard=(lost.claims[0].lease_id,)).claims
    assert (again.id, again.attempt, again.retry_history) == (id_, 1, None)


# Back


def test_a_lease_that_cannot_lie_so_far_ahead_has_ended(database: Database, anna: str) -> None:
    """The holder died before the clock was put back: nobody waits the two hours."""
    seed.pending(database, anna, due_at=NOW - STEP)
    beat(database, OTHER, NOW)
    take(database, NOW, OTHER)
    assert take(database, NOW - STEP).claims == ()
    assert len(take(database, NOW - STEP, lost=frozenset({OTHER})).claims) == 1


def test_a_rate_limit_goes_on(database: Database, anna: str) -> None:
    """The next permit lay two hours ahead; it comes after one interval, and no more than the limit's come with it."""
    database.write(lambda tx: tx.execute(update(provider_configs).values(rate_limit=60)))
    seed.pending(database, anna, count=5, due_at=NOW - STEP)
    assert len(take(database, NOW).claims) == 1
    held = take(database, NOW - STEP)
    assert (held.held, held.claims) == (Hold.RATE_LIMIT, ())
    assert held.wait_ms is not None
    assert held.wait_ms <= 1_100
    then = NOW - STEP + held.wait_ms + 1
    assert [len(take(database, at).claims) for at in (then, then + 1, then + 900)] == [1, 0, 0]


def test_a_permit_of_a_later_transaction_is_no_step(database: Database, anna: str) -> None:
    """Transactions wait for each other: one that began earlier must not take back what another one took."""
    database.write(lambda tx: tx.execute(update(provider_configs).values(rate_limit=60)))
    seed.pending(database, anna, count=5, due_at=NOW - STEP)
    take(database, NOW)
    assert take(database, NOW - 20_000).claims == ()
    assert take(database, NOW + 900).claims == ()


def test_questions_go_on(database: Database, anna: str) -> None:
    """Asking after receipts has a rate of its own, and goes by the same clock."""
    seed.pending(database, anna, count=3, status="sent", provider_message_id="m", sent_at=1, receipt_due_at=1)

    def ask(now: int) -> int:
        order = QuestionRequest("sendgrid", moment=now, room=1, at_once=1, per_minute=60, most=10)
        return len(database.write(lambda tx: questions.claim(tx.at(now), order)).messages)

    assert [ask(at) for at in (NOW, NOW - STEP, NOW - STEP + 1_100)] == [1, 0, 1]


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.BREAKER, Cause.CONFIG])
def test_a_wait_for_a_probe_is_no_longer_than_it_was(database: Database, anna: str, cause: Cause) -> None:
    """What was paused before the clock was put back is tried when it would have been, and not two hours later."""
    seed.pending(database, anna, due_at=NOW - STEP)
    database.write(lambda tx: providers.pause(tx.at(NOW), "sendgrid", "why", cause=cause))
    first_ms = {Cause.THROTTLED: 2_000, Cause.BREAKER: 5_000, Cause.CONFIG: 60_000}[cause]
    assert take(database, NOW - STEP).claims == ()
    assert take(database, NOW - STEP + first_ms - 1).claims == ()
    assert len(take(database, NOW - STEP + first_ms).claims) == 1


def test_a_senders_wait_is_no_longer_than_it_was(database: Database, anna: str) -> None:
    """Its queue was full for two seconds more when the clock was put back, not for two hours and two seconds."""
    (id_,) = seed.pending(database, anna, due_at=NOW - STEP)
    full = {"alerts@example.com": [NOW + 2_000, 1, False]}
    seed.health(database, "sendgrid", held_senders=json.dumps(full), health_at=NOW)
    assert take(database, NOW - STEP).claims == ()
    assert seed.notification(database, id_).due_at <= NOW - STEP + 2_000
    assert len(take(database, NOW - STEP + 2_000).claims) == 1


def test_an_operators_time_of_day_is_kept(database: Database, anna: str) -> None:
    """A pause until three o'clock ends at three, whatever the clock did before."""
    seed.pending(database, anna, due_at=NOW - STEP)
    database.write(lambda tx: providers.pause(tx.at(NOW), "sendgrid", "works", until=NOW + 1_000))
    assert take(database, NOW - STEP + 1_000).claims == ()
    assert take(database, NOW + 999).claims == ()
    assert len(take(database, NOW + 1_000).claims) == 1


def test_who_died_before_the_clock_was_put_back_does_not_look_alive(database: Database) -> None:
    """A heartbeat that lies ahead is nobody's who lives: they beat again within seconds."""
    beat(database, OTHER, NOW)
    with database.read() as tx:
        assert status.alive(tx.at(NOW - STEP)) == []
        assert [each.id for each in status.alive(tx.at(NOW + 1_000))] == [OTHER]


@pytest.mark.parametrize("per_minute", [1, 59, 60, 600, 6_000])
def test_bounded_is_what_take_can_leave(per_minute: int) -> None:
    """The farthest moment that a limit can have stored is left as it is."""
    _, stored = ratelimit.take(0, NOW, per_minute, 10**6)
    assert ratelimit.bounded(stored, NOW, per_minute) == stored
    assert ratelimit.bounded(stored + STEP * 1_000, NOW, per_minute) > NOW * 1_000
    assert ratelimit.bounded(stored + STEP * 1_000, NOW, per_minute) - NOW * 1_000 <= 61_000_000
