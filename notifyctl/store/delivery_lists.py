"""Deliveries to webhooks, as people ask for them.

Their ids sort by when they were written, so that the newest are found by the ids alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, case, func, literal, or_, select

from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.timeordered import earliest_id
from notifyctl.core.webhook.attempt import DISABLED, GIVEN_UP
from notifyctl.core.webhook.event import PREFIX
from notifyctl.core.webhook.standing import DeliveryStanding
from notifyctl.core.webhook.target import host_of
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notification_webhooks, notifications, users, webhook_deliveries
from notifyctl.store.selections import Pick

d, w, n = webhook_deliveries.c, notification_webhooks.c, notifications.c

_owner = users.alias("owner")


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery. `webhook` and `owner` are the names of its webhook and that one's user, `username` is whom the
    notification was for. Times are milliseconds since the epoch."""

    id: str
    webhook_id: str
    webhook: str
    owner: str
    url: str
    notification_id: str
    username: str
    event_type: str
    state: str
    attempt_count: int
    response_status: int | None
    response_body: str | None
    delivered: bool
    delivered_at: int | None
    next_retry_at: int | None
    ended: str | None
    is_replay: bool
    created_at: int
    attempts: str | None
    payload: str


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; None and False narrow nothing. `failed`: those that did not arrive, and are not on their way
    for the first time. `enabled`: of webhooks that are told something. Times are those at which they were written."""

    webhook_id: str | None = None
    user_id: str | None = None
    event: str | None = None
    state: DeliveryStanding | None = None
    notification_id: str | None = None
    since: int | None = None
    until: int | None = None
    failed: bool = False
    enabled: bool = False


class Figures(NamedTuple):
    """What became of a webhook's deliveries since a moment, and what waits at all."""

    delivered: int
    given_up: int
    latency_ms: int | None
    waiting: int
    next_retry_at: int | None


def page(tx: Tx, wanted: DeliveryFilter, after: Cursor | None, limit: int) -> list[DeliveryRow]:
    """Return at most `limit` of those wanted after the cursor, newest first."""
    # The ids first, of one table, so that nothing is sorted whatever is joined.
    statement = select(d.id).where(*conditions(wanted, tx.now))
    if after is not None:
        statement = statement.where(d.id < literal(after.id, ID))
    ids = list(tx.execute(statement.order_by(d.id.desc()).limit(limit)).scalars())
    found = get(tx, ids)
    return [found[id_] for id_ in ids if id_ in found]


def count(tx: Tx, wanted: DeliveryFilter) -> int:
    """Return how many match."""
    counted = select(func.count()).select_from(webhook_deliveries)
    return tx.execute(counted.where(*conditions(wanted, tx.now))).scalar_one()


def get(tx: Tx, ids: Iterable[str]) -> dict[str, DeliveryRow]:
    """Return the deliveries with these ids, by id."""
    rows = tx.execute(_select(tx.now).where(tx.dialect.is_any(d.id, ids)))
    return {row.id: DeliveryRow(*row) for row in rows}


def about(tx: Tx, notification_ids: Iterable[str]) -> list[DeliveryRow]:
    """Return all deliveries about these notifications, in the order in which they were written."""
    mine = tx.dialect.is_any(d.notification_id, notification_ids)
    return [DeliveryRow(*row) for row in tx.execute(_select(tx.now).where(mine).order_by(d.created_at, d.id))]


def picks(tx: Tx, wanted: DeliveryFilter) -> list[Pick]:
    """Return those wanted as they are shown before an act on them, oldest first."""
    return _picked(tx, conditions(wanted, tx.now))


def picks_of(tx: Tx, ids: Iterable[str]) -> list[Pick]:
    """Return the deliveries with these ids as they are shown before an act on them."""
    return _picked(tx, [tx.dialect.is_any(d.id, ids)])


