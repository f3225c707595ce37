"""Dead letters: looking at them, sending their notifications once more, resolving and reopening them.

An entry and its notification change together: `retry` deletes the entry and makes the notification pending again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Text,
    cast,
    delete,
    func,
    literal_column,
    null,
    select,
    update,
)

from notifyctl.core import history
from notifyctl.core.model import Category, Channel, Status
from notifyctl.store import hints
from notifyctl.store.addresses import best_address
from notifyctl.store.dialect import ID, Dialect
from notifyctl.store.page import Cursor, newest_first
from notifyctl.store.states import still
from notifyctl.store.tables import notification_dlq, notifications, suppressions, users

d = notification_dlq.c
n = notifications.c

_resolver = users.alias("resolver")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry with what one wants to know of its notification. Times are milliseconds since the epoch.

    `history` is the notification's own; `username` is its user's, `resolver` that of who resolved it.
    """

    id: str
    notification_id: str
    failure_reason: str
    retry_history: str | None
    moved_to_dlq_at: int
    resolved: bool
    resolved_at: int | None
    resolved_by: str | None
    note: str | None
    user_id: str
    message_type: str
    provider: str
    payload: str
    attempt_count: int
    max_retries: int
    error_message: str | None
    created_at: int
    send_at: int | None
    expires_at: int | None
    history: str | None
    username: str
    resolver: str | None

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics its notification belongs."""
        return self.created_at if self.send_at is None else self.send_at


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters; None narrows nothing. Times are those of the burial, `error` is a part of the last error."""

    resolved: bool | None = False
    reason: Category | None = None
    error: str | None = None
    channel: Channel | None = None
    provider: str | None = None
    user_id: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Revival:
    """A dead letter to send once more: due at `due_at`, with `retries` attempts after the next."""

    letter: DeadLetter
    due_at: int
    retries: int


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address to which nothing is sent, and why."""

    user: str
    channel: str
    address: str
    reason: str


Target = tuple[str, Channel, str | None]
"""A user's id, a channel, and the address that the payload names itself; None where the user's own is taken."""


# Looking


def get(conn: Connection, dialect: Dialect, notification_ids: Sequence[str]) -> dict[str, DeadLetter]:
    """Return the dead letters of these notifications, by notification id."""
    found = conn.execute(_select().where(dialect.is_any(d.notification_id, notification_ids)))
    return {row.notification_id: DeadLetter(*row) for row in found}


def lock(conn: Connection, dialect: Dialect, notification_ids: Sequence[str]) -> dict[str, DeadLetter]:
    """Return the dead letters of these notifications, by notification id, locked until the transaction ends.

    The notifications are locked before their entries, in which order a burial writes them.
    """
    locked = select(n.id).where(dialect.is_any(n.id, notification_ids)).order_by(n.id)
    conn.execute(dialect.lock_row(locked)).all()
    entries = select(d.id).where(dialect.is_any(d.notification_id, notification_ids)).order_by(d.id)
    conn.execute(dialect.lock_row(entries)).all()
    return get(conn, dialect, notification_ids)


def page(conn: Connection, wanted: Filter, after: Cursor | None, limit: int) -> list[DeadLetter]:
    """Return at most `limit` of those wanted after the cursor, the latest first; without payloads: some are large."""
    # The cursor comes before the conditions: SQLite begins at the first upper bound that it meets.
    listed = _select(literal_column("''"))
    statement = newest_first(listed, d.moved_to_dlq_at, d.id, after, limit).where(*conditions(wanted))
    return [DeadLetter(*row) for row in conn.execute(statement)]


def count(conn: Connection, wanted: Filter) -> int:
    """Return how many match."""
    of_notification = (wanted.error, wanted.channel, wanted.provider, wanted.user_id)
    joined = notification_dlq.join(notifications, n.id == d.notification_id)
    source = notification_dlq if all(each is None for each in of_notification) else joined
    return conn.execute(select(func.count()).select_from(source).where(*conditions(wanted))).scalar_one()


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the filter as conditions on `notification_dlq` and its notification.

    The casts are for SQLite, so that it walks the entries in their order: it would find and sort all that are resolved
    or not, or begin with all notifications of a channel or provider.
    """
    found: list[ColumnElement[bool]] = []
    if wanted.resolved is not None:
        resolved = cast(d.resolved, Boolean)
        found.append(resolved if wanted.resolved else ~resolved)
    equal = {
        d.failure_reason: wanted.reason.value if wanted.reason else None,
        cast(n.message_type, String(20)): wanted.channel.value if wanted.channel else None,
        cast(n.provider, String(20)): wanted.provider,
        n.user_id: wanted.user_id,
    }
    found += [column == value for column, value in equal.items() if value is not None]
    if wanted.error is not None:
        text = wanted.error.casefold()
        found.append(func.lower(func.coalesce(n.error_message, "")).contains(text, autoescape=True))
    if wanted.since is not None:
        found.append(d.moved_to_dlq_at >= wanted.since)
    if wanted.until is not None:
        found.append(d.moved_to_dlq_at < wanted.until)
    return found


