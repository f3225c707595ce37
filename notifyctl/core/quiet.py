"""Quiet hours: a part of each local day, in which a person wants to be left alone."""

from __future__ import annotations

import re
from datetime import time

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.localtime import DAY_MS, MINUTE_MS, clock
from notifyctl.core.patterns import pattern

_WRITTEN = pattern(r"(\d\d):(\d\d)(?::(\d\d))?\s*-\s*(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
_STORED = pattern(r"\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s*$", re.ASCII)
_HINT = "quiet hours are like 22:00-07:00"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Half-open, [start, end), in milliseconds of the local day; over midnight where the end is not the later one."""

    start: int
    end: int

    def __str__(self) -> str:
        """Return them as they are written."""
        return f"{clock(self.start)}-{clock(self.end)}"

    @property
    def closed(self) -> frozenset[int]:
        """No date is an exception."""
        return frozenset()

    def excepted(self, _: int) -> None:
        """No date is an exception."""

    def opens(self, wall: int) -> int:
        """Return the first wall time, from this one on, that is not quiet."""
        return wall + (self.end - wall) % DAY_MS if self._holds(wall) else wall

    def closes(self, wall: int) -> int:
        """Return the first wall time, from this one on, that is quiet."""
        return wall if self._holds(wall) else wall + (self.start - wall) % DAY_MS

    def times(self) -> tuple[time, time]:
        """Return start and end as they are stored."""
        return _time(self.start), _time(self.end)

    def _holds(self, wall: int) -> bool:
        of_day = wall % DAY_MS
        if self.start < self.end:
            return self.start <= of_day < self.end
        return of_day >= self.start or of_day < self.end


def parse(text: str, option: str) -> Quiet:
    """Return what an operator wrote: `22:00-07:00`; an end of 24:00 is midnight. Raises UsageError, naming `option`."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option}: {text!r} is no span of a day", _HINT)
    clocks = [int(each or 0) for each in found.groups()]
    start, end = ((clocks[at] * 60 + clocks[at + 1]) * MINUTE_MS + clocks[at + 2] * 1_000 for at in (0, 3))
    if max(*clocks[1:3], *clocks[4:]) > 59 or start >= DAY_MS or end > DAY_MS:
        raise UsageError(f"{option}: {text!r} has a time that no clock shows", _HINT)
    if end - start == DAY_MS:
        raise UsageError(f"{option}: {text!r} is the whole day", "disable the channel: --disable")
    if start == end % DAY_MS:
        raise UsageError(f"{option}: {text!r} begins when it ends", f"{_HINT}; for the whole day, --disable")
    return Quiet(start, end % DAY_MS)


def stored(start: time | None, end: time | None) -> Quiet | None:
    """Return what a row says; None where one of the two is missing, or nothing lies between them."""
    if start is None or end is None or _ms(start) == _ms(end):
        return None
    return Quiet(_ms(start), _ms(end))


def unread(start: str | None, end: str | None) -> str | None:
    """Return what a row says in its own words, where it says something that is no quiet hours; else None."""
    if (start is None and end is None) or stored(read(start), read(end)) is not None:
        return None
    return f"{'?' if start is None else start}-{'?' if end is None else end}"


def read(text: str | None) -> time | None:
    """Return a time of the day as a row's text says it; None for none, and for what cannot be read.

    The end of a day (PostgreSQL stores 24:00) is midnight. Programs of all kinds write such rows: none stops a claim.
    """
    found = _STORED.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    hour, minute, second = (int(each or 0) for each in found.groups()[:3])
    fraction = int((found[4] or "").ljust(6, "0")[:6])
    if (hour, minute, second, fraction) == (24, 0, 0, 0):
        return time(0)
    return time(hour, minute, second, fraction) if hour < 24 and minute < 60 and second < 60 else None


def _ms(at: time) -> int:
    return (at.hour * 60 + at.minute) * MINUTE_MS + at.second * 1_000 + at.microsecond // 1_000


def _time(of_day_ms: int) -> time:
    minutes, rest = divmod(of_day_ms, MINUTE_MS)
    return time(minutes // 60, minutes % 60, rest // 1_000, rest % 1_000 * 1_000)
