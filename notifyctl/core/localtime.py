"""What clocks show, and the first instant at which they show what is asked for.

Between two changes of the clocks the wall time runs along with UTC, so that the instant is found by arithmetic in one
span after the other: right where an hour is missing or there twice, and where a whole day is missing. All times are
milliseconds since the epoch; a wall time is what UTC would be if it showed the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from notifyctl.core.zones import Zone

DAY_MS = 86_400_000
MINUTE_MS = 60_000
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_FARTHEST_MS = 30 * 3_600_000
"""More than any clock is ahead of UTC."""
_FIRST_DAY = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _FIRST_DAY


class LocalDay(NamedTuple):
    """A day of a zone's calendar: [`begins`, `ends`). `number` counts the days since 1970-01-01."""

    number: int
    begins: int
    ends: int

    @property
    def date(self) -> date:
        """Its date."""
        return date_of(self.number)


def first(zone: Zone, at: int, find: Callable[[int], int | None], latest: int) -> int | None:
    """Return the first instant from `at` to `latest` whose wall time is one that is asked for; None without one.

    `find` returns the first such wall time from a given one on, None where none is left.
    """
    while at <= latest:
        offset, end = zone.span(at)
        wall = find(at + offset)
        if wall is not None and wall - offset < end:
            return wall - offset if wall - offset <= latest else None
        at = end
    return None


def local_day(zone: Zone, at: int) -> LocalDay:
    """Return the day of an instant: from the first instant that shows its date, or a later one, to the next day's.

    Where midnight does not exist it begins behind the gap; what is shown twice around midnight counts to the day that
    began first. So days follow each other without a gap, and no instant has two.
    """
    number = (at + zone.offset(at)) // DAY_MS
    ends = _begin(zone, number + 1)
    while ends <= at:
        number, ends = number + 1, _begin(zone, number + 2)
    return LocalDay(number, _begin(zone, number), ends)


def _begin(zone: Zone, number: int) -> int:
    midnight = number * DAY_MS
    latest = midnight + _FARTHEST_MS
    found = first(zone, midnight - _FARTHEST_MS, lambda wall: max(wall, midnight), latest)
    return latest if found is None else found


def date_of(number: int) -> date:
    """Return the date of a day, the calendar's first or last one for what lies outside it."""
    return date.fromordinal(max(1, min(number, _LAST_DAY) + _FIRST_DAY))


def number_of(day: date) -> int:
    """Return how many days a date is after 1970-01-01."""
    return day.toordinal() - _FIRST_DAY


def weekday(number: int) -> int:
    """Return the weekday of a day: 0 is Monday."""
    return (number + 3) % 7


def clock(of_day_ms: int) -> str:
    """Return a time of the day: `07:00`, with its seconds where it has some."""
    seconds = of_day_ms // 1_000
    text = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text


def shown(zone: Zone, at: int, now: int) -> str:
    """Return an instant as people there would say it now: `07:00 GMT`, `Mon 07:00 GMT`, `Mon 2 Nov 07:00 GMT`."""
    wall = at + zone.offset(at)
    number = wall // DAY_MS
    away = number - (now + zone.offset(now)) // DAY_MS
    time = f"{clock(wall % DAY_MS // MINUTE_MS * MINUTE_MS)} {zone.abbreviation(at)}"
    if away == 0:
        return time
    name = WEEKDAYS[weekday(number)].title()
    if 0 < away < 7:
        return f"{name} {time}"
    day = date_of(number)
    year = "" if abs(away) < 180 else f" {day.year}"
    return f"{name} {day.day} {day:%b}{year} {time}"


def changed(zone: Zone, now: int) -> str | None:
    """Return what the clocks did within a day, or will do within the next; None where they go on as always."""
    past = zone.change(now - DAY_MS, DAY_MS)
    if past is not None:
        return f"clocks went {_way(zone, past)}"
    coming = zone.change(now, DAY_MS)
    return None if coming is None else f"clocks go {_way(zone, coming)} within a day"


def _way(zone: Zone, change: int) -> str:
    return "forward" if zone.offset(change) > zone.offset(change - 1) else "back"
