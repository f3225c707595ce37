"""Contact windows: when the operator may write marketing, by channel, country and weekday; a floor under quiet hours.

As law asks: in the United States from 08:00 to 21:00 at the called party's location (47 CFR 64.1200(c)(1)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from datetime import date, datetime
from typing import Any

from notifyctl.core import countries
from notifyctl.core.allowed import ZonedHours
from notifyctl.core.frozen import dataclass
from notifyctl.core.localtime import DAY_MS, MINUTE_MS, WEEKDAYS, clock, date_of, number_of, weekday
from notifyctl.core.model import Channel
from notifyctl.core.patterns import pattern
from notifyctl.core.whereabouts import Whereabouts, ZoneOrigin

ANYBODY = "*"
"""The country of whoever has no entry of his own for the channel."""
EXCEPT = "except"
NEVER = "never"

Span = tuple[int, int]
"""Milliseconds from the midnight that begins the window's day, [start, end); over midnight the end is beyond it."""

_ITEM = pattern(r"(?:([a-z]{3})(?:-([a-z]{3}))?\s+)?(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)", re.ASCII)
_EXAMPLE = "windows are like mon-sat 09:00-21:00, sun 12:00-21:00"


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of each weekday, Monday first, and the days (since 1970-01-01) on which none begins."""

    week: tuple[tuple[Span, ...], ...]
    closed: frozenset[int] = frozenset()

    def __str__(self) -> str:
        """Return them as they are written, without the exceptions."""
        parts = [f"{days} {span}".strip() for days, span in _written(self.week)]
        return ", ".join(parts) or NEVER

    def excepted(self, wall: int) -> int | None:
        """Return the day but for whose being an exception this wall time would be in its window; None without one."""
        today = wall // DAY_MS
        for number in self.closed & {today - 1, today}:
            at = wall - number * DAY_MS
            if any(start <= at < end for start, end in self.week[weekday(number)]):
                return number
        return None

    def opens(self, wall: int) -> int | None:
        """Return the first wall time, from this one on, inside a window; None where there is none left."""
        if not any(self.week):
            return None
        today = wall // DAY_MS
        for number in range(today - 1, today + 9 + 7 * len(self.closed)):
            for begin, end in self._of(number):
                if wall < end:
                    return max(wall, begin)
        return None

    def closes(self, wall: int) -> int:
        """Return the first wall time, from this one on, in no window, or one that is more than a day later."""
        at = wall
        while at - wall <= DAY_MS:
            today = at // DAY_MS
            ends = [end for day in (today - 1, today) for begin, end in self._of(day) if begin <= at < end]
            if not ends:
                break
            at = max(ends)
        return at

    def _of(self, number: int) -> Iterator[Span]:
        if number not in self.closed:
            for start, end in self.week[weekday(number)]:
                yield number * DAY_MS + start, number * DAY_MS + end


@dataclass(frozen=True, slots=True)
class CountryRules:
    """What the configuration says of one country: windows by channel, and the days that are exceptions in all."""

    windows: Mapping[Channel, Windows]
    closed: frozenset[int] = field(default=frozenset())

    def table(self) -> dict[str, Any]:
        """Return it as it may stand in the configuration."""
        dates = [date_of(each).isoformat() for each in sorted(self.closed)]
        return {**{key.value: str(each) for key, each in self.windows.items()}, **({EXCEPT: dates} if dates else {})}


ContactWindows = Mapping[str, CountryRules]


def rules(windows: ContactWindows, channel: Channel, to: str | None, where: Whereabouts) -> tuple[ZonedHours, ...]:
    """Return what must be open for marketing to one person: by the number, and by the zone that he lives in.

    A number's country counts by the clocks of all its zones; where the person's own zone lies in it, by that alone. A
    zone's country counts by the zone's clock, or by all of its own where the zone is only one that stands in. Where
    no country is known, everything that is configured for the channel has to be open.
    """
    if not any(channel in each.windows for each in windows.values()):
        return ()
    home = frozenset() if where.origin is ZoneOrigin.NOBODY else countries.of_zone(where.zone.name)
    if channel is Channel.SMS:
        number = None if to is None else countries.of_number(to)
        found = [*_of(windows, channel, number, home, where)]
        found += _of(windows, channel, home, home, where) if where.known else []
    else:
        found = [*_of(windows, channel, home or None, home, where)]
    return tuple(dict.fromkeys(found))


def _of(
    table: ContactWindows, channel: Channel, among: frozenset[str] | None, home: frozenset[str], where: Whereabouts
) -> Iterator[ZonedHours]:
    """Yield the rules of somebody who is in one of those countries; in any that is configured where it is None."""
    is_home = where.known and (among is None or bool(home & among))
    own = (where.zone,) if where.known else ()
    for country in sorted(table if among is None else among):
        hours = windows_of(table, country, channel)
        if hours is not None:
            places = () if is_home or country == ANYBODY else countries.zones_of(country)
            for zone in (*places, *own) or (where.zone,):
                yield ZonedHours(zone, hours)


def windows_of(table: ContactWindows, country: str, channel: Channel) -> Windows | None:
    """Return the windows of a country on a channel: its own, else those for anybody; None without any."""
    own, anybody = table.get(country), table.get(ANYBODY)
    if own is not None and channel in own.windows:
        return own.windows[channel]
    hours = None if anybody is None else anybody.windows.get(channel)
    return replace(hours, closed=hours.closed | own.closed) if hours is not None and own is not None else hours


def parse(country: str, value: object, *, of_anybody: bool = False) -> CountryRules:
    """Return what a table of the configuration says of one country. Raises ValueError that names key and remedy.

    Where there are windows `of_anybody`, a country may have no more than exceptions, which hold in those.
    """
    if country != ANYBODY and country not in countries.known():
        meant = "the United Kingdom is GB" if country.upper() == "UK" else "one is like US"
        raise ValueError(f"{country!r} is no country: {meant} (ISO 3166), or {ANYBODY} for anybody else")
    if not isinstance(value, Mapping):
        raise ValueError(f'{country} is not a table: it is like {{ sms = "mon-sat 09:00-21:00" }}')
    allowed = [each.value for each in Channel]
    unknown = [str(key) for key in value if key not in (*allowed, EXCEPT)]
    if unknown:
        raise ValueError(f"{country}.{unknown[0]} is no setting: there are {', '.join((*allowed, EXCEPT))}")
    closed = frozenset(_dates(f"{country}.{EXCEPT}", value.get(EXCEPT, [])))
    found = {
        channel: Windows(_week(f"{country}.{channel}", value[channel.value]), closed)
        for channel in Channel
        if channel.value in value
    }
    if not found and not (closed and of_anybody and country != ANYBODY):
        lone = f"; {EXCEPT} by itself is for the windows of {ANYBODY}" if closed else ""
        raise ValueError(f"{country} names no channel: there are {', '.join(allowed)}{lone}")
    return CountryRules(found, closed)


def _dates(key: str, value: object) -> Iterator[int]:
    if not isinstance(value, list | tuple):
        raise ValueError(f'{key} is no list of dates: it is like ["2026-12-25"]')
    for each in value:
        yield number_of(_date(key, each))


def _date(key: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{key}: {str(value)!r} is no date: one is like 2026-12-25")


def _week(key: str, text: object) -> tuple[tuple[Span, ...], ...]:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{key} is no text with windows: {_EXAMPLE}; {NEVER!r} for no moment at all")
    days: list[set[Span]] = [set() for _ in WEEKDAYS]
    if text.strip().casefold() != NEVER:
        for item in text.split(","):
            for day, span in _item(key, item.strip().casefold()):
                days[day].add(span)
    return tuple(tuple(sorted(each)) for each in days)


def _item(key: str, text: str) -> Iterator[tuple[int, Span]]:
    found = _ITEM.fullmatch(text)
    if found is None:
        raise ValueError(f"{key}: {text!r} is no window: {_EXAMPLE}")
    first_day, last_day, *clocks = found.groups()
    hours = [int(each) for each in clocks]
    start, end = ((hours[at] * 60 + hours[at + 1]) * MINUTE_MS for at in (0, 2))
    if max(hours[1], hours[3]) > 59 or start >= DAY_MS or end > DAY_MS:
        raise ValueError(f"{key}: {text!r} has a time that no clock shows: {_EXAMPLE}")
    if start == end:
        raise ValueError(f"{key}: {text!r} begins when it ends: a whole day is 00:00-24:00")
    for day in _days(key, text, first_day, last_day):
        yield day, (start, end if end > start else end + DAY_MS)


def _days(key: str, text: str, first_day: str | None, last_day: str | None) -> list[int]:
    if first_day is None:
        return list(range(7))
    for each in (first_day, last_day or first_day):
        if each not in WEEKDAYS:
            raise ValueError(f"{key}: {each!r} in {text!r} is no weekday: there are {', '.join(WEEKDAYS)}")
    begin, end = WEEKDAYS.index(first_day), WEEKDAYS.index(last_day or first_day)
    return [(begin + each) % 7 for each in range((end - begin) % 7 + 1)]


def _written(week: tuple[tuple[Span, ...], ...]) -> Iterator[tuple[str, str]]:
    """Yield spans with the weekdays that have them, as few as can say it: none where it is all of them."""
    for span in sorted({each for day in week for each in day}, key=lambda each: (_first_day(week, each), each)):
        text = f"{clock(span[0])}-{clock(span[1] if span[1] <= DAY_MS else span[1] - DAY_MS)}"
        days = [number for number, spans in enumerate(week) if span in spans]
        if len(days) == len(WEEKDAYS):
            yield "", text
            continue
        for begin, end in _runs(days):
            yield WEEKDAYS[begin] if begin == end else f"{WEEKDAYS[begin]}-{WEEKDAYS[end]}", text


def _first_day(week: tuple[tuple[Span, ...], ...], span: Span) -> int:
    return next(number for number, spans in enumerate(week) if span in spans)


def _runs(days: list[int]) -> Iterator[tuple[int, int]]:
    begin = days[0]
    for here, following in zip(days, [*days[1:], None], strict=True):
        if following != here + 1:
            yield begin, here
            begin = here if following is None else following
