"""How far rows are: a bar with rate and time left, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from notifyctl.cli.invocation import Invocation

if TYPE_CHECKING:
    from notifyctl.services.rowfiles.opening import RowFile

T = TypeVar("T")


class RowsSoFar(Protocol):
    """How many rows were read, and how many of them rejected."""

    read: int
    rejected: int


EVERY = 64
"""After how many rows a bar moves."""


@contextmanager
def shown(run: Invocation, file: RowFile) -> Iterator[Callable[[RowsSoFar], None]]:
    """Yield what is to be told how far the rows of a file are; a person at a terminal sees it."""
    if not _is_watched(run):
        yield lambda tally: None
        return
    with _bar(file.size) as move:

        def tell(tally: RowsSoFar) -> None:
            move(file.read(), tally.read, f"{tally.rejected:,} rejected" if tally.rejected else "")

        yield tell


@contextmanager
def counting(run: Invocation, count: Callable[[], int], rows: Iterable[T]) -> Iterator[Iterable[T]]:
    """Yield the rows, of which there are `count()`; a person at a terminal sees how far they are."""
    if not _is_watched(run):
        yield rows
        return
    with _bar(count()) as move:

        def counted() -> Iterator[T]:
            for number, row in enumerate(rows, 1):
                yield row
                if number % EVERY == 0:
                    move(number, number, "")

        yield counted()


def _is_watched(run: Invocation) -> bool:
    return not run.out.quiet and sys.stderr.isatty()


@contextmanager
def _bar(total: float | None) -> Iterator[Callable[[float, int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[rows]:,} rows"),
        BarColumn(None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,}/s"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("", total=total, rows=0, rate=0, note="")

        def move(completed: float, rows: int, note: str) -> None:
            rate = round(rows / max(0.001, time.monotonic() - began))
            bar.update(task, completed=completed, rows=rows, rate=rate, note=note)

        yield move
