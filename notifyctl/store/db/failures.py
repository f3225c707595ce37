"""What the driver's errors mean to an operator: the tree of `core.errors`.

IntegrityError alone passes through, because what it means is the caller's to say.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from notifyctl.core.errors import (
    DatabaseReadOnly,
    DatabaseUnavailable,
    LockNotGranted,
    NotAllowed,
    NotifyctlError,
    SchemaMismatch,
    UsageError,
)
from notifyctl.core.patterns import pattern
from notifyctl.store.db.urls import URL_HINT

_ROLLED_BACK = ("40001", "40P01")
_GONE = ("57P01", "57P02", "57P03", "08")
_SCHEMA = ("42P01", "42703")
_UNAVAILABLE = ("08", "26000", "42P05", "28", "3D", "53", "57", "58")
_READ_ONLY = "25006"
_NO_SESSION = ("26000", "42P05")
_OLD_PLAN = "0A000"
_NOWHERE = "3F000"
_ENCODING = ("22021", "22P05")
_LOCK_TIMEOUT = "55P03"
_NO_RIGHT = "42501"
_SQLITE_UNAVAILABLE = (
    "locked",
    "full",
    "disk I/O error",
    "not a database",
    "malformed",
)
_SEARCH_PATH = "ALTER ROLE ... SET search_path = public, or the schema that is meant; then notifyctl migrate up"
MAY_NOT = "whoever runs this has to be able to write the database's file, and its folder: ls -la shows whose they are"
_NO_DATABASE = pattern(r'database "(.+)" does not exist')
_UTF8 = "createdb -E UTF8 -T template0 NAME"
_REFUSALS = (
    ('" does not exist', "name a role that the server knows: createuser NAME, or postgresql://ROLE@host/name"),
    ("password authentication failed", "check the role and its password: ~/.pgpass, PGPASSWORD or the URL"),
    ("no password supplied", "give the role's password: ~/.pgpass or PGPASSWORD"),
    ("authentication failed", "check the role in the URL; pg_hba.conf on the server says who may connect, and how"),
    ("no pg_hba.conf entry", "pg_hba.conf on the server says who may connect, from where, and how"),
    ("is not permitted to log in", "ALTER ROLE ... LOGIN, or connect as another role"),
    ("permission denied for database", "GRANT CONNECT ON DATABASE ... TO the role, or connect as another one"),
    ("not currently accepting connections", "ALTER DATABASE ... ALLOW_CONNECTIONS true"),
    ("failed to resolve host", "check the host's name in the URL"),
    ("could not translate host name", "check the host's name in the URL"),
    ("certificate", "check sslmode and sslrootcert"),
    ("SSL", "check sslmode: the server offers no TLS, or demands it"),
)
"""What makes a server refuse a connection until somebody changes something: to repeat it is of no use."""
# psycopg's words, and libpq's: 'connection is bad: invalid sslmode value: "x"'.
_WRONG_OPTION = pattern(r"invalid connection option|bad value for|connection is bad: invalid \w+ (value|number): ")


def of_file(path: Path, error: OSError) -> DatabaseUnavailable:
    """Return what it means that a database's file, or one beside it, cannot be used."""
    hint = MAY_NOT if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else None
    return DatabaseUnavailable(f"{error.filename or path}: {error.strerror}", hint)


def is_worth_repeating(error: DBAPIError) -> bool:
    """Return whether the whole transaction may succeed when it is run again: it was rolled back, or lost.

    Not after silence, which each try would wait for anew.
    """
    return not is_silence(error) and (_sqlstate(error).startswith(_ROLLED_BACK) or is_of_the_connection(error))


def is_of_the_connection(error: DBAPIError) -> bool:
    """Return whether another connection may do what this one does not: nothing may use this one any more.

    Its server became read-only, its prepared statements are not there or outdated, or it is gone.
    """
    return _sqlstate(error) in (_READ_ONLY, _OLD_PLAN, *_NO_SESSION) or is_lost(error)


