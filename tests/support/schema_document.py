"""Reads the schema document: tables, columns, indexes and foreign keys as it states them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TYPES = {
    "TEXT": ("text", None),
    "INT": ("integer", None),
    "BIGINT": ("bigint", None),
    "BOOLEAN": ("boolean", None),
    "DATE": ("date", None),
    "TIME": ("time without time zone", None),
}
_LENGTHS = {"CHAR": "character", "VARCHAR": "character varying"}
AUTO = "auto"


@dataclass(frozen=True)
class Column:
    """A column. `default` is the literal's text, AUTO, or None."""

    type: str
    length: int | None
    nullable: bool
    default: str | None


@dataclass(frozen=True)
class Index:
    """An index over columns."""

    table: str
    columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True)
class ForeignKey:
    """A reference to another table's column."""

    target: str
    on_update: str
    on_delete: str


@dataclass(frozen=True)
class Document:
    """All that is stated. Columns and foreign keys by `table.column`, indexes by name."""

    tables: frozenset[str]
    columns: dict[str, Column]
    primary_keys: frozenset[str]
    unique: frozenset[str]
    indexes: dict[str, Index]
    foreign_keys: dict[str, ForeignKey]


def read(path: Path) -> Document:
    """Return what the document at `path` states."""
    tables: set[str] = set()
    columns: dict[str, Column] = {}
    constraints: dict[str, str] = {}
    foreign_keys: dict[str, ForeignKey] = {}
    stated: list[tuple[str, str, tuple[str, ...], str]] = []
    table = ""
    for line in path.read_text(encoding="utf-8").split("## Relationships Diagram")[0].splitlines():
        if heading := re.fullmatch(r"### \d+\. \*\*(\w+)\*\*", line):
            table = heading[1]
            tables.add(table)
        elif row := re.match(r"\| (\w+) +\| ([A-Z]+(?:\(\d+\))?) +\| (.*?) +\|", line):
            constraints[f"{table}.{row[1]}"] = row[3]
            columns[f"{table}.{row[1]}"] = _column(row[2], row[3])
        elif bullet := re.match(r"- `(idx_\w+)` on `\(?([\w, ]+)\)?`(.*)", line):
            stated.append((bullet[1], table, tuple(bullet[2].split(", ")), bullet[3]))
        elif key := re.match(r"- `(\w+)` → `(\w+)\((\w+)\)` ON UPDATE ([A-Z ]+) ON DELETE ([A-Z ]+)$", line):
            foreign_keys[f"{table}.{key[1]}"] = ForeignKey(f"{key[2]}.{key[3]}", key[4], key[5])
    unique = frozenset(name for name, text in constraints.items() if "UNIQUE" in text)
    return Document(
        tables=frozenset(tables),
        columns=columns,
        primary_keys=frozenset(name for name, text in constraints.items() if "PRIMARY KEY" in text),
        unique=unique,
        indexes={
            name: Index(of, over, "nique" in remark or (len(over) == 1 and f"{of}.{over[0]}" in unique))
            for name, of, over, remark in stated
        },
        foreign_keys=foreign_keys,
    )


def _column(kind: str, constraints: str) -> Column:
    sized = re.fullmatch(r"(\w+)\((\d+)\)", kind)
    name, length = (_LENGTHS[sized[1]], int(sized[2])) if sized else _TYPES[kind]
    default = re.search(r"DEFAULT '?(\w+)'?", constraints)
    nullable = "NOT NULL" not in constraints and "PRIMARY KEY" not in constraints
    return Column(name, length, nullable, default[1] if default else AUTO if "AUTO" in constraints else None)
