"""Quiet hours and contact windows, together, by the clocks of every zone: against trying every minute."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifyctl.core import contact, quiet, zones
from notifyctl.core.allowed import SPREAD_MS, ZonedHours, allowed_until, first_allowed, is_allowed, spread
from notifyctl.core.contact import Windows
from notifyctl.core.errors import UsageError
from notifyctl.core.localtime import DAY_MS, local_day
from notifyctl.core.quiet import Quiet
from tests.support import oracle
from tests.support.oracle import ContactHours, QuietHours, ms

NAMES = sorted(zones.names())
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
SOME_DAYS = 16
"""How many of the days of a year the oracle tries where there is no allowed moment: it takes its time."""
ODD = [
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # in Ramadan, and back
    "Antarctica/Troll",  # two hours
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "America/St_Johns",
    "America/Santiago",  # at midnight
    "Africa/Cairo",
    "America/Vancouver",
]


def zone(name: str) -> zones.Zone:
    found = zones.find(name)
    assert found is not None
    return found


def at(*parts: int) -> int:
    return ms(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


def own_quiet(hours: QuietHours) -> Quiet:
    return quiet.parse(str(hours), "--quiet")


def own_windows(hours: ContactHours) -> Windows:
    table = {"sms": str(hours), "except": [each.isoformat() for each in hours.holidays]}
    (found,) = contact.parse("US", table).windows.values()
    return found


def check(conditions: list[oracle.Condition], rules: list[ZonedHours], now: int, chance: float) -> None:
    """Compare one case with the oracle, and what it is spread to with the rules."""
    found = first_allowed(rules, now)
    days = SOME_DAYS if found is None else (found - now) // DAY_MS + 1
    assert found == oracle.first_allowed(conditions, now, days), (conditions, now)
    assert is_allowed(rules, now) == oracle.allows(conditions, now)
    if found is None:
        return
    due_at = spread(found, allowed_until(rules, found), chance)
    assert found <= due_at < found + SPREAD_MS
    for each in (found, due_at, (found + due_at) // 2):
        assert oracle.allows(conditions, each), (conditions, each)


minutes = st.integers(0, 1439) | st.sampled_from([0, 60, 90, 120, 150, 180, 1320, 1380, 1410])
quiet_hours = st.builds(QuietHours, minutes, minutes).filter(lambda each: each.start != each.end)
holidays = st.frozensets(st.dates(date(2026, 12, 20), date(2027, 1, 10)), max_size=2)
contact_hours = st.builds(
    ContactHours,
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), minutes, minutes), min_size=1, max_size=3)
    .map(lambda items: tuple(each for each in items if each[2] != each[3]))
    .filter(bool),
    holidays,
)
places = st.sampled_from(NAMES) | st.sampled_from(ODD)
instants = st.integers(ms(BEGIN), ms(END))


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, int]:
    """A zone, and an instant within a day and a half of a change of its clocks."""
    name, year = draw(places), draw(st.integers(2025, 2034))
    begin = datetime(year, 1, 1, tzinfo=UTC)
    found = [*oracle.changes(name, begin, begin + timedelta(days=366))] or [ms(begin)]
    return name, draw(st.sampled_from(found)) + draw(st.integers(-36 * 3_600_000, 12 * 3_600_000))


@given(near_changes(), quiet_hours, st.floats(0, 1, exclude_max=True))
@example(("Pacific/Apia", at(2011, 12, 30, 5)), QuietHours(1320, 420), 0.99)  # a day that is not there
@example(("Europe/London", at(2026, 10, 25, 0, 30)), QuietHours(1320, 90), 0.5)  # 01:30 is there twice
@example(("Europe/London", at(2026, 3, 28, 23)), QuietHours(1320, 90), 0.5)  # 01:30 is not there
@example(("America/Santiago", at(2026, 9, 6, 3)), QuietHours(1380, 15), 0.5)  # midnight is not there
def test_quiet_hours_near_a_change_of_the_clocks(place: tuple[str, int], hours: QuietHours, chance: float) -> None:
    """The first instant whose wall time is outside, and the spread stays outside too."""
    name, now = place
    check([(name, hours)], [ZonedHours(zone(name), own_quiet(hours))], now, chance)


@settings(max_examples=40)
@given(near_changes(), st.none() | quiet_hours, contact_hours, places, st.floats(0, 1, exclude_max=True))
@example(
    ("America/New_York", at(2026, 12, 25, 3)),
    QuietHours(1320, 600),
    ContactHours(((0, 6, 480, 1260),), frozenset({date(2026, 12, 25)})),
    "America/New_York",
    0.9,
)
def test_windows_and_quiet_hours_together(
    place: tuple[str, int], hours: QuietHours | None, windows: ContactHours, other: str, chance: float
) -> None:
    """By the clocks of two zones: both windows and the quiet hours allow it, first; or nothing ever does."""
    name, now = place
    conditions: list[oracle.Condition] = [(name, windows), (other, windows)]
    rules = [ZonedHours(zone(each), own_windows(windows)) for each in (name, other)]
    if hours is not None:
        conditions.append((name, hours))
        rules.append(ZonedHours(zone(name), own_quiet(hours)))
    check(conditions, rules, now, chance)


def transitions_agree(name: str, chance: random.Random, end: datetime = END) -> int:
    """Compare what holds around each change of a zone's clocks within ten years; return how many there were."""
    found = [*oracle.changes(name, BEGIN, end)] or [ms(BEGIN)]
    for change in found:
        start = chance.randrange(0, 1440, 15)
        hours = QuietHours(start, (start + chance.randrange(15, 960, 15)) % 1440)
        now = change + chance.randrange(-26 * 3_600_000, 4 * 3_600_000)
        rules = [ZonedHours(zone(name), own_quiet(hours))]
        check([(name, hours)], rules, now, chance.random())
        opening = chance.randrange(0, 1440, 15)
        windows = ContactHours(((0, chance.randrange(5, 7), opening, (opening + 900) % 1440),))
        rules.append(ZonedHours(zone(name), own_windows(windows)))
        check([(name, hours), (name, windows)], rules, now, chance.random())
    return len(found)


