"""What an act on many would touch: read in one statement, few columns, however many there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from notifyctl.store.tables import notification_dlq, notifications, users


@dataclass(frozen=True, slots=True)
class Pick:
    """One notification that an act would touch. `reason` is a dead letter's, or the state of another notification."""

    id: str
    username: str
    channel: str
    provider: str
    reason: str
    at: int


def of_notifications(
    conn: Connection, conditions: Iterable[ColumnElement[bool]], state: ColumnElement[str]
) -> list[Pick]:
    """Return the notifications that meet the conditions, oldest first."""
    n = notifications.c
    statement = (
        select(n.id, users.c.username, n.message_type, n.provider, state, n.created_at)
        .join_from(notifications, users, users.c.id == n.user_id)
        .where(*conditions)
        .order_by(n.created_at, n.id)
    )
    return [Pick(*row) for row in conn.execute(statement)]


def of_dead_letters(conn: Connection, conditions: Iterable[ColumnElement[bool]]) -> list[Pick]:
    """Return the notifications whose dead letters meet the conditions, the oldest dead letter first."""
    n, d = notifications.c, notification_dlq.c
    statement = (
        select(n.id, users.c.username, n.message_type, n.provider, d.failure_reason, d.moved_to_dlq_at)
        .join_from(notification_dlq, notifications, n.id == d.notification_id)
        .join(users, users.c.id == n.user_id)
        .where(*conditions)
        .order_by(d.moved_to_dlq_at, d.id)
    )
    return [Pick(*row) for row in conn.execute(statement)]
