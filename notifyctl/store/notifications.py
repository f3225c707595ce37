"""Notifications: submitting, finding, and what an operator does to pending ones.

Cancelling and rescheduling are compare-and-set: they hold only while no lease is running, and they take a lease that
has ended away from whoever held it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)

from notifyctl.core import history
from notifyctl.core.content import ADDRESS_FIELD
from notifyctl.core.decide import Attempt, entry_of
from notifyctl.core.model import Channel, Status
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store import hints
from notifyctl.store.dialect import ID, Dialect
from notifyctl.store.page import Cursor, newest_first
from notifyctl.store.states import PENDING, State, predicates, state_expression, still, stuck
from notifyctl.store.tables import contact_points, notifications, users

n = notifications.c


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification: its row, its user's name, and what it is doing (`state`: a `State`, else the status).

    Times are milliseconds since the epoch; `payload` and `retry_history` are JSON. Nothing is due that has ended.
    """

    id: str
    user_id: str
    idempotency_key: str
    message_type: str
    provider: str
    status: str
    payload: str
    attempt_count: int
    max_retries: int
    created_at: int
    last_attempted: int | None
    send_at: int | None
    failed_at: int | None
    sent_at: int | None
    error_message: str | None
    provider_response: str | None
    due_at: int | None
    lease_id: str | None
    leased_by: str | None
    leased_until: int | None
    is_critical: bool
    expires_at: int | None
    content_hash: str
    resent_from: str | None
    provider_message_id: str | None
    retry_history: str | None
    fails_over: bool
    delivered_at: int | None
    bounced_at: int | None
    receipt: str | None
    receipt_due_at: int | None
    username: str
    state: str

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics it belongs."""
        return self.created_at if self.send_at is None else self.send_at


@dataclass(frozen=True, slots=True)
class New:
    """A notification to insert; it starts `pending`."""

    id: str
    user_id: str
    idempotency_key: str
    message_type: str
    provider: str
    payload: str
    max_retries: int
    created_at: int
    send_at: int | None
    due_at: int
    expires_at: int | None
    content_hash: str
    resent_from: str | None = None
    fails_over: bool = True


@dataclass(frozen=True, slots=True)
class Filter:
    """Which notifications. Times are milliseconds since the epoch; None narrows nothing.

    `stuck_ms`: pending for longer than that. `address` is the one in the payload, or a contact point of the user's
    where the payload names none.
    """

    status: Status | None = None
    state: State | None = None
    channel: Channel | None = None
    provider: str | None = None
    user_id: str | None = None
    address: str | None = None
    provider_message_id: str | None = None
    since: int | None = None
    until: int | None = None
    stuck_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What decides whether an operator's act is allowed, read with the row locked."""

    id: str
    status: str
    lease_id: str | None
    leased_until: int | None
    due_at: int
    created_at: int
    send_at: int | None
    expires_at: int | None
    attempt_count: int
    max_retries: int
    last_attempted: int | None
    provider: str
    retry_history: str | None

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics it belongs."""
        return self.created_at if self.send_at is None else self.send_at

    def lease_running(self, now: int) -> bool:
        """Return whether somebody works on it."""
        return self.leased_until is not None and self.leased_until > now

    def history_without_lease(self, now: int) -> str | None:
        """Return the history after the lease, if there is one, is taken away: its attempt's outcome stays unknown."""
        if self.lease_id is None:
            return self.retry_history
        attempt = Attempt(
            number=self.attempt_count,
            max_retries=self.max_retries,
            provider=self.provider,
            began_at=self.last_attempted or self.due_at,
            ended_at=now,
        )
        outcome = Outcome(Kind.UNKNOWN, "the dispatcher was lost in the call; an operator took it over")
        return history.append(self.retry_history, entry_of(attempt, outcome, None))


# Submitting


