"""Dead letters: looking at them, sending their notifications once more, resolving and reopening them.

An entry and its notification change together (`store.queue`): to retry deletes the entry and makes the notification
pending again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    String,
    cast,
    func,
    literal_column,
    select,
    update,
)

from notifyctl.core.cursor import Cursor
from notifyctl.core.deadletter import DeadLetter
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Category, Channel
from notifyctl.core.notification import Notification
from notifyctl.core.suppression import key
from notifyctl.store import lookups, suppressions
from notifyctl.store import notifications as notifications_of
from notifyctl.store.addresses import best_address
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.functions import octets
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import notification_dlq, notifications, users
from notifyctl.store.streams import RowStream, streamed

d = notification_dlq.c
n = notifications.c

_resolver = users.alias("resolver")


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; None narrows nothing. Times are those of the burial, `error` is a part of the last error."""

    resolved: bool | None = False
    reason: Category | None = None
    error: str | None = None
    channel: Channel | None = None
    provider: str | None = None
    user_id: str | None = None
    template_id: str | None = None
    batch_id: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class SuppressedAddress:
    """An address to which nothing is sent, and why."""

    user: str
    channel: str
    address: str
    reason: str


Target = tuple[str, Channel, str | None]
"""A user's id, a channel, and the address that the payload names itself; None where the user's own is taken."""


# Looking


def get(tx: Tx, notification_ids: Sequence[str]) -> dict[str, DeadLetter]:
    """Return the dead letters of these notifications, by notification id."""
    found = tx.execute(_select().where(tx.dialect.is_any(d.notification_id, notification_ids)))
    return {row.notification_id: DeadLetter(*row) for row in found}


def lock(tx: Tx, notification_ids: Sequence[str]) -> dict[str, DeadLetter]:
    """Return the dead letters of these notifications, by notification id, locked until the transaction ends.

    The notifications are locked before their entries, in which order a burial writes them.
    """
    locked = select(n.id).where(tx.dialect.is_any(n.id, notification_ids)).order_by(n.id)
    tx.execute(tx.dialect.lock_row(locked)).all()
    entries = select(d.id).where(tx.dialect.is_any(d.notification_id, notification_ids)).order_by(d.id)
    tx.execute(tx.dialect.lock_row(entries)).all()
    return get(tx, notification_ids)


def page(tx: Tx, wanted: DeadLetterFilter, after: Cursor | None, limit: int) -> list[DeadLetter]:
    """Return at most `limit` of those wanted after the cursor, the latest first; without payloads: some are large."""
    # The cursor comes before the conditions: SQLite begins at the first upper bound that it meets.
    listed = _select(literal_column("''"))
    statement = newest_first(listed, d.moved_to_dlq_at, d.id, after, limit).where(*conditions(wanted))
    return [DeadLetter(*row) for row in tx.execute(statement)]


def stream(tx: Tx, wanted: DeadLetterFilter) -> RowStream[tuple[DeadLetter, Notification]]:
    """Yield all of those wanted, the latest first, each with its notification."""
    ordered = select(n.id, octets(n.payload) * 2).join_from(notification_dlq, notifications, n.id == d.notification_id)
    ordered = ordered.where(*conditions(wanted)).order_by(d.moved_to_dlq_at.desc(), d.id.desc())
    return streamed(tx, ordered, partial(_with_notifications, tx))


def _with_notifications(tx: Tx, ids: Sequence[str]) -> Iterator[tuple[DeadLetter, Notification]]:
    letters, found = get(tx, ids), notifications_of.get(tx, ids)
    return ((letters[id_], found[id_]) for id_ in ids)


def count(tx: Tx, wanted: DeadLetterFilter) -> int:
    """Return how many match."""
    sources = (wanted.provider, wanted.user_id, wanted.template_id, wanted.batch_id)
    of_notification = (wanted.error, wanted.channel, *sources)
    joined = notification_dlq.join(notifications, n.id == d.notification_id)
    source = notification_dlq if all(each is None for each in of_notification) else joined
    return tx.execute(select(func.count()).select_from(source).where(*conditions(wanted))).scalar_one()


def conditions(wanted: DeadLetterFilter) -> list[ColumnElement[bool]]:
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
        n.template_id: wanted.template_id,
        n.batch_id: wanted.batch_id,
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


def notification_ids(tx: Tx, entry_ids: Iterable[str]) -> dict[str, str]:
    """Return the notifications of these entries, by the entry's id."""
    found = tx.execute(select(d.id, d.notification_id).where(tx.dialect.is_any(d.id, entry_ids)))
    return {row.id: row.notification_id for row in found}


def suppressed(tx: Tx, targets: Iterable[Target]) -> list[SuppressedAddress]:
    """Return the suppressed addresses among those that notifications to these targets go to, each once."""
    rows = sorted(((user_id, channel.value, address) for user_id, channel, address in targets), key=str)
    if not rows:
        return []
    asked = tx.dialect.rowset("asked", {"user_id": ID, "channel": String(20), "address": String(1024)}, rows)
    goes_to = func.coalesce(asked.c.address, best_address(asked.c.user_id, asked.c.channel, users.c.email))
    found = (
        select(users.c.username, asked.c.channel, goes_to.label("address"), users.c.id.label("user_id"))
        .join_from(asked, users, users.c.id == asked.c.user_id)
        .subquery("found")
    )
    f = found.c
    statement = select(f.username, f.channel, f.address, f.user_id).where(f.address.is_not(None)).distinct()
    found_at = tx.execute(statement).all()
    those = sorted({(row[0], row[1], lookups.shown(tx, row.user_id, row.channel, row.address)) for row in found_at})
    holding = suppressions.holding(tx, [key(Channel(channel), address) for _, channel, address in those])
    return [
        SuppressedAddress(name, channel, address, why.reason)
        for name, channel, address in those
        if (why := holding.get(key(Channel(channel), address))) is not None
    ]


# Acting


def resolve(tx: Tx, ids: Sequence[str], *, by: str, note: str | None) -> set[str]:
    """Mark these notifications' unresolved entries as resolved by the user `by`; return the notifications' ids."""
    return _set(tx, ids, ~d.resolved, resolved=True, resolved_at=tx.now, resolved_by=by, note=note)


def reopen(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Mark the resolved entries of these notifications as unresolved; return the notifications' ids."""
    return _set(tx, ids, d.resolved, resolved=False, resolved_at=None, resolved_by=None, note=None)


def _set(tx: Tx, ids: Sequence[str], only: ColumnElement[bool], **values: Any) -> set[str]:
    statement = update(notification_dlq).values(values).where(tx.dialect.is_any(d.notification_id, ids), only)
    return set(tx.execute(statement.returning(d.notification_id)).scalars())


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
            n.template_id,
            users.c.username,
            _resolver.c.username,
        )
        .join_from(notification_dlq, notifications, n.id == d.notification_id)
        .join(users, users.c.id == n.user_id)
        .outerjoin(_resolver, _resolver.c.id == d.resolved_by)
    )
