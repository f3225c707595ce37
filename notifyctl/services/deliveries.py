"""What webhooks were told: looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields

from notifyctl.core import when
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.event import EVERYTHING, subscription
from notifyctl.core.webhook.standing import DeliveryStanding
from notifyctl.core.webhook.target import host_of
from notifyctl.core.when import Point
from notifyctl.store import delivery_lists as store
from notifyctl.store import ids, users, webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.delivery_lists import DeliveryFilter, DeliveryRow
from notifyctl.store.schema.tables import notifications, webhook_deliveries

WHAT = "delivery"
LATEST = 10
WINDOW_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries, as a person says it: webhook and user by name or id, times perhaps as "so long ago"."""

    webhook: str | None = None
    user: str | None = None
    event: str | None = None
    state: DeliveryStanding | None = None
    notification: str | None = None
    since: Point | None = None
    until: Point | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A delivery as it is shown: its fields are as in `DeliveryRow`, and of the URL the host."""

    id: str
    webhook_id: str
    webhook: str
    host: str
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
    attempts: str | None = field(repr=False)
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HookFigures:
    """How a webhook fares: of what was written in the last 24 hours, and what is to be tried.

    `success` is how many of a hundred arrived of those that came to an end, `latency_ms` the mean from the event to
    its arrival.
    """

    delivered_24h: int
    given_up_24h: int
    success: float | None
    latency_ms: int | None
    waiting: int
    next_retry_at: int | None


def ask(db: Database, query: DeliveryQuery) -> DeliveryFilter:
    """Return the query made ready. Raises NotFound for what is named and is not there, UsageError."""
    with db.read() as tx:
        return filter_of(tx, query)


def filter_of(tx: Tx, query: DeliveryQuery) -> DeliveryFilter:
    """Return what a query means. Raises NotFound, UsageError."""
    event = None if query.event is None else subscription([query.event])[0]
    about = query.notification
    return DeliveryFilter(
        webhook_id=None if query.webhook is None else webhooks.find(tx, query.webhook).webhook.id,
        user_id=None if query.user is None else users.find(tx, query.user).id,
        event=None if event == EVERYTHING else event,
        state=query.state,
        notification_id=None if about is None else ids.resolve(tx, notifications, about, "notification"),
        since=when.at(query.since, tx.now),
        until=when.at(query.until, tx.now),
        failed=query.failed,
    )


def page(db: Database, wanted: DeliveryFilter, after: Cursor | None, limit: int) -> list[DeliveryReport]:
    """Return at most `limit` deliveries after the cursor, newest first."""
    with db.read() as tx:
        return [_shown(row) for row in store.page(tx, wanted, after, limit)]


def count(db: Database, wanted: DeliveryFilter) -> int:
    """Return how many match."""
    with db.read() as tx:
        return store.count(tx, wanted)


def show(db: Database, texts: Sequence[str]) -> list[DeliveryReport]:
    """Return the deliveries that ids, or their beginnings, mean, in that order. Raises NotFound, UsageError."""
    known = resolve(db, texts)
    if missing := next((error for error in known.values() if isinstance(error, NotifyctlError)), None):
        raise missing
    wanted = dict.fromkeys(str(id_) for id_ in known.values())
    with db.read() as tx:
        found = store.get(tx, wanted)
    return [_shown(found[id_]) for id_ in wanted if id_ in found]


def resolve(db: Database, texts: Sequence[str]) -> dict[str, str | NotifyctlError]:
    """Return for each text the id that it means, or why it means none."""
    with db.read() as tx:
        return ids.resolve_many(tx, webhook_deliveries, texts, WHAT)


def figures(db: Database, webhook_id: str) -> HookFigures:
    """Return how a webhook fares."""
    with db.read() as tx:
        found = store.figures(tx, webhook_id, tx.now - WINDOW_MS)
    ended = found.delivered + found.given_up
    success = round(100 * found.delivered / ended, 1) if ended else None
    return HookFigures(found.delivered, found.given_up, success, found.latency_ms, found.waiting, found.next_retry_at)


def latest(db: Database, webhook_id: str) -> list[DeliveryReport]:
    """Return a webhook's latest deliveries, newest first."""
    return page(db, DeliveryFilter(webhook_id=webhook_id), None, LATEST)


def _shown(row: DeliveryRow) -> DeliveryReport:
    own = {name: getattr(row, name) for name in _OWN}
    return DeliveryReport(webhook=f"{row.owner}/{row.webhook}", host=host_of(row.url), **own)


_OWN = tuple(each.name for each in fields(DeliveryReport) if each.name not in ("webhook", "host"))