def insert(conn: Connection, dialect: Dialect, rows: Sequence[New]) -> set[str]:
    """Insert those whose idempotency key is new and return their ids; the others change nothing.

    Waits for another transaction that inserts the same key until that one has ended.
    """
    if not rows:
        return set()
    # In the order of the key, so that two that insert the same keys wait for each other one way only.
    ordered = sorted((asdict(row) for row in rows), key=lambda row: row["idempotency_key"])
    statement = dialect.insert(notifications).on_conflict_do_nothing(index_elements=[n.idempotency_key])
    inserted = set(conn.execute(statement.returning(n.id), ordered).scalars())
    hints.give(conn, dialect, (row.provider for row in rows if row.id in inserted and row.due_at <= row.created_at))
    return inserted


def ids_by_key(conn: Connection, dialect: Dialect, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return id and content hash of the notifications with these stored idempotency keys, by key."""
    v = dialect.rowset("v", {"key": String(64)}, [(key,) for key in keys])
    found = conn.execute(select(n.idempotency_key, n.id, n.content_hash).where(n.idempotency_key == v.c.key))
    return {row.idempotency_key: (row.id, row.content_hash) for row in found}


# Finding


def get(conn: Connection, dialect: Dialect, ids: Sequence[str], now: int) -> dict[str, Notification]:
    """Return the notifications with these ids, by id; those that do not exist are left out."""
    found = conn.execute(_select(now).where(dialect.is_any(n.id, ids)))
    return {row.id: Notification(*row) for row in found}


def page(conn: Connection, wanted: Filter, now: int, after: Cursor | None, limit: int) -> list[Notification]:
    """Return at most `limit` of those wanted after the cursor, newest first; without payloads, which may be large."""
    # The cursor comes before the conditions: SQLite begins at the first upper bound that it meets.
    listed = _select(now, _LISTED)
    statement = newest_first(listed, _created_at(wanted), n.id, after, limit).where(*conditions(wanted, now))
    if not _is_in_order(wanted):
        statement = _newest_of_each_status(statement, limit)
    return [Notification(*row) for row in conn.execute(statement)]


def count(conn: Connection, wanted: Filter, now: int) -> int:
    """Return how many match."""
    return conn.execute(select(func.count()).select_from(notifications).where(*conditions(wanted, now))).scalar_one()


def any_of_provider(conn: Connection, provider: str) -> bool:
    """Return whether a notification of this provider exists."""
    return bool(conn.execute(select(exists().where(n.provider == provider))).scalar())


def conditions(wanted: Filter, now: int) -> list[ColumnElement[bool]]:
    """Return the filter as conditions on `notifications`."""
    found: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        # A literal finds the partial index of what is pending.
        found.append(PENDING if wanted.status is Status.PENDING else n.status == wanted.status.value)
    if wanted.state is not None:
        found.append(predicates(now)[wanted.state])
    equal = {
        n.message_type: wanted.channel.value if wanted.channel else None,
        n.provider: wanted.provider,
        n.user_id: wanted.user_id,
        n.provider_message_id: wanted.provider_message_id,
    }
    found += [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        found.append(_created_at(wanted) >= wanted.since)
    if wanted.until is not None:
        found.append(_created_at(wanted) < wanted.until)
    if wanted.stuck_ms is not None:
        found.append(stuck(now, wanted.stuck_ms))
    if wanted.address is not None:
        found.append(_goes_to(wanted.address))
    return found


# What an operator does


def lock(conn: Connection, dialect: Dialect, ids: Sequence[str]) -> dict[str, Held]:
    """Return those that exist, by id, locked until the transaction ends."""
    columns = [n[field.name] for field in fields(Held)]
    statement = select(*columns).where(dialect.is_any(n.id, ids)).order_by(n.id)
    return {row.id: Held(*row) for row in conn.execute(dialect.lock_row(statement))}


def cancel(conn: Connection, dialect: Dialect, rows: Sequence[Held], reason: str, now: int) -> set[str]:
    """Set `cancelled` with the reason; return the ids that still were as `rows` say."""
    return _take(conn, dialect, rows, now, status=Status.CANCELLED.value, error_message=reason)


def reschedule(conn: Connection, dialect: Dialect, rows: Sequence[Held], send_at: int, now: int) -> set[str]:
    """Move the time to send to `send_at`; return the ids that still were as `rows` say."""
    moved = _take(conn, dialect, rows, now, send_at=send_at, due_at=send_at)
    if send_at <= now:
        hints.give(conn, dialect, (row.provider for row in rows if row.id in moved))
    return moved


def _take(conn: Connection, dialect: Dialect, rows: Sequence[Held], now: int, **values: Any) -> set[str]:
    if not rows:
        return set()
    known = [(row.id, row.lease_id, row.due_at, row.history_without_lease(now)) for row in rows]
    v = dialect.rowset("v", {"id": ID, "lease_id": ID, "due_at": BigInteger(), "history": Text()}, known)
    unchanged = and_(still(Status.PENDING), n.lease_id.is_not_distinct_from(v.c.lease_id), n.due_at == v.c.due_at)
    statement = (
        update(notifications)
        .values(
            {
                "lease_id": null(),
                "leased_by": null(),
                "leased_until": null(),
                "retry_history": v.c.history,
                "fails_over": and_(n.fails_over, n.lease_id.is_(None)),  # with a lease that ended it may have gone out
                **values,
            }
        )
        .where(n.id == v.c.id, unchanged)
    )
    return set(conn.execute(statement.returning(n.id)).scalars())


# Helpers

_DUE = case((PENDING, n.due_at)).label("due_at")
_NO_PAYLOAD: ColumnElement[str] = literal_column("''").label("payload")
_ROW = [_DUE if field.name == "due_at" else n[field.name] for field in fields(Notification) if field.name in n]
_LISTED = [_NO_PAYLOAD if column is n.payload else column for column in _ROW]


def _select(now: int, columns: Sequence[ColumnElement[Any]] = _ROW) -> Select[Any]:
    state = state_expression(now).label("state")
    return select(*columns, users.c.username, state).join_from(notifications, users, users.c.id == n.user_id)


def _newest_of_each_status(statement: Select[Any], limit: int) -> Select[Any]:
    # `idx_status_created` has the order of each status, no index that of all: take the newest of each, then of those.
    each = (select(statement.where(n.status == status.value).subquery()) for status in Status)
    found = union_all(*each).subquery("found")
    return newest_first(select(found), found.c.created_at, found.c.id, None, limit)


def _is_in_order(wanted: Filter) -> bool:
    """Return whether one statement finds them quickly: all have one status, or are few."""
    only = (wanted.status, wanted.state, wanted.stuck_ms, wanted.provider_message_id)
    return any(each is not None for each in only)


def _created_at(wanted: Filter) -> ColumnElement[int]:
    # One user's are better looked through than found in everybody's order, which the cast hides from SQLite.
    few = wanted.user_id is not None or wanted.provider_message_id is not None
    return cast(n.created_at, BigInteger) if few else n.created_at


def _goes_to(address: str) -> ColumnElement[bool]:
    named = (and_(n.message_type == channel.value, _says(ADDRESS_FIELD[channel], address)) for channel in Channel)
    return or_(*named, and_(~_names_somebody(), _is_contact(address)))


def _names_somebody() -> ColumnElement[bool]:
    return or_(*(_holds(f'"{field}":') for field in ("to", "token", "fid", "topic", "condition")))


def _is_contact(address: str) -> ColumnElement[bool]:
    owner = users.alias("owner")
    point = exists().where(
        contact_points.c.user_id == n.user_id,
        contact_points.c.channel == n.message_type,
        contact_points.c.address == address,
    )
    own = exists().where(owner.c.id == n.user_id, owner.c.email == address)
    return or_(point, and_(n.message_type == Channel.EMAIL.value, own))


def _says(field: str, value: str) -> ColumnElement[bool]:
    # As text: of a payload that is no JSON the databases' own functions make an error.
    written = json.dumps(value, ensure_ascii=False)
    return or_(_holds(f'"{field}":{written}'), _holds(f'"{field}": {written}'))


def _holds(text: str) -> ColumnElement[bool]:
    # Not LIKE: its case counts on PostgreSQL only, and it would need its own escapes.
    return func.replace(n.payload, text, "") != n.payload
