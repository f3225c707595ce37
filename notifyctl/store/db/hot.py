"""The few statements of the dispatch loop, run on the driver's cursor.

Each stays one SQLAlchemy statement, compiled once. What SQLAlchemy does at every execution (looking up the compiled
form, events, contexts, the rows' keys) costs more than the driver, and is left out. So that nothing is lost by that,
a statement with parameters whose types SQLAlchemy would convert is refused when it is compiled, what it would make of
results is made here, and the driver's errors are raised as SQLAlchemy would raise them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select
from sqlalchemy.engine.interfaces import Dialect as Target
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate

from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern
from notifyctl.store.db.dialect import Dialect

R = TypeVar("R")

Rows = Select[Any] | ReturningUpdate[Any] | ReturningInsert[Any] | ReturningDelete[Any]


_NAMED = pattern(r"%\((\w+)\)s|%%")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it; `names` are its parameters in the order of their marks."""

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]
    conversions: tuple[tuple[int, Callable[[Any], Any]], ...]

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return parameters as the driver takes them."""
        given = {**self.fixed, **parameters} if self.fixed else parameters
        return [given[name] for name in self.names]


class Hot(Generic[R]):
    """A statement that returns rows: `build` makes it for a dialect, `row` makes a value of a tuple."""

    def __init__(self, build: Callable[[Dialect], Rows], row: Callable[[Sequence[Any]], R]) -> None:
        self.build = build
        self.row = row
        self._compiled: dict[Dialect, Compiled] = {}

    def compiled(self, dialect: Dialect, target: Target) -> Compiled:
        """Return the statement as the driver takes it. Raises TypeError for a type that would have to be converted."""
        found = self._compiled.get(dialect)
        if found is None:
            found = self._compiled[dialect] = _compile(self.build(dialect), target)
        return found

    def is_compiled(self, dialect: Dialect) -> bool:
        """Return whether it was run before on such a database."""
        return dialect in self._compiled


def only(build: Callable[[Dialect], Rows]) -> Hot[Any]:
    """Return a statement with one column, whose rows are its values."""
    return Hot(build, itemgetter(0))


def fetch(conn: Connection, dialect: Dialect, statement: Hot[R], parameters: Mapping[str, Any]) -> list[R]:
    """Run it in the transaction of `conn` and return its rows."""
    compiled = statement.compiled(dialect, conn.dialect)
    cursor = dialect.cursor(conn)
    try:
        cursor.execute(compiled.text, compiled.arguments(parameters))
        found = cursor.fetchall()
    except Exception as error:
        raise as_sqlalchemy(conn, compiled.text, error) from error
    finally:
        cursor.close()
    if compiled.conversions:
        found = [_converted(row, compiled.conversions) for row in found]
    return [*map(statement.row, found)]


def _compile(statement: Rows, target: Target) -> Compiled:
    compiled = statement.compile(dialect=target)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - it is no DDL
    binds = {name: bound for bound, name in compiled.bind_names.items()}
    for name, bound in binds.items():
        if bound.type.dialect_impl(target).bind_processor(target) is not None:
            raise TypeError(f"{name}: values of {bound.type!r} are converted by SQLAlchemy, which is passed by here")
    if compiled.literal_execute_params or compiled.post_compile_params:
        raise TypeError("its text depends on its parameters")
    fixed = {name: bound.value for name, bound in binds.items() if not bound.required}
    conversions = tuple(_conversions(statement, target))
    if compiled.positiontup is not None:
        return Compiled(str(compiled), tuple(compiled.positiontup), fixed, conversions)
    text, names = _numbered(str(compiled), fixed)
    return Compiled(text, names, {}, conversions)


def _numbered(text: str, fixed: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return a statement with $1, $2 for its named parameters, as the server wants it, and with the fixed values."""
    names: dict[str, int] = {}

    def mark(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        if name in fixed:
            return _written(fixed[name])
        return f"${names.setdefault(name, len(names) + 1)}"

    return _NAMED.sub(mark, text), tuple(names)


def _written(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _conversions(statement: Rows, target: Target) -> list[tuple[int, Callable[[Any], Any]]]:
    types = (column.type.dialect_impl(target) for column in statement.exported_columns)
    made = ((place, kind.result_processor(target, None)) for place, kind in enumerate(types))
    return [(place, conversion) for place, conversion in made if conversion is not None]


def _converted(row: Sequence[Any], conversions: Sequence[tuple[int, Callable[[Any], Any]]]) -> list[Any]:
    values = list(row)
    for place, conversion in conversions:
        values[place] = conversion(values[place])
    return values


def as_sqlalchemy(conn: Connection, text: str, error: Exception) -> BaseException:
    """Return an error of the driver's as SQLAlchemy raises it; a connection that is lost leaves the pool."""
    target = conn.dialect
    known = target.loaded_dbapi.Error
    lost = isinstance(error, known) and target.is_disconnect(error, conn.connection, None)
    if lost:
        conn.invalidate(error)
    return DBAPIError.instance(
        text, None, error, known, hide_parameters=True, connection_invalidated=lost, dialect=target
    )
