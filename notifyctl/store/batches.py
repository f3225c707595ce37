"""Batches: what was submitted together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, update

from notifyctl.core.batch import BatchHold, BatchSource, BatchState
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, NotFound
from notifyctl.core.frozen import dataclass
from notifyctl.core.text import word
from notifyctl.store import ids
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.queue.states import PENDING
from notifyctl.store.schema.tables import batches, notifications

b, n = batches.c, notifications.c


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch as it is stored. Times are milliseconds since the epoch."""

    id: str
    name: str | None
    source: str
    hold: str | None
    held_at: int | None
    cancelled_at: int | None
    created_at: int
    updated_at: int

    @property
    def state(self) -> BatchState:
        """What becomes of it now."""
        if self.cancelled_at is not None:
            return BatchState.CANCELLED
        return BatchState.OPEN if self.hold is None else BatchState(self.hold)

    @property
    def shown(self) -> str:
        """How people call it."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How many of a batch's notifications there are of each status; `parked` of the pending are out of the queue."""

    total: int = 0
    pending: int = 0
    sent: int = 0
    failed: int = 0
    cancelled: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A batch that is held, as people call it, and how many of its notifications wait."""

    shown: str
    state: BatchState
    held: int


def opened(tx: Tx, name: str | None, source: BatchSource, hold: BatchHold | None = None) -> tuple[BatchRow, bool]:
    """Return the batch of that name, made where there was none, and whether it is new."""
    held_at = None if hold is None else tx.now
    row = BatchRow(str(uuid.uuid4()), name, source.value, hold, held_at, None, tx.now, tx.now)
    made = tx.dialect.insert(batches).values(asdict(row)).on_conflict_do_nothing().returning(b.id)
    if tx.execute(made).first() is not None:
        return row, True
    return BatchRow(*tx.execute(_select().where(b.name == name)).one()), False


def seed(tx: Tx, ref: str | None, source: BatchSource) -> tuple[BatchRow, bool]:
    """Return the batch of that name, id or unique beginning of one, or one to be made, and whether it is there.

    A whole id that none has is that of one of which nothing was stored. Raises UsageError for a beginning of several.
    """
    row = None if ref is None else _meant(tx, ref)
    if row is not None:
        return row, True
    low, high = (ref and ids.bounds(ref)) or (None, "")
    whole = low if low == high else None
    made = (whole or str(uuid.uuid4()), None if whole else ref)
    return BatchRow(*made, source.value, None, None, None, tx.now, tx.now), False


def joined(tx: Tx, wanted: BatchRow, hold: BatchHold | None = None) -> BatchRow:
    """Return a batch as it is now, made where it is not there (held so), for rows to be added to it.

    Until the transaction ends it cannot become another one. Raises Conflict where it is cancelled.
    """
    held_at = None if hold is None else tx.now
    row = replace(wanted, hold=hold, held_at=held_at, created_at=tx.now, updated_at=tx.now)
    tx.execute(tx.dialect.insert(batches).values(asdict(row)).on_conflict_do_nothing())
    found = tx.execute(tx.dialect.lock_gently(_select().where(b.id == wanted.id))).first()
    if found is None:
        raise Conflict(f"batch {wanted.shown} was begun by somebody else at this moment", "repeat the command")
    row = BatchRow(*found)
    if row.cancelled_at is not None:
        raise is_cancelled(row)
    return row


def is_cancelled(row: BatchRow) -> Conflict:
    """Return that nothing can be added to a batch, nor done with it."""
    again = f"notifyctl batches resume {word(row.shown)} opens it again"
    return Conflict(f"batch {row.shown} is cancelled", f"{again}; what was cancelled of it stays so")


def _meant(tx: Tx, ref: str) -> BatchRow | None:
    row = tx.execute(_select().where(b.name == ref)).first()
    if row is None and len(ref) >= ids.PREFIX_MIN and ids.bounds(ref):
        try:
            row = tx.execute(_select().where(b.id == ids.resolve(tx, batches, ref, "batch"))).first()
        except NotFound:  # a name may look so: a date does
            return None
    return None if row is None else BatchRow(*row)


def let_go(tx: Tx, batch_id: str, most: int) -> int:
    """Return how many of a batch nothing holds back any more, counted up to `most`."""
    some = select(n.id).where(n.batch_id == batch_id, n.parked_at.is_(None)).limit(most).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one()


def holding_back(tx: Tx, notification_id: str) -> BatchRow | None:
    """Return the batch that holds a notification back; None where none does."""
    holds = or_(b.hold == BatchHold.PAUSED.value, and_(b.hold.is_not(None), n.parked_at.is_not(None)))
    row = tx.execute(_select().join(notifications, n.batch_id == b.id).where(n.id == notification_id, holds)).first()
    return None if row is None else BatchRow(*row)


def last_time(tx: Tx, batch_id: str) -> int | None:
    """Return the latest time that one of a batch is for, in milliseconds; None where none has one."""
    return tx.execute(select(func.max(n.send_at)).where(n.batch_id == batch_id)).scalar()


def find(tx: Tx, ref: str) -> BatchRow:
    """Return a batch by its name or id. Raises NotFound, UsageError for a beginning of several ids."""
    text = ref.strip()
    row = tx.execute(_select().where(b.name == text)).first() if text.isprintable() else None
    if row is None and ids.bounds(text):
        row = tx.execute(_select().where(b.id == ids.resolve(tx, batches, text, "batch"))).first()
    if row is None:
        raise NotFound(f"there is no batch {ids.shown(ref)}", "notifyctl batches list")
    return BatchRow(*row)


def lock(tx: Tx, ref: str) -> BatchRow:
    """Return a batch by its name or id, locked until the transaction ends. Raises as `find` does."""
    found = find(tx, ref)
    tx.execute(tx.dialect.lock_row(select(b.id).where(b.id == found.id)))
    return find(tx, found.id)


def put(tx: Tx, batch_id: str, hold: BatchHold | None, *, cancelled: bool = False) -> None:
    """Let a batch be held, or go; while it is cancelled nothing can be added to it."""
    held_at = None if hold is None else tx.now
    values = {"hold": hold, "held_at": held_at, "cancelled_at": tx.now if cancelled else None, "updated_at": tx.now}
    tx.execute(update(batches).where(b.id == batch_id).values(values))


def page(tx: Tx, after: Cursor | None, limit: int | None) -> list[BatchRow]:
    """Return batches after the cursor, newest first."""
    return [BatchRow(*row) for row in tx.execute(newest_first(_select(), b.created_at, b.id, after, limit))]


def count(tx: Tx) -> int:
    """Return how many there are."""
    return tx.execute(select(func.count()).select_from(batches)).scalar_one()


def held(tx: Tx, batch_ids: Iterable[str]) -> dict[str, BatchRow]:
    """Return those of these batches that are held, by id."""
    rows = tx.execute(_select().where(tx.dialect.is_any(b.id, batch_ids), b.hold.is_not(None)))
    return {row.id: BatchRow(*row) for row in rows}


def holding(tx: Tx) -> list[HeldBatch]:
    """Return the batches that are held, oldest first; of those that are cancelled the ones with something left."""
    waits = and_(n.batch_id == b.id, PENDING, or_(b.hold == BatchHold.PAUSED.value, n.parked_at.is_not(None)))
    statement = select(*_select().selected_columns, func.count(n.id)).select_from(
        batches.outerjoin(notifications, waits)
    )
    found = tx.execute(statement.where(b.hold.is_not(None)).group_by(b.id).order_by(b.created_at, b.id))
    held = [(BatchRow(*row[:-1]), row[-1]) for row in found]
    return [HeldBatch(row.shown, row.state, left) for row, left in held if left or row.cancelled_at is None]


def counts(tx: Tx, batch_ids: Sequence[str]) -> dict[str, BatchCounts]:
    """Return what became of these batches' notifications, by batch."""
    if not batch_ids:
        return {}
    parked = func.count(n.parked_at)
    statement = select(n.batch_id, n.status, func.count(), parked).where(tx.dialect.is_any(n.batch_id, batch_ids))
    found: dict[str, dict[str, int]] = {id_: {"total": 0, "parked": 0} for id_ in batch_ids}
    for id_, status, number, out in tx.execute(statement.group_by(n.batch_id, n.status)):
        one = found[str(id_)]
        one[status] = number
        one["total"] += number
        one["parked"] += out
    return {id_: BatchCounts(**each) for id_, each in found.items()}


def _select() -> Select[Any]:
    return select(b.id, b.name, b.source, b.hold, b.held_at, b.cancelled_at, b.created_at, b.updated_at)
