"""The notifications that a command on many would change: read in one statement, few columns, however many."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, case, func, select

from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Status
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import still
from notifyctl.store.schema.tables import notification_dlq, notifications, users

PAST = "past"
TO_COME = "to come"
PERHAPS_SENT = "perhaps sent"


@dataclass(frozen=True, slots=True)
class Pick:
    """One notification that the command would change. `reason` is a dead letter's, a moment, or its state."""

    id: str
    username: str
    channel: str
    provider: str
    reason: str
    at: int


def of_notifications(tx: Tx, conditions: Iterable[ColumnElement[bool]], state: ColumnElement[str]) -> list[Pick]:
    """Return the notifications that meet the conditions, oldest first."""
    n = notifications.c
    statement = (
        select(n.id, users.c.username, n.message_type, n.provider, state, n.created_at)
        .join_from(notifications, users, users.c.id == n.user_id)
        .where(*conditions)
        .order_by(n.created_at, n.id)
    )
    return [Pick(*row) for row in tx.execute(statement)]


def of_cancelled(tx: Tx, conditions: Iterable[ColumnElement[bool]], by: str, others: ColumnElement[str]) -> list[Pick]:
    """Return the notifications that meet the conditions, oldest first. The reason of those cancelled `by` is a moment.

    Of others it is what `others` says.
    """
    n = notifications.c
    by_them = and_(still(Status.CANCELLED), n.error_message == by)
    perhaps = func.coalesce(n.retry_history, "").contains('"outcome":"unknown"', autoescape=True)
    moment = case((~by_them, others), (perhaps, PERHAPS_SENT), (n.due_at <= tx.now, PAST), else_=TO_COME)
    return of_notifications(tx, conditions, moment)


def of_dead_letters(tx: Tx, conditions: Iterable[ColumnElement[bool]]) -> list[Pick]:
    """Return the notifications whose dead letters meet the conditions, the oldest dead letter first."""
    n, d = notifications.c, notification_dlq.c
    statement = (
        select(n.id, users.c.username, n.message_type, n.provider, d.failure_reason, d.moved_to_dlq_at)
        .join_from(notification_dlq, notifications, n.id == d.notification_id)
        .join(users, users.c.id == n.user_id)
        .where(*conditions)
        .order_by(d.moved_to_dlq_at, d.id)
    )
    return [Pick(*row) for row in tx.execute(statement)]
