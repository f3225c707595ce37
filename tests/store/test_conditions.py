"""Conditions in the database: what is seen of them, who looks, and that each change is told once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from notifyctl.core.conditions import LOOK_MS, STALLED_MS, ConditionNews, SeenCondition
from notifyctl.core.health import Cause
from notifyctl.core.model import Channel
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.store import conditions, suppressions, webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import condition_looks, notification_dlq, webhook_deliveries
from notifyctl.store.suppressions import AddressNews
from tests.support import seed

NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


def seen(database: Database, now: int = NOW) -> dict[tuple[str, str], SeenCondition]:
    """What is so at a moment."""
    with database.read() as tx:
        return {each.key: each for each in conditions.seen(tx.at(now))}


def look(database: Database, now: int) -> list[tuple[str, str, str]]:
    """Look once, as a dispatcher does, and return what it tells."""
    return [(each.of.condition, each.of.subject, each.turn.value) for each in _look(database, now)]


def _look(database: Database, now: int) -> list[ConditionNews]:
    number = database.write(lambda tx: conditions.take_turn(tx.at(now)))
    if number is None:
        return []
    with database.read() as tx:
        found = conditions.seen(tx.at(now))
    return database.write(lambda tx: conditions.settle(tx.at(now), number, found))


def paused(database: Database, cause: Cause = Cause.OPERATOR) -> None:
    """Let nothing be sent by the provider."""
    seed.health(database, "sendgrid", paused_at=NOW - 1, pause_cause=cause.value, pause_reason="503")


def letters(database: Database, count: int, moved_at: int = NOW - 1, **values: Any) -> None:
    """Write dead letters."""
    ids = seed.pending(database, seed.user(database, uuid.uuid4().hex), count=count, status="failed")
    rows = [
        {
            "id": str(uuid.uuid4()),
            "notification_id": id_,
            "failure_reason": "provider_rejected",
            "error_message": "no",
            "moved_to_dlq_at": moved_at,
            **values,
        }
        for id_ in ids
    ]
    database.write(lambda tx: tx.execute(insert(notification_dlq), rows))


def due(database: Database, webhook: str, at: int, **values: Any) -> str:
    """Write a delivery that is due at a moment."""
    [id_] = seed.pending(database, seed.user(database, uuid.uuid4().hex), status="sent")
    row = {"id": str(uuid.uuid4()), "webhook_id": webhook, "notification_id": id_, "event_type": "x", "payload": "{}"}
    row |= {"attempt_count": 0, "next_retry_at": at, **values}
    database.write(lambda tx: tx.execute(insert(webhook_deliveries).values(row)))
    return str(row["id"])


def test_nothing_is_so(database: Database) -> None:
    """Of a system that works: what is due has just become so, and a few failures are a chance."""
    seed.provider(database)
    anna = seed.user(database)
    seed.pending(database, anna, due_at=NOW - STALLED_MS + 1)
    seed.pending(database, anna, due_at=NOW + HOUR)
    seed.pending(database, anna, due_at=1, parked_at=NOW)
    letters(database, 19)
    letters(database, 50, moved_at=NOW - 2 * HOUR)
    letters(database, 50, resolved=True)
    seed.webhook(database, anna, failing_since=NOW - DAY)
    seed.webhook(database, anna, is_active=False, disabled_at=NOW)
    assert seen(database) == {}


@pytest.mark.parametrize(
    ("cause", "condition"),
    [
        (Cause.OPERATOR, "provider_paused"),
        (Cause.CONFIG, "provider_paused"),
        (Cause.BREAKER, "provider_open"),
        (Cause.THROTTLED, None),
    ],
)
def test_providers(database: Database, cause: Cause, condition: str | None) -> None:
    """One that asks for less for a moment is not told of; nor is one that is disabled, or whose pause is over."""
    seed.provider(database)
    paused(database, cause)
    assert [each for each, _ in seen(database)] == ([condition] if condition else [])
    seed.health(database, "sendgrid", paused_until=NOW - 1)
    assert seen(database) == {}


def test_dead_letters_and_suppressions(database: Database) -> None:
    """Those of the last hour that wait for somebody."""
    letters(database, 20)
    said = [
        AddressNews(Channel.EMAIL, Refusal(f"u{number}@example.org", SuppressionCause.BOUNCE, "550"))
        for number in range(20)
    ]
    database.write(lambda tx: suppressions.learn(tx.at(NOW - 1), said))
    found = seen(database)
    assert {key: (each.level, each.text) for key, each in found.items()} == {
        ("dead_letters_growing", ""): (1, "20 dead letters in the last hour"),
        ("suppression_burst", ""): (0, "20 addresses suppressed in the last hour, usual is 0"),
    }


def test_a_backlog(database: Database) -> None:
    """The oldest that is due of each provider by which something is sent, critical or not."""
    for name in ("sendgrid", "twilio", "fcm"):
        seed.provider(database, name)
    anna = seed.user(database)
    [old] = seed.pending(database, anna, due_at=NOW - HOUR)
    seed.pending(database, anna, due_at=NOW - STALLED_MS, is_critical=True)
    seed.pending(database, anna, "twilio", due_at=NOW - HOUR)
    seed.health(database, "twilio", paused_at=NOW - HOUR, pause_cause="operator")
    [critical] = seed.pending(database, anna, "fcm", due_at=NOW - 2 * HOUR, is_critical=True)
    found = {subject: each for (condition, subject), each in seen(database).items() if condition == "backlog_stalled"}
    assert {subject: each.mark.partition(" ")[0] for subject, each in found.items()} == {
        "sendgrid": old,
        "fcm": critical,
    }
    assert found["fcm"].text == "what fcm is to send stands still: the oldest is due for 2h, and nothing is sent"


def test_a_backlog_of_deliveries(database: Database) -> None:
    """What is new, of webhooks that are told; a receiver that rests is left alone, and what is in flight is not due."""
    anna = seed.user(database)
    well = seed.webhook(database, anna)
    due(database, well, NOW - STALLED_MS + 1)
    due(database, well, NOW - HOUR, is_replay=True)
    due(database, seed.webhook(database, anna, rests_until=NOW + 1), NOW - HOUR)
    due(database, seed.webhook(database, anna, is_active=False, disabled_at=NOW), NOW - HOUR)
    assert seen(database) == {}
    late = due(database, well, NOW - STALLED_MS)
    [one] = seen(database).values()
    assert (one.condition, one.subject, one.mark.partition(" ")[0]) == ("backlog_stalled", "webhooks", late)


def test_receivers(database: Database) -> None:
    """Those that fail for half of the five days, and those disabled for it; by their owner and name."""
    anna = seed.user(database)
    seed.webhook(database, anna, name="slow", failing_since=NOW - 60 * HOUR)
    seed.webhook(database, anna, name="gone", is_active=False, disabled_at=NOW, disabled_because="it is gone")
    found = seen(database)
    assert {key: each.level for key, each in found.items()} == {
        ("receiver_failing", "anna/slow"): 50,
        ("receiver_disabled", "anna/gone"): 0,
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"failing_since": None}, "fails for"),
        ({"is_active": False}, "disabled by an operator"),
        ({"is_active": False, "disabled_because": "it is gone"}, "it is gone"),
        ({"name": "other"}, "deleted or is called otherwise"),
        (None, "deleted or is called otherwise"),
    ],
)
def test_an_end_that_is_no_recovery_says_so(database: Database, changed: dict[str, Any] | None, told: str) -> None:
    """A receiver that fails no more since nobody calls it does not work again."""
    hook = seed.webhook(database, seed.user(database), name="slow", failing_since=NOW - 60 * HOUR)
    assert look(database, NOW) == [("receiver_failing", "anna/slow", "began")]
    if changed is None:
        database.write(lambda tx: webhooks.remove(tx, hook))
    else:
        seed.change_webhook(database, hook, **changed)
    ends = {(each.of.condition, each.of.subject): each for each in _look(database, NOW + LOOK_MS)}
    ended = ends["receiver_failing", "anna/slow"]
    assert ended.turn.value == "ended"
    assert told in ended.of.text and "anna/slow" in ended.of.text
    assert ("fails for" in ended.of.text) == (told == "fails for")


def test_a_disabled_one_that_is_deleted_was_not_enabled(database: Database) -> None:
    """Its end says why; that of one that is enabled again is one."""
    off = {"is_active": False, "disabled_at": NOW, "disabled_because": "it is gone"}
    anna = seed.user(database)
    deleted, enabled = (seed.webhook(database, anna, name=name, **off) for name in ("deleted", "enabled"))
    assert len(look(database, NOW)) == 2
    database.write(lambda tx: webhooks.remove(tx, deleted))
    seed.change_webhook(database, enabled, is_active=True, disabled_at=None, disabled_because=None)
    texts = {each.of.subject: each.of.text for each in _look(database, NOW + LOOK_MS)}
    assert "was deleted" in texts["anna/deleted"] and "was deleted" not in texts["anna/enabled"]


def test_each_change_is_told_once(database: Database) -> None:
    """And is kept: whoever looks next knows what was told."""
    seed.provider(database)
    paused(database)
    assert look(database, NOW) == [("provider_paused", "sendgrid", "began")]
    assert look(database, NOW + LOOK_MS) == []
    with database.read() as tx:
        assert [each.key for each in conditions.in_force(tx.at(NOW + LOOK_MS))] == [("provider_paused", "sendgrid")]
        assert conditions.in_force(tx.at(NOW + HOUR)) == []  # nobody looked for an hour
    seed.health(database, "sendgrid", paused_at=None, pause_cause=None)
    assert look(database, NOW + 2 * LOOK_MS) == [("provider_paused", "sendgrid", "ended")]
    assert look(database, NOW + 3 * LOOK_MS) == []
    with database.read() as tx:
        assert conditions.kept(tx) == []


def test_a_backlog_that_moves_on(database: Database) -> None:
    """The one that was next is sent after all, and the next one stands still as long."""
    seed.provider(database)
    first, second = seed.pending(database, seed.user(database), count=2, due_at=NOW - HOUR)
    first, second = sorted((first, second))
    told = ("backlog_stalled", "sendgrid")
    assert look(database, NOW) == []
    assert look(database, NOW + STALLED_MS) == [(*told, "began")]
    gone = update(seed.notifications).where(seed.notifications.c.id == first).values(status="sent")
    database.write(lambda tx: tx.execute(gone))
    assert look(database, NOW + STALLED_MS + LOOK_MS) == [(*told, "ended")]
    assert look(database, NOW + STALLED_MS + 2 * LOOK_MS) == []
    assert look(database, NOW + 2 * STALLED_MS + 2 * LOOK_MS) == [(*told, "began")]


def test_it_is_one_dispatchers_turn(database: Database) -> None:
    """Within ten seconds there is one look; a clock that was put back keeps nobody from looking."""
    turns = [database.write(lambda tx: conditions.take_turn(tx.at(NOW))) for _ in range(3)]
    assert turns == [1, None, None]
    assert database.write(lambda tx: conditions.take_turn(tx.at(NOW + LOOK_MS - 1))) is None
    assert database.write(lambda tx: conditions.take_turn(tx.at(NOW + LOOK_MS))) == 2
    assert database.write(lambda tx: conditions.take_turn(tx.at(NOW - DAY))) == 3


def test_many_at_once_tell_it_once(database: Database) -> None:
    """Eight dispatchers look again and again while it begins and ends."""
    seed.provider(database)
    told = []
    for step in range(6):
        if step % 2 == 0:
            paused(database)
        else:
            seed.health(database, "sendgrid", paused_at=None, pause_cause=None)
        now = NOW + step * LOOK_MS
        with ThreadPoolExecutor(8) as pool:
            told += [one for found in pool.map(lambda _, now=now: look(database, now), range(8)) for one in found]
    assert [turn for *_, turn in told] == ["began", "ended"] * 3


def test_who_stood_still_tells_nothing(database: Database) -> None:
    """What one saw before another looked is not written after it: the end of a pause would begin it again."""
    seed.provider(database)
    paused(database)
    number = database.write(lambda tx: conditions.take_turn(tx.at(NOW)))
    assert number is not None
    with database.read() as tx:
        stale = conditions.seen(tx.at(NOW))
    seed.health(database, "sendgrid", paused_at=None, pause_cause=None)
    assert look(database, NOW + LOOK_MS) == []
    assert database.write(lambda tx: conditions.settle(tx.at(NOW + LOOK_MS), number, stale)) == []
    with database.read() as tx:
        assert conditions.kept(tx) == []
        assert tx.execute(select(condition_looks.c.number)).scalar_one() == 2
