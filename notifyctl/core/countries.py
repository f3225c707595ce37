"""In which countries a number or a zone may be, and which zones a country has.

The zones' countries are those of tzdata's own tables, the numbers' those of the telephone library's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

from notifyctl.core import zones
from notifyctl.core.zones import Zone

_LETTERS_ONLY = frozenset(["CET", "CST6CDT", "EET", "EST", "EST5EDT", "HST", "MET", "MST", "MST7MDT", "PST8PDT", "WET"])
"""Names of a time, not of a place: tzdata makes them aliases of some city, whose country says nothing of the person."""
_BEYOND_ISO = {"XK": "Europe/Belgrade", "AC": "Atlantic/St_Helena", "TA": "Atlantic/St_Helena"}
_SINCE_MS = 1_577_836_800_000  # the year 2020: two zones that show the same since then are one
_UNTIL_MS = 2_240_524_800_000  # the year 2041


@lru_cache(maxsize=65_536)
def of_number(number: str) -> frozenset[str] | None:
    """Return the countries in which a number may be; None where it may be anywhere.

    By its full prefix: +1 876 is Jamaica, also where the rest of the number is of a range that is not in use. A number
    without a place (+1 800, a pager's) may be in any country of its code, and so may one of a range that is nobody's.
    Where islands share a range (+590 590 27) it is any of them, but for a large country's own, whose they use.
    """
    from phonenumbers import (
        NumberParseException,
        PhoneNumberType,
        is_valid_number_for_region,
        number_type,
        parse,
        region_code_for_number,
        region_codes_for_country_code,
    )

    try:
        parsed = parse(number.rpartition(":")[2])
    except NumberParseException:
        return None
    kinds = PhoneNumberType
    # UNKNOWN: it is no number, but what it begins with may say where it would be.
    placed = (kinds.FIXED_LINE, kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE, kinds.UNKNOWN)
    own = region_code_for_number(parsed) if number_type(parsed) in placed else None
    first, *others = region_codes_for_country_code(parsed.country_code or 0) or ("ZZ",)
    if own is None:
        found = {first, *others}
    else:
        found = {own, *(each for each in others if own != first and is_valid_number_for_region(parsed, each))}
    return frozenset(found - {"001", "ZZ"}) or None


@cache
def of_zone(name: str) -> frozenset[str]:
    """Return the countries where people may use a zone; none for `Etc/UTC` and for `EST`, which is no place.

    An alias that is of no country itself (`Iceland`) is of all that share the zone that it stands for.
    """
    if name in _LETTERS_ONLY:
        return frozenset()
    direct = {country for country, zone in _rows("zone.tab") if zone == name}
    target = _links().get(name, name)
    shared = {each for countries, zone in _rows("zone1970.tab") if zone == target for each in countries.split(",")}
    return frozenset(direct or shared)


@cache
def zones_of(country: str) -> tuple[Zone, ...]:
    """Return the zones of a country, one of each kind of those whose clocks have shown the same for years."""
    named = [zone for code, zone in _rows("zone.tab") if code == country] or [_BEYOND_ISO.get(country, "")]
    found = [zone for zone in map(zones.find, named) if zone is not None]
    return tuple({_course(zone): zone for zone in reversed(found)}.values())


@cache
def known() -> frozenset[str]:
    """Return the codes of all countries (ISO 3166)."""
    listed = (line.split("\t")[0] for line in zones.table("iso3166.tab").splitlines() if not line.startswith("#"))
    return frozenset(listed) | _BEYOND_ISO.keys()


@cache
def _rows(table: str) -> tuple[tuple[str, str], ...]:
    lines = (line.split("\t") for line in zones.table(table).splitlines() if line and not line.startswith("#"))
    return tuple((cells[0], cells[2]) for cells in lines)


@cache
def _links() -> dict[str, str]:
    lines = (line.split() for line in zones.table("tzdata.zi").splitlines() if line.startswith("L "))
    return {alias: target for _, target, alias in lines}


def _course(zone: Zone) -> tuple[tuple[int, int], ...]:
    return tuple(_changes(zone))


def _changes(zone: Zone) -> Iterator[tuple[int, int]]:
    at: int | None = _SINCE_MS
    while at is not None and at < _UNTIL_MS:
        yield at, zone.offset(at)
        at = zone.change(at, _UNTIL_MS - at)