def is_without_session(error: DBAPIError) -> bool:
    """Return whether a prepared statement was not there, or was somebody else's: a pooler does not keep sessions.

    Source: PostgreSQL, appendix A, invalid_sql_statement_name and duplicate_prepared_statement.
    """
    return _sqlstate(error) in _NO_SESSION


def is_silence(error: DBAPIError) -> bool:
    """Return whether the server did not answer in time."""
    return getattr(error.orig, "is_silence", False)


def is_lost(error: DBAPIError) -> bool:
    """Return whether the connection is gone."""
    return error.connection_invalidated or _sqlstate(error).startswith(_GONE)


@contextmanager
def translated(label: str, *, served: bool) -> Iterator[None]:
    """Raise what an error below means; `label` is the database's, `served` says that it has a server."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise _meaning(label, error, served=served) from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(f"{label}: all of this program's connections are in use") from error
    except UnicodeError as error:
        raise UsageError(f"{label}: a text holds what is no character of Unicode ({error})") from error
    except OverflowError as error:
        raise UsageError(f"{label}: a number is larger than the database takes") from error
    except SQLAlchemyError as error:
        raise _defect(f"{label}: {_first_line(error)}") from error


def _meaning(label: str, error: DBAPIError, *, served: bool) -> NotifyctlError:
    words = _first_line(error.orig)
    if _sqlstate(error) in _SCHEMA or words.startswith("no such table") or _names_no_column(words):
        return SchemaMismatch(f"{label} has no schema of this program, or an older one ({words})")
    if not served:
        if "readonly" in words:
            return DatabaseReadOnly(f"{label}: {words}", MAY_NOT)
        if "unable to open" in words:
            return DatabaseUnavailable(f"{label}: {words}", f"{MAY_NOT}, ulimit -n how many files may be open")
        known = any(mark in words for mark in _SQLITE_UNAVAILABLE)
        return DatabaseUnavailable(f"{label}: {words}") if known else _defect(f"{label}: {words}")
    return _meaning_of_postgresql(label, error, words)


def _meaning_of_postgresql(label: str, error: DBAPIError, words: str) -> NotifyctlError:
    state, message = _sqlstate(error), f"{label}: {words}"
    if state == _NO_RIGHT:
        return NotAllowed(message, "connect as a role that may do this")
    if state == _LOCK_TIMEOUT:
        return LockNotGranted(
            f"{label}: somebody else uses a table; its lock was not granted in time",
            "nothing was changed; repeat later, or with a longer lock timeout",
        )
    if state == _NOWHERE:
        return DatabaseUnavailable(f"{message} (the role's search_path names no schema that exists)", _SEARCH_PATH)
    if state in _ENCODING:
        return NotifyctlError(f"{message}: the database's encoding is not UTF-8", _UTF8)
    if not state and _WRONG_OPTION.match(words):
        return UsageError(f"the database URL is not understood: {words}", URL_HINT)
    if not state and isinstance(error, OperationalError):
        return _unreachable(message)
    if state == _READ_ONLY:
        return DatabaseReadOnly(message)
    if state.startswith((*_UNAVAILABLE, *_ROLLED_BACK)) or error.connection_invalidated:
        return DatabaseUnavailable(message)
    return _defect(message)


def _unreachable(message: str) -> DatabaseUnavailable:
    # libpq gives no SQLSTATE for a connection that was refused.
    if missing := _NO_DATABASE.search(message):
        return DatabaseUnavailable(message, f"createdb {missing[1]}, then notifyctl migrate up")
    if "timeout expired" in message:  # somebody took the connection, and said nothing
        return DatabaseUnavailable(f"{message} (the database is silent)")
    for mark, hint in _REFUSALS:
        if mark in message:
            return DatabaseUnavailable(message, hint)
    return DatabaseUnavailable(message)


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [""])[0] if error is not None else ""


def _names_no_column(words: str) -> bool:
    return "no such column" in words or "no column named" in words


def _defect(message: str) -> NotifyctlError:
    return NotifyctlError(message, "this should not happen; --debug shows where")


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
