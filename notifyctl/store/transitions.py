"""The transitions of notifications, each one statement for a whole batch.

Every write is fenced: it holds only where the row still carries the lease id it was read with (NULL for none), so that
a dispatcher that lost its lease cannot overwrite what happened since. Each function returns the ids that it changed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Executable,
    FromClause,
    Integer,
    Text,
    and_,
    bindparam,
    func,
    null,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from notifyctl.core.model import Category, Status
from notifyctl.store.dialect import ID, Dialect
from notifyctl.store.states import still
from notifyctl.store.tables import notification_dlq, notifications

n = notifications.c


@dataclass(frozen=True, slots=True)
class Row:
    """One row to change: its id and the lease it must still carry."""

    id: str
    lease_id: str | None


@dataclass(frozen=True, slots=True)
class Acceptance(Row):
    """The provider took it."""

    sent_at: int
    provider_message_id: str | None
    response: str | None
    receipt_due_at: int | None = None


@dataclass(frozen=True, slots=True)
class Return(Row):
    """Pending again, without a lease."""

    due_at: int
    attempts: int
    error: str | None = None
    response: str | None = None
    history: str | None = None
    fails_over: bool = True
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Burial(Row):
    """A dead letter."""

    at: int
    category: Category
    error: str
    response: str | None = None
    history: str | None = None
    fails_over: bool = True


@dataclass(frozen=True, slots=True)
class Cancellation(Row):
    """Cancelled by policy."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lease(Row):
    """Taken for one attempt; `history` carries what was learned of an attempt before."""

    history: str | None = field(default=None)


_KEY: dict[str, TypeEngine[Any]] = {"id": ID, "lease_id": ID}
_ACCEPTED = {**_KEY, "at": BigInteger(), "message_id": Text(), "response": Text()}
_TRACED = {**_ACCEPTED, "receipt_due_at": BigInteger()}
_RETURNED = {
    **_KEY,
    "due_at": BigInteger(),
    "attempts": Integer(),
    "error": Text(),
    "response": Text(),
    "history": Text(),
    "fails_over": Boolean(),
    "provider": Text(),
}
_BURIED = {
    **_KEY,
    "at": BigInteger(),
    "error": Text(),
    "response": Text(),
    "history": Text(),
    "fails_over": Boolean(),
}
_CANCELLED = {**_KEY, "reason": Text()}
_LEASED = {**_KEY, "history": Text()}


def accept(conn: Connection, dialect: Dialect, rows: Sequence[Acceptance]) -> set[str]:
    """Set `sent`."""
    values = [(r.id, r.lease_id, r.sent_at, r.provider_message_id, r.response) for r in rows]
    if all(r.receipt_due_at is None for r in rows):
        return _changed(conn, _accepting(dialect), dialect.bind("v", _ACCEPTED, values))
    traced = [(*each, r.receipt_due_at) for each, r in zip(values, rows, strict=True)]
    return _changed(conn, _accepting_traced(dialect), dialect.bind("v", _TRACED, traced))


def give_back(conn: Connection, dialect: Dialect, rows: Sequence[Return]) -> set[str]:
    """Leave `pending`, due at the given moment, without a lease.

    An error, history or provider that is None stays as it is; what no longer fails over never does again.
    """
    values = [
        (r.id, r.lease_id, r.due_at, r.attempts, r.error, r.response, r.history, r.fails_over, r.provider) for r in rows
    ]
    return _changed(conn, _returning(dialect), dialect.bind("v", _RETURNED, values))


def bury(conn: Connection, dialect: Dialect, rows: Sequence[Burial]) -> set[str]:
    """Set `failed` and write the dead letters; one that is there, as only other programs leave it, is renewed."""
    values = [(r.id, r.lease_id, r.at, r.error, r.response, r.history, r.fails_over) for r in rows]
    buried = _changed(conn, _burying(dialect), dialect.bind("v", _BURIED, values))
    letters = [
        {
            "id": str(uuid.uuid4()),
            "notification_id": row.id,
            "failure_reason": row.category.value,
            "retry_history": row.history,
            "moved_to_dlq_at": row.at,
        }
        for row in rows
        if row.id in buried
    ]
    if letters:
        conn.execute(_entering(dialect), letters)
    return buried


def cancel(conn: Connection, dialect: Dialect, rows: Sequence[Cancellation]) -> set[str]:
    """Set `cancelled`, with the reason."""
    values = [(r.id, r.lease_id, r.reason) for r in rows]
    return _changed(conn, _cancelling(dialect), dialect.bind("v", _CANCELLED, values))


