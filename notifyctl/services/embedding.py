"""Submitting inside an application's own transaction: what `notifyctl.submit` and `notifyctl.locked` are.

On PostgreSQL the database's own functions do it, on SQLite the planner, under the lock that orders all who write to the
file. Neither SQLAlchemy nor a driver is loaded here: whoever has a connection has loaded its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from notifyctl.core.application import Accepted, Submission, as_json
from notifyctl.core.errors import Conflict, NotAllowed, NotFound, NotifyctlError, SchemaMismatch, UsageError

__all__ = ["Accepted", "Conflict", "NotFound", "NotifyctlError", "Submission", "UsageError", "locked", "submit"]

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import sqlalchemy

    Lendable = psycopg.Connection[Any] | sqlalchemy.Connection | sqlite3.Connection

_REFUSALS: dict[str, type[NotifyctlError]] = {"NC002": UsageError, "NC003": NotFound, "NC005": Conflict}
_NO_FUNCTION = ("42883", "3F000")
_NO_RIGHT = "42501"
_FUNCTION = "notifyctl_submit_many"


@overload
def submit(connection: Lendable, what: Submission, *, schema: str | None = None, wake: bool = True) -> Accepted: ...


@overload
def submit(
    connection: Lendable, what: Iterable[Submission], *, schema: str | None = None, wake: bool = True
) -> list[Accepted]: ...


def submit(
    connection: Lendable, what: Submission | Iterable[Submission], *, schema: str | None = None, wake: bool = True
) -> Accepted | list[Accepted]:
    """Submit one or many in the transaction of `connection`: it holds if that commits. Commits and closes nothing.

    `connection` is one of psycopg 3, SQLAlchemy or sqlite3; on SQLite it is called within `locked`. The same key and
    content is the first submission again; those of one call are stored in the order of their keys, all or none, and
    the results are in the order given. On PostgreSQL `schema` is where notifyctl's tables are, where the search path
    does not say so, and without `wake` dispatchers find it at their next look.

    Raises UsageError for what cannot be meant, NotFound for a user, template, category or provider that is not there,
    Conflict for a key that was used with other content and where no provider can take it, SchemaMismatch where the
    database has no notifyctl of this version, NotAllowed where the role may not submit. After one of these from
    PostgreSQL the transaction can only be rolled back, to a savepoint at least; on SQLite it goes on. Whatever else
    the driver raises is raised as it is: after 40001 and 40P01 the transaction is to be repeated.
    """
    given = [what] if isinstance(what, Submission) else list(what)
    for each in given:
        if not isinstance(each, Submission):
            raise TypeError(f"{each!r:.80} is no notifyctl.Submission")
    done = _submitted(connection, given, schema, wake=wake) if given else []
    return done[0] if isinstance(what, Submission) else done


@contextmanager
def locked(connection: Lendable) -> Iterator[None]:
    """Hold, around a transaction on a SQLite file, the lock that orders all who write to it; on PostgreSQL do nothing.

    It is entered before the transaction begins, and the transaction ends within it.

    Raises UsageError where that is not so, DatabaseUnavailable when others have written for 30 s.
    """
    if _is_sqlite(connection):
        from notifyctl.services import lending  # SQLAlchemy is only needed here

        with lending.locked(connection):
            yield
    else:
        _runner(connection)
        yield


def _submitted(connection: Any, given: list[Submission], schema: str | None, *, wake: bool) -> list[Accepted]:
    if _is_sqlite(connection):
        from notifyctl.services import lending  # SQLAlchemy is only needed here

        return lending.submit(connection, given)
    run = _runner(connection)
    function = _FUNCTION if schema is None else f'"{schema.replace(chr(34), chr(34) * 2)}".{_FUNCTION}'
    asked = as_json(given)
    try:
        rows = run(function, asked, wake)
    except Exception as error:
        told = _told(error, function)
        if told is None:
            raise
        raise told from error
    return [Accepted(id_, repeated == "1") for id_, _, repeated in (row.partition(" ") for row in rows)]


def _is_sqlite(connection: Any) -> bool:
    sqlite3, sqlalchemy = sys.modules.get("sqlite3"), sys.modules.get("sqlalchemy")
    if sqlite3 is not None and isinstance(connection, sqlite3.Connection):
        return True
    of_sqlalchemy = sqlalchemy is not None and isinstance(connection, sqlalchemy.Connection)
    return of_sqlalchemy and bool(connection.dialect.name == "sqlite")


def _runner(connection: Any) -> Any:
    """Return what calls a function of PostgreSQL's on a connection. Raises TypeError for what is no such connection."""
    psycopg, sqlalchemy = sys.modules.get("psycopg"), sys.modules.get("sqlalchemy")
    if psycopg is not None and isinstance(connection, psycopg.Connection):
        return lambda *asked: _by_psycopg(connection, *asked)
    if sqlalchemy is not None and isinstance(connection, sqlalchemy.Connection):
        if connection.dialect.name == "postgresql":
            return lambda *asked: _by_sqlalchemy(connection, *asked)
        raise TypeError(f"notifyctl has no database on {connection.dialect.name}")
    name = type(connection).__qualname__
    more = "; of a Session it is session.connection()" if hasattr(connection, "connection") else ""
    if name.startswith("Async"):
        more = (
            "; in asyncio call notifyctl_submit in SQL, or with SQLAlchemy connection.run_sync(notifyctl.submit, ...)"
        )
    raise TypeError(f"{name} is no connection of psycopg, SQLAlchemy or sqlite3{more}")


