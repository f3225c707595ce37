"""What templates hold back: it left the queue when a claim met it, and comes back in portions when that has ended."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import exists, select, update

from notifyctl.store import hints
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import IN_QUEUE
from notifyctl.store.schema.tables import notification_templates, notifications

PORTION = 1_000
"""How many come back at a time."""

n, t = notifications.c, notification_templates.c
_PARKED = n.parked_at.is_not(None)


def park(tx: Tx, provider: str, template_ids: Iterable[str], due_by: int, most: int = PORTION) -> int:
    """Take at most so many out of a provider's queue that these templates hold back; return how many.

    A claim that meets one has the others in its way, which may be very many. Those that somebody works on stay.
    """
    theirs = (n.provider == provider, IN_QUEUE, n.due_at <= due_by, tx.dialect.is_any(n.template_id, template_ids))
    picked = select(n.id).where(*theirs, n.lease_id.is_(None)).order_by(n.is_critical.desc(), n.due_at).limit(most)
    ids = list(tx.execute(tx.dialect.skip_locked(picked, notifications)).scalars())
    if ids:
        tx.execute(update(notifications).where(tx.dialect.is_any(n.id, ids)).values(parked_at=tx.now))
    return len(ids)


def come_back(tx: Tx, most: int = PORTION) -> int:
    """Put at most so many whose templates are enabled into the queue, oldest first; return how many."""
    back = 0
    for template_id in _freed(tx):
        back += _of_template(tx, template_id, most - back)
        if back >= most:
            break
    return back


def _freed(tx: Tx) -> list[str]:
    """Return which templates hold back no more what they held."""
    waits = exists().where(n.template_id == t.id, _PARKED)
    return list(tx.execute(select(t.id).where(t.is_active, waits)).scalars())


def _of_template(tx: Tx, template_id: str, most: int) -> int:
    picked = select(n.id).where(n.template_id == template_id, _PARKED).order_by(n.due_at).limit(most)
    ids = list(tx.execute(tx.dialect.skip_locked(picked, notifications)).scalars())
    if not ids:
        return 0
    freed = update(notifications).where(tx.dialect.is_any(n.id, ids)).values(parked_at=None)
    providers = set(tx.execute(freed.returning(n.provider)).scalars())
    hints.give(tx, providers)
    return len(ids)