def notification_ids(conn: Connection, dialect: Dialect, entry_ids: Iterable[str]) -> dict[str, str]:
    """Return the notifications of these entries, by the entry's id."""
    found = conn.execute(select(d.id, d.notification_id).where(dialect.is_any(d.id, entry_ids)))
    return {row.id: row.notification_id for row in found}


def suppressed(conn: Connection, dialect: Dialect, targets: Iterable[Target]) -> list[Suppressed]:
    """Return the suppressed addresses among those that notifications to these targets go to, each once."""
    rows = sorted(((user_id, channel.value, address) for user_id, channel, address in targets), key=str)
    if not rows:
        return []
    asked = dialect.rowset("asked", {"user_id": ID, "channel": String(20), "address": String(1024)}, rows)
    goes_to = func.coalesce(asked.c.address, best_address(asked.c.user_id, asked.c.channel, users.c.email))
    found = (
        select(users.c.username, asked.c.channel, goes_to.label("address"))
        .join_from(asked, users, users.c.id == asked.c.user_id)
        .subquery("found")
    )
    f = found.c
    same = (suppressions.c.channel == f.channel) & (suppressions.c.address == f.address)
    statement = select(f.username, f.channel, f.address, suppressions.c.reason).join_from(found, suppressions, same)
    return [Suppressed(*row) for row in conn.execute(statement.distinct().order_by(f.username, f.channel, f.address))]


# Acting


def revive(conn: Connection, dialect: Dialect, revivals: Sequence[Revival], now: int) -> set[str]:
    """Make the notifications pending again and delete their entries; return the notifications' ids.

    The count of attempts stays, and each dead letter becomes an event in its notification's history.
    """
    rows = [(each.letter.notification_id, each.due_at, each.retries, _history(each.letter, now)) for each in revivals]
    if not rows:
        return set()
    v = dialect.rowset("v", {"id": ID, "due_at": BigInteger(), "retries": Integer(), "history": Text()}, rows)
    revived = set(
        conn.execute(
            update(notifications)
            .values(
                status=Status.PENDING.value,
                due_at=v.c.due_at,
                max_retries=n.attempt_count + v.c.retries,
                retry_history=v.c.history,
                failed_at=null(),
                error_message=null(),
                lease_id=null(),
                leased_by=null(),
                leased_until=null(),
            )
            .where(n.id == v.c.id, still(Status.FAILED))
            .returning(n.id)
        ).scalars()
    )
    conn.execute(delete(notification_dlq).where(dialect.is_any(d.notification_id, sorted(revived))))
    due = (each.letter for each in revivals if each.due_at <= now)
    hints.give(conn, dialect, (letter.provider for letter in due if letter.notification_id in revived))
    return revived


def resolve(conn: Connection, dialect: Dialect, ids: Sequence[str], *, by: str, note: str | None, now: int) -> set[str]:
    """Mark these notifications' unresolved entries as resolved by the user `by`; return the notifications' ids."""
    return _set(conn, dialect, ids, ~d.resolved, resolved=True, resolved_at=now, resolved_by=by, note=note)


def reopen(conn: Connection, dialect: Dialect, ids: Sequence[str]) -> set[str]:
    """Mark the resolved entries of these notifications as unresolved; return the notifications' ids."""
    return _set(conn, dialect, ids, d.resolved, resolved=False, resolved_at=None, resolved_by=None, note=None)


def _set(conn: Connection, dialect: Dialect, ids: Sequence[str], only: ColumnElement[bool], **values: Any) -> set[str]:
    statement = update(notification_dlq).values(values).where(dialect.is_any(d.notification_id, ids), only)
    return set(conn.execute(statement.returning(d.notification_id)).scalars())


def _history(letter: DeadLetter, now: int) -> str:
    event = {
        "event": "dead_letter",
        "reason": letter.failure_reason,
        "message": letter.error_message,
        "moved_to_dlq_at": letter.moved_to_dlq_at,
        "retried_at": now,
    }
    return history.append(letter.history or letter.retry_history, event)


def _select(payload: ColumnElement[str] = n.payload) -> Select[Any]:
    return (
        select(
            d.id,
            d.notification_id,
            d.failure_reason,
            d.retry_history,
            d.moved_to_dlq_at,
            d.resolved,
            d.resolved_at,
            d.resolved_by,
            d.note,
            n.user_id,
            n.message_type,
            n.provider,
            payload,
            n.attempt_count,
            n.max_retries,
            n.error_message,
            n.created_at,
            n.send_at,
            n.expires_at,
            n.retry_history,
            users.c.username,
            _resolver.c.username,
        )
        .join_from(notification_dlq, notifications, n.id == d.notification_id)
        .join(users, users.c.id == n.user_id)
        .outerjoin(_resolver, _resolver.c.id == d.resolved_by)
    )