_CALL = "SELECT id || CASE WHEN deduplicated THEN ' 1' ELSE ' 0' END FROM {}(CAST({} AS pg_catalog.jsonb), {})"


def _by_psycopg(connection: psycopg.Connection[Any], function: str, asked: str, wake: bool) -> list[str]:
    """Call it with a cursor that has nothing of the connection's: neither row factory nor adapters."""
    from psycopg import Cursor
    from psycopg.rows import tuple_row
    from psycopg.types.string import StrDumper, TextLoader

    with Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.adapters.register_dumper(str, StrDumper)
        cursor.adapters.register_loader("text", TextLoader)
        text = _CALL.format(function.replace("%", "%%"), "%s", "true" if wake else "false")
        cursor.execute(text.encode(), [asked], prepare=False)
        # Where the client's encoding is SQL_ASCII a text is bytes.
        return [row[0] if isinstance(row[0], str) else row[0].decode() for row in cursor.fetchall()]


def _by_sqlalchemy(connection: sqlalchemy.Connection, function: str, asked: str, wake: bool) -> list[str]:
    from sqlalchemy import text

    call = _CALL.format(function.replace(":", "\\:"), ":asked", "true" if wake else "false")
    return [str(row[0]) for row in connection.execute(text(call), {"asked": asked})]


def _told(error: Exception, function: str) -> NotifyctlError | None:
    """Return what an error of the driver's means that is about the submission; None for any other."""
    of_driver = getattr(error, "orig", None) or error
    state = str(getattr(of_driver, "sqlstate", None) or getattr(of_driver, "pgcode", None) or "")
    diagnostics = getattr(of_driver, "diag", None)
    message = getattr(diagnostics, "message_primary", None) or str(of_driver)
    if (kind := _REFUSALS.get(state)) is not None:
        return kind(message, getattr(diagnostics, "message_hint", None))
    if state in _NO_FUNCTION:
        where = "notifyctl migrate up; where the search path names another schema than notifyctl's, submit(schema=...)"
        return SchemaMismatch(f"the database has no {function} where the search path leads", where)
    if state == _NO_RIGHT:
        schema = re.fullmatch("permission denied for schema (.*)", message)
        what = f"USAGE ON SCHEMA {schema[1]}" if schema else f"EXECUTE ON FUNCTION {function}"
        return NotAllowed(message, f"GRANT {what} TO the role")
    return None
