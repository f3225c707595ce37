"""What truly differs between PostgreSQL and SQLite, in one object chosen once.

Everything else is written once, as SQLAlchemy Core statements over one `MetaData`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    CHAR,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.types import Text, TypeEngine

from notifyctl.store.db.catalog import INDEXES, LACKING, OWNER, WRITERS
from notifyctl.store.db.functions import SERVER_CLOCK_MS
from notifyctl.store.db.literals import array_literal

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

ID = CHAR(36)
UTF8 = "UTF8"
IDLE_TRANSACTION_MS = 15_000
Rights = Mapping[str, Sequence[str]]
"""Verbs, or columns, by table."""


class Dialect(ABC):
    """The differences between the two databases. Stateless."""

    name: str
    worker_threads: int
    """How many threads of the dispatch loop may use the store at once."""
    hints: bool
    """Whether a transaction can tell others, when it commits, that there is something to see."""
    leases_as_it_reads: bool
    """Whether one statement can change rows and return what they were, joined with others."""
    laterals: bool
    """Whether a subquery in FROM may use the columns of what stands before it."""
    rows_at_once: int
    """How many rows one transaction of a bulk import inserts."""
    one_writer: bool
    """Whether who writes waits for the others before the transaction begins, and for nobody in it."""
    creation: str
    """SQL that a new database needs before the schema's, outside a transaction."""

    @abstractmethod
    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""

    @abstractmethod
    def is_any(self, col: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        """Return `col` = any of `values` as ONE bound parameter, whatever their number. `col` is CHAR(36)."""

    @abstractmethod
    def rowset(
        self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]] | None = None
    ) -> FromClause:
        """Return `rows` as a relation `name` with the columns of `types`, for `UPDATE ... FROM` and joins.

        Without `rows` they are parameters, so that a statement is built once: `bind` gives them at each execution.
        """

    @abstractmethod
    def bind(self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the parameters that put `rows` into the relation that `rowset` made."""

    @abstractmethod
    def insert_many(
        self, conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], unique: str
    ) -> int:
        """Insert very many rows, but for those whose value of `unique` is there already; return how many."""

    @abstractmethod
    def skip_locked(self, statement: Select[Any], of: FromClause) -> Select[Any]:
        """Lock the selected rows of `of`, passing over those that somebody else has locked."""

    @abstractmethod
    def lock_row(self, statement: Select[Any]) -> Select[Any]:
        """Lock the selected rows until the transaction ends, waiting for those that are locked."""

    def lock_gently(self, statement: Select[Any], of: Table | None = None) -> Select[Any]:
        """The same, of rows of `of` where it is said, but others that refer to them may be added meanwhile."""
        return statement.with_for_update(key_share=True, of=of)  # SQLite, which has one writer, drops it

    def pass_gently(self, statement: Select[Any], of: Table) -> Select[Any]:
        """The same, passing over those rows that somebody else has locked so."""
        return statement.with_for_update(key_share=True, skip_locked=True, of=of)

    def lock_key(self, statement: Select[Any], of: Table) -> Select[Any]:
        """Keep the selected rows of `of` from being deleted until the transaction ends, and let others change them."""
        return statement.with_for_update(read=True, key_share=True, of=of)  # SQLite drops it

    @abstractmethod
    def json_array(self, *columns: ColumnElement[Any]) -> ColumnElement[str]:
        """Return columns as the text of a JSON array; a truth value may be a number there."""

    @abstractmethod
    def begin(self, cursor: Any, host_clock: Callable[[], int], *, writing: bool) -> int:
        """Begin a transaction with a cursor of the driver's; return the moment that decides what is due.

        In milliseconds since the epoch, by the server's clock, where there is a server.
        """

    @abstractmethod
    def begin_snapshot(self, cursor: Any, host_clock: Callable[[], int]) -> int:
        """The same for one that only reads, and all of whose statements see what there was at its first."""

    def writers(self, conn: Connection, table: Table) -> set[str]:
        """Return which other transactions may have written a table, by a name; none where there is one writer."""
        return set()

    @abstractmethod
    def limit_answers(self, conn: Connection, seconds: float) -> None:
        """Wait at most that long for the answer to each statement from here on, until the connection is given back."""

    @abstractmethod
    def cursor(self, conn: Connection) -> Any:
        """Return a cursor of the driver's; on PostgreSQL parameters are $1, $2, and statements are sent as they are."""

    @abstractmethod
    def ignore_references(self, conn: Connection) -> None:
        """Let the next transaction on the connection change tables without following the references to them."""

    @abstractmethod
    def serialize(self, conn: Connection, name: str) -> None:
        """Let one transaction at a time pass this point for `name`; released when the transaction ends."""

    @abstractmethod
    def share(self, conn: Connection, name: str) -> None:
        """Keep `serialize` for `name` waiting until this transaction ends; any number may share."""

    @abstractmethod
    def limit_lock_wait(self, conn: Connection, timeout_ms: int) -> None:
        """Give up waiting for a lock after that time, in this transaction."""

    @abstractmethod
    def become_owner(self, conn: Connection) -> None:
        """Make what this transaction makes the owner's, where the tables have a role for that (`migrate roles`)."""

    @abstractmethod
    def notify(self, conn: Connection, channel: str, payloads: Sequence[str]) -> None:
        """Tell those who listen to a channel each of the payloads, when the transaction commits."""

    @abstractmethod
    def encoding(self, conn: Connection) -> str:
        """Return in which encoding texts are stored, as PostgreSQL names it."""

    @abstractmethod
    def lacking(self, conn: Connection, rights: Rights, changing: Rights) -> list[str]:
        """Return which rights on tables, and to change columns, we have not: "INSERT ON t", "UPDATE (c) ON t"."""

    @abstractmethod
    def dangling(self, conn: Connection) -> list[str]:
        """Return the tables with rows whose references point nowhere."""

    @abstractmethod
    def indexes(self, conn: Connection) -> list[tuple[str, str, str]]:
        """Return table, name and CREATE INDEX statement of the indexes that are there, but for those of keys."""


class _PostgreSQL(Dialect):
    name = "postgresql"
    worker_threads = 4
    hints = True
    leases_as_it_reads = True
    laterals = True
    rows_at_once = 8_000
    one_writer = False
    creation = ""

    def insert(self, table: Table) -> postgresql.Insert:
        # Here, because a command on SQLite has no use for it and would wait 20 ms.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def is_any(self, col: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        # Bound as text[] the comparison casts the column, and the plan becomes a sequential scan.
        array = cast(bindparam(None, list(values), type_=ARRAY(ID)), ARRAY(ID))
        return col == func.any(array)

    def rowset(
        self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]] | None = None
    ) -> FromClause:
        given = None if rows is None else self.bind(name, types, rows)
        arrays = [cast(_parameter(f"{name}_{key}", given, Text()), ARRAY(kind)) for key, kind in types.items()]
        typed = [column(key, kind) for key, kind in types.items()]
        return func.unnest(*arrays).table_valued(*typed).render_derived(name=name)

    def bind(self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        columns = zip(*rows, strict=True) if rows else [()] * len(types)
        return {f"{name}_{key}": array_literal(values) for key, values in zip(types, columns, strict=True)}

    def insert_many(
        self, conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], unique: str
    ) -> int:
        from notifyctl.store.db.copying import copied  # loads psycopg

        return copied(self.cursor(conn), table.name, columns, rows, unique)

    def skip_locked(self, statement: Select[Any], of: FromClause) -> Select[Any]:
        return statement.with_for_update(skip_locked=True, of=of)

    def lock_row(self, statement: Select[Any]) -> Select[Any]:
        return statement.with_for_update()

    def json_array(self, *columns: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(func.json_build_array(*columns), Text)

    def begin(self, cursor: Any, host_clock: Callable[[], int], *, writing: bool) -> int:
        # One round trip: what stands before BEGIN in the same message belongs to the transaction. A process that
        # stands still in a transaction must not keep its rows from everybody else.
        limit = f" FROM set_config('idle_in_transaction_session_timeout', '{IDLE_TRANSACTION_MS}', true)"
        cursor.execute(f"SELECT {SERVER_CLOCK_MS}{limit if writing else ''}; BEGIN")
        moment: int = cursor.fetchone()[0]
        return moment

    def begin_snapshot(self, cursor: Any, host_clock: Callable[[], int]) -> int:
        # The clock is asked second: behind a question no isolation can be chosen any more.
        cursor.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT {SERVER_CLOCK_MS}")
        cursor.nextset()
        moment: int = cursor.fetchone()[0]
        return moment

    def limit_answers(self, conn: Connection, seconds: float) -> None:
        conn.connection.driver_connection.limit_s = seconds  # type: ignore[union-attr]

    def cursor(self, conn: Connection) -> Any:
        from psycopg import RawCursor  # a command on SQLite has no use for it

        return RawCursor(conn.connection.driver_connection)  # type: ignore[arg-type]

    def ignore_references(self, conn: Connection) -> None:
        """It changes tables in place."""

    def serialize(self, conn: Connection, name: str) -> None:
        # A transaction-level lock: session locks leak through PgBouncer in transaction mode.
        conn.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def share(self, conn: Connection, name: str) -> None:
        conn.execute(select(func.pg_advisory_xact_lock_shared(func.hashtextextended(name, 0))))

    def limit_lock_wait(self, conn: Connection, timeout_ms: int) -> None:
        conn.execute(select(func.set_config("lock_timeout", str(timeout_ms), True)))  # True: SET LOCAL

    def become_owner(self, conn: Connection) -> None:
        owner = conn.execute(OWNER).scalar()
        if owner is not None:
            conn.execute(select(func.set_config("role", owner, True)))  # True: SET LOCAL

    def notify(self, conn: Connection, channel: str, payloads: Sequence[str]) -> None:
        if payloads:
            conn.execute(_NOTIFY, {"channel": channel, "payloads": list(payloads)})

    def encoding(self, conn: Connection) -> str:
        return str(conn.exec_driver_sql("SHOW server_encoding").scalar_one())

    def lacking(self, conn: Connection, rights: Rights, changing: Rights) -> list[str]:
        asked = [(table, right, "") for table, some in rights.items() for right in some]
        asked += [(table, "UPDATE", column) for table, some in changing.items() for column in some]
        tables, verbs, columns = (array_literal(each) for each in zip(*asked, strict=True))
        found = conn.execute(LACKING, {"tables": tables, "rights": verbs, "columns": columns})
        return [f"{right} ON {table}" for table, right in found]

    def dangling(self, conn: Connection) -> list[str]:
        return []  # its constraints hold at every moment

    def indexes(self, conn: Connection) -> list[tuple[str, str, str]]:
        return [(row[0], row[1], row[2]) for row in conn.execute(INDEXES)]

    def writers(self, conn: Connection, table: Table) -> set[str]:
        return set(conn.execute(WRITERS, {"name": table.name}).scalars())


class _SQLite(Dialect):
    name = "sqlite"
    worker_threads = 1
    hints = False
    leases_as_it_reads = False
    laterals = False
    one_writer = True
    rows_at_once = 1_000  # whoever else writes waits for them
    creation = "PRAGMA journal_mode = WAL;"

    def insert(self, table: Table) -> sqlite.Insert:
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)

    def is_any(self, col: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
        each = func.json_each(bindparam(None, json.dumps(list(values)))).table_valued("value")
        return col.in_(select(each.c.value))

    def rowset(
        self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]] | None = None
    ) -> FromClause:
        given = None if rows is None else self.bind(name, types, rows)
        each = func.json_each(_parameter(name, given, Text())).table_valued("value")
        picked = [
            func.json_extract(each.c.value, literal(f"$[{index}]"), type_=kind).label(key)
            for index, (key, kind) in enumerate(types.items())
        ]
        return select(*picked).subquery(name)

    def bind(self, name: str, types: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return {name: json.dumps([list(row) for row in rows])}

    def insert_many(
        self, conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], unique: str
    ) -> int:
        into, marks = f"{table.name} ({', '.join(columns)})", ", ".join("?" * len(columns))
        statement = f"INSERT INTO {into} VALUES ({marks}) ON CONFLICT ({unique}) DO NOTHING"  # noqa: S608 - names
        return int(self.cursor(conn).executemany(statement, rows).rowcount)

    def skip_locked(self, statement: Select[Any], of: FromClause) -> Select[Any]:
        return statement  # one writer at a time: BEGIN IMMEDIATE has locked everything

    def lock_row(self, statement: Select[Any]) -> Select[Any]:
        return statement

    def json_array(self, *columns: ColumnElement[Any]) -> ColumnElement[str]:
        return func.json_array(*columns, type_=Text())

    def begin(self, cursor: Any, host_clock: Callable[[], int], *, writing: bool) -> int:
        cursor.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        return host_clock()

    def begin_snapshot(self, cursor: Any, host_clock: Callable[[], int]) -> int:
        return self.begin(cursor, host_clock, writing=False)  # its log (WAL) keeps what was there for whoever reads

    def limit_answers(self, conn: Connection, seconds: float) -> None:
        """Nobody answers; how long a lock is waited for, the connection says."""

    def cursor(self, conn: Connection) -> Any:
        return conn.connection.cursor()

    def ignore_references(self, conn: Connection) -> None:
        conn.detach()  # nobody else shall get a connection that follows no references
        conn.connection.cursor().execute("PRAGMA foreign_keys = OFF")

    def serialize(self, conn: Connection, name: str) -> None:
        """One writer at a time already."""

    def share(self, conn: Connection, name: str) -> None:
        """One writer at a time already."""

    def limit_lock_wait(self, conn: Connection, timeout_ms: int) -> None:
        """Whoever is here holds the only lock."""

    def become_owner(self, conn: Connection) -> None:
        """There are no roles."""

    def notify(self, conn: Connection, channel: str, payloads: Sequence[str]) -> None:
        """Nobody can listen."""

    def encoding(self, conn: Connection) -> str:
        return UTF8  # or UTF-16, which nobody can tell by what comes back

    def lacking(self, conn: Connection, rights: Rights, changing: Rights) -> list[str]:
        return []  # who may write the file may write each of its tables

    def dangling(self, conn: Connection) -> list[str]:
        return sorted({row[0] for row in conn.exec_driver_sql("PRAGMA foreign_key_check")})

    def indexes(self, conn: Connection) -> list[tuple[str, str, str]]:
        asked = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
        return [(row[0], row[1], row[2]) for row in conn.exec_driver_sql(asked)]


_NOTIFY = select(
    func.pg_notify(cast(bindparam("channel"), Text), func.unnest(cast(bindparam("payloads"), ARRAY(Text))))
)


def _parameter(name: str, given: Mapping[str, Any] | None, kind: TypeEngine[Any]) -> BindParameter[Any]:
    if given is None:
        return bindparam(name, type_=kind)
    return bindparam(name, given[name], type_=kind, unique=True)


POSTGRESQL: Dialect = _PostgreSQL()
SQLITE: Dialect = _SQLite()
