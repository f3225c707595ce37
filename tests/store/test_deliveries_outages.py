"""Receivers that are down for long, by a simulated clock: what they miss they get, and nothing is lost."""

from __future__ import annotations

import random
import uuid

import pytest

from notifyctl.core.webhook.attempt import HookReply
from notifyctl.core.webhook.schedule import RETRIES
from notifyctl.services import hookchanges
from notifyctl.store.db.database import Database
from notifyctl.store.queue import deliveries
from notifyctl.store.queue.deliveries import Attempted
from notifyctl.store.queue.due_deliveries import DeliveryRequest, claim
from tests.support import seed

HOUR_MS = 3_600_000
BEGAN = 1_700_000_000_000


class Life:
    """A webhook's hours: events happen, what is due is tried, and the receiver takes it or fails in some way."""

    def __init__(self, db: Database, notes: list[str], webhook_id: str, at_once: int) -> None:
        self.db, self.notes, self.webhook_id = db, notes, webhook_id
        self._at_once = at_once
        self._chance = random.Random(7)
        self.owed: list[str] = []
        self.told: list[str] = []

    def pass_(self, hours: range, *, up: bool, events: bool = True, step_ms: int = HOUR_MS // 2) -> None:
        """Live through some hours."""
        for at in range(BEGAN + hours.start * HOUR_MS, BEGAN + hours.stop * HOUR_MS, step_ms):
            if events:
                self._happens(at)
            while self._tried(at, up):
                continue

    def _happens(self, at: int) -> None:
        """Write an event as the outbox does."""
        note = self._chance.choice(self.notes)
        alive = seed.get_webhook(self.db, self.webhook_id).is_active
        due = {"next_retry_at": at} if alive else {"next_retry_at": None, "ended": "disabled"}
        self.owed += seed.owed(self.db, self.webhook_id, note, created_at=at, **due)

    def _tried(self, at: int, up: bool) -> int:
        order = DeliveryRequest("h" * 36, str(uuid.uuid4()), 100, 1, self._at_once, {})
        taken = self.db.write(lambda tx: claim(tx.at(at), order))
        results = [Attempted(each, HookReply(at, 5, self._status(up), probe=each.probe)) for each in taken]
        self.db.write(lambda tx: deliveries.record(tx.at(at), results))
        self.told += [each.id for each in taken if up]
        return len(taken)

    def _status(self, up: bool) -> int | None:
        return 200 if up else self._chance.choice([None, 500, 503, 404, None, 429])


@pytest.fixture
def life(database: Database) -> Life:
    """A webhook with the retries that `webhooks create` gives."""
    seed.provider(database)
    anna = seed.user(database)
    notes = seed.pending(database, anna, count=5)
    return Life(database, notes, seed.webhook(database, anna, retry_count=RETRIES), 5)


def test_7_down_for_thirty_hours_it_gets_everything(database: Database, life: Life) -> None:
    """Of every event of that time and after it, without anybody's act; none is given up, nobody disabled."""
    life.pass_(range(2), up=True)
    life.pass_(range(2, 32), up=False)
    life.pass_(range(32, 48), up=True)
    life.pass_(range(48, 64), up=True, events=False)
    assert seed.get_webhook(database, life.webhook_id).is_active
    assert set(life.told) == set(life.owed)
    assert seed.deliveries(database, delivered=False) == []


def test_7_disabled_for_a_week_it_loses_nothing(
    database: Database, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails for five days and is disabled; a week later it is enabled, and all of that is sent."""
    life.pass_(range(1), up=True)
    life.pass_(range(1, 130), up=False, step_ms=3 * HOUR_MS)
    off = seed.get_webhook(database, life.webhook_id)
    assert not off.is_active and off.disabled_at is not None and off.failing_since is not None
    assert 0 <= off.disabled_at - off.failing_since - 120 * HOUR_MS <= 15 * HOUR_MS
    assert {row.ended for row in seed.deliveries(database, delivered=False)} <= {"disabled", "given_up"}
    life.pass_(range(130, 300), up=True, step_ms=6 * HOUR_MS)
    waiting = len(seed.deliveries(database, delivered=False))
    begin = type(database.dialect).begin

    def then(*args: object, **kwargs: object) -> int:
        begin(*args, **kwargs)  # type: ignore[arg-type]
        return BEGAN + 300 * HOUR_MS

    with monkeypatch.context() as later:
        later.setattr(type(database.dialect), "begin", then)
        done = hookchanges.enable(database, life.webhook_id, redeliver=True)
    assert done.queued == waiting
    life.pass_(range(300, 302), up=True)
    assert set(life.told) == set(life.owed)
    assert seed.deliveries(database, delivered=False) == []
    health = seed.get_webhook(database, life.webhook_id)
    assert (health.is_active, health.failing_since, health.disabled_at) == (True, None, None)
