"""A database and its transactions.

A transaction is a function of a `Tx`: `Database.write` can then run it again after a deadlock or a restart. Errors of
the driver leave this module as the tree of `core.errors`; only IntegrityError passes through.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotifyctlError, SchemaMismatch, UsageError
from notifyctl.core.model import Actor
from notifyctl.core.sealing import Keyring
from notifyctl.store.db import engines, urls
from notifyctl.store.db.dialect import POSTGRESQL, SQLITE, Dialect
from notifyctl.store.db.failures import is_lost, is_worth_repeating, of_file, translated
from notifyctl.store.db.filelock import exclusive, lock_of
from notifyctl.store.db.hot import as_sqlalchemy
from notifyctl.store.db.pooled import Pooled
from notifyctl.store.db.tx import FindKeyring, FindMacKey, Tx
from notifyctl.store.schema.version import SCHEMA_VERSION

T = TypeVar("T")

WRITE_LOCK_TIMEOUT_S = 30
TRIES = 5
STATEMENT_S = 300.0
"""For how long a statement may go without an answer, where nobody says otherwise: some reckon over all there is."""
ALTER_S = 6 * 3_600.0
Begin = Callable[[Any, Callable[[], int]], int]
"""Begins a transaction with a cursor of the driver's, and returns its moment; the host's clock is given."""
COMMIT_S = 30.0


def host_clock_ms() -> int:
    """Return the host's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock that orders all who write to a SQLite file. Raises DatabaseUnavailable."""
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(lock_of(path), WRITE_LOCK_TIMEOUT_S, path.stat()))
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"another process has been writing to {path} for {WRITE_LOCK_TIMEOUT_S} s"
            ) from error
        except OSError as error:
            raise of_file(path, error) from error
        yield


