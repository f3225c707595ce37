"""Deliveries queued again. They keep their ids, and stand behind what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, select, update

from notifyctl.core.webhook.attempt import DISABLED, past
from notifyctl.core.webhook.schedule import LONGEST_WISH_MS
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import deliveries
from notifyctl.store.schema.tables import webhook_deliveries

LONGEST_WAIT_MS = 2 * LONGEST_WISH_MS
"""Longer than any wait between two attempts."""

d = webhook_deliveries.c


def owed(tx: Tx, webhook_id: str, since: int, interval_ms: float) -> int:
    """Queue again what a webhook was not delivered since a moment, each so long after the one before; return how many.

    That is what happened since then, and what happened before and was still tried, or waited when it was disabled.
    """
    before = select(d.id, d.created_at, d.attempts, d.ended, d.is_replay).where(
        d.webhook_id == webhook_id, ~d.delivered, d.created_at < since
    )
    tried = [row.id for row in tx.execute(before) if _was_on_its_way(row, since)]
    return deliveries.requeue(tx, webhook_id, since, interval_ms, tried)


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
    queued = update(webhook_deliveries).values(values).where(d.id == v.id, deliveries.idle(d, tx.now))
    return set(tx.execute(queued.returning(d.id)).scalars())


def _was_on_its_way(row: Any, since: int) -> bool:
    """Return whether a delivery of what happened before was not over by then."""
    last = _last_at(row.attempts)
    waited = row.is_replay or max(row.created_at, last) >= since - LONGEST_WAIT_MS
    return last >= since or (row.ended == DISABLED and waited)


def _last_at(attempts: str | None) -> int:
    """Return when the last attempt ended, which is when failures are counted; 0 without one."""
    tries = past(attempts)
    at, ms = (tries[-1].get(name) for name in ("at", "ms")) if tries else (0, 0)
    return at + ms if isinstance(at, int) and isinstance(ms, int) else 0
