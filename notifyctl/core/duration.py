"""Spans of time as people write them."""

from __future__ import annotations

import re

from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern

# Longer than anything meant, and `now` plus this is still a date that can be shown.
MAX_MS = 36_525 * 86_400_000
_WRITTEN = pattern(r"(\d+(\.\d+)?(ms|s|m|h|d|w))+", re.ASCII)
_SECONDS = pattern(r"\d+(\.\d+)?", re.ASCII)


def parse_ms(text: str) -> int:
    """Return the milliseconds, at least 1, of `90s`, `2h30m`, `90d`, `1w` or a bare number of seconds.

    Raises UsageError for what is no duration, for nothing at all (`0s`), for less and for more than 100 years.
    """
    import durationpy

    written = text.strip()
    if _SECONDS.fullmatch(written):
        written += "s"
    # durationpy alone passes over what stands between two parts, and reads `mm` as months.
    if not _WRITTEN.fullmatch(written):
        raise _refused(text, "is no duration")
    try:
        milliseconds = round(durationpy.from_str(written).total_seconds() * 1000)
    except ValueError as error:
        raise _refused(text, "is too long") from error
    if milliseconds < 1:
        raise _refused(text, "is no time at all")
    if milliseconds > MAX_MS:
        raise _refused(text, "is too long: at most 100 years")
    return milliseconds


def show_ms(milliseconds: int) -> str:
    """Return the duration in its two largest parts, as `parse_ms` reads it: `1d2h`, `5m`, `90ms`."""
    if milliseconds < 1000:
        return f"{max(milliseconds, 0)}ms"
    rest, parts = milliseconds // 1000, []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        parts.append(f"{count}{unit}" if count else "")
    first = next(index for index, part in enumerate(parts) if part)
    return "".join(parts[first : first + 2])


def age(milliseconds: int) -> str:
    """Return a duration in its largest part only: `9h`."""
    found = re.match(r"\d+[a-z]+", show_ms(max(milliseconds, 0)))
    return found.group() if found else "-"


def _refused(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} {why}", "a duration is like 90s, 2h30m or 90d; a bare number is seconds")
