"""Keeping `notification_metrics` right: marks for what changed, what is deleted, and the roll-up.

The roll-up counts a stretch of hours in a transaction: newly finished ones in their order, so that the newest counted
hour stands for all before it, and those that a change has marked dirty. The marks are deleted before the counting: a
change that commits after it leaves its own mark, for the next roll-up. Counting again changes nothing where nothing
changed. Deleted notifications stay in the `erased_*` columns.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    Integer,
    Select,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from notifyctl.core.frozen import dataclass
from notifyctl.store.db.database import Database
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import (
    BUCKET,
    COUNTED,
    HOUR_MS,
    METRIC_AT,
    UNTIMED,
    Bucket,
    arrived,
    average,
    came_back,
    count,
    date_and_hour,
    hour_of,
    key_of,
    m,
    n,
    newest_counted,
    start_of,
    total,
)
from notifyctl.store.schema.tables import metrics_dirty_hours, notification_metrics

# A transaction that changed something in an hour's last moments has this long to commit.
GRACE_MS = 60_000
HOURS_AT_ONCE = 24
_NEVER = 2**62
_NUMBERS = ("total_sent", "total_failed", "total_pending", "total_delivered", "total_bounced", "avg_delivery_ms")
_ERASED = ("erased_sent", "erased_failed", "erased_delivered", "erased_bounced", "erased_delivery_ms")


@dataclass(frozen=True, slots=True)
class RolledUp:
    """How many hours were counted: newly finished ones, and again because something in them had changed.

    `until` is where the counted hours end, in milliseconds; None when none has been counted ever.
    """

    hours: int = 0
    recounted: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What one transaction counted; the next one goes on at `next_at`, when there is more."""

    hours: int
    recounted: int
    next_at: int
    more: bool


def mark_dirty(tx: Tx, metric_ats: Iterable[int]) -> None:
    """Let the next roll-up count the hours of these metric moments again.

    To be called in the transaction that changes the notifications. Writes nothing for the running hour and for hours
    to come: they have not been counted yet.
    """
    current = hour_of(tx.now)
    hours = {hour_of(moment) for moment in metric_ats if moment < current}
    older = [{"id": str(uuid.uuid4()), "hour_start": hour} for hour in sorted(hours)]
    if older:
        tx.execute(insert(metrics_dirty_hours), older)


def keep_erased(tx: Tx, user_id: str) -> None:
    """Keep the user's sent and failed notifications in the numbers, in the transaction that deletes the user.

    Call it before the deletion. The rows are locked, so that none of them changes in between.
    """
    found = tx.execute(_of_user(tx.dialect, user_id)).all()
    mark_dirty(tx, [row.hour_start for row in found if row.pending])
    rows = [
        {**key_of(row.hour_start, row.provider, row.message_type), **{name: getattr(row, name) for name in _ERASED}}
        for row in found
        if row.erased_sent or row.erased_failed
    ]
    if rows:
        statement = tx.dialect.insert(notification_metrics)
        sums = {name: m[name] + statement.excluded[name] for name in _ERASED}
        tx.execute(statement.on_conflict_do_update(index_elements=BUCKET, set_=sums), rows)