def _picked(tx: Tx, wanted: list[ColumnElement[bool]]) -> list[Pick]:
    """Return them by receiver (the host), event and standing."""
    columns = (d.id, users.c.username, w.url, d.event_type, standing(tx.now), d.created_at)
    source = webhook_deliveries.join(notifications, n.id == d.notification_id)
    source = source.join(notification_webhooks, w.id == d.webhook_id)
    found = select(*columns).select_from(source).join(users, users.c.id == n.user_id).where(*wanted)
    rows = tx.execute(found.order_by(d.created_at, d.id))
    return [Pick(row[0], row[1], host_of(row[2]), row[3].removeprefix(PREFIX), *row[4:]) for row in rows]


def conditions(wanted: DeliveryFilter, now: int) -> list[ColumnElement[bool]]:
    """Return the filter as conditions on `webhook_deliveries`."""
    equal = {
        d.webhook_id: wanted.webhook_id,
        d.event_type: wanted.event,
        d.notification_id: wanted.notification_id,
    }
    found: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if wanted.user_id is not None:
        found.append(d.notification_id.in_(select(n.id).where(n.user_id == wanted.user_id)))
    if wanted.state is not None:
        found.append(standing(now) == wanted.state.value)
    if wanted.failed:
        found += [~d.delivered, or_(d.next_retry_at.is_(None), d.attempt_count > 0)]
    if wanted.enabled:
        found.append(d.webhook_id.in_(select(w.id).where(w.is_active)))
    if wanted.since is not None:
        found += [d.id >= literal(earliest_id(wanted.since), ID), d.created_at >= wanted.since]
    if wanted.until is not None:
        found.append(d.created_at < wanted.until)
    return found


def standing(now: int) -> ColumnElement[str]:
    """Return the column that says where a delivery stands."""
    flies = d.lease_id.is_not(None) & (d.next_retry_at > now)
    ended = {GIVEN_UP: DeliveryStanding.GIVEN_UP, DISABLED: DeliveryStanding.DISABLED}
    return case(
        (d.delivered, literal(DeliveryStanding.DELIVERED.value, String)),
        *((d.ended == why, literal(each.value, String)) for why, each in ended.items()),
        (flies, literal(DeliveryStanding.IN_FLIGHT.value, String)),
        (d.attempt_count > 0, literal(DeliveryStanding.RETRYING.value, String)),
        else_=literal(DeliveryStanding.WAITING.value, String),
    )


def figures(tx: Tx, webhook_id: str, since: int) -> Figures:
    """Return what became of a webhook's deliveries that were written since then, and what of all is to be tried."""
    mine = d.webhook_id == webhook_id
    recent = select(
        func.count(case((d.delivered, 1))),
        func.count(case((d.ended == GIVEN_UP, 1))),
        func.avg(case((d.delivered & ~d.is_replay, d.delivered_at - d.created_at))),  # one sent again was not slow
    ).where(mine, *conditions(DeliveryFilter(since=since), tx.now))
    to_try = select(func.count(), func.min(d.next_retry_at)).where(mine, d.next_retry_at.is_not(None))
    delivered, given_up, latency = tx.execute(recent).one()
    waiting, next_at = tx.execute(to_try).one()
    return Figures(delivered, given_up, None if latency is None else round(latency), waiting, next_at)


def _select(now: int) -> Select[Any]:
    return (
        select(
            d.id,
            d.webhook_id,
            w.name,
            _owner.c.username,
            w.url,
            d.notification_id,
            users.c.username,
            d.event_type,
            standing(now),
            d.attempt_count,
            d.response_status,
            d.response_body,
            d.delivered,
            d.delivered_at,
            d.next_retry_at,
            d.ended,
            d.is_replay,
            d.created_at,
            d.attempts,
            d.payload,
        )
        .select_from(webhook_deliveries)
        .join(notifications, n.id == d.notification_id)
        .join(notification_webhooks, w.id == d.webhook_id)
        .join(_owner, _owner.c.id == w.user_id)
        .join(users, users.c.id == n.user_id)
    )
