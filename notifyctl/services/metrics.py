"""Metrics: what was sent, failed and is pending, grouped for people; and the roll-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from notifyctl.core import when
from notifyctl.core.errors import NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.when import Point
from notifyctl.store import hours, metrics, notifications, providers
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.hours import DAY_MS, HOUR_MS, Bucket
from notifyctl.store.hours import Ever as Ever
from notifyctl.store.metrics import RolledUp

_CHANNELS = [channel.value for channel in Channel]


class By(StrEnum):
    """What the numbers are grouped by."""

    PROVIDER = "provider"
    CHANNEL = "channel"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class MetricsQuery:
    """Which numbers; `last_ms` stands instead of `since` and `until`."""

    by: By = By.PROVIDER
    since: Point | None = None
    until: Point | None = None
    last_ms: int | None = None
    provider: str | None = None
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """One line. What it is not grouped by is None. Delivered and bounced are among those sent, as far as receipts say.

    `date` and `hour` are UTC, `start` is their first millisecond. `ok_percent` is sent of sent and failed,
    `avg_delivery_ms` the mean from the moment it was for until a provider took it. `per_hour` is what was sent in each
    hour of the report.
    """

    start: int | None
    date: str | None
    hour: int | None
    provider: str | None
    message_type: str | None
    total_sent: int
    total_failed: int
    total_pending: int
    ok_percent: float | None
    avg_delivery_ms: int | None
    per_hour: tuple[int, ...]
    total_delivered: int = 0
    total_bounced: int = 0


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """The lines and their sum, over whole hours from `since` to before `until`; `now` is when it was read (ms)."""

    since: int
    until: int
    now: int
    rows: list[Totals]
    total: Totals


@dataclass(frozen=True, slots=True)
class _Group:
    """What a bucket is put together with."""

    start: int | None = None
    hour: int | None = None
    provider: str | None = None
    message_type: str | None = None


def show(db: Database, query: MetricsQuery) -> MetricsReport:
    """Return the numbers as they are now. Raises NotFound for a provider that never was, UsageError for no window."""
    with db.read() as tx:
        now = tx.now
        since, until = window(query, now)
        found = hours.read(tx, since, until)
        if query.provider is not None:
            _require_provider(tx, query.provider, found)
    buckets = [bucket for bucket in found if _wanted(query, bucket)]
    first = min((bucket.hour_start for bucket in buckets), default=until)
    groups = _grouped(buckets, _GROUPS[query.by], _empty(query.by, first, min(until, now)))
    total = _totals(_Group(), buckets, since, until)
    rows = [_totals(group, groups[group], since, until) for group in sorted(groups, key=_order)]
    return MetricsReport(since, until, now, rows, total)


def ever(db: Database) -> list[Ever]:
    """Return what each provider did on each channel since the first day."""
    with db.read() as tx:
        return hours.ever(tx)


def rollup(db: Database, since: Point | None = None) -> RolledUp:
    """Count what has finished or changed since the last roll-up; from `since` on everything again."""
    with db.read() as tx:
        moment = when.at(since, tx.now)
    return metrics.rollup(db, moment)


def _require_provider(tx: Tx, name: str, found: list[Bucket]) -> None:
    """Raise NotFound unless the provider is configured, or was when a notification went to it."""
    if any(bucket.provider == name for bucket in found) or providers.get(tx, name) is not None:
        return
    if not notifications.any_of_provider(tx, name):
        raise NotFound(f"there is no provider {name!r}", "notifyctl providers list")


def window(query: MetricsQuery, now: int) -> tuple[int, int]:
    """Return from when to before when the hours are counted. Raises UsageError for none."""
    if query.last_ms is not None and (query.since is not None or query.until is not None):
        raise UsageError("--last stands instead of --since and --until")
    unit = DAY_MS if query.by is By.DAY else HOUR_MS
    until_at = when.at(query.until, now)
    until = _ceiling(now + 1 if until_at is None else until_at, HOUR_MS)
    since_at = when.at(query.since, now)
    if since_at is None:
        last = query.last_ms or (7 * DAY_MS if query.by is By.DAY else DAY_MS)
        since_at = _ceiling(until, unit) - _ceiling(last, unit)
    since = max(0, since_at // unit * unit)
    if since >= until:
        raise UsageError("--since is not before --until")
    return since, until


def _ceiling(moment: int, unit: int) -> int:
    return -(-moment // unit) * unit


def _wanted(query: MetricsQuery, bucket: Bucket) -> bool:
    return (
        (query.provider is None or bucket.provider == query.provider)
        and (query.channel is None or bucket.message_type == query.channel.value)
        and bool(bucket.sent or bucket.failed or bucket.pending)
    )


def _hour_group(hour_start: int) -> _Group:
    return _Group(start=hour_start, hour=hours.date_and_hour(hour_start)[1])


_GROUPS: dict[By, Callable[[Bucket], _Group]] = {
    By.PROVIDER: lambda bucket: _Group(provider=bucket.provider, message_type=bucket.message_type),
    By.CHANNEL: lambda bucket: _Group(message_type=bucket.message_type),
    By.HOUR: lambda bucket: _hour_group(bucket.hour_start),
    By.DAY: lambda bucket: _Group(start=bucket.hour_start // DAY_MS * DAY_MS),
}


def _empty(by: By, first: int, until: int) -> Iterable[_Group]:
    """Return the hours or days that are shown even without numbers: those between the first and the last ones."""
    if by is By.HOUR:
        return (_hour_group(start) for start in range(first, until, HOUR_MS))
    if by is By.DAY:
        return (_Group(start=start) for start in range(first // DAY_MS * DAY_MS, until, DAY_MS))
    return ()


def _grouped(
    buckets: Iterable[Bucket], group_of: Callable[[Bucket], _Group], empty: Iterable[_Group]
) -> dict[_Group, list[Bucket]]:
    groups: dict[_Group, list[Bucket]] = defaultdict(list)
    for group in empty:
        groups[group] = []
    for bucket in buckets:
        groups[group_of(bucket)].append(bucket)
    return groups


def _order(group: _Group) -> tuple[int, int, str]:
    channel = _CHANNELS.index(group.message_type) if group.message_type in _CHANNELS else -1
    return group.start or 0, channel, group.provider or ""


def _totals(group: _Group, buckets: Sequence[Bucket], since: int, until: int) -> Totals:
    sent, failed = sum(each.sent for each in buckets), sum(each.failed for each in buckets)
    return Totals(
        start=group.start,
        date=None if group.start is None else hours.date_and_hour(group.start)[0].isoformat(),
        hour=group.hour,
        provider=group.provider,
        message_type=group.message_type,
        total_sent=sent,
        total_failed=failed,
        total_pending=sum(each.pending for each in buckets),
        ok_percent=round(100 * sent / (sent + failed), 1) if sent + failed else None,
        avg_delivery_ms=hours.average(sum(each.delivery_ms for each in buckets), sent),
        per_hour=_series(buckets, since, until) if group.start is None else (),
        total_delivered=sum(each.delivered for each in buckets),
        total_bounced=sum(each.bounced for each in buckets),
    )


def _series(buckets: Iterable[Bucket], since: int, until: int) -> tuple[int, ...]:
    series = [0] * ((until - since) // HOUR_MS)
    for bucket in buckets:
        series[(bucket.hour_start - since) // HOUR_MS] += bucket.sent
    return tuple(series)
