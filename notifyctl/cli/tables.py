"""Tables that fit the terminal: what is short stays whole, the widest texts give way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from notifyctl.core.frozen import dataclass

GAP = 2
NARROWEST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `rigid` is never cut (ids, times, numbers)."""

    title: str
    right: bool
    rigid: bool


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> Table:
    """Return the table, at most `room` cells wide unless the rigid columns alone are wider."""
    natural = [
        max([cell_len(column.title), *(cell_len(row[index]) for row in rows)]) for index, column in enumerate(columns)
    ]
    widths = fitted(natural, [column.rigid for column in columns], room - GAP * (len(columns) - 1))
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        drawn.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        drawn.add_row(*map(Text, row))
    return drawn


def width(drawn: Table) -> int:
    """Return how many cells wide a table of `table` is."""
    widths = [column.width or 0 for column in drawn.columns]
    return sum(widths) + GAP * (len(widths) - 1)


def fitted(widths: Sequence[int], rigid: Sequence[bool], room: int) -> list[int]:
    """Return the widths, the widest of those that are not rigid made narrower until all fit into `room`."""
    fitting = list(widths)
    while (excess := sum(fitting) - room) > 0:
        soft = sorted(
            (index for index, fixed in enumerate(rigid) if not fixed and fitting[index] > NARROWEST),
            key=lambda index: -fitting[index],
        )
        if not soft:
            break
        widest = soft[0]
        next_width = fitting[soft[1]] if len(soft) > 1 else NARROWEST
        fitting[widest] -= max(1, min(excess, fitting[widest] - next_width))
    return fitting


def in_cells(text: str, width: int, *, right: bool = False) -> str:
    """Return a text that takes exactly so many cells; one that is longer ends where there is no more room."""
    if cell_len(text) > width:
        text = f"{set_cell_size(text, width - 1).rstrip()}…"
    blanks = " " * (width - cell_len(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"
