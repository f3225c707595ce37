"""What templates and batches hold back: it left the queue when a claim met it, and comes back when that has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, or_, select, update

from notifyctl.core.triage import Due
from notifyctl.store import hints
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import IN_QUEUE
from notifyctl.store.schema.tables import batches, notification_templates, notifications

PORTION = 1_000
"""How many come back at a time."""

n, t, b = notifications.c, notification_templates.c, batches.c
_PARKED = n.parked_at.is_not(None)


class HeldBack(NamedTuple):
    """The ids of templates that are disabled, and of batches of which nothing goes."""

    templates: frozenset[str] = frozenset()
    batches: frozenset[str] = frozenset()


def among(due: Sequence[Due]) -> HeldBack:
    """Return what holds some of these rows back."""
    return HeldBack(
        frozenset(row.template_id for row in due if row.template_held and row.template_id is not None),
        frozenset(row.batch_id for row in due if row.batch_held and row.batch_id is not None),
    )


def park(tx: Tx, provider: str, held: HeldBack, due_by: int, most: int = PORTION) -> int:
    """Take at most so many out of a provider's queue that these hold back; return how many.

    A claim that meets one has the others in its way, which may be very many. Those that somebody works on stay.
    """
    theirs = or_(_any(tx, n.template_id, held.templates), _any(tx, n.batch_id, held.batches))
    picked = select(n.id).where(n.provider == provider, IN_QUEUE, n.due_at <= due_by, theirs, n.lease_id.is_(None))
    picked = picked.order_by(n.is_critical.desc(), n.due_at).limit(most)
    ids = list(tx.execute(tx.dialect.skip_locked(picked, notifications)).scalars())
    if ids:
        tx.execute(update(notifications).where(tx.dialect.is_any(n.id, ids)).values(parked_at=tx.now))
    return len(ids)


def is_freed(tx: Tx) -> bool:
    """Return whether there is something that nothing holds back any more."""
    return bool(_freed(tx))


def come_back(tx: Tx, most: int = PORTION) -> int:
    """Put at most so many that nothing holds back any more into the queue, oldest first; return how many."""
    back = 0
    for theirs in _freed(tx):
        back += _return(tx, theirs, most - back)
        if back >= most:
            break
    return back


def _freed(tx: Tx) -> list[ColumnElement[bool]]:
    """Return what tells the rows that nothing holds back any more, for each index by which they are found."""
    of_template = exists().where(n.template_id == t.id, n.batch_id.is_(None), _PARKED)
    free = tx.execute(select(t.id).where(t.is_active, of_template)).scalars()
    found = [and_(n.template_id == id_, n.batch_id.is_(None)) for id_ in free]
    of_batch = exists().where(n.batch_id == b.id, _PARKED)
    for batch_id in list(tx.execute(select(b.id).where(b.hold.is_(None), of_batch)).scalars()):
        found.append(and_(n.batch_id == batch_id, n.template_id.is_(None)))
        both = exists().where(n.batch_id == batch_id, n.template_id == t.id, _PARKED)
        active = tx.execute(select(t.id).where(t.is_active, both)).scalars()
        found += [and_(n.batch_id == batch_id, n.template_id == id_) for id_ in active]
    return found


def _return(tx: Tx, theirs: ColumnElement[bool], most: int) -> int:
    picked = select(n.id).where(theirs, _PARKED).order_by(n.due_at).limit(most)
    ids = list(tx.execute(tx.dialect.skip_locked(picked, notifications)).scalars())
    if not ids:
        return 0
    freed = update(notifications).where(tx.dialect.is_any(n.id, ids)).values(parked_at=None)
    providers = set(tx.execute(freed.returning(n.provider)).scalars())
    hints.give(tx, providers)
    return len(ids)


def _any(tx: Tx, column: ColumnElement[str], ids: Iterable[str]) -> ColumnElement[bool]:
    return tx.dialect.is_any(column, list(ids))