@pytest.mark.parametrize("name", ODD)
def test_two_years_of_odd_zones(name: str) -> None:
    """Each change of the clocks within two years, in the zones that are unlike the others."""
    assert transitions_agree(name, random.Random(name), datetime(2027, 1, 1, tzinfo=UTC)) >= 1


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_ten_years_of_every_zone(name: str) -> None:
    """Each change of the clocks within ten years, in every zone there is."""
    assert transitions_agree(name, random.Random(name)) >= 1


@pytest.mark.parametrize(
    ("name", "now", "hours", "until"),
    [
        ("Europe/London", at(2026, 10, 25, 0, 30), "22:00-07:00", at(2026, 10, 25, 7)),  # 01:30 BST; 07:00 is GMT
        ("Europe/London", at(2026, 3, 29, 0, 30), "22:00-07:00", at(2026, 3, 29, 6)),
        ("Europe/London", at(2026, 3, 29, 0, 59), "00:30-01:30", at(2026, 3, 29, 1)),  # 01:00 to 02:00 is missing
        ("Europe/London", at(2026, 10, 25, 0, 45), "01:30-03:00", at(2026, 10, 25, 1)),  # 01:00 comes once more
        ("Asia/Kolkata", at(2026, 6, 1, 18), "22:00-07:00", at(2026, 6, 2, 1, 30)),
        ("America/Vancouver", at(2026, 12, 1, 6), "22:00-07:00", at(2026, 12, 1, 14)),  # UTC-7 for good since 2026
        ("Pacific/Apia", at(2011, 12, 30, 9), "22:00-07:00", at(2011, 12, 30, 17)),  # from the 29th to the 31st
    ],
)
def test_quiet_hours_by_the_clock(name: str, now: int, hours: str, until: int) -> None:
    """Cases worked out by hand."""
    assert first_allowed([ZonedHours(zone(name), quiet.parse(hours, "--quiet"))], now) == until


