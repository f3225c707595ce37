"""Lists: how many rows to show in which format, and how to go on.

A table on a terminal shows a page and says so; everything else is complete, fetched a page at a time by key, so that
the database holds nothing open while a slow reader reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, TypeVar

import typer

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.output import PAGE, Field, Output
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass

T = TypeVar("T")

FETCHED_ROWS = 1_000

Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most N rows.  [all; a table 50]")]
All = Annotated[bool, typer.Option("--all", help="All rows, on a terminal too; there a table has 50 else.")]
After = Annotated[str | None, typer.Option("--cursor", metavar="C", help="Go on where a list before ended.")]

FetchPage = Callable[[Cursor | None, int], Sequence[T]]
"""Return at most so many rows after the cursor, newest first; each call is a read of its own."""


def by_creation(row: Any) -> Cursor:
    """Return where a row stands in a list that is ordered by creation."""
    return Cursor(row.created_at, row.id)


@dataclass(frozen=True, slots=True)
class Paging:
    """What `--limit`, `--all` and `--cursor` said. Raises UsageError when they contradict each other."""

    limit: int | None = None
    everything: bool = False
    cursor: str | None = None

    def __post_init__(self) -> None:
        if self.everything and self.limit is not None:
            raise UsageError("--all and --limit exclude each other")

    def most(self, out: Output) -> int | None:
        """Return how many rows to show there at most; None: all."""
        if self.limit is not None or self.everything:
            return self.limit
        return PAGE if out.form == "table" and out.on_terminal else None

    @property
    def after(self) -> Cursor | None:
        """The row to go on after."""
        return Cursor.parse(self.cursor) if self.cursor else None


def show(
    run: Invocation,
    wanted: Paging,
    fetch: FetchPage[T],
    fields: Sequence[Field],
    *,
    count: Callable[[], int],
    position: Callable[[T], Cursor] = by_creation,
    id_name: str = "id",
) -> None:
    """Write the list, and say on stderr when there is more: of how many, and how to go on.

    `count` returns how many rows the same filters match; it is called only when rows are left out.
    """
    most = wanted.most(run.out)
    if most is None:
        run.out.records(_complete(fetch, wanted.after, position), fields, id_name=id_name)
        return
    rows = _first(fetch, wanted.after, most + 1, position)
    shown = rows[:most]
    run.out.records(shown, fields, id_name=id_name)
    if len(rows) > most:
        run.out.say(f"{most:,} of {count():,}; --all, or --cursor {position(shown[-1])} to go on")


def _first(fetch: FetchPage[T], after: Cursor | None, most: int, position: Callable[[T], Cursor]) -> list[T]:
    rows: list[T] = []
    while len(rows) < most:
        size = min(FETCHED_ROWS, most - len(rows))
        page = fetch(after, size)
        rows.extend(page)
        if len(page) < size:
            break
        after = position(page[-1])
    return rows


def _complete(fetch: FetchPage[T], after: Cursor | None, position: Callable[[T], Cursor]) -> Iterator[T]:
    while True:
        page = fetch(after, FETCHED_ROWS)
        yield from page
        if len(page) < FETCHED_ROWS:
            return
        after = position(page[-1])
