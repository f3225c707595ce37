"""Looking after receivers and conditions reads as much with a long history behind it as with a short one."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert

from notifyctl.core.timeordered import ordered_id
from notifyctl.store import conditions, hookmetrics
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import webhook_deliveries
from tests.reliability.history import analyze
from tests.reliability.plans import WHOLE, look
from tests.support import seed

NOW = 1_767_218_400_000
HOUR, DAY = 3_600_000, 86_400_000
FEW, MANY = 1_000, 20_000

WORK: dict[str, Callable[[Tx], Any]] = {
    "counts": lambda tx: hookmetrics.counts(tx, NOW - HOUR, NOW + HOUR),
    "paces": lambda tx: hookmetrics.paces(tx, NOW - HOUR, NOW + HOUR),
    "waiting": hookmetrics.waiting,
    "stalled": lambda tx: conditions.stalled_delivery(tx.at(NOW)),
    "conditions": lambda tx: conditions.seen(tx.at(NOW)),
}


def past(database: Database, webhooks: list[str], notification: str, count: int) -> None:
    """Write deliveries of the days before, all of which ended."""
    rows = [
        {
            "id": ordered_id(NOW - DAY - number),
            "webhook_id": webhooks[number % len(webhooks)],
            "notification_id": notification,
            "event_type": "notification.sent",
            "payload": "{}",
            "attempt_count": 1,
            "delivered": number % 20 > 0,
            "delivered_at": NOW - DAY if number % 20 else None,
            "ended": None if number % 20 else "given_up",
            "created_at": NOW - DAY - number,
        }
        for number in range(count)
    ]
    database.write(lambda tx: tx.execute(insert(webhook_deliveries), rows))


@pytest.mark.slow
def test_it_reads_no_history(database: Database) -> None:
    """Neither deliveries that ended, nor notifications that were sent."""
    for name in ("sendgrid", "twilio"):
        seed.provider(database, name)
    anna = seed.user(database)
    webhooks = [seed.webhook(database, anna, name=f"w{number}") for number in range(5)]
    [notification] = seed.pending(database, anna, status="sent", created_at=NOW - 2 * DAY)
    seed.pending(database, anna, count=MANY // 10, status="sent", created_at=NOW - 2 * DAY, due_at=NOW - 2 * DAY)
    seed.pending(database, anna, count=20, created_at=NOW, due_at=NOW - HOUR)
    for webhook in webhooks:
        ids = {"webhook_id": webhook, "notification_id": notification, "event_type": "x", "payload": "{}"}
        row = {**ids, "id": ordered_id(NOW - 1), "created_at": NOW - 1, "next_retry_at": NOW - HOUR, "delivered": False}
        database.write(lambda tx, row=row: tx.execute(insert(webhook_deliveries).values(**row, lease_id=_id())))
    past(database, webhooks, notification, FEW)
    analyze(database)
    few = {name: look(database, work, indexed=True) for name, work in WORK.items()}
    past(database, webhooks, notification, MANY)
    analyze(database)
    for name, work in WORK.items():
        many = look(database, work, indexed=True)
        assert WHOLE not in many.of("webhook_deliveries") | many.of("notifications"), f"{name}: {many.plans}"
        assert many.read <= 2 * few[name].read + 40, f"{name}: {few[name].read} and {many.read}\n{many.plans}"


def _id() -> str:
    return str(uuid.uuid4())
