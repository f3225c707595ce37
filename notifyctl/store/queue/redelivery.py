"""Deliveries queued again. They keep their ids, and stand behind what is new."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, or_, select, update

from notifyctl.core.webhook.attempt import DISABLED, past
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import deliveries
from notifyctl.store.schema.tables import webhook_deliveries

LIFE_MS = 4 * 86_400_000
"""Longer than a delivery is tried for, unless its receiver asks for less again and again."""
AT_ONCE_PER_S = 1_000_000.0

d = webhook_deliveries.c


def owed(tx: Tx, webhook_id: str, since: int, interval_ms: float) -> int:
    """Queue again what a webhook was not delivered since a moment, each so long after the one before; return how many.

    That is what happened since then, and what happened before and was still tried, or waited when it was disabled.
    """
    before = select(d.id, d.attempts, d.ended).where(
        d.webhook_id == webhook_id, ~d.delivered, d.created_at >= since - LIFE_MS, d.created_at < since
    )
    tried = [row.id for row in tx.execute(before) if row.ended == DISABLED or _last_at(row.attempts) >= since]
    rate = 1_000 / interval_ms if interval_ms else AT_ONCE_PER_S
    return deliveries.requeue(tx, webhook_id, since, rate, tried)


def again(tx: Tx, wanted: Sequence[tuple[str, int]]) -> set[str]:
    """Queue deliveries again, each for its moment, whatever became of them; their retries begin anew.

    Return the ids of those that were: what is under way is left alone.
    """
    if not wanted:
        return set()
    v = tx.dialect.rowset("v", {"id": ID, "due": BigInteger()}, wanted).c
    values = {
        "next_retry_at": v.due,
        "is_replay": True,
        "attempt_count": 0,
        "delivered": False,
        "delivered_at": None,
        "ended": None,
        "lease_id": None,
        "leased_by": None,
    }
    idle = or_(d.lease_id.is_(None), d.next_retry_at <= tx.now)
    queued = update(webhook_deliveries).values(values).where(d.id == v.id, idle)
    return set(tx.execute(queued.returning(d.id)).scalars())


def _last_at(attempts: str | None) -> int:
    """Return when the last attempt began; 0 without one."""
    tries = past(attempts)
    at = tries[-1].get("at") if tries else None
    return at if isinstance(at, int) else 0
