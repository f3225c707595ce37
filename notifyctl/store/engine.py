"""Connections and transactions.

A transaction is a function of a connection: `Database.write` can then run it again after a deadlock or a restart.
Errors of the driver leave this module as the tree of `core.errors`; only IntegrityError passes through, because what
it means is the caller's to say.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from notifyctl.core.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    NotAllowed,
    NotifyctlError,
    SchemaMismatch,
    UsageError,
)
from notifyctl.store.dialect import MOMENT, POSTGRESQL, SERVER_CLOCK_MS, SQLITE, Dialect
from notifyctl.store.filelock import exclusive
from notifyctl.store.version import SCHEMA_VERSION

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
WRITE_LOCK_TIMEOUT_S = 30
IDLE_TRANSACTION_MS = 15_000
TRIES = 5
PREPARED_AFTER = 2

_ROLLED_BACK = ("40001", "40P01")
_GONE = ("57P01", "57P02", "57P03", "08")
_SCHEMA = ("42P01", "42703")
_UNAVAILABLE = ("08", "25006", "28", "3D", "53", "57", "58")
_LOCK_TIMEOUT = "55P03"
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
    """One database, opened lazily. Safe to use from several threads.

    On SQLite a `write` inside a `write` waits for itself, until WRITE_LOCK_TIMEOUT_S.
    """

    def __init__(self, url: str, *, clock: Callable[[], int] = host_clock_ms, pool_size: int = 5) -> None:
        self.url = _parse(url)
        self.clock = clock
        self.dialect: Dialect = SQLITE if self.url.get_backend_name() == "sqlite" else POSTGRESQL
        try:
            self._engine = _sqlite_engine(self.url) if self.path else _postgresql_engine(self.url, pool_size)
        except (ArgumentError, ValueError) as error:
            raise UsageError(f"the database URL is not understood: {error}", _URL_HINT) from error
        self.keeps_sessions = False
        """Whether PostgreSQL is known to keep what belongs to a session: then statements that come again are prepared.

        A pooler in transaction mode loses them. Whoever finds out says so here.
        """
        if self.dialect is POSTGRESQL:
            event.listen(self._engine, "checkout", self._decide_on_preparing)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.dialect is SQLITE and self.url.database else None

    @property
    def label(self) -> str:
        """The URL for people, without its password."""
        return _without_password(self.url)

    def now(self, conn: Connection) -> int:
        """Return the moment that decides what is due, in milliseconds since the epoch."""
        return self.dialect.now(conn, self.clock)

    def moment(self) -> int:
        """Return the same outside a transaction: from it is counted how old things are."""
        with self.read() as conn:
            return self.now(conn)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading; what it did is rolled back."""
        self._require_file()
        with _translated(self), self._engine.connect() as conn:
            conn.begin()
            yield conn

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and return what it returns.

        After a deadlock, a serialization failure or a lost connection the whole of it is run again: it must do nothing
        but use its connection. Raises CommitUnknown when the connection is lost during COMMIT.
        """
        return self._transact(work, {"notifyctl_write": True})

    def alter(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which changes the schema, like `write`.

        SQLite changes a table by making another and dropping the first: meanwhile references are not followed, or the
        rows that point there would be deleted. They are checked before the commit.
        """

        def checked(conn: Connection) -> T:
            result = work(conn)
            if dangling := self.dialect.dangling(conn):
                raise NotifyctlError(f"{self.label}: rows of {', '.join(dangling)} would point at rows that are gone")
            return result

        return self._transact(checked, {"notifyctl_write": True, "notifyctl_alter": True})

    def _transact(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        with _translated(self):
            for attempt in range(1, TRIES):
                try:
                    return self._transact_once(work, options)
                except DBAPIError as error:
                    if not (_sqlstate(error).startswith(_ROLLED_BACK) or _is_lost(error)):
                        raise
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
            return self._transact_once(work, options)

    def _transact_once(self, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
        with self._only_writer(), self._engine.connect().execution_options(**options) as conn:
            conn.begin()
            result = work(conn)
            try:
                conn.commit()
            except DBAPIError as error:
                if _is_lost(error):  # the server may have stored it before it, or its answer, got lost
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
        self._require_file()
        with ExitStack() as stack:
            try:
                mode = self.path.stat().st_mode & 0o666  # who shares the database shares its lock
                stack.enter_context(exclusive(f"{self.path}.lock", WRITE_LOCK_TIMEOUT_S, mode))
            except TimeoutError as error:
                raise DatabaseUnavailable(
                    f"another process has been writing to {self.path} for {WRITE_LOCK_TIMEOUT_S} s"
                ) from error
            except OSError as error:
                raise DatabaseUnavailable(f"{self.path}.lock: {error.strerror}") from error
            yield

    def _require_file(self) -> None:
        if self.path is not None and not self.path.exists():
            raise missing_file(self.path)

    def require_version(self) -> None:
        """Raise SchemaMismatch unless the schema is the one this program works with."""
        with self.read() as conn:
            found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found == SCHEMA_VERSION:
            return
        if found is not None and found > SCHEMA_VERSION:  # revisions are numbered
            raise newer_schema(self.label, found)
        raise SchemaMismatch(f"{self.label} has schema {found or 'none'}, this program needs {SCHEMA_VERSION}")

    def driver_arguments(self) -> dict[str, Any]:
        """Return how the driver connects to PostgreSQL, for a connection that is not the pool's."""
        _, arguments = self._engine.dialect.create_connect_args(self.url)
        return {**arguments, **_connect_args(self.url)}

    def _decide_on_preparing(self, connection: Any, _record: Any, _proxy: Any) -> None:
        connection.prepare_threshold = PREPARED_AFTER if self.keeps_sessions else None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def missing_file(path: Path) -> SchemaMismatch:
    """Return the error for a SQLite database that was never created."""
    return SchemaMismatch(f"there is no database at {path} yet")


def newer_schema(label: str, found: str) -> SchemaMismatch:
    """Return the error for a database that a later version of this program has upgraded."""
    return SchemaMismatch(
        f"{label} has schema {found}, newer than this program, which knows {SCHEMA_VERSION}", "upgrade notifyctl"
    )


_URL_HINT = "sqlite:///path or postgresql://host/name"
# psycopg's words, and libpq's: 'connection is bad: invalid sslmode value: "x"'.
_WRONG_OPTION = re.compile(r"invalid connection option|bad value for|connection is bad: invalid \w+ (value|number): ")


def label(url: str) -> str:
    """Return a database URL for people, without its password. Raises UsageError for what is no such URL."""
    return _without_password(_parse(url))


def _without_password(url: URL) -> str:
    secrets = [key for key in url.query if "password" in key.lower()]
    return url.difference_update_query(secrets).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise UsageError("the database URL is not understood", _URL_HINT) from error
    if backend == "postgresql":
        if "@" in (parsed.host or ""):  # all of it may be the password's rest: do not show it
            raise UsageError("the database URL is not understood", "an @ in its password is written %40")
        return parsed.set(drivername="postgresql")
    if backend != "sqlite":
        raise UsageError(f"{backend} is not supported", _URL_HINT)
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise UsageError("a SQLite URL names a file by its path", _URL_HINT)
    return parsed.set(drivername="sqlite")


def _connect_args(url: URL) -> dict[str, Any]:
    # No prepared statements and no `options`: PgBouncer in transaction mode loses or refuses both.
    # The keepalives notice within half a minute that the server's machine is gone.
    settings = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "notifyctl",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    return {"prepare_threshold": None, **{key: value for key, value in settings.items() if key not in url.query}}


def _postgresql_engine(url: URL, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",  # of the driver only: BEGIN is ours
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=False,
        hide_parameters=True,
        use_native_hstore=False,  # saves a query a connection
        connect_args=_connect_args(url),
    )

    # One round trip: what stands before BEGIN in the same message belongs to the transaction.
    # A process that stands still in a transaction must not keep its rows from everybody else.
    limit = f"set_config('idle_in_transaction_session_timeout', '{IDLE_TRANSACTION_MS}', true)"
    reading = f"SELECT {SERVER_CLOCK_MS}; BEGIN"
    writing = f"SELECT {SERVER_CLOCK_MS} FROM {limit}; BEGIN"  # noqa: S608 - constants

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        is_write = conn.get_execution_options().get("notifyctl_write")
        conn.info[MOMENT] = conn.exec_driver_sql(writing if is_write else reading).scalar_one()

    return engine


def _sqlite_engine(url: URL) -> Engine:
    # To open a file must never create it.
    mode = "ro" if url.query.get("mode") == "ro" else "rw"
    name = f"file:{quote(str(Path(url.database or '').absolute()))}"
    engine = create_engine(
        url.set(database=name).update_query_dict({"mode": mode, "uri": "true"}),
        hide_parameters=True,
        connect_args={"check_same_thread": False, **({} if "timeout" in url.query else {"timeout": CONNECT_TIMEOUT_S})},
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
        options = conn.get_execution_options()
        if options.get("notifyctl_alter"):
            conn.detach()  # nobody else shall get a connection that follows no references
            conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
        conn.exec_driver_sql("BEGIN IMMEDIATE" if options.get("notifyctl_write") else "BEGIN")

    return engine


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _is_lost(error: DBAPIError) -> bool:
    return error.connection_invalidated or _sqlstate(error).startswith(_GONE)


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
    message = f"{database.label}: {words}"
    if state in _SCHEMA or words.startswith("no such table") or "no such column" in words or "no column named" in words:
        return SchemaMismatch(f"{database.label} has no schema of this program, or an older one ({words})")
    if database.dialect is SQLITE:
        known = any(mark in words for mark in _SQLITE_UNAVAILABLE)
        return DatabaseUnavailable(message) if known else _defect(message)
    if state == "42501":
        return NotAllowed(message, "connect as a role that may do this")
    if state == _LOCK_TIMEOUT:
        return DatabaseUnavailable(
            f"{database.label}: somebody else uses a table; its lock was not granted in time",
            "nothing was changed; repeat later, or with a longer lock timeout",
        )
    if not state and _WRONG_OPTION.match(words):
        return UsageError(f"the database URL is not understood: {words}", _URL_HINT)
    if not state and isinstance(error, OperationalError):
        return _unreachable(message, database.url.database)
    if state.startswith((*_UNAVAILABLE, *_ROLLED_BACK)) or error.connection_invalidated:
        return DatabaseUnavailable(message)
    return _defect(message)


def _unreachable(message: str, name: str | None) -> DatabaseUnavailable:
    # libpq gives no SQLSTATE for a connection that was refused.
    if f'database "{name}" does not exist' in message:
        return DatabaseUnavailable(message, f"createdb {name}, then notifyctl migrate up")
    return DatabaseUnavailable(message)


def _defect(message: str) -> NotifyctlError:
    return NotifyctlError(message, "this should not happen; --debug shows where")
