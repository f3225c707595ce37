"""Asking after receipts: which messages are to be asked about, and how many questions may be put now.

A message is claimed by moving its `receipt_due_at` ahead, so that two dispatchers do not ask the same at once; a claim
that is lost ends by itself. That nobody asks twice is not promised: a receipt that comes twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Integer, Select, Update, bindparam, exists, func, literal, select, tuple_, update
from sqlalchemy.types import TypeEngine

from notifyctl.core import ratelimit
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Status
from notifyctl.store import providers
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notifications

n = notifications.c
_open = n.receipt_due_at.is_(None) & n.delivered_at.is_(None) & n.bounced_at.is_(None)

CLAIMED_MS = 10 * 60_000
"""How long a message is left to whoever claimed it: longer than an answer and the questions that follow can take."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message to ask about. `claimed` is what its `receipt_due_at` is meanwhile. Times are milliseconds."""

    id: str
    message_id: str
    sent_at: int
    claimed: int


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """How much to ask: `room` questions about `at_once` messages each, of at most `most` that are due by `moment`.

    `per_minute` questions are allowed to all dispatchers together (None: any number). `follow_ups` of the questions are
    known already, and go first.
    """

    provider: str
    moment: int
    room: int
    at_once: int
    per_minute: int | None
    most: int
    follow_ups: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """What may be asked now: so many of the follow-ups, and about these messages.

    `wait_ms` is for how long nothing may be, None where nothing is due.
    """

    messages: tuple[SentMessage, ...] = ()
    follow_ups: int = 0
    wait_ms: int | None = None


def claim(tx: Tx, order: QuestionRequest) -> Claimed:
    """Take messages that are due, the oldest first, and a permit for each question."""
    if order.per_minute is None:
        return _claimed(tx, order, order.room)
    provider = providers.lock(tx, order.provider)  # permits are shared by all dispatchers
    if provider is None:
        return Claimed()
    stored_us = ratelimit.bounded(provider.next_question_us, tx.now, order.per_minute)
    if stored_us != provider.next_question_us:
        providers.set_next_question(tx, provider.id, stored_us)
    allowed, next_us = ratelimit.take(stored_us, tx.now, order.per_minute, order.room)
    if not allowed:
        return Claimed(wait_ms=max(1, next_us // 1_000 - tx.now + 1) if _is_due(tx, order) else None)
    claimed = _claimed(tx, order, allowed)
    questions = claimed.follow_ups - (-len(claimed.messages) // order.at_once)
    if questions:
        _, next_us = ratelimit.take(stored_us, tx.now, order.per_minute, questions)
        providers.set_next_question(tx, provider.id, next_us)
    return claimed


def put_off(tx: Tx, messages: Iterable[tuple[SentMessage, int | None]]) -> None:
    """Ask again at the given moments, or never; what somebody else has claimed since is left to them."""
    rows = [(message.id, message.claimed, due) for message, due in messages]
    if rows:
        tx.execute(_putting_off(tx.dialect), tx.dialect.bind("v", _PUT_OFF, rows))


def unasked(tx: Tx, provider: str, since: int, after: Cursor, most: int) -> list[Cursor]:
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
    return [Cursor(row.created_at, row.id) for row in tx.execute(picked)]


def ask_about(tx: Tx, ids: Sequence[str], moment: int) -> None:
    """Let messages be due at that moment, if no question about them is planned and no receipt has come."""
    tx.execute(update(notifications).where(tx.dialect.is_any(n.id, ids), _open).values(receipt_due_at=moment))


def _is_due(tx: Tx, order: QuestionRequest) -> bool:
    due = exists().where(n.provider == order.provider, n.receipt_due_at <= order.moment)
    return order.follow_ups > 0 or (order.most > 0 and bool(tx.execute(select(due)).scalar()))


def _claimed(tx: Tx, order: QuestionRequest, allowed: int) -> Claimed:
    follow_ups = min(order.follow_ups, allowed)
    most = min((allowed - follow_ups) * order.at_once, order.most)
    if not most:
        return Claimed(follow_ups=follow_ups)
    due = {"provider": order.provider, "moment": order.moment, "most": most}
    rows = tx.execute(_picking(tx.dialect), due).all()
    claimed = tx.now + CLAIMED_MS
    if rows:
        theirs = tx.dialect.is_any(n.id, [row.id for row in rows])
        tx.execute(update(notifications).where(theirs).values(receipt_due_at=claimed))
    messages = tuple(SentMessage(row.id, row.provider_message_id or "", row.at, claimed) for row in rows)
    return Claimed(messages, follow_ups)


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
