"""What a webhook was not told because it did not listen yet: found, and made into deliveries, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, case, func, insert, null, or_, select

from notifyctl.core.model import Status
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.webhook import recalled
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.recalled import Known, Moments
from notifyctl.core.webhook.telling import Tidings, body
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import (
    audit_logs,
    notification_dlq,
    notifications,
    users,
    webhook_deliveries,
)

n, d = notifications.c, webhook_deliveries.c


class Untold(NamedTuple):
    """An event that a webhook was not told, and the id that its delivery is to have."""

    id: str
    notification_id: str
    username: str
    event: WebhookEvent
    at: int


def find(tx: Tx, webhook: Webhook, since: int) -> Iterator[tuple[str, str, WebhookEvent, int]]:
    """Yield what a webhook would have been told since then, had it listened: notification, user, event, moment."""
    statement = select(n.id, users.c.username, *_moments()).join_from(notifications, users, users.c.id == n.user_id)
    statement = statement.where(_since(since))
    if not webhook.all_users:
        statement = statement.where(n.user_id == webhook.user_id)
    # The notifications first: what happens between the two statements is told by whoever lets it happen.
    rows = tx.execute(statement).all()
    told = {(row[0], row[1]) for row in tx.execute(_told().where(d.webhook_id == webhook.id))}
    for row in rows:
        for event, at in Moments(*row[2:]).events():
            if at >= since and webhook.hears(event) and (row[0], event.value) not in told:
                yield row[0], row[1], event, at


def make(tx: Tx, webhook: Webhook, wanted: Sequence[tuple[Untold, int]]) -> set[str]:
    """Write the deliveries of these, each with the moment at which it is due; return the ids of those that were made.

    What was told meanwhile, or did not happen after all, is none. The webhook must be locked.
    """
    about = {each.notification_id for each, _ in wanted}
    known = _known(tx, about)
    told = {(row[0], row[1]) for row in tx.execute(_told().where(d.webhook_id == webhook.id, _any(tx, about)))}
    rows = list[dict[str, Any]]()
    for each, due in wanted:
        found = known.get(each.notification_id)
        if found is None or (each.notification_id, each.event.value) in told:
            continue
        moments, tidings, more = found
        if each.event in dict(moments.events()):
            said = body(recalled.telling(each.event, more), recalled.as_it_was(each.event, tidings), each.at)
            rows.append(_row(tx.now, webhook.id, each, said, due))
    if rows:
        tx.execute(insert(webhook_deliveries), rows)
    return {row["id"] for row in rows}


def _row(now: int, webhook_id: str, each: Untold, said: str, due: int) -> dict[str, Any]:
    return {
        "id": each.id,
        "webhook_id": webhook_id,
        "notification_id": each.notification_id,
        "event_type": each.event.value,
        "payload": said,
        "attempt_count": 0,
        "created_at": now,
        "next_retry_at": due,
        "is_replay": True,
    }


def _known(tx: Tx, about: Iterable[str]) -> dict[str, tuple[Moments, Tidings, Known]]:
    """Return the notifications with these ids, which nobody deletes until the transaction ends."""
    columns = (*_moments(), *(n[name] for name in Tidings._fields), *_more())
    statement = select(*columns).where(tx.dialect.is_any(n.id, about)).order_by(n.id)
    found = tx.execute(tx.dialect.lock_key(statement, notifications))
    return {row.id: _of(row) for row in found}


def _of(row: Row[Any]) -> tuple[Moments, Tidings, Known]:
    first, second = len(Moments._fields), len(Moments._fields) + len(Tidings._fields)
    return Moments(*row[:first]), Tidings(*row[first:second]), Known(*row[second:])


def _moments() -> Sequence[ColumnElement[Any]]:
    a = audit_logs.c
    by_operator = func.coalesce(n.error_message, "") == BY_OPERATOR
    noted = select(func.max(a.created_at)).where(
        a.resource_type == "notification", a.resource_id == n.id, a.action == "cancel"
    )
    cancelled = n.status == Status.CANCELLED.value
    at = case((cancelled & by_operator, noted.scalar_subquery()), else_=null())
    plain = (n[name] for name in Moments._fields[:-2])
    return *plain, by_operator.label("by_operator"), at.label("cancelled_at")


def _more() -> Sequence[ColumnElement[Any]]:
    why = select(notification_dlq.c.failure_reason).where(notification_dlq.c.notification_id == n.id)
    return n.provider_message_id, n.error_message, n.receipt, why.scalar_subquery().label("reason")


def _since(since: int) -> ColumnElement[bool]:
    moments = (n.created_at, n.sent_at, n.failed_at, n.delivered_at, n.bounced_at)
    return or_(*(each >= since for each in moments), n.status == Status.CANCELLED.value)


def _told() -> Select[Any]:
    return select(d.notification_id, d.event_type)


def _any(tx: Tx, ids: Iterable[str]) -> ColumnElement[bool]:
    return tx.dialect.is_any(d.notification_id, ids)
