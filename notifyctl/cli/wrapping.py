"""Long values at a terminal: in lines that fit, each below the beginning of the first."""

from __future__ import annotations

LEAST = 20
"""Cells that are no room for a text: where a terminal has no more than these beside the names, it wraps by itself."""


def hanging(head: str, text: str, room: int) -> str:
    """Return `text` behind `head`, in lines of at most `room` cells, those after the first as far in as the first.

    Lines end at blanks; a word that is longer than a line is broken where the line ends.
    """
    if 2 * (len(head) + len(text)) <= room:  # no character is wider than two cells
        return head + text
    from rich.cells import cell_len

    indent = cell_len(head)
    if indent + cell_len(text) <= room or room - indent < LEAST:
        return head + text
    return f"\n{' ' * indent}".join(_broken(head, text, room - indent))


def _broken(head: str, text: str, room: int) -> list[str]:
    from rich.console import Console
    from rich.text import Text

    first, *more = Text(text).wrap(Console(width=room), room, overflow="fold")
    return [head + first.plain.rstrip(), *(each.plain.rstrip() for each in more)]
