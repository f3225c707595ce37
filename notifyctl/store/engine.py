"""Connections and transactions.

A transaction is a function of a connection: `Database.write` can then run it again after a deadlock or a restart.
Errors of the driver leave this module as the tree of `core.errors`; only IntegrityError passes through, because what
it means is the caller's to say.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from notifyctl.core.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    NotifyctlError,
    SchemaMismatch,
    UsageError,
)
from notifyctl.store.dialect import POSTGRESQL, SQLITE, Dialect
from notifyctl.store.filelock import exclusive
from notifyctl.store.version import SCHEMA_VERSION

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
WRITE_LOCK_TIMEOUT_S = 30
TRIES = 5

_RETRYABLE = ("40001", "40P01", "57P01", "57P02", "08")
_SCHEMA = ("42P01", "42703")
_SQLITE_UNAVAILABLE = (
    "locked",
    "readonly",
    "full",
    "unable to open",
    "disk I/O error",
    "not a database",
    "malformed",
)


def host_clock_ms() -> int:
    """Return the host's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Database:
    """One database, opened lazily. Safe to use from several threads."""

    def __init__(self, url: str, *, clock: Callable[[], int] = host_clock_ms, pool_size: int = 5) -> None:
        self.url = _parse(url)
        self.clock = clock
        self.dialect: Dialect = SQLITE if self.url.get_backend_name() == "sqlite" else POSTGRESQL
        self._engine = _sqlite_engine(self.url) if self.path else _postgresql_engine(self.url, pool_size)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.dialect is SQLITE and self.url.database else None

    @property
    def label(self) -> str:
        """The URL for people, without its password."""
        return self.url.render_as_string(hide_password=True)

    def now(self, conn: Connection) -> int:
        """Return the moment that decides what is due, in milliseconds since the epoch."""
        return self.dialect.now(conn, self.clock)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; what it did is rolled back."""
        with _translated(self), self._engine.connect() as conn:
            yield conn

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and return what it returns.

        After a deadlock, a serialization failure or a lost connection the whole of it is run again: it must do nothing
        but use its connection. Raises CommitUnknown when the connection is lost during COMMIT.
        """
        with _translated(self):
            for attempt in range(1, TRIES):
                try:
                    return self._write_once(work)
                except DBAPIError as error:
                    if not _is_retryable(error):
                        raise
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
            return self._write_once(work)

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        with self._only_writer(), self._engine.connect().execution_options(notifyctl_write=True) as conn:
            conn.begin()
            result = work(conn)
            try:
                conn.commit()
            except DBAPIError as error:
                if error.connection_invalidated and not _is_retryable(error):
                    raise CommitUnknown(
                        f"the connection to {self.label} was lost while it stored the change"
                    ) from error
                raise
            return result

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        if not self.path.exists():
            raise missing_file(self.path)
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(f"{self.path}.lock", WRITE_LOCK_TIMEOUT_S))
            except TimeoutError as error:
                raise DatabaseUnavailable(
                    f"another process has been writing to {self.path} for {WRITE_LOCK_TIMEOUT_S} s"
                ) from error
            except OSError as error:
                raise DatabaseUnavailable(f"{self.path}.lock: {error.strerror}") from error
            yield

    def require_version(self) -> None:
        """Raise SchemaMismatch unless the schema is the one this program works with."""
        if self.path is not None and not self.path.exists():
            raise missing_file(self.path)
        with self.read() as conn:
            found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found != SCHEMA_VERSION:
            raise SchemaMismatch(f"{self.label} has schema {found or 'none'}, this program needs {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def missing_file(path: Path) -> SchemaMismatch:
    """Return the error for a SQLite database that was never created."""
    return SchemaMismatch(f"there is no database at {path} yet")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError("the database URL is not understood", "sqlite:///path or postgresql://host/name") from error
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database:
        return parsed
    raise UsageError(f"{backend} is not supported", "sqlite:///path or postgresql://host/name")


def _postgresql_engine(url: URL, pool_size: int) -> Engine:
    # prepare_threshold=None and no `options`: PgBouncer in transaction mode loses or refuses both.
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "prepare_threshold": None,
            "application_name": "notifyctl",
        },
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": CONNECT_TIMEOUT_S, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: an upgrade from read to write fails at once
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        writes = conn.get_execution_options().get("notifyctl_write", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _is_retryable(error: DBAPIError) -> bool:
    return _sqlstate(error).startswith(_RETRYABLE)


@contextmanager
def _translated(database: Database) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise _meaning(database, error) from error


def _meaning(database: Database, error: DBAPIError) -> Exception:
    state, words = _sqlstate(error), str(error.orig).strip().splitlines()[0] if str(error.orig) else ""
    if state in _SCHEMA or words.startswith(("no such table", "no such column")):
        return SchemaMismatch(f"{database.label} has no schema of this program, or an older one")
    unreachable = not state and database.dialect is POSTGRESQL and type(error.orig).__name__ == "OperationalError"
    if unreachable or state[:2] in ("08", "25", "28", "3D", "53", "57") or error.connection_invalidated:
        return DatabaseUnavailable(f"{database.label}: {words}")
    if database.dialect is SQLITE and any(mark in words for mark in _SQLITE_UNAVAILABLE):
        return DatabaseUnavailable(f"{database.label}: {words}")
    return NotifyctlError(f"{database.label}: {words}", "this should not happen; --debug shows where")
