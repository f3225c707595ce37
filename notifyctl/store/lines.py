"""What is due to people, in the order in which it goes: one look for the lines of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Integer, and_, func, or_, select
from sqlalchemy.types import TypeEngine

from notifyctl.core.notification import State
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import predicates
from notifyctl.store.schema.tables import notifications

n = notifications.c


class LinePlace(NamedTuple):
    """Where one stands in the line of what is due to a user: critical ones go first, then the earliest."""

    user_id: str
    is_critical: bool
    due_at: int
    id: str


class InLine(NamedTuple):
    """One that is due, by what rules ask of it; times are milliseconds since the epoch."""

    id: str
    message_type: str
    payload: str
    category: str | None
    is_critical: bool
    expires_at: int | None
    counted_at: int | None


class LinePart(NamedTuple):
    """Of what goes before a place the first `most` behind the first `skip`."""

    place: LinePlace
    skip: int
    most: int


def due_before(tx: Tx, asked: Sequence[LinePart], until: int | None = None) -> list[tuple[int, InLine]]:
    """Return what is due and goes before these places, each with the index of its part, in the order of the line.

    With `until` it is only what was due before that moment.
    """
    rows = [(at, user, int(critical), *of, skip, most) for at, ((user, critical, *of), skip, most) in enumerate(asked)]
    v = tx.dialect.rowset("v", _PART, rows)
    earlier = or_(n.due_at < v.c.due_at, and_(n.due_at == v.c.due_at, n.id < v.c.id))
    # All that is critical goes before what is not.
    before = or_(and_(v.c.critical == 0, n.is_critical.is_(True)), and_(n.is_critical == (v.c.critical == 1), earlier))
    due = and_(n.user_id == v.c.user_id, predicates(tx.now)[State.DUE], before)
    order = (n.is_critical.desc(), n.due_at, n.id)
    numbered = select(
        *v.c, n.id.label("due_id"), func.row_number().over(partition_by=v.c.at, order_by=order).label("nth")
    )
    numbered = numbered.join_from(v, notifications, due)
    line = (numbered if until is None else numbered.where(n.due_at < until)).subquery("line").c
    part = select(line.at, *(n[name] for name in InLine._fields)).where(n.id == line.due_id)
    wanted = part.where(line.nth > line.skip, line.nth <= line.skip + line.most).order_by(line.at, line.nth)
    return [(row[0], InLine(*row[1:])) for row in tx.execute(wanted)]


def in_order(tx: Tx, ids: Sequence[str]) -> list[str]:
    """Return those of these that exist, in the order in which they go."""
    found = select(n.id).where(tx.dialect.is_any(n.id, ids)).order_by(n.is_critical.desc(), n.due_at, n.id)
    return list(tx.execute(found).scalars())


_PART: Mapping[str, TypeEngine[Any]] = {
    "at": Integer(),
    "user_id": ID,
    "critical": Integer(),
    "due_at": BigInteger(),
    "id": ID,
    "skip": Integer(),
    "most": Integer(),
}
