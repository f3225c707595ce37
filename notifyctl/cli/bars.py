"""Numbers as little pictures: sparklines and bars of block characters, and ASCII where those cannot be shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS_ASCII = "_.:-=+*#"


def sparkline(values: Sequence[float], cells: int | None = None) -> str:
    """Return one character a value, the greatest being full height; none at all is the lowest.

    With more values than `cells`, neighbours are put together into that many.
    """
    fitted = _fitted(values, cells)
    levels = _LEVELS if _can_show(_LEVELS) else _LEVELS_ASCII
    top = max(fitted, default=0)
    if top <= 0:
        return levels[0] * len(fitted)
    return "".join(levels[min(7, int(max(value, 0) / top * 8))] for value in fitted)


def bar(value: float, top: float, width: int) -> str:
    """Return a bar whose length shows `value` where `top` is `width` characters; what is there at all can be seen."""
    if value <= 0 or top <= 0:
        return ""
    eighths = max(1, round(min(value / top, 1) * width * 8))
    if not _can_show(_EIGHTHS):
        return "#" * -(-eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _fitted(values: Sequence[float], cells: int | None) -> list[float]:
    if cells is None or len(values) <= cells:
        return list(values)
    edges = [index * len(values) // cells for index in range(cells + 1)]
    return [sum(values[begin:end]) / (end - begin) for begin, end in zip(edges, edges[1:], strict=False)]


def _can_show(characters: str) -> bool:
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