def lease(
    conn: Connection,
    dialect: Dialect,
    rows: Sequence[Lease],
    *,
    lease_id: str,
    holder: str,
    now: int,
    until: int,
    provider: str | None = None,
) -> set[str]:
    """Begin an attempt on each: count it and lease the row to `holder` until `until`.

    With `provider` they are that one's from now on. One whose lease had ended may have gone out: it fails over no more.
    """
    values = dialect.bind("v", _LEASED, [(r.id, r.lease_id, r.history) for r in rows])
    taken = {"new_lease_id": lease_id, "holder": holder, "now": now, "until": until}
    if provider is None:
        return _changed(conn, _leasing(dialect), {**values, **taken})
    return _changed(conn, _taking_over(dialect), {**values, **taken, "provider": provider})


def _changed(conn: Connection, statement: ReturningUpdate[Any], parameters: Mapping[str, Any]) -> set[str]:
    return {row[0] for row in conn.execute(statement, parameters).all()}


# The statements, each built once: that costs more than to run one.


@cache
def _accepting(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _ACCEPTED)
    return _fenced(v, **_accepted(v))


@cache
def _accepting_traced(dialect: Dialect) -> ReturningUpdate[Any]:
    # Apart, so that it costs those nothing who are not asked about their messages.
    v = dialect.rowset("v", _TRACED)
    return _fenced(v, **_accepted(v), receipt_due_at=v.c.receipt_due_at)


def _accepted(v: FromClause) -> dict[str, Any]:
    return {
        "status": Status.SENT.value,
        "sent_at": v.c.at,
        "provider_message_id": v.c.message_id,
        "provider_response": v.c.response,
        "error_message": null(),
    }


@cache
def _returning(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _RETURNED)
    return _fenced(
        v,
        due_at=v.c.due_at,
        attempt_count=v.c.attempts,
        error_message=func.coalesce(v.c.error, n.error_message),
        provider_response=func.coalesce(v.c.response, n.provider_response),
        retry_history=func.coalesce(v.c.history, n.retry_history),
        fails_over=and_(n.fails_over, v.c.fails_over),
        provider=func.coalesce(v.c.provider, n.provider),
    )


@cache
def _burying(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _BURIED)
    return _fenced(
        v,
        status=Status.FAILED.value,
        failed_at=v.c.at,
        error_message=v.c.error,
        provider_response=func.coalesce(v.c.response, n.provider_response),
        retry_history=func.coalesce(v.c.history, n.retry_history),
        fails_over=and_(n.fails_over, v.c.fails_over),
    )


@cache
def _entering(dialect: Dialect) -> Executable:
    letter = dialect.insert(notification_dlq)
    anew = {name: letter.excluded[name] for name in ("failure_reason", "retry_history", "moved_to_dlq_at")}
    open_again = {"resolved": False, "resolved_at": None, "resolved_by": None, "note": None}
    return letter.on_conflict_do_update(index_elements=["notification_id"], set_={**anew, **open_again})


@cache
def _cancelling(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _CANCELLED)
    return _fenced(v, status=Status.CANCELLED.value, error_message=v.c.reason)


@cache
def _leasing(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _LEASED)
    return _fenced(v, **_leased(v))


@cache
def _taking_over(dialect: Dialect) -> ReturningUpdate[Any]:
    # Apart from the other: SQLite writes the indexes of a column that is set, even to what it was.
    v = dialect.rowset("v", _LEASED)
    return _fenced(v, provider=bindparam("provider"), **_leased(v))


def _leased(v: FromClause) -> dict[str, Any]:
    return {
        "lease_id": bindparam("new_lease_id"),
        "leased_by": bindparam("holder"),
        "attempt_count": n.attempt_count + 1,
        "last_attempted": bindparam("now"),
        "leased_until": bindparam("until"),
        "retry_history": func.coalesce(v.c.history, n.retry_history),
        "fails_over": and_(n.fails_over, n.lease_id.is_(None)),
    }


def _fenced(v: FromClause, **values: Any) -> ReturningUpdate[Any]:
    # No lease outlives a transition, unless the transition sets one.
    unleased: Mapping[str, Any] = {"lease_id": null(), "leased_by": null(), "leased_until": null()}
    return (
        update(notifications)
        .values({**unleased, **values})
        .where(n.id == v.c.id, still(Status.PENDING), n.lease_id.is_not_distinct_from(v.c.lease_id))
        .returning(n.id)
    )
