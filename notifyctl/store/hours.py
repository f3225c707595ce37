"""What was sent, failed and is pending, by hour, provider and channel: reading and counting.

A notification belongs to the hour (UTC) of `coalesce(send_at, created_at)`, its metric moment. `notification_metrics`
holds the hours that a roll-up has counted (`store.metrics`); what it cannot know is counted live: the hours after the
newest counted one, and the older hours that a change has marked dirty since. Hours are given as their first
millisecond since the epoch.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from heapq import nlargest
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Row,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    null,
    select,
    text,
    union_all,
)

from notifyctl.core.frozen import dataclass
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import metrics_dirty_hours, notification_metrics, notifications

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

n = notifications.c
m = notification_metrics.c

METRIC_AT = func.coalesce(n.send_at, n.created_at, type_=BigInteger())
# As a sum, or SQLite would look for the NULLs in the index on `send_at`, and find most of the table there.
UNTIMED = (n.send_at + 0).is_(None)
# What `idx_metrics_bucket` is over.
BUCKET = (m.date, func.coalesce(m.hour, text("-1")), m.provider, m.message_type)
COUNTED = ("sent", "failed", "pending")
MOST_RANGES = 50
_NUMBERS = 6  # of a bucket

Range = tuple[int, int]
"""From the first millisecond to before the second."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One hour of one provider and channel. `delivery_ms` is the sum over those sent, in milliseconds.

    `delivered` and `bounced` are among those sent, as far as receipts say.
    """

    hour_start: int
    provider: str
    message_type: str
    sent: int
    failed: int
    pending: int
    delivery_ms: int
    delivered: int = 0
    bounced: int = 0


@dataclass(frozen=True, slots=True)
class Ever:
    """What one provider did on a channel since the first day; the same numbers as a bucket's."""

    provider: str
    message_type: str
    sent: int
    failed: int
    delivered: int
    bounced: int


def hour_of(moment: int) -> int:
    """Return the hour in which `moment` lies."""
    return moment // HOUR_MS * HOUR_MS


def date_and_hour(hour_start: int) -> tuple[date, int]:
    """Return the date and the hour of the day, as `notification_metrics` keeps them."""
    moment = datetime.fromtimestamp(hour_start // 1000, UTC)
    return moment.date(), moment.hour


def start_of(day: date, hour: int) -> int:
    """Return the hour's first millisecond."""
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * 1000


def key_of(hour_start: int, provider: str, message_type: str) -> dict[str, Any]:
    """Return what a new row is for, and its id."""
    day, hour = date_and_hour(hour_start)
    return {"id": str(uuid.uuid4()), "date": day, "hour": hour, "provider": provider, "message_type": message_type}


def average(total: int, number: int) -> int | None:
    """Return the mean, rounded to whole milliseconds; None of nothing."""
    return (2 * total + number) // (2 * number) if number else None


def newest_counted(tx: Tx) -> int | None:
    """Return the newest hour that a roll-up has counted; it has counted those before it, too."""
    found = tx.execute(
        select(m.date, m.hour)
        .where(m.rolled_at.is_not(None), m.hour.is_not(None))
        .order_by(m.date.desc(), m.hour.desc())
        .limit(1)
    ).first()
    return None if found is None else start_of(found.date, found.hour)


def read(tx: Tx, since: int, until: int) -> list[Bucket]:
    """Return the hours from `since` to before `until` (both the beginning of an hour), as they are at this moment."""
    newest = newest_counted(tx)
    fresh = since if newest is None else min(max(since, newest + HOUR_MS), until)
    live = _ranges(_dirty(tx, since, fresh))
    return _buckets(tx, [*live, (fresh, until)] if fresh < until else live, since, until)


def ever(tx: Tx) -> list[Ever]:
    """Return the numbers of all hours until now. Days that no change has touched since are added up by the database."""
    newest = newest_counted(tx)
    fresh = 0 if newest is None else newest + HOUR_MS
    begin = min(_dirty(tx, 0, fresh), default=fresh) // DAY_MS * DAY_MS
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 4)
    found: list[Sequence[Any]] = [*tx.execute(_summed_before(date_and_hour(begin)[0]))]
    for each in read(tx, begin, max(begin, hour_of(tx.now)) + HOUR_MS):
        found.append((each.provider, each.message_type, each.sent, each.failed, each.delivered, each.bounced))
    for provider, message_type, *values in found:
        key = (provider, message_type)
        sums[key] = [a + b for a, b in zip(sums[key], values, strict=True)]
    return [Ever(*key, *values) for key, values in sorted(sums.items())]


def _summed_before(day: date) -> Select[Any]:
    numbers = (
        (m.total_sent, m.erased_sent),
        (m.total_failed, m.erased_failed),
        (m.total_delivered, m.erased_delivered),
        (m.total_bounced, m.erased_bounced),
    )
    rolled = m.rolled_at.is_not(None)
    sums = (cast(func.sum(case((rolled, counted), else_=erased)), BigInteger) for counted, erased in numbers)
    return (
        select(m.provider, m.message_type, *sums)
        .where(m.hour.is_not(None), m.date < day)
        .group_by(m.provider, m.message_type)
    )


def count(tx: Tx, hours: Collection[int]) -> list[Bucket]:
    """Return these hours as they are at this moment, with zeros for rows of `notification_metrics` that have nothing.

    What was erased is counted in the same statement, and so seen at the same moment.
    """
    if not hours:
        return []
    found = _buckets(tx, _ranges(hours), min(hours), max(hours) + HOUR_MS)
    return [bucket for bucket in found if bucket.hour_start in hours]


