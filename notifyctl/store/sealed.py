"""Sealed values, whatever they are: which key sealed how many, and the exchange of one for another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update

from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import stored as parsed
from notifyctl.core.sealing import KID_CHARS, Place, kid_of
from notifyctl.store import providers
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.sealed import SealedColumn

_BEGINNING = "v1."


@dataclass(frozen=True, slots=True)
class SealedValue:
    """A sealed value of one row, and what its column holds (`stored`), which may be more; people know it by `label`."""

    of: SealedColumn
    row_id: str
    bound_to: str
    stored: str
    label: str = ""

    @property
    def sealed(self) -> str:
        """The sealed value itself."""
        if self.of.member is None:
            return self.stored
        return str(_object(self.stored)[self.of.member])

    @property
    def place(self) -> Place:
        """What it is bound to."""
        return self.of.place(self.bound_to)

    def holding(self, sealed: str) -> str:
        """Return what the column holds with another sealed value, everything else as it is written there."""
        return self.stored.replace(self.sealed, sealed)  # no character of one is escaped in JSON


def counts(tx: Tx, of: SealedColumn) -> dict[str | None, int]:
    """Return how many values each key sealed, by its id; None stands for what is not sealed at all."""
    if of.member is not None:
        found: dict[str | None, int] = {}
        for value in _members(tx, of):
            kid = kid_of(value.sealed)
            found[kid] = found.get(kid, 0) + 1
        return found
    each = select(sealing_kid(of.column).label("kid")).where(of.column.is_not(None)).subquery()
    counted = select(each.c.kid, func.count()).group_by(each.c.kid)
    rows = tx.execute(counted.where(each.c.kid.is_not(None)) if of.may_be_clear else counted)
    return {row[0]: row[1] for row in rows}


def portion(tx: Tx, of: SealedColumn, other_than: Collection[str], after: str, limit: int) -> list[SealedValue]:
    """Return values that none of these keys sealed, of rows whose ids come after that one, by their ids."""
    if of.member is not None:
        found = [each for each in _members(tx, of) if each.row_id > after and kid_of(each.sealed) not in other_than]
        return sorted(found, key=lambda each: each.row_id)[:limit]
    id_, kid_column = of.table.c.id, sealing_kid(of.column)
    is_one = kid_column.is_not(None) if of.may_be_clear else of.column.is_not(None)
    statement = (
        select(id_, of.bound_to, of.column, of.known_by)
        .where(is_one, kid_column.not_in(other_than), id_ > after)
        .order_by(id_)
        .limit(limit)
    )
    return [SealedValue(of, *row) for row in tx.execute(statement)]


def exchange(tx: Tx, changes: Sequence[tuple[SealedValue, str]]) -> int:
    """Put other sealed values into rows that still hold what was read of them; return how many did.

    Whoever changes a provider writes back all that it read: it is waited for.
    """
    changed = 0
    for value, sealed in changes:
        if value.of.waits:
            providers.serialize(tx, value.label)
        column = value.of.column
        unchanged = (value.of.table.c.id == value.row_id, column == value.stored)
        new: dict[str, Any] = {column.name: value.holding(sealed)}
        changed += tx.execute(update(value.of.table).where(*unchanged).values(new)).rowcount
    return changed


def _members(tx: Tx, of: SealedColumn) -> list[SealedValue]:
    """Return the values that stand in JSON objects; of such columns there are few rows."""
    rows = tx.execute(select(of.table.c.id, of.bound_to, of.column, of.known_by).where(of.column.is_not(None)))
    return [SealedValue(of, *row) for row in rows if isinstance(_object(row[2]).get(of.member or ""), str)]


def _object(text: str) -> dict[str, Any]:
    return parsed(text, {})


def sealing_kid(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the id of the key that sealed a value."""
    begins, rest = func.substr(column, 1, len(_BEGINNING)), len(_BEGINNING) + 1
    ends = [
        (
            (begins == _BEGINNING) & (func.substr(column, rest + length, 1) == "."),
            func.substr(column, rest, length),
        )
        for length in range(1, KID_CHARS + 1)
    ]
    return case(*ends, else_=None)
