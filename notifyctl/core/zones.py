"""Time zones, of the packaged `tzdata` alone: the data is part of the program, like the tables of telephone numbers.

`ZoneInfo(key)` would prefer the system's files, which are as old as the system. Names are those that tzdata lists, old
aliases (`US/Eastern`) too; all times are milliseconds since the epoch, a wall time is one shown by a clock there.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from zoneinfo import ZoneInfo

UNSET = "UTC"
"""What the schema's default stores: nobody set a zone. An operator's own UTC is stored as `Etc/UTC`."""
EXPLICIT_UTC = "Etc/UTC"

_NO_PLACES = ("Factory", "localtime", "posixrules")
_FIXED = pattern(r"(Etc/)?(GMT|UTC)[+-]\d+", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_STEP_MS = 7 * 86_400_000
_BLOCK_BITS = 35  # 398 days
_CYCLE_MS = 146_097 * 86_400_000  # 400 years, after which the calendar repeats, weekdays too
_CYCLED_FROM_MS = 16_725_225_600_000  # the year 2500
_CYCLED_BEFORE_MS = -59_011_459_200_000  # the year 100


class Zone:
    """One time zone: what its clocks show, and when they change. Compared by identity; `find` makes each one once."""

    def __init__(self, name: str, info: ZoneInfo, listed: tuple[int, ...]) -> None:
        self.name = name
        self._info = info
        self._listed = listed
        self._blocks: dict[int, tuple[list[int], list[int]]] = {}

    def __repr__(self) -> str:
        """Return the name, which is all there is to see."""
        return f"Zone({self.name})"

    def offset(self, at: int) -> int:
        """Return by how much the wall time is ahead of UTC at that instant."""
        return self.span(at)[0]

    def span(self, at: int) -> tuple[int, int]:
        """Return the offset at that instant, and a later one until which it holds.

        The clocks may change then, or go on as before: a span ends at the end of a table, too.
        """
        block = at >> _BLOCK_BITS
        starts, offsets = self._blocks.get(block) or self._made(block)
        index = bisect_right(starts, at)
        return offsets[index - 1], starts[index] if index < len(starts) else (block + 1) << _BLOCK_BITS

    def change(self, at: int, within_ms: int) -> int | None:
        """Return the first instant after that one, and no more than so much after it, when the offset changes."""
        offset, end = self.span(at)
        while end <= at + within_ms:
            after, further = self.span(end)
            if after != offset:
                return end
            end = further
        return None

    def abbreviation(self, at: int) -> str:
        """Return what the time is called then: `GMT`, `CEST`, `+0530`."""
        return _in_calendar(at).astimezone(self._info).tzname() or self.name

    def _made(self, block: int) -> tuple[list[int], list[int]]:
        begin, end = block << _BLOCK_BITS, (block + 1) << _BLOCK_BITS
        starts = [begin, *self._changes(begin, end)]
        made = self._blocks[block] = starts, [self._asked(each) for each in starts]
        return made

    def _changes(self, begin: int, end: int) -> list[int]:
        """Return when the clocks change between two instants: as listed, behind that as the rule at the end says.

        A rule is good for two changes a year, which are never within one step.
        """
        found = [*self._listed[bisect_right(self._listed, begin) : bisect_left(self._listed, end)]]
        at = max(begin, self._listed[-1] if self._listed else begin)
        while at < end:
            following = min(at + _STEP_MS, end)
            if self._asked(at) != self._asked(following):
                found.append(self._changed(at, following))
            at = following
        return [each for each in found if each < end]

    def _changed(self, before: int, after: int) -> int:
        offset = self._asked(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._asked(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _asked(self, at: int) -> int:
        offset = _in_calendar(at).astimezone(self._info).utcoffset()
        return 0 if offset is None else offset // _MILLISECOND


def parse(text: str, option: str) -> str:
    """Return a zone's name as an operator's word for it is stored: `UTC` becomes `Etc/UTC`.

    Raises UsageError, naming `option`, with the names that may be meant.
    """
    name = text.strip()
    if name == UNSET:
        return EXPLICIT_UTC
    if name in names():
        return name
    close = suggestions(name)
    meant = f"did you mean {' or '.join(close)}?" if close else "a time zone is like Europe/London or Asia/Kolkata"
    raise UsageError(f"{option}: there is no time zone {_shown(name)} in tzdata {version()}", meant)


@cache
def find(name: str) -> Zone | None:
    """Return the zone of that name; None where tzdata lists none."""
    if name not in names():
        return None
    from zoneinfo import ZoneInfo

    file = _files().joinpath("zoneinfo", *name.split("/"))
    with file.open("rb") as opened:
        info = ZoneInfo.from_file(opened, key=name)
    return Zone(name, info, _listed(file.read_bytes()))


def utc() -> Zone:
    """Return the zone that stands in where nothing is known."""
    found = find(EXPLICIT_UTC)
    assert found is not None, "tzdata lists it"  # noqa: S101
    return found


@cache
def names() -> frozenset[str]:
    """Return the names of all zones."""
    listed = table("zones", folder="").split()
    return frozenset(each for each in listed if each not in _NO_PLACES and not each.startswith(("right/", "posix/")))


@cache
def version() -> str:
    """Return which edition of IANA's data this is, like `2026f`."""
    import tzdata

    return str(tzdata.IANA_VERSION)


