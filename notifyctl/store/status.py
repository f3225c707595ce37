"""What `status` counts: the schema document's monitoring queries, and what is pending now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, func, select

from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Status
from notifyctl.core.notification import State
from notifyctl.core.presence import Alive
from notifyctl.store.db.tx import Tx
from notifyctl.store.dispatchers import ALIVE_MS
from notifyctl.store.queue.states import PENDING, state_expression, stuck
from notifyctl.store.schema.tables import dispatchers, notification_dlq, notifications

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OVERDUE_MS = 15 * 60_000
"""Providers that allow few questions are asked late now and then; this is later than that."""

_n = notifications.c
_d = dispatchers.c
_ALIVE = (
    *(_d.id, _d.host, _d.pid, _d.started_at, _d.heartbeat_at),
    *(_d.in_flight, _d.per_minute, _d.policy_digest, _d.key_ids),
)
_STATUSES = [status.value for status in Status]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Pending notifications of one state, provider and rule that put them off. `first_due_at` is the least of them.

    `old` are those that are pending for over an hour, as the schema document's query asks.
    """

    state: State
    provider: str
    count: int
    first_due_at: int
    old: int
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters that nobody has resolved."""

    unresolved: int
    last_hour: int


@dataclass(frozen=True, slots=True)
class LastHour:
    """One provider's notifications that were created within the last hour.

    `p50_ms` is the median time from the last attempt's beginning until the provider took it.
    """

    provider: str
    total: int
    sent: int
    failed: int
    p50_ms: int | None


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What is known of messages after they were sent.

    `overdue` are those about which the provider should have been asked by now, the first at `first_due_at`; `bounced`
    came back within 24 hours.
    """

    overdue: int
    first_due_at: int | None
    bounced: int


def vanished(tx: Tx) -> list[Alive]:
    """Return the dispatchers that gave no sign of life any more in the last day, and did not leave."""
    rows = tx.execute(
        select(*_ALIVE)
        .where(_d.heartbeat_at < tx.now - ALIVE_MS, _d.heartbeat_at >= tx.now - DAY_MS)
        .order_by(_d.heartbeat_at.desc(), _d.id)
    )
    return [Alive(*row) for row in rows]


def afterwards(tx: Tx) -> Afterwards:
    """Return what became of messages after they were sent, and what is not known yet though it should be."""
    late = _n.receipt_due_at < tx.now - OVERDUE_MS
    overdue, first = tx.execute(select(func.count(), func.min(_n.receipt_due_at)).where(late)).one()
    since = (_n.bounced_at.is_not(None), _n.bounced_at > tx.now - DAY_MS)
    return Afterwards(overdue, first, tx.execute(select(func.count()).where(*since)).scalar_one())


def alive(tx: Tx) -> list[Alive]:
    """Return the dispatchers at work, the oldest first."""
    rows = tx.execute(
        select(*_ALIVE)
        .where(_d.heartbeat_at.between(tx.now - ALIVE_MS, tx.now + ALIVE_MS))  # a clock may have been put back
        .order_by(_d.started_at, _d.id)
    )
    return [Alive(*row) for row in rows]


def last_day(tx: Tx) -> dict[str, int]:
    """Return how many of each status were created within 24 hours."""
    rows = tx.execute(
        select(_n.status, func.count())
        .where(_n.status.in_(_STATUSES), _n.created_at > tx.now - DAY_MS)
        .group_by(_n.status)
    )
    found = {row.status: row[1] for row in rows}
    return {status: found.get(status, 0) for status in _STATUSES}


def waiting(tx: Tx) -> list[Waiting]:
    """Return what is pending, by state, provider and the rule that put it off."""
    state, rule = state_expression(tx.now).label("state"), _n.deferred_by
    rows = tx.execute(
        select(state, _n.provider, func.count(), func.min(_n.due_at), _sum(stuck(tx.now, HOUR_MS)), rule)
        .where(PENDING)
        .group_by(state, _n.provider, rule)
        .order_by(_n.provider)
    )
    return [Waiting(State(row[0]), *row[1:]) for row in rows]


def dead_letters(tx: Tx) -> DeadLetters:
    """Return how many dead letters wait for somebody."""
    letters = notification_dlq.c
    unresolved = ~letters.resolved
    total = select(func.count()).select_from(notification_dlq).where(unresolved).scalar_subquery()
    recent = (
        select(func.count())
        .select_from(notification_dlq)
        .where(unresolved, letters.moved_to_dlq_at > tx.now - HOUR_MS)
        .scalar_subquery()
    )
    return DeadLetters(*tx.execute(select(total, recent)).one())


def last_hour(tx: Tx) -> list[LastHour]:
    """Return how the providers did with what was created within the last hour."""
    recent = (_n.status.in_(_STATUSES), _n.created_at > tx.now - HOUR_MS)
    medians = _medians(tx)
    rows = tx.execute(
        select(_n.provider, func.count(), _sum(_n.status == "sent"), _sum(_n.status == "failed"))
        .where(*recent)
        .group_by(_n.provider)
        .order_by(_n.provider)
    )
    return [LastHour(name, all_, sent, failed, medians.get(name)) for name, all_, sent, failed in rows]


def _medians(tx: Tx) -> Mapping[str, int]:
    took = _n.sent_at - _n.last_attempted
    ranked = (
        select(
            _n.provider,
            took.label("took"),
            func.row_number().over(partition_by=_n.provider, order_by=took).label("place"),
            func.count().over(partition_by=_n.provider).label("all_of_them"),
        )
        .where(_n.status == "sent", _n.created_at > tx.now - HOUR_MS, _n.last_attempted.is_not(None))
        .subquery()
    )
    middle = ranked.c.place == (ranked.c.all_of_them + 1) // 2
    rows = tx.execute(select(ranked.c.provider, ranked.c.took).where(middle))
    return {row.provider: row.took for row in rows}


def _sum(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return cast(func.sum(case((condition, 1), else_=0)), BigInteger)
