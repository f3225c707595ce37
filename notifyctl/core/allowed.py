"""The first instant at which several rules allow something together, and until when they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from notifyctl.core.localtime import DAY_MS, first
from notifyctl.core.when import LATEST_MS
from notifyctl.core.zones import Zone

SPREAD_MS = 15 * 60_000
"""Over how long goes what was put off to one moment, at most."""
YEAR_DAYS = 366
"""How far is looked before it is said that there is no allowed moment."""
_WEEK = 7


class Hours(Protocol):
    """A rule over wall times: open, or closed. `closed` are the days (since 1970-01-01) that are exceptions."""

    @property
    def closed(self) -> frozenset[int]:
        """Which days are exceptions."""

    def excepted(self, wall: int) -> int | None:
        """Return the day but for whose being an exception this wall time would be open; None without one."""

    def opens(self, wall: int) -> int | None:
        """Return the first wall time, from this one on, that is open; None without one."""

    def closes(self, wall: int) -> int | None:
        """Return the first wall time, from this one on, that is not; None where none is near."""


class ZonedHours(NamedTuple):
    """Hours, by the clocks of a zone."""

    zone: Zone
    hours: Hours


def is_allowed(rules: Iterable[ZonedHours], at: int) -> bool:
    """Return whether all rules are open at that instant."""
    for zone, hours in rules:
        wall = at + zone.offset(at)
        if hours.opens(wall) != wall:
            return False
    return True


def first_allowed(rules: Sequence[ZonedHours], at: int) -> int | None:
    """Return the first instant from `at` on at which all rules are open; None where there is none within a year.

    What repeats by the week shows within two, even one in which the clocks change; each exception can take one week
    more. By the clocks of several zones it may also begin when those of one are changed: that is looked for once a day.
    """
    found = _search(rules, at, at + _usual_days(rules, at) * DAY_MS)
    if found is None and len({each.zone for each in rules}) > 1:
        return _later_in_the_year(tuple(rules), at // DAY_MS)
    return found


@lru_cache(maxsize=1_024)
def _later_in_the_year(rules: tuple[ZonedHours, ...], day: int) -> int | None:
    begin = day * DAY_MS
    return _search(rules, begin + _usual_days(rules, begin) * DAY_MS, begin + YEAR_DAYS * DAY_MS)


def _search(rules: Sequence[ZonedHours], at: int, latest: int) -> int | None:
    """Search. Each turn goes on to another boundary of a rule, of which there are so many in that time."""
    latest = min(latest, LATEST_MS)
    while True:
        moved = at
        for zone, hours in rules:
            opening = first(zone, moved, hours.opens, latest)
            if opening is None:
                return None
            moved = opening
        if moved == at:
            return at
        at = moved


def allowed_until(rules: Iterable[ZonedHours], at: int, most_ms: int = SPREAD_MS) -> int:
    """Return the first instant from `at` on at which one of the rules is closed, `most_ms` later at the most."""
    latest = at + most_ms
    for zone, hours in rules:
        closing = first(zone, at, hours.closes, latest)
        latest = latest if closing is None else closing
    return latest


def spread(first_at: int, end: int, chance: float) -> int:
    """Return an instant in [first_at, end) by a uniform `chance` in [0, 1); the first where nothing lies between."""
    return first_at + int(max(0, end - first_at) * chance)


def _usual_days(rules: Iterable[ZonedHours], at: int) -> int:
    dates = {day for rule in rules for day in rule.hours.closed if day >= at // DAY_MS - 2}
    return min(2 * _WEEK + 1 + _WEEK * len(dates), YEAR_DAYS)
