"""How many addresses were suppressed and notifications cancelled of late."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from notifyctl.core.burst import Frequency
from notifyctl.core.model import Status
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_logs, notifications, suppressions

HOUR_MS = 3_600_000
LOOKED_BACK_MS = 25 * HOUR_MS


def suppressed(tx: Tx) -> Frequency:
    """Return how often an address was suppressed, by its own moment, whatever became of it."""
    return _pace(tx, suppressions.c.created_at)


def causes(tx: Tx) -> list[tuple[str, int]]:
    """Return why addresses were suppressed within the last hour, the most frequent cause first."""
    c, number = suppressions.c, func.count()
    recent = select(c.cause, number).where(c.created_at > tx.now - HOUR_MS, c.lifted_at.is_(None)).group_by(c.cause)
    return [(row[0], row[1]) for row in tx.execute(recent.order_by(number.desc(), c.cause))]


def cancelled(tx: Tx) -> Frequency:
    """Return how often a notification was cancelled: of those that are new, or by operators, whichever is more."""
    n, a = notifications.c, audit_logs.c
    new = _pace(tx, n.created_at, n.status == Status.CANCELLED.value)
    by_operators = _pace(tx, a.created_at, and_(a.action == "cancel", a.resource_type == "notification"))
    return max(new, by_operators, key=lambda each: each.last_hour)


def _pace(tx: Tx, at: ColumnElement[int], *conditions: ColumnElement[bool]) -> Frequency:
    recent: Any = func.count(case((at > tx.now - HOUR_MS, 1)))
    found = tx.execute(select(recent, func.count()).where(at > tx.now - LOOKED_BACK_MS, *conditions)).one()
    return Frequency(found[0], found[1] - found[0])
