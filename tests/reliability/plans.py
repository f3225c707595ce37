"""What statements look at: the indexes of their plans, and how much they read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from notifyctl.store.db.database import Database
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.hot import Hot, fetch
from notifyctl.store.db.tx import Tx

WHOLE = "the whole table"
STEPS = 10
"""So many steps of SQLite's machine count as one: to count each would take longer than they do."""

_SQLITE_PLAN = re.compile(
    r"(?:SCAN|SEARCH) (\w+)(?:.*?(?:USING (?:COVERING )?INDEX (\w+)|(USING INTEGER PRIMARY KEY)))?"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What some work looked at. `read` counts pages, on SQLite steps; `used` are tables and how they were read.

    The pages of `users` are left out: how many it takes to find a row's user follows from how many users there are.

    A table is read by an index, or as `WHOLE`. The primary key's index has PostgreSQL's name on both databases. `ms`
    is the time of the work, statements and rows.
    """

    read: int
    used: frozenset[tuple[str, str]]
    ms: float
    plans: str

    def of(self, table: str) -> set[str]:
        """Return how the table was read."""
        return {how for name, how in self.used if name == table}


def look(db: Database, work: Callable[[Tx], object], *, indexed: bool = False, only: str = "") -> Look:
    """Do the work, look at what it reads, and undo it. Rows that it inserts are not looked at.

    `indexed` keeps PostgreSQL from reading a table as a whole where an index serves, as it does while the table is
    small. `only` narrows what it looks at there to the statements with this in them.
    """
    return _on_sqlite(db, work) if db.dialect.name == "sqlite" else _on_postgresql(db, work, indexed, only)


@contextmanager
def _undone(db: Database) -> Iterator[Tx]:
    with db._engine.connect() as conn:
        yield db._begun(conn, partial(db.dialect.begin, writing=True))


@contextmanager
def _overheard(db: Database, tell: Callable[[Any, str, Any], object]) -> Iterator[None]:
    def listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            tell(cursor, statement, parameters)

    def overheard(conn: Any, dialect: Dialect, statement: Hot[Any], parameters: Any) -> list[Any]:
        compiled = statement.compiled(dialect, conn.dialect)
        tell(dialect.cursor(conn), compiled.text, compiled.arguments(parameters))
        return fetch(conn, dialect, statement, parameters)

    event.listen(db._engine, "before_cursor_execute", listen)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("notifyctl.store.db.tx.fetch", overheard)
            yield
    finally:
        event.remove(db._engine, "before_cursor_execute", listen)


# SQLite: it tells a plan without running it; work is counted in the steps of its machine.


def _on_sqlite(db: Database, work: Callable[[Tx], object]) -> Look:
    plans: list[str] = []

    def explain(cursor: Any, statement: str, parameters: Any) -> None:
        found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in found)

    with _undone(db) as tx, _overheard(db, explain):
        began = time.perf_counter()
        work(tx)
        ms = (time.perf_counter() - began) * 1_000
    used = frozenset(
        (match[1], _named(match[1], match[2], match[3])) for line in plans if (match := _SQLITE_PLAN.match(line))
    )
    return Look(_steps(db, work), used, ms, "\n".join(plans))


def _named(table: str, index: str | None, by_rowid: str | None) -> str:
    if by_rowid:
        return "rowid"
    return WHOLE if index is None else re.sub(r"^sqlite_autoindex_(\w+)_1$", r"\1_pkey", index)


def _steps(db: Database, work: Callable[[Tx], object]) -> int:
    steps = 0

    def tick() -> int:
        nonlocal steps
        steps += 1
        return 0

    with _undone(db) as tx:
        driver: Any = tx.conn.connection.driver_connection
        driver.set_progress_handler(tick, STEPS)
        try:
            work(tx)
        finally:
            driver.set_progress_handler(None, 0)
    return steps


# PostgreSQL: it tells a plan with the pages of it by running the statement once more.


def _on_postgresql(db: Database, work: Callable[[Tx], object], indexed: bool, only: str) -> Look:
    asked: list[tuple[str, Any]] = []
    with _undone(db) as tx, _overheard(db, lambda cursor, *statement: asked.append(statement)):
        began = time.perf_counter()
        work(tx)
        ms = (time.perf_counter() - began) * 1_000
    with _undone(db) as tx:
        tx.conn.exec_driver_sql(f"SET LOCAL enable_seqscan = {'off' if indexed else 'on'}")
        found = [_explained(tx, statement, parameters) for statement, parameters in asked if only in statement]
    roots = [each[0]["Plan"] for each in found]
    nodes = [node for root in roots for node in _nodes(root)]
    return Look(
        read=sum(map(_pages, roots)) - sum(_pages(node) for node in nodes if node.get("Relation Name") == "users"),
        used=frozenset(scan for node in nodes for scan in _scans(node)),
        ms=ms,
        plans="\n".join(_line(node) for node in nodes),
    )


def _explained(tx: Tx, statement: str, parameters: Any) -> Any:
    whole = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    if isinstance(parameters, list):  # one of those that are run below SQLAlchemy
        return tx.dialect.cursor(tx.conn).execute(whole, parameters).fetchone()[0]
    return tx.conn.exec_driver_sql(whole, parameters).scalar_one()


def _nodes(plan: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield {**plan, "depth": depth}
    for child in plan.get("Plans", ()):
        yield from _nodes(child, depth + 1)


def _pages(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "Relation Name" not in node:
        return
    if node["Node Type"] == "Bitmap Heap Scan":
        indexes = [child["Index Name"] for child in _nodes(node) if child["Node Type"] == "Bitmap Index Scan"]
    else:
        indexes = [node.get("Index Name", WHOLE)]
    yield from ((node["Relation Name"], index) for index in indexes if node["Node Type"].endswith("Scan"))


def _line(node: dict[str, Any]) -> str:
    facts = (node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", ""), node.get("Index Cond", ""))
    counts = f"rows {node['Actual Rows']} pages {_pages(node)}"
    return "  " * int(node["depth"]) + " ".join(fact for fact in (*facts, counts) if fact)