def _dirty(tx: Tx, since: int, until: int) -> set[int]:
    hour = metrics_dirty_hours.c.hour_start
    return set(tx.execute(select(hour).distinct().where(hour >= since, hour < until)).scalars())


def _ranges(hours: Iterable[int]) -> list[Range]:
    """Return ranges that cover the hours, at most `MOST_RANGES`: only the widest gaps stay gaps."""
    ordered = sorted(hours)
    gaps = {index: ordered[index] - ordered[index - 1] for index in range(1, len(ordered))}
    widest = nlargest(MOST_RANGES - 1, gaps, key=gaps.__getitem__)
    edges = sorted({0, len(ordered), *(index for index in widest if gaps[index] > HOUR_MS)})
    return [(ordered[begin], ordered[end - 1] + HOUR_MS) for begin, end in pairwise(edges)]


def _buckets(tx: Tx, live: Sequence[Range], since: int, until: int) -> list[Bucket]:
    """Count the live ranges, take the rolled numbers for the rest of the window; in one statement, at one moment."""
    stored = _stored(since, until)
    sums: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0] * _NUMBERS)
    for row in tx.execute(union_all(_counts(live), stored) if live else stored):
        hour = row.hour_start if row.date is None else start_of(row.date, row.hour)
        if since <= hour < until:
            known = row.rolled and not any(begin <= hour < end for begin, end in live)
            key = (hour, row.provider, row.message_type)
            sums[key] = [a + b for a, b in zip(sums[key], _rolled(row) if known else _unrolled(row), strict=True)]
    return [Bucket(*key, *values) for key, values in sorted(sums.items())]


def _rolled(row: Row[Any]) -> Sequence[int]:
    return row[5 : 5 + _NUMBERS]


def _unrolled(row: Row[Any]) -> Sequence[int]:
    return row[5 + _NUMBERS : 5 + 2 * _NUMBERS]


def _stored(since: int, until: int) -> Select[Any]:
    """Return a window's rolled numbers, and those of the erased that stand beside a live count."""
    first, last = date_and_hour(since)[0], date_and_hour(until - HOUR_MS)[0]
    return select(
        cast(null(), BigInteger).label("hour_start"),
        m.date,
        m.hour,
        m.provider,
        m.message_type,
        m.total_sent,
        m.total_failed,
        m.total_pending,
        func.coalesce(m.avg_delivery_ms, 0) * m.total_sent,
        m.total_delivered,
        m.total_bounced,
        m.erased_sent,
        m.erased_failed,
        literal(0),
        m.erased_delivery_ms,
        m.erased_delivered,
        m.erased_bounced,
        m.rolled_at.is_not(None).label("rolled"),
    ).where(m.hour.is_not(None), m.date.between(first, last))


def _counts(ranges: Sequence[Range]) -> Select[Any]:
    """Count the notifications of the ranges.

    Each range is two branches of its own, with its bounds in them, that meet only in the grouping: so `idx_send_at`
    and `idx_status_created` serve. Neither serves a coalesce, nor a join with the ranges.
    """
    found = union_all(*(branch for each in ranges for branch in _branches(each))).subquery("found").c
    sent = found.status == "sent"
    hour_start = (found.at // HOUR_MS * HOUR_MS).label("hour_start")
    zero = literal(0, BigInteger)
    return select(
        hour_start,
        cast(null(), Date).label("date"),
        cast(null(), Integer).label("hour"),
        found.provider,
        found.message_type,
        *(zero.label(f"total_{name}") for name in (*COUNTED, "delivery", "delivered", "bounced")),
        total(sent).label("live_sent"),
        total(found.status == "failed").label("live_failed"),
        total(found.status == "pending").label("live_pending"),
        total(sent, found.sent_at - found.at).label("live_delivery"),
        total(arrived(found)).label("live_delivered"),
        total(came_back(found)).label("live_bounced"),
        false().label("rolled"),
    ).group_by(hour_start, found.provider, found.message_type)


def _branches(within: Range) -> tuple[Select[Any], Select[Any]]:
    since, until = within
    columns = (n.provider, n.message_type, n.status, n.sent_at, n.delivered_at, n.bounced_at)
    # Given a list of statuses here as well, SQLite would take the index on the status.
    timed = select(n.send_at.label("at"), *columns).where(
        n.send_at >= since, n.send_at < until, n.status != "cancelled"
    )
    at_once = select(n.created_at.label("at"), *columns).where(
        n.status.in_(COUNTED), n.created_at >= since, n.created_at < until, UNTIMED
    )
    return timed, at_once


def arrived(found: Any) -> ColumnElement[bool]:
    """Return whether these columns are of a notification that was delivered."""
    return and_(found.status == "sent", found.delivered_at.is_not(None))


def came_back(found: Any) -> ColumnElement[bool]:
    """Return whether these columns are of a notification that bounced."""
    return and_(found.status == "sent", found.bounced_at.is_not(None))


def total(condition: ColumnElement[bool], value: Any = 1) -> ColumnElement[int]:
    """Return the sum of `value` over the rows where `condition` holds; 0 of none."""
    return cast(func.coalesce(func.sum(case((condition, value), else_=0)), 0), BigInteger)