def _of_user(dialect: Dialect, user_id: str) -> Select[Any]:
    locked = dialect.lock_row(
        select(
            (METRIC_AT // HOUR_MS * HOUR_MS).label("hour_start"),
            n.provider,
            n.message_type,
            n.status,
            n.delivered_at,
            n.bounced_at,
            (n.sent_at - METRIC_AT).label("delivery_ms"),
        ).where(n.user_id == user_id)
    ).subquery("erased")
    key = (locked.c.hour_start, locked.c.provider, locked.c.message_type)
    sent = locked.c.status == "sent"
    return (
        select(
            *key,
            total(sent).label("erased_sent"),
            total(locked.c.status == "failed").label("erased_failed"),
            total(locked.c.status == "pending").label("pending"),
            total(sent, locked.c.delivery_ms).label("erased_delivery_ms"),
            total(arrived(locked.c)).label("erased_delivered"),
            total(came_back(locked.c)).label("erased_bounced"),
        )
        .group_by(*key)
        .order_by(*key)
    )


def rollup(db: Database, since: int | None = None) -> RolledUp:
    """Count what has finished or changed since the last roll-up; from `since` on also what has not.

    Several processes may do it at once: they take turns, and the numbers are the same.
    """
    newest = _newest(db)
    at = 0 if newest is None else newest + HOUR_MS
    at = at if since is None else max(0, min(at, hour_of(since)))
    stretch = db.write(partial(_count_stretch, at=at, overlap=newest))
    done = [stretch]
    while stretch.more:
        stretch = db.write(partial(_count_stretch, at=stretch.next_at))
        done.append(stretch)
    newest = _newest(db)
    return RolledUp(
        hours=sum(each.hours for each in done),
        recounted=sum(each.recounted for each in done),
        until=None if newest is None else newest + HOUR_MS,
    )


def _newest(db: Database) -> int | None:
    with db.read() as tx:
        return newest_counted(tx)


def _count_stretch(tx: Tx, *, at: int, overlap: int | None = None) -> _Stretch:
    """Count the next hours from `at` on, and dirty ones before them.

    `overlap` is an hour counted before: once again with the first new ones, for a change that needed longer than the
    grace to commit.
    """
    tx.serialize("metrics rollup")
    finished = hour_of(tx.now - GRACE_MS)
    begin = min(_oldest_from(tx, at), finished)
    stop = min(begin + HOURS_AT_ONCE * HOUR_MS, finished)
    new = set(range(begin, stop, HOUR_MS))
    dirty = _take_dirty(tx, stop)
    again = dirty | {overlap} if new and overlap is not None else dirty
    _save(tx, count(tx, new | again))
    more = stop < finished or len(dirty) == HOURS_AT_ONCE
    return _Stretch(len(new), len(dirty - new), max(stop, at), more)


def _oldest_from(tx: Tx, at: int) -> int:
    """Return the first hour from `at` on in which there is anything to count; far away when there is none."""
    at_once = [
        select(func.min(n.created_at).label("at")).where(n.status == status, n.created_at >= at, UNTIMED)
        for status in COUNTED
    ]
    timed = select(func.min(n.send_at)).where(n.send_at >= at)
    moments = [found for found in tx.execute(union_all(*at_once, timed)).scalars() if found is not None]
    day, hour = date_and_hour(at)
    stored = tx.execute(
        select(m.date, m.hour)
        .where(m.hour.is_not(None), tuple_(m.date, m.hour) >= tuple_(literal(day, Date), literal(hour, Integer)))
        .order_by(m.date, m.hour)
        .limit(1)
    ).first()
    if stored is not None:
        moments.append(start_of(stored.date, stored.hour))
    return hour_of(min(moments, default=_NEVER))


def _take_dirty(tx: Tx, before: int) -> set[int]:
    """Delete the visible marks of some hours before `before`, and return the hours."""
    hour = metrics_dirty_hours.c.hour_start
    oldest = select(hour).distinct().where(hour < before).order_by(hour).limit(HOURS_AT_ONCE)
    hours = set(tx.execute(oldest).scalars())
    if hours:
        tx.execute(delete(metrics_dirty_hours).where(hour.in_(list(hours))))
    return {found for found in hours if found >= 0}


def _save(tx: Tx, buckets: Collection[Bucket]) -> None:
    """Write the hours' rows, then those of their days."""
    _upsert(tx, [_hour_row(bucket, tx.now) for bucket in buckets])
    days = {date_and_hour(bucket.hour_start)[0] for bucket in buckets}
    _upsert(tx, [_day_row(row, tx.now) for row in tx.execute(_of_days(days))] if days else [])


def _hour_row(bucket: Bucket, now: int) -> dict[str, Any]:
    return {
        **key_of(bucket.hour_start, bucket.provider, bucket.message_type),
        "total_sent": bucket.sent,
        "total_failed": bucket.failed,
        "total_pending": bucket.pending,
        "total_delivered": bucket.delivered,
        "total_bounced": bucket.bounced,
        "avg_delivery_ms": average(bucket.delivery_ms, bucket.sent),
        "rolled_at": now,
    }


def _of_days(days: Iterable[date]) -> Select[Any]:
    delivery = func.sum(func.coalesce(m.avg_delivery_ms, 0) * m.total_sent)
    key = (m.date, m.provider, m.message_type)
    return (
        select(
            *key,
            func.sum(m.total_sent).label("total_sent"),
            func.sum(m.total_failed).label("total_failed"),
            func.sum(m.total_pending).label("total_pending"),
            func.sum(m.total_delivered).label("total_delivered"),
            func.sum(m.total_bounced).label("total_bounced"),
            cast(delivery, BigInteger).label("delivery_ms"),
        )
        .where(m.hour.is_not(None), m.rolled_at.is_not(None), m.date.in_(list(days)))
        .group_by(*key)
        .order_by(*key)
    )


def _day_row(row: Any, now: int) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "date": row.date,
        "hour": None,
        "provider": row.provider,
        "message_type": row.message_type,
        "total_sent": row.total_sent,
        "total_failed": row.total_failed,
        "total_pending": row.total_pending,
        "total_delivered": row.total_delivered,
        "total_bounced": row.total_bounced,
        "avg_delivery_ms": average(row.delivery_ms, row.total_sent),
        "rolled_at": now,
    }


def _upsert(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that are new or have other numbers; leave those alone that are right."""
    if not rows:
        return
    statement = tx.dialect.insert(notification_metrics)
    new = statement.excluded
    differs = or_(m.rolled_at.is_(None), *(m[name].is_distinct_from(new[name]) for name in _NUMBERS))
    values = {name: new[name] for name in (*_NUMBERS, "rolled_at")}
    tx.execute(statement.on_conflict_do_update(index_elements=BUCKET, set_=values, where=differs), rows)
