"""Asking after receipts: which questions are due, and how many of them may be put now.

A question is claimed by moving its `receipt_due_at` ahead, so that two dispatchers do not ask the same at once. That
nobody asks twice is not promised: a receipt that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    Update,
    bindparam,
    exists,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.types import TypeEngine

from notifyctl.core.model import Status
from notifyctl.core.permits import take
from notifyctl.store.dialect import ID, Dialect
from notifyctl.store.page import Cursor
from notifyctl.store.tables import notifications, provider_configs, provider_states

n = notifications.c
_open = n.receipt_due_at.is_(None) & n.delivered_at.is_(None) & n.bounced_at.is_(None)

CLAIMED_MS = 10 * 60_000
"""How long a question is left to whoever claimed it: longer than its answer and the questions that follow can take."""


@dataclass(frozen=True, slots=True)
class Question:
    """A message to ask about. `claimed` is what its `receipt_due_at` is meanwhile. Times are milliseconds."""

    id: str
    message_id: str
    sent_at: int
    claimed: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What may be asked now; `wait_ms` is for how long nothing may be, None where nothing is due."""

    questions: tuple[Question, ...] = ()
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How a provider may be asked: about so many messages at once, and so many times a minute (None: any number)."""

    at_once: int
    per_minute: int | None


def any_due(conn: Connection, provider: str, moment: int) -> bool:
    """Return whether there is anything to ask a provider about at that moment."""
    return bool(conn.execute(select(exists().where(n.provider == provider, n.receipt_due_at <= moment))).scalar())


def count_due(conn: Connection, provider: str, moment: int) -> int:
    """Return how many messages of a provider are to be asked about at that moment."""
    due = select(func.count()).where(n.provider == provider, n.receipt_due_at <= moment)
    return int(conn.execute(due).scalar_one())


def unasked(conn: Connection, provider: str, since: int, after: Cursor, most: int) -> list[Cursor]:
    """Return at most `most` messages that a provider took and about which nobody is to ask, the oldest first.

    Those that were made and sent from `since` on, and stand behind `after`. Read are all that were sent since.
    """
    place = tuple_(literal(after.at, BigInteger), literal(after.id, ID))
    picked = (
        select(n.created_at, n.id)
        .where(n.status == Status.SENT.value, n.created_at >= max(since, after.at))
        .where(tuple_(n.created_at, n.id) > place, n.sent_at >= since, n.provider == provider)
        .where(n.provider_message_id.is_not(None), _open)
        .order_by(n.created_at, n.id)
        .limit(most)
    )
    return [Cursor(row.created_at, row.id) for row in conn.execute(picked)]


def ask_about(conn: Connection, dialect: Dialect, ids: Sequence[str], moment: int) -> None:
    """Let messages be due at that moment, if nobody is to ask about them and it is not known what became of them."""
    conn.execute(update(notifications).where(dialect.is_any(n.id, ids), _open).values(receipt_due_at=moment))


def claim(
    conn: Connection, dialect: Dialect, provider: str, pace: Pace, *, moment: int, most: int, now: int
) -> Claimed:
    """Take at most `most` of the messages that are due at `moment`, the oldest first, and leave the others alone."""
    permits = _Permits(conn, dialect, provider, pace.per_minute, now)
    allowed = permits.available(-(-most // pace.at_once))
    if not allowed:
        return Claimed(wait_ms=permits.wait_ms() if any_due(conn, provider, moment) else None)
    limit = min(most, allowed * pace.at_once)
    rows = conn.execute(_picking(dialect), {"provider": provider, "moment": moment, "most": limit}).all()
    if not rows:
        return Claimed()
    claimed = now + CLAIMED_MS
    theirs = dialect.is_any(n.id, [row.id for row in rows])
    conn.execute(update(notifications).where(theirs).values(receipt_due_at=claimed))
    permits.use(-(-len(rows) // pace.at_once))
    return Claimed(tuple(Question(row.id, row.provider_message_id or "", row.at, claimed) for row in rows))


def permit(conn: Connection, dialect: Dialect, provider: str, pace: Pace, now: int) -> int:
    """Take a permit for one more question; return 0, or for how many milliseconds there is none."""
    permits = _Permits(conn, dialect, provider, pace.per_minute, now)
    if not permits.available(1):
        return permits.wait_ms()
    permits.use(1)
    return 0


def put_off(conn: Connection, dialect: Dialect, questions: Iterable[tuple[Question, int | None]]) -> None:
    """Ask again at the given moments, or never; what somebody else has claimed since is left to them."""
    rows = [(question.id, question.claimed, due) for question, due in questions]
    if rows:
        conn.execute(_putting_off(dialect), dialect.bind("v", _PUT_OFF, rows))


@cache
def _picking(dialect: Dialect) -> Select[Any]:
    picked = (
        select(n.id, n.provider_message_id, func.coalesce(n.sent_at, n.created_at).label("at"))
        .where(n.provider == bindparam("provider"), n.receipt_due_at <= bindparam("moment", type_=BigInteger))
        .order_by(n.receipt_due_at)
        .limit(bindparam("most", type_=Integer))
    )
    return dialect.skip_locked(picked, notifications)


_PUT_OFF: dict[str, TypeEngine[Any]] = {"id": ID, "claimed": BigInteger(), "due": BigInteger()}


@cache
def _putting_off(dialect: Dialect) -> Update:
    v = dialect.rowset("v", _PUT_OFF)
    ours = (n.id == v.c.id) & (n.receipt_due_at == v.c.claimed)
    return update(notifications).values(receipt_due_at=v.c.due).where(ours)


class _Permits:
    """The questions that may still be asked, counted for all dispatchers together."""

    def __init__(self, conn: Connection, dialect: Dialect, provider: str, per_minute: int | None, now: int) -> None:
        self._conn, self._dialect, self._per_minute, self._now = conn, dialect, per_minute, now
        self._next_us = 0
        self._id: str | None = None
        if per_minute is None:
            return
        dialect.serialize(conn, f"traces of {provider}")
        state = provider_states.c
        found = conn.execute(
            select(provider_configs.c.id, func.coalesce(state.next_trace_us, 0))
            .select_from(provider_configs.outerjoin(provider_states))
            .where(provider_configs.c.provider_name == provider)
        ).one_or_none()
        if found is not None:
            self._id, self._next_us = found

    def available(self, wanted: int) -> int:
        """Return how many may be asked now."""
        if self._per_minute is None:
            return wanted
        return 0 if self._id is None else take(self._next_us, self._now, self._per_minute, wanted)[0]

    def use(self, number: int) -> None:
        """Take note that so many are asked."""
        if self._per_minute is not None:
            _, next_us = take(self._next_us, self._now, self._per_minute, number)
            state = self._dialect.insert(provider_states).values(provider_id=self._id, next_trace_us=next_us)
            changed = {"next_trace_us": next_us}
            self._conn.execute(state.on_conflict_do_update(index_elements=["provider_id"], set_=changed))

    def wait_ms(self) -> int:
        """Return for how long none may be asked."""
        return max(1, self._next_us // 1_000 - self._now + 1)
