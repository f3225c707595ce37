"""The database is the one of the schema document, and what was added to it is what docs/schema.md says was added."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from psycopg import connect
from psycopg.abc import Query

from tests.support import schema_document
from tests.support.command import REPOSITORY
from tests.support.databases import PostgreSQLMaker
from tests.support.prose import page
from tests.support.schema_document import AUTO, Column, Document, ForeignKey, Index

COPY = REPOSITORY / "tests" / "schema" / "schema.md"
ORIGINAL = REPOSITORY.parent / "shared" / "design" / "schema.md"

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@pytest.fixture(scope="module")
def document() -> Document:
    """What the schema document states."""
    return schema_document.read(COPY)


@pytest.fixture(scope="module")
def url(postgresql_maker: PostgreSQLMaker) -> Iterator[str]:
    """A migrated PostgreSQL database."""
    with postgresql_maker.migrated() as made:
        yield made


def _rows(url: str, query: Query) -> list[tuple[str, ...]]:
    with connect(url) as conn:
        return conn.execute(query).fetchall()


def _columns(url: str) -> dict[str, Column]:
    rows = _rows(
        url,
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
    )
    return {
        f"{table}.{name}": Column(kind, int(length) if length else None, nullable == "YES", _default(default))
        for table, name, kind, length, nullable, default in rows
    }


def _default(text: str | None) -> str | None:
    if text is None:
        return None
    if "clock_timestamp()" in text:
        return AUTO
    return text.split("::")[0].strip("'")


def _indexes(url: str) -> dict[str, Index]:
    rows = _rows(
        url,
        "SELECT i.relname, t.relname, x.indisunique,"
        " (SELECT string_agg(pg_get_indexdef(x.indexrelid, n, true), ',' ORDER BY n)"
        "  FROM generate_series(1, x.indnkeyatts) n)"
        " FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid"
        " WHERE t.relnamespace = 'public'::regnamespace AND NOT x.indisprimary",
    )
    return {name: Index(table, tuple(columns.split(",")), bool(unique)) for name, table, unique, columns in rows}


def _foreign_keys(url: str) -> dict[str, ForeignKey]:
    rows = _rows(
        url,
        "SELECT s.relname, a.attname, t.relname, b.attname, k.confupdtype, k.confdeltype"
        " FROM pg_constraint k JOIN pg_class s ON s.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid"
        " JOIN pg_attribute a ON a.attrelid = s.oid AND k.conkey = ARRAY[a.attnum]"
        " JOIN pg_attribute b ON b.attrelid = t.oid AND k.confkey = ARRAY[b.attnum]"
        " WHERE k.contype = 'f'",
    )
    return {
        f"{table}.{column}": ForeignKey(f"{target}.{key}", _ACTIONS[on_update], _ACTIONS[on_delete])
        for table, column, target, key, on_update, on_delete in rows
    }


def _checks(url: str, tables: frozenset[str]) -> set[str]:
    rows = _rows(
        url,
        "SELECT t.relname, k.conname FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid WHERE k.contype = 'c'",
    )
    return {name for table, name in rows if table in tables}


def _of(tables: frozenset[str], name: str) -> bool:
    return name.split(".")[0] in tables


def test_the_copy_is_the_original() -> None:
    """The document in the repository is the requirement, where that lies beside the checkout."""
    assert not ORIGINAL.exists() or COPY.read_bytes() == ORIGINAL.read_bytes()


def test_the_document_is_understood(document: Document) -> None:
    """The reader misses nothing: every table row and bullet of the document was taken for something."""
    text = COPY.read_text(encoding="utf-8").split("## Relationships Diagram")[0]
    assert len(document.tables) == 12
    assert len(document.columns) == len(re.findall(r"^\| [a-z_]+ +\|", text, re.M))
    assert len(document.indexes) == len(re.findall(r"^- `idx_", text, re.M))
    assert len(document.foreign_keys) == len(re.findall(r"^- `\w+` → ", text, re.M))
    assert len(document.primary_keys) == 12
    assert len(document.foreign_keys) == len(re.findall(r"FOREIGN KEY → ", text))


def test_columns(document: Document, url: str) -> None:
    """Every column has the stated type, length, nullability and default."""
    found = _columns(url)
    assert {name: found.get(name) for name in document.columns} == document.columns


def test_primary_keys(document: Document, url: str) -> None:
    """Every table has the stated primary key."""
    rows = _rows(
        url,
        "SELECT t.relname || '.' || a.attname FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid"
        " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)"
        " WHERE x.indisprimary AND t.relnamespace = 'public'::regnamespace",
    )
    assert {name for (name,) in rows if _of(document.tables, name)} == document.primary_keys


def test_indexes(document: Document, url: str) -> None:
    """Every index has the stated name and columns, and is unique where that is stated."""
    found = _indexes(url)
    assert {name: found.get(name) for name in document.indexes} == document.indexes


def test_unique_columns(document: Document, url: str) -> None:
    """Every column that is stated to be unique is, and no other."""
    found = {
        f"{index.table}.{index.columns[0]}"
        for index in _indexes(url).values()
        if index.unique and len(index.columns) == 1 and index.table in document.tables
    }
    assert found == document.unique


def test_foreign_keys(document: Document, url: str) -> None:
    """Every foreign key points where it is stated, with the stated actions; the tables have no others."""
    found = _foreign_keys(url)
    assert {name: key for name, key in found.items() if _of(document.tables, name)} == document.foreign_keys


def test_all_foreign_keys_follow_updates(url: str) -> None:
    """The document's note holds for added tables too: every foreign key cascades updates."""
    assert {key.on_update for key in _foreign_keys(url).values()} == {"CASCADE"}


def test_additions_are_listed(document: Document, url: str) -> None:
    """Its page's table names exactly what the database has beyond the document: tables, columns, indexes, checks."""
    columns = _columns(url)
    tables = {name.split(".")[0] for name in columns} - document.tables
    added = tables | {name for name in columns if _of(document.tables, name)} - document.columns.keys()
    added |= {name for name, index in _indexes(url).items() if index.table in document.tables} - document.indexes.keys()
    added |= _checks(url, document.tables)
    assert _listed(page("schema")) == sorted(added)


def _listed(text: str) -> list[str]:
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 and row[2].strip() for row in rows), "each addition has its reason"
    return sorted(name for row in rows for name in re.findall(r"`([\w.]+)`", row[1]))