def test_a_window_over_midnight_belongs_to_the_day_it_began() -> None:
    """Friday night reaches into Saturday, on which none begins; a holiday takes away what begins on it alone."""
    hours = contact.parse("US", {"sms": "fri 20:00-02:00", "except": ["2026-12-04"]}).windows
    (rule,) = [ZonedHours(zone("America/New_York"), each) for each in hours.values()]
    saturday = at(2026, 11, 28, 6, 30)
    assert first_allowed([rule], saturday) == saturday
    assert first_allowed([rule], at(2026, 11, 28, 7)) == at(2026, 12, 12, 1), "the 4th of December is an exception"


def test_an_exception_is_named_where_it_alone_closes() -> None:
    """Of a window over midnight the day is the one that it began; at an hour that is closed anyway there is none."""
    (night,) = contact.parse("US", {"sms": "fri 20:00-02:00", "except": ["2026-12-04"]}).windows.values()
    friday = date(2026, 12, 4).toordinal() - date(1970, 1, 1).toordinal()
    for hour, named in ((19, None), (20, friday), (25, friday), (26, None), (-22, None)):
        assert night.excepted(friday * DAY_MS + hour * 3_600_000) == named


def test_never_is_an_answer() -> None:
    """Where quiet hours cover all that the window leaves, it is said so; no day is deferred to."""
    (windows,) = contact.parse("US", {"email": "09:00-21:00"}).windows.values()
    new_york = zone("America/New_York")
    rules = [ZonedHours(new_york, windows), ZonedHours(new_york, quiet.parse("08:00-22:00", "--quiet"))]
    assert first_allowed(rules, at(2026, 6, 1)) is None
    (never,) = contact.parse("US", {"email": "never"}).windows.values()
    assert first_allowed([ZonedHours(new_york, never)], at(2026, 6, 1)) is None


def test_a_moment_that_begins_when_the_clocks_change() -> None:
    """New York's Sunday at nine is London's at two, but not in the weeks when only one has changed its clocks."""
    (nine, two) = (
        windows
        for text in ("sun 09:00-09:30", "sun 14:00-14:30")
        for windows in contact.parse("US", {"email": text}).windows.values()
    )
    rules = [ZonedHours(zone("America/New_York"), nine), ZonedHours(zone("Europe/London"), two)]
    assert first_allowed(rules, at(2026, 3, 2)) == at(2026, 3, 29, 13)
    (one,) = contact.parse("US", {"email": "sun 13:00-13:30"}).windows.values()
    between = [rules[0], ZonedHours(zone("Europe/London"), one)]
    assert first_allowed(between, at(2026, 4, 2)) == at(2026, 10, 25, 13), "four hours apart, for one week in October"
    (ten,) = contact.parse("US", {"email": "sun 10:30-11:00"}).windows.values()
    assert first_allowed([rules[0], ZonedHours(zone("Europe/London"), ten)], at(2026, 4, 2)) is None


def test_a_long_row_of_holidays_is_waited_for() -> None:
    """One day a week, seven of which are exceptions: the eighth is found."""
    dates = [(date(2026, 12, 6) + timedelta(weeks=each)).isoformat() for each in range(7)]
    (windows,) = contact.parse("US", {"email": "sun 12:00-21:00", "except": dates}).windows.values()
    found = first_allowed([ZonedHours(zone("America/New_York"), windows)], at(2026, 12, 1))
    assert found == at(2027, 1, 24, 17)


