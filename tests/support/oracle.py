"""When somebody may be written to, found by trying every minute: slow, and with nothing of notifyctl in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Allows = Callable[[datetime], bool]
"""Says of a wall time whether it is allowed."""


@cache
def zone(name: str) -> ZoneInfo:
    """Return the zone of the packaged data."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True)
class QuietHours:
    """From one minute of the day up to another one."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"

    def __call__(self, wall: datetime) -> bool:
        minute = wall.hour * 60 + wall.minute
        if self.start < self.end:
            return not self.start <= minute < self.end
        return self.end <= minute < self.start


@dataclass(frozen=True)
class ContactHours:
    """Windows: weekdays, and from which minute up to which; one whose end is not later ends on the next day."""

    items: tuple[tuple[int, int, int, int], ...]
    holidays: frozenset[date] = frozenset()

    def __str__(self) -> str:
        return ", ".join(f"{DAYS[a]}-{DAYS[b]} {_clock(start)}-{_clock(end)}" for a, b, start, end in self.items)

    def __call__(self, wall: datetime) -> bool:
        minute = wall.hour * 60 + wall.minute
        for first_day, last_day, start, end in self.items:
            for back in (0, 1):
                began = wall.date() - timedelta(days=back)
                in_range = (began.weekday() - first_day) % 7 <= (last_day - first_day) % 7
                length = (end - start) if end > start else end + 1440 - start
                if in_range and began not in self.holidays and start <= minute + back * 1440 < start + length:
                    return True
        return False


Condition = tuple[str, Allows]
"""By which zone's clocks, and what."""


def allows(conditions: Sequence[Condition], at: int) -> bool:
    """Return whether all of them allow it."""
    instant = moment(at)
    return all(allowed(instant.astimezone(zone(name))) for name, allowed in conditions)


def first_allowed(conditions: Sequence[Condition], at: int, days: int) -> int | None:
    """Return the first instant that is allowed: this one, or a whole minute within so many days."""
    for each in (at, *range(at - at % 60_000 + 60_000, at + days * 86_400_000, 60_000)):
        if allows(conditions, each):
            return each
    return None


def changes(name: str, begin: datetime, end: datetime) -> Iterator[int]:
    """Yield when the clocks change, found by looking at every quarter of an hour of those half days that differ."""
    info, at, step = zone(name), begin, timedelta(hours=12)
    while at < end:
        if at.astimezone(info).utcoffset() != (at + step).astimezone(info).utcoffset():
            quarter = at
            while quarter.astimezone(info).utcoffset() == (quarter + 15 * MINUTE).astimezone(info).utcoffset():
                quarter += 15 * MINUTE
            yield ms(quarter + 15 * MINUTE)
        at += step


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
