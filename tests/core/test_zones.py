"""Time zones of the packaged data: which there are, and when their clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
import tzdata
from hypothesis import example, given
from hypothesis import strategies as st

from notifyctl.core import localtime, when, zones
from notifyctl.core.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_MS = 3_600_000


def ms(year: int, *rest: int) -> int:
    return int((datetime(year, *rest, tzinfo=UTC) - EPOCH) / timedelta(milliseconds=1))


def standard(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file)


def zone(name: str) -> zones.Zone:
    found = zones.find(name)
    assert found is not None
    return found


@given(st.sampled_from(sorted(zones.names())), st.integers(ms(1970, 1, 1), ms(2399, 12, 31)))
@example("Pacific/Apia", ms(2011, 12, 30, 10))
@example("Africa/Casablanca", ms(2026, 3, 22, 2))
def test_an_offset_is_that_of_the_standard_library(name: str, at: int) -> None:
    """Up to a span's end the offset stays; it is what zoneinfo says of the same data."""
    known, own = standard(name), zone(name)
    offset, end = own.span(at)
    assert at < end
    for each in (at, (at + end) // 2, end - 1):
        assert (EPOCH + timedelta(milliseconds=each)).astimezone(known).utcoffset() == timedelta(milliseconds=offset)


@pytest.mark.parametrize(
    ("name", "after", "change"),
    [
        ("America/Vancouver", ms(2026, 3, 9), None),  # the last change there is that of March 2026
        ("Europe/London", ms(2026, 10, 1), ms(2026, 10, 25, 1)),
        ("Australia/Lord_Howe", ms(2026, 10, 1), ms(2026, 10, 3, 15, 30)),
        ("Antarctica/Troll", ms(2027, 3, 1), ms(2027, 3, 28, 1)),
        ("Pacific/Apia", ms(2011, 12, 1), ms(2011, 12, 30, 10)),
        ("Asia/Kolkata", ms(2026, 1, 1), None),
    ],
)
def test_when_the_clocks_change(name: str, after: int, change: int | None) -> None:
    """To the millisecond, also behind the changes that the data lists, and never where there is none."""
    assert zone(name).change(after, 400 * 24 * HOUR_MS) == change


@pytest.mark.parametrize("year", [2099, 2500, 2901, 9999])
def test_the_far_future_has_the_rules_of_today(year: int) -> None:
    """What is scheduled for the end of the calendar is judged like anything else."""
    assert zone("Europe/London").offset(ms(year, 7, 1)) == HOUR_MS
    assert zone("Europe/London").offset(ms(year, 12, 31, 23, 59, 59)) == 0
    assert zone("Europe/London").abbreviation(ms(year, 7, 1)) == "BST"


def test_only_what_tzdata_lists_is_a_zone() -> None:
    """Old aliases are names; what is a file beside the zones, or no place, is not."""
    assert {"US/Eastern", "Asia/Calcutta", "Etc/GMT+2", "EST", "Europe/London"} <= zones.names()
    refused = ("Factory", "localtime", "posixrules", "right/Europe/London", "zone.tab", "", "../zones", "europe/london")
    assert [each for each in refused if zones.find(each) is not None] == []
    assert zones.version() == tzdata.IANA_VERSION


def test_the_systems_files_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone that was never read before is read where zoneinfo is told to look elsewhere."""
    monkeypatch.setattr("zoneinfo.TZPATH", ("/nonexistent",))
    zones.find.cache_clear()
    assert zone("America/Vancouver").offset(ms(2026, 12, 1)) == -7 * HOUR_MS


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("europe/london", "did you mean Europe/London?"),
        ("London", "did you mean Europe/London?"),
        ("new york", "did you mean America/New_York?"),
        ("Europe/Berlim", "Europe/Berlin"),
        ("Sydny", "Australia/Sydney"),
        ("UTC+2", "a time zone is like"),
        ("Factory", "a time zone is like"),
        ("", "a time zone is like"),
    ],
)
def test_an_unknown_zone_is_refused_with_suggestions(text: str, hint: str) -> None:
    """By name and by city, in any case; nothing is guessed where signs are the other way round (Etc/GMT+2)."""
    with pytest.raises(UsageError) as refused:
        zones.parse(text, "--timezone")
    assert refused.value.message.startswith("--timezone: there is no time zone")
    assert hint in (refused.value.hint or "")


def test_an_operators_utc_is_not_the_schemas_default() -> None:
    """The default says that nobody set a zone."""
    assert zones.parse("UTC", "--timezone") == "Etc/UTC"
    assert zones.parse(" US/Eastern ", "--timezone") == "US/Eastern"


@pytest.mark.parametrize("name", ["Pacific/Kiritimati", "America/New_York", "Africa/Casablanca", "Etc/UTC"])
@pytest.mark.parametrize("at", [2**63 - 1, 253_402_300_800_000, -62_135_596_800_001, -(2**62), -(2**63)])
def test_a_moment_outside_the_calendar_is_shown_all_the_same(name: str, at: int) -> None:
    """Any number can stand in a row: whoever asks about it gets an answer."""
    place = zones.find(name)
    assert place is not None
    assert ("9999" if at > 0 else " 1 Jan 1 ") in localtime.shown(place, at, 0)
    assert when.written(at)[:4] == ("9999" if at > 0 else "0001")