def table(name: str, folder: str = "zoneinfo") -> str:
    """Return the text of one of tzdata's own tables (`zone.tab`)."""
    return _files().joinpath(folder, name).read_text(encoding="utf-8")


def suggestions(text: str) -> list[str]:
    """Return up to three names that may be meant: by the whole name or the city's, in any case."""
    import difflib

    wanted = text.strip().replace(" ", "_").casefold()
    if not wanted or _FIXED.fullmatch(wanted):  # the signs in Etc/GMT+2 are the other way round: no guess
        return []
    known = sorted(each for each in names() if "/" in each and not _FIXED.fullmatch(each))
    whole = {each.casefold(): each for each in known}
    if wanted in whole:
        return [whole[wanted]]
    cities: dict[str, list[str]] = {}
    for each in known:
        cities.setdefault(_city(each), []).append(each)
    city = _city(wanted)
    found = cities.get(city, []).copy()
    found += [name for close in difflib.get_close_matches(city, cities, 3, 0.75) for name in cities[close]]
    found += [whole[close] for close in difflib.get_close_matches(wanted, whole, 3, 0.75)]
    return list(dict.fromkeys(found))[:3]


@cache
def meant(text: str) -> str:
    """Return the name that is probably meant, or one that shows how they are written."""
    return next(iter(suggestions(text)), "Europe/London")


def _city(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _files() -> Traversable:
    from importlib.resources import files

    return files("tzdata")


def _listed(data: bytes) -> tuple[int, ...]:
    """Return the changes that a compiled file lists (RFC 9636): in its second block, whose times have 64 bits."""
    second = 44 + _length(data, 0, 4)
    (count,) = struct.unpack_from(">L", data, second + 32)
    return tuple(each * 1_000 for each in struct.unpack_from(f">{count}q", data, second + 44))


def _length(data: bytes, header: int, time_size: int) -> int:
    ut, standard, leaps, times, types, letters = struct.unpack_from(">6L", data, header + 20)
    return int(times * (time_size + 1) + types * 6 + letters + leaps * (time_size + 4) + standard + ut)


def _in_calendar(at: int) -> datetime:
    if at >= _CYCLED_FROM_MS:
        at = _CYCLED_FROM_MS + (at - _CYCLED_FROM_MS) % _CYCLE_MS
    elif at < _CYCLED_BEFORE_MS:
        at = _CYCLED_BEFORE_MS + (at - _CYCLED_BEFORE_MS) % _CYCLE_MS
    return _EPOCH + at * _MILLISECOND


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
