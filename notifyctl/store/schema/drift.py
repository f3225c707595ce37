"""In what a database differs from the tables in `tables`.

Alembic compares tables, columns, types, defaults and foreign keys. Indexes and CHECK constraints are compared here, by
their definitions: Alembic sees neither a CHECK nor the condition of a partial index.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, MetaData, Table, inspect, text
from sqlalchemy.schema import CreateIndex, CreateTable

from notifyctl.core.migration import Difference
from notifyctl.store.db.dialect import POSTGRESQL, Dialect
from notifyctl.store.schema import (
    functions,
    physical,  # noqa: F401 - importing it declares them
)
from notifyctl.store.schema.tables import metadata


def _is_ours(_object: object, name: str | None, kind: str, reflected: bool, _compared: object) -> bool:
    return kind != "table" or not reflected or name in metadata.tables


def _default_differs(
    _context: object, _column: object, _known: object, found: str | None, _default: object, expected: str | None
) -> bool:
    return _bare(found or "") != _bare(expected or "")


OPTIONS: Mapping[str, Any] = {
    "target_metadata": metadata,
    "include_object": _is_ours,
    "compare_type": True,
    "compare_server_default": _default_differs,
}
"""How Alembic is to compare."""


def differences(conn: Connection, dialect: Dialect) -> tuple[Difference, ...]:
    """Return in what the database differs, in no particular order. Reads only."""
    if dialect is POSTGRESQL:  # with it, types and functions are told otherwise than they were made
        conn.execute(text("SET LOCAL quote_all_identifiers = off"))
    found = [_told(item) for item in _compared_by_alembic(conn)]
    missing = {difference.what for difference in found if difference.how == "missing"}
    tables = [table for name, table in metadata.tables.items() if name not in missing]
    # Where there are no tables yet, what works on them is not missed.
    is_due = dialect is POSTGRESQL and "notifications" not in missing
    made = functions.differences(functions.stored(conn, dialect)) if is_due else ()
    return (*found, *_indexes(conn, dialect, tables), *_checks(conn, tables), *made)


def _compared_by_alembic(conn: Connection) -> Iterator[tuple[Any, ...]]:
    def is_compared(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        return kind not in ("index", "unique_constraint") and _is_ours(thing, name, kind, reflected, other)

    context = MigrationContext.configure(conn, opts={**OPTIONS, "include_object": is_compared})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*expression-based index")
        return _flat(compare_metadata(context, _without_indexes()))


def _without_indexes() -> MetaData:
    # Alembic complains about those it cannot compare even where it is told to leave them out.
    bare = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(bare).indexes.clear()
    return bare


def _flat(items: list[Any]) -> Iterator[tuple[Any, ...]]:
    for item in items:
        yield from _flat(item) if isinstance(item, list) else (item,)


def _told(item: tuple[Any, ...]) -> Difference:
    kind = item[0]
    if kind in ("add_table", "remove_table"):
        return Difference(item[1].name, _there(kind))
    if kind in ("add_column", "remove_column"):
        return Difference(f"{item[2]}.{item[3].name}", _there(kind))
    if kind.startswith("modify_"):
        return Difference(f"{item[2]}.{item[3]}", f"another {kind.removeprefix('modify_')}")
    constraint = item[1]
    columns = ", ".join(constraint.column_keys)
    actions = f"ON UPDATE {constraint.onupdate or 'NO ACTION'} ON DELETE {constraint.ondelete or 'NO ACTION'}"
    return Difference(f"{constraint.table.name}.{columns}", f"{_there(kind)}: foreign key {actions}")


def _there(kind: str) -> str:
    return "missing" if kind.startswith("add_") else "unexpected"


def _indexes(conn: Connection, dialect: Dialect, tables: list[Table]) -> Iterator[Difference]:
    names = {table.name for table in tables}
    found = {name: definition for table, name, definition in dialect.indexes(conn) if table in names}
    expected = {
        str(index.name): str(CreateIndex(index).compile(dialect=conn.dialect))
        for table in tables
        for index in table.indexes
    }
    yield from _compared("index", found, expected)


def _checks(conn: Connection, tables: list[Table]) -> Iterator[Difference]:
    inspector = inspect(conn)
    for table in tables:
        found = {
            str(check["name"]): _literals(check["sqltext"]) for check in inspector.get_check_constraints(table.name)
        }
        yield from _compared("check", found, _expected_checks(conn, table))


def _expected_checks(conn: Connection, table: Table) -> dict[str, str]:
    # What is really made, so that constraints of one database only are left to SQLAlchemy to pick.
    statement = str(CreateTable(table).compile(dialect=conn.dialect))
    return {
        name: _literals(str(check.sqltext))
        for check in table.constraints
        if isinstance(check, CheckConstraint) and (name := conn.dialect.identifier_preparer.format_constraint(check))
        if f"CONSTRAINT {name} CHECK" in statement
    }


def _compared(kind: str, found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            yield Difference(name, f"missing: {kind}")
        elif name not in expected:
            yield Difference(name, f"unexpected: {kind}")
        elif _bare(found[name]) != _bare(expected[name]):
            yield Difference(name, f"another {kind}: {found[name]}")


def _literals(condition: str) -> str:
    # PostgreSQL rewrites IN (...) as = ANY (ARRAY[...]): what was written are the values.
    return " ".join(re.findall(r"'[^']*'|\d+", condition))


def _bare(sql: str) -> str:
    """Return an expression without what PostgreSQL adds to it: casts, parentheses, the schema's name."""
    sql = re.sub(r"::[a-z ]+(\[\])?", "", sql.lower())
    sql = re.sub(r' on (?:\w+|"(?:[^"]|"")+")\.', " on ", sql).replace(" using btree", "")
    return re.sub(r"""[\s()'"]""", "", sql)
