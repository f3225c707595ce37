"""What the driver's errors mean to an operator: the tree of `core.errors`.

IntegrityError alone passes through, because what it means is the caller's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from notifyctl.core.errors import DatabaseUnavailable, NotAllowed, NotifyctlError, SchemaMismatch, UsageError
from notifyctl.store.db.urls import URL_HINT

_ROLLED_BACK = ("40001", "40P01")
_GONE = ("57P01", "57P02", "57P03", "08")
_SCHEMA = ("42P01", "42703")
_UNAVAILABLE = ("08", "25006", "28", "3D", "53", "57", "58")
_LOCK_TIMEOUT = "55P03"
_NO_RIGHT = "42501"
_SQLITE_UNAVAILABLE = (
    "locked",
    "readonly",
    "full",
    "unable to open",
    "disk I/O error",
    "not a database",
    "malformed",
)
# psycopg's words, and libpq's: 'connection is bad: invalid sslmode value: "x"'.
_WRONG_OPTION = re.compile(r"invalid connection option|bad value for|connection is bad: invalid \w+ (value|number): ")


def is_worth_repeating(error: DBAPIError) -> bool:
    """Return whether the whole transaction may succeed when it is run again: it was rolled back, or lost."""
    return _sqlstate(error).startswith(_ROLLED_BACK) or is_lost(error)


def is_lost(error: DBAPIError) -> bool:
    """Return whether the connection is gone."""
    return error.connection_invalidated or _sqlstate(error).startswith(_GONE)


@contextmanager
def translated(label: str, name: str | None) -> Iterator[None]:
    """Raise what a driver's error means; `label` and `name` are the database's, `name` None for SQLite."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise _meaning(label, name, error) from error


def _meaning(label: str, name: str | None, error: DBAPIError) -> NotifyctlError:
    words = str(error.orig).strip().splitlines()[0] if str(error.orig) else ""
    if _sqlstate(error) in _SCHEMA or words.startswith("no such table") or _names_no_column(words):
        return SchemaMismatch(f"{label} has no schema of this program, or an older one ({words})")
    if name is None:
        known = any(mark in words for mark in _SQLITE_UNAVAILABLE)
        return DatabaseUnavailable(f"{label}: {words}") if known else _defect(f"{label}: {words}")
    return _meaning_of_postgresql(label, name, error, words)


def _meaning_of_postgresql(label: str, name: str, error: DBAPIError, words: str) -> NotifyctlError:
    state, message = _sqlstate(error), f"{label}: {words}"
    if state == _NO_RIGHT:
        return NotAllowed(message, "connect as a role that may do this")
    if state == _LOCK_TIMEOUT:
        return DatabaseUnavailable(
            f"{label}: somebody else uses a table; its lock was not granted in time",
            "nothing was changed; repeat later, or with a longer lock timeout",
        )
    if not state and _WRONG_OPTION.match(words):
        return UsageError(f"the database URL is not understood: {words}", URL_HINT)
    if not state and isinstance(error, OperationalError):
        return _unreachable(message, name)
    if state.startswith((*_UNAVAILABLE, *_ROLLED_BACK)) or error.connection_invalidated:
        return DatabaseUnavailable(message)
    return _defect(message)


def _unreachable(message: str, name: str) -> DatabaseUnavailable:
    # libpq gives no SQLSTATE for a connection that was refused.
    if f'database "{name}" does not exist' in message:
        return DatabaseUnavailable(message, f"createdb {name}, then notifyctl migrate up")
    return DatabaseUnavailable(message)


def _names_no_column(words: str) -> bool:
    return "no such column" in words or "no column named" in words


def _defect(message: str) -> NotifyctlError:
    return NotifyctlError(message, "this should not happen; --debug shows where")


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
