"""How deliveries to webhooks fare, by receiver: of a stretch of time, and what still waits.

A delivery's id begins with when it was written, so that a stretch of time is a stretch of the primary key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, case, cast, func, select

from notifyctl.core.timeordered import earliest_id
from notifyctl.core.webhook.attempt import DISABLED, GIVEN_UP
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import webhook_deliveries
from notifyctl.store.webhooks import Backlog

d = webhook_deliveries.c


class ReceiverCounts(NamedTuple):
    """What became of a webhook's deliveries: delivered, given up, and not tried because it was disabled."""

    delivered: int
    given_up: int
    not_tried: int


class ReceiverPace(NamedTuple):
    """How long half, and 95 of 100 deliveries took from what happened until the receiver had it (milliseconds)."""

    p50_ms: int
    p95_ms: int


def counts(tx: Tx, since: int, until: int) -> Mapping[str, ReceiverCounts]:
    """Return what became of what was written from `since` to before `until`, by webhook."""
    numbers = (_sum(d.delivered), _sum(d.ended == GIVEN_UP), _sum(d.ended == DISABLED))
    rows = tx.execute(select(d.webhook_id, *numbers).where(*_within(since, until)).group_by(d.webhook_id))
    return {row[0]: ReceiverCounts(*row[1:]) for row in rows}


def paces(tx: Tx, since: int, until: int) -> Mapping[str, ReceiverPace]:
    """Return how long it took to deliver what was written from `since` to before `until`, by webhook.

    What was queued again is left out: how long somebody took for that says nothing of the receiver.
    """
    took = d.delivered_at - d.created_at
    place = func.row_number().over(partition_by=d.webhook_id, order_by=took).label("place")
    number = func.count().over(partition_by=d.webhook_id).label("number")
    # By the moment alone: SQLite would find them by `delivered`, which all of the past is.
    delivered = (*_within(since, until), d.delivered_at.is_not(None), ~d.is_replay)
    r = select(d.webhook_id, took.label("took"), place, number).where(*delivered).subquery("ranked").c
    middle, late = r.place == (r.number + 1) // 2, r.place == (r.number * 95 + 99) // 100
    chosen = select(r.webhook_id, func.min(case((middle, r.took))), func.min(case((late, r.took))))
    rows = tx.execute(chosen.where(middle | late).group_by(r.webhook_id))
    return {row[0]: ReceiverPace(row[1], row[2]) for row in rows}


def waiting(tx: Tx) -> Mapping[str, Backlog]:
    """Return what is still to be tried, by webhook."""
    queued = select(d.webhook_id, func.count(), func.min(d.created_at)).where(d.next_retry_at.is_not(None))
    return {row[0]: Backlog(row[1], row[2]) for row in tx.execute(queued.group_by(d.webhook_id))}


def _within(since: int, until: int) -> tuple[ColumnElement[bool], ...]:
    return d.id >= earliest_id(since), d.id < earliest_id(until)


def _sum(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return cast(func.sum(case((condition, 1), else_=0)), BigInteger)