@given(st.sampled_from(NAMES), instants)
@example("America/Santiago", at(2026, 9, 6, 12))
@example("Pacific/Apia", at(2011, 12, 30, 9, 59))
@example("America/St_Johns", at(2010, 11, 7, 2, 31))  # 00:01 went back to 23:01
def test_local_days_follow_each_other(name: str, now: int) -> None:
    """Each instant has one day, from midnight or the first instant after it up to the next."""
    here = zone(name)
    day = local_day(here, now)
    assert day.begins <= now < day.ends
    following = local_day(here, day.ends)
    assert following.begins == day.ends
    assert following.number > day.number
    assert local_day(here, day.begins) == local_day(here, day.ends - 1) == day
    wall = oracle.moment(day.begins).astimezone(oracle.zone(name))
    assert wall.date() == day.date
    before = oracle.moment(day.begins - 1).astimezone(oracle.zone(name))
    assert before.date() < wall.date()
    assert day.ends - day.begins <= 26 * 3_600_000


def test_a_midnight_that_is_not_there() -> None:
    """In Chile the clocks go from 24:00 to 01:00: that day begins then."""
    day = local_day(zone("America/Santiago"), at(2026, 9, 6, 12))
    assert (day.date, day.begins, day.ends) == (date(2026, 9, 6), at(2026, 9, 6, 4), at(2026, 9, 7, 3))
    assert day.ends - day.begins == 23 * 3_600_000


@given(quiet_hours)
def test_what_is_stored_of_quiet_hours_is_what_was_said(hours: QuietHours) -> None:
    """Written, stored, read and shown, they are the same."""
    own = own_quiet(hours)
    assert quiet.stored(*own.times()) == own
    assert str(own) == str(hours)


def test_an_end_of_24_00_is_midnight() -> None:
    """The column is a TIME, which has no 24:00."""
    own = quiet.parse("22:00-24:00", "--quiet")
    assert str(own) == "22:00-00:00"
    assert own.opens(23 * 3_600_000) == DAY_MS
    assert own.opens(DAY_MS) == DAY_MS


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("00:00-24:00", "--disable"),
        ("07:00-07:00", "--disable"),
        ("00:00-00:00", "--disable"),
        ("24:00-07:00", "22:00-07:00"),
        ("22:00-25:00", "22:00-07:00"),
        ("22:60-07:00", "22:00-07:00"),
        ("22-7", "22:00-07:00"),
        ("", "22:00-07:00"),
        ("٢٢:٠٠-٠٧:٠٠", "22:00-07:00"),
    ],
)
def test_quiet_hours_that_cannot_be_meant(text: str, hint: str) -> None:
    """They are refused with what to say instead; a whole day is a channel that is disabled."""
    with pytest.raises(UsageError) as refused:
        quiet.parse(text, "--quiet")
    assert refused.value.message.startswith("--quiet: ")
    assert hint in (refused.value.hint or "")


def test_half_of_stored_quiet_hours_are_none() -> None:
    """What another program stored: one time without the other, or two that are the same."""
    start, end = quiet.parse("22:00-07:00", "--quiet").times()
    assert quiet.stored(start, None) is quiet.stored(None, end) is quiet.stored(start, start) is None


def test_seconds_are_written_as_they_are_shown() -> None:
    """Another program may store them, and what shows them (a fixture's dump) is read again."""
    own = quiet.stored(quiet.read("22:00:30"), quiet.read("07:00"))
    assert own is not None
    assert str(own) == "22:00:30-07:00"
    assert quiet.parse(str(own), "--quiet") == own
    for text in ("22:00:60-07:00", "00:00:00-24:00:00", "22:00-24:00:01", "07:00-07:00:00"):
        with pytest.raises(UsageError):
            quiet.parse(text, "--quiet")


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("late", "07:00", "late-07:00"),
        ("22:00", None, "22:00-?"),
        (None, "07:00", "?-07:00"),
        ("07:00", "07:00:00", "07:00-07:00:00"),
        ("00:00", "24:00", "00:00-24:00"),
        ("22:00", "24:00", None),
        (None, None, None),
    ],
)
def test_what_is_stored_as_quiet_hours_and_is_none_keeps_its_words(
    start: str | None, end: str | None, words: str | None
) -> None:
    """So that whoever asks finds out why nothing is quiet."""
    assert quiet.unread(start, end) == words
    if words is not None:
        assert quiet.stored(quiet.read(start), quiet.read(end)) is None