class Database:
    """One database, opened lazily, used in the name of `actor`. Safe to use from several threads.

    On SQLite a `write` inside a `write` waits for itself, until WRITE_LOCK_TIMEOUT_S.
    """

    def __init__(
        self, url: str, *, clock: Callable[[], int] = host_clock_ms, pool_size: int = 5, actor: Actor | None = None
    ) -> None:
        self.url = urls.parse(url)
        self.clock = clock
        self.actor = actor or Actor()
        self.dialect: Dialect = SQLITE if self.url.get_backend_name() == "sqlite" else POSTGRESQL
        self._label = urls.without_password(self.url)
        self._stores = True
        self._statement_s = STATEMENT_S
        self.mac_key: FindMacKey = lambda: None
        self.keyring: FindKeyring = lambda: Keyring({})
        try:
            self._engine = engines.sqlite(self.url) if self.path else engines.postgresql(self.url, pool_size)
        except (ArgumentError, ValueError) as error:
            raise UsageError(f"the database URL is not understood: {error}", urls.URL_HINT) from error
        self.connections = Pooled(self._engine, self.path)

    def acting_for(self, actor: Actor) -> Database:
        """Return the same database, used in somebody else's name."""
        other = copy(self)
        other.actor = actor
        return other

    def authenticating(self, mac_key: FindMacKey) -> Database:
        """Return the same database, in whose audit trail rows are authenticated with a key."""
        other = copy(self)
        other.mac_key = mac_key
        return other

    def opening(self, keyring: FindKeyring) -> Database:
        """Return the same database, in which addresses are sealed and opened with these keys."""
        other = copy(self)
        other.keyring = keyring
        return other

    def rehearsal(self) -> Database:
        """Return the same database, in which a `write` does all that it would and then takes it back."""
        other = copy(self)
        other._stores = False
        return other

    def answering_within(self, seconds: float) -> Database:
        """Return the same database, of which no statement is waited for longer than that."""
        other = copy(self)
        other._statement_s = min(seconds, self._statement_s)
        return other

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.dialect is SQLITE and self.url.database else None

    @property
    def label(self) -> str:
        """The URL for people, without its password."""
        return self._label

    def moment(self) -> int:
        """Return the moment that decides what is due, in milliseconds since the epoch: from it ages are counted."""
        with self.read() as tx:
            return tx.now

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Yield a transaction for reading; what it did is rolled back."""
        with self._translated(), self._reading() as tx:
            yield tx

    def consult(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction for reading and return what it returns; again where `write` would."""

        def once() -> T:
            with self._reading() as tx:
                return work(tx)

        return self._repeatedly(once)

    def snapshot(self, work: Callable[[Tx], T]) -> T:
        """The same, and all that `work` reads is what there was at one moment, however long it takes.

        Meanwhile PostgreSQL keeps what others delete, and SQLite's log grows: it must wait for nobody.
        """

        def once() -> T:
            with self._reading(self.dialect.begin_snapshot) as tx:
                return work(tx)

        return self._repeatedly(once)

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in one transaction and return what it returns.

        After a deadlock, a serialization failure or on a connection that is lost or useless the whole of it is run
        again: it must do nothing but use its transaction. Raises CommitUnknown when the connection is lost during
        COMMIT.
        """
        return self._repeatedly(lambda: self._transact(work, self._engine.connect, self._statement_s))

    def alter(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which changes the schema, like `write`.

        SQLite changes a table by making another and dropping the first: meanwhile references are not followed, or the
        rows that point there would be deleted. They are checked before the commit.
        """

        def checked(tx: Tx) -> T:
            result = work(tx.conn)
            if dangling := self.dialect.dangling(tx.conn):
                raise NotifyctlError(f"{self.label}: rows of {', '.join(dangling)} would point at rows that are gone")
            return result

        return self._repeatedly(lambda: self._transact(checked, self._altering, ALTER_S))

    @contextmanager
    def _reading(self, begin: Begin | None = None) -> Iterator[Tx]:
        self._require_file()
        is_read = False
        try:
            with self._engine.connect() as conn:
                yield self._begun(conn, begin or partial(self.dialect.begin, writing=False))
                is_read = True
        except DBAPIError as error:
            self.connections.learn(error)
            if not is_read:  # else the connection was lost as it was given back: of no use to whoever has read
                raise

    def _altering(self) -> Connection:
        conn = self._engine.connect()
        self.dialect.ignore_references(conn)
        return conn

    def _repeatedly(self, once: Callable[[], T]) -> T:
        with self._translated():
            for attempt in range(1, TRIES):
                try:
                    return once()
                except DBAPIError as error:
                    if not is_worth_repeating(error):
                        raise
                    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
            return once()

    def _transact(self, work: Callable[[Tx], T], connect: Callable[[], Connection], statement_s: float) -> T:
        try:
            with self._only_writer(), connect() as conn:
                begin = partial(self.dialect.begin, writing=True)
                result = work(self._begun(conn, begin, statement_s))
                if not self._stores:
                    return result  # what is not committed is rolled back with the connection
                self._commit(conn)
                return result
        except DBAPIError as error:
            self.connections.learn(error)
            raise

    # Below SQLAlchemy, whose own beginning and end of a transaction take longer than the statements between them.

    def _begun(self, conn: Connection, begin: Begin, statement_s: float | None = None) -> Tx:
        cursor = self.dialect.cursor(conn)
        try:
            now = begin(cursor, self.clock)
            self.dialect.limit_answers(conn, statement_s or self._statement_s)
        except Exception as error:
            raise as_sqlalchemy(conn, "BEGIN", error) from error
        finally:
            cursor.close()
        return Tx(conn, self.dialect, now, self.actor, self.mac_key, self._stores, self.keyring)

    def _commit(self, conn: Connection) -> None:
        try:
            self.dialect.limit_answers(conn, COMMIT_S)
            conn.connection.commit()
        except Exception as error:
            known = as_sqlalchemy(conn, "COMMIT", error)
            if isinstance(known, DBAPIError) and is_lost(known):
                self.connections.learn(known)
                # The server may have stored it before it, or its answer, got lost.
                raise CommitUnknown(f"the connection to {self.label} was lost while it stored the change") from known
            raise known from error

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        self._require_file()
        with only_writer(self.path):
            yield

    def _require_file(self) -> None:
        if self.path is None:
            return
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.connections.opened:  # it was here: somebody puts another one in its place
                raise DatabaseUnavailable(f"the database at {self.path} is gone") from error
            raise missing_file(self.path) from error
        except OSError as error:
            raise of_file(self.path, error) from error

    def require_version(self) -> None:
        """Raise SchemaMismatch unless the schema is the one this program works with.

        And NotifyctlError where PostgreSQL takes NULL in arrays for a word, as before 8.2: it would be stored.
        """
        nulls = "current_setting('array_nulls')" if self.path is None else "'on'"
        with self.read() as tx:
            row = tx.execute(text(f"SELECT version_num, {nulls} FROM alembic_version")).first()  # noqa: S608 - constants
        found, nulls = (None, "on") if row is None else row
        if nulls != "on":
            hint = f"ALTER DATABASE {self.url.database} SET array_nulls = on, or of the role that sets it"
            raise NotifyctlError(f"{self.label}: array_nulls is off: what is missing would be stored as a word", hint)
        if found == SCHEMA_VERSION:
            return
        if found is not None and found > SCHEMA_VERSION:  # revisions are numbered
            raise newer_schema(self.label, found)
        raise SchemaMismatch(f"{self.label} has schema {found or 'none'}, this program needs {SCHEMA_VERSION}")

    def driver_arguments(self) -> dict[str, Any]:
        """Return how the driver connects to PostgreSQL, for a connection that is not the pool's."""
        _, arguments = self._engine.dialect.create_connect_args(self.url)
        return {**arguments, **engines.connect_args(self.url)}

    def _translated(self) -> Any:
        return translated(self.label, served=self.dialect is POSTGRESQL)

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
