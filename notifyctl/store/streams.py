"""All rows that a filter matches, however many: in order, and few at a time.

The order is made by one question for the ids, which a cursor of the database answers piece by piece; the rows are read
by id, so many as fit into a few megabytes. Of a snapshot (`Database.snapshot`) both see the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select

from notifyctl.store.db.tx import Tx

T = TypeVar("T")

RowStream = Generator[T, None, None]
"""RowStream that come from the database: to be closed by whoever does not take them all."""

ASKED = 2_000
"""How many ids are fetched at once."""
MOST = 1_000
MOST_BYTES = 4 * 1024 * 1024
"""How many rows are read at once, and how large they may be, together."""


def streamed(tx: Tx, ordered: Select[Any], read: Callable[[Sequence[str]], Iterable[T]]) -> RowStream[T]:
    """Yield what `read` returns for ids, a portion at a time; `ordered` selects each id and how many bytes it has."""
    for ids in _portions(tx, ordered):
        yield from read(ids)


def _portions(tx: Tx, ordered: Select[Any]) -> RowStream[list[str]]:
    portion, room = list[str](), MOST_BYTES
    with tx.execute(ordered.execution_options(yield_per=ASKED)) as found:
        for id_, size in found:
            if portion and (len(portion) >= MOST or size > room):
                yield portion
                portion, room = [], MOST_BYTES
            portion.append(id_)
            room -= size
    if portion:
        yield portion
