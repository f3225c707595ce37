"""Sparklines and bars of block characters (ASCII where those cannot be shown), and short times."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

from notifyctl.core.duration import show_ms

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS_ASCII = "_.:-=+*#"


def sparkline(values: Sequence[float], cells: int | None = None) -> str:
    """Return one character a value, the greatest being full height; none at all is the lowest.

    With more values than `cells`, neighbours are put together into that many.
    """
    fitted = _fitted(values, cells)
    levels = _LEVELS if can_show(_LEVELS) else _LEVELS_ASCII
    top = max(fitted, default=0)
    if top <= 0:
        return levels[0] * len(fitted)
    return "".join(levels[min(7, int(max(value, 0) / top * 8))] for value in fitted)


def bar(value: float, top: float, width: int) -> str:
    """Return a bar whose length shows `value` where `top` is `width` characters; what is there at all can be seen."""
    if value <= 0 or top <= 0:
        return ""
    eighths = max(1, round(min(value / top, 1) * width * 8))
    if not can_show(_EIGHTHS):
        return "#" * -(-eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def short_time(milliseconds: int | None) -> str:
    """Return a time as a person compares it: `88ms`, `1.4s`, `2m5s`."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    return f"{milliseconds / 1_000:.1f}s" if milliseconds < 60_000 else show_ms(milliseconds)


def _fitted(values: Sequence[float], cells: int | None) -> list[float]:
    if cells is None or len(values) <= cells:
        return list(values)
    edges = [index * len(values) // cells for index in range(cells + 1)]
    return [sum(values[begin:end]) / (end - begin) for begin, end in pairwise(edges)]


def can_show(characters: str) -> bool:
    """Return whether stdout's encoding has these characters."""
    try:
        # None: rich stands in front of it, and has taken the terminal's own encoding for that.
        characters.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
