"""Contact windows: what the configuration says, and which of them hold for whom."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.config import values
from notifyctl.core import contact, countries, zones
from notifyctl.core.allowed import first_allowed, is_allowed
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel, OnCap
from notifyctl.core.policy import Policy, digest
from notifyctl.core.whereabouts import whereabouts
from tests.support.oracle import ms

US_LAW = "08:00-21:00"
NEW_YORK, PARIS, UNSET = (whereabouts(each, None) for each in ("America/New_York", "Europe/Paris", "UTC"))


def at(*parts: int) -> int:
    return ms(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


def table(**countries_: Any) -> contact.ContactWindows:
    return {
        key.replace("anybody", "*"): contact.parse(key.replace("anybody", "*"), each)
        for key, each in countries_.items()
    }


def holding(windows: contact.ContactWindows, channel: Channel, to: str | None, where: Any) -> set[tuple[str, str]]:
    return {(each.zone.name, str(each.hours)) for each in contact.rules(windows, channel, to, where)}


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("+14155552671", {"US"}),
        ("whatsapp:+14155552671", {"US"}),
        ("+18765551234", {"JM"}),
        ("+12505550100", {"CA"}),
        ("+77012345678", {"KZ"}),
        ("+79161234567", {"RU"}),
        ("+441534456789", {"JE"}),
        ("+33612345678", {"FR"}),
        ("+12425550123", {"BS"}),  # 555: nobody has such a number, but the Bahamas would
        ("+14415550123", {"BM"}),
        ("+18685550123", {"TT"}),
        ("+77270000000", {"KZ"}),
        ("+447624123456", {"IM"}),
        ("+590590271234", {"BL", "MF"}),  # both islands'
        ("+590590123456", {"GP"}),
        ("+5997171234", {"BQ"}),
        ("+61412345678", {"AU"}),
        ("+883510001234567", None),
        ("no number", None),
        ("12345", None),
    ],
)
def test_the_country_of_a_number(number: str, found: set[str] | None) -> None:
    """By its full prefix, not by the calling code alone."""
    assert countries.of_number(number) == found


@pytest.mark.parametrize("number", ["+18005551234", "+19005551234", "+15555550100"])
def test_a_number_without_a_place_may_be_anywhere_behind_its_code(number: str) -> None:
    """Toll-free, premium and unused ranges of North America: the United States, Canada, Jamaica and the others."""
    assert {"US", "CA", "JM", "PR"} <= (countries.of_number(number) or frozenset())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("America/New_York", {"US"}),
        ("US/Eastern", {"US"}),
        ("Europe/Oslo", {"NO"}),
        ("Asia/Calcutta", {"IN"}),
        ("Etc/UTC", set()),
        ("EST", set()),
    ],
)
def test_the_country_of_a_zone(name: str, found: set[str]) -> None:
    """Of an alias, too; a time that is no place has none."""
    assert countries.of_zone(name) == found


def test_an_alias_of_another_country_may_be_any_that_shares_the_zone() -> None:
    """`Iceland` is kept under Abidjan: it is not of the Ivory Coast alone."""
    assert {"IS", "CI"} <= countries.of_zone("Iceland")


def test_every_country_has_zones() -> None:
    """Of the United States those that differ: Hawaii's and Alaska's are among them, one for all of the east."""
    without = {each for each in countries.known() if not countries.zones_of(each)}
    assert without == {"BV", "HM"}, "nobody lives there"
    offsets = {each.offset(at(2026, 7, 1)) // 3_600_000 for each in countries.zones_of("US")}
    assert offsets == {-4, -5, -6, -7, -8, -9, -10}
    assert len(countries.zones_of("US")) < 12


def test_a_zone_in_the_numbers_country_says_where() -> None:
    """The number's window holds by the person's own clock."""
    assert holding(table(US={"sms": US_LAW}), Channel.SMS, "+14155552671", NEW_YORK) == {("America/New_York", US_LAW)}


def test_an_unknown_zone_means_every_zone_of_the_country() -> None:
    """In the United States from 08:00 in Hawaii to 21:00 in New York."""
    rules = contact.rules(table(US={"sms": US_LAW}), Channel.SMS, "+14155552671", UNSET)
    assert first_allowed(rules, at(2026, 7, 1, 12)) == at(2026, 7, 1, 18)
    assert is_allowed(rules, at(2026, 7, 2, 0, 59))
    assert not is_allowed(rules, at(2026, 7, 2, 1))


def test_number_and_zone_must_both_allow() -> None:
    """An American number of somebody in Paris: by American clocks, by those in Paris, and by French hours."""
    windows = table(US={"sms": US_LAW}, FR={"sms": "mon-fri 10:00-19:00"})
    found = holding(windows, Channel.SMS, "+14155552671", PARIS)
    assert {("Europe/Paris", US_LAW), ("Europe/Paris", "mon-fri 10:00-19:00"), ("Pacific/Honolulu", US_LAW)} <= found
    rules = contact.rules(windows, Channel.SMS, "+14155552671", PARIS)
    assert first_allowed(rules, at(2026, 7, 1)) is None, "at 19:00 in Paris it is 08:00 in Hawaii, or earlier"


def test_a_number_without_a_place_obeys_all() -> None:
    """The strictest: the windows of every country behind its code, by the person's clock where that is known."""
    windows = table(US={"sms": US_LAW}, JM={"sms": "09:00-18:00"}, FR={"sms": "10:00-12:00"})
    found = holding(windows, Channel.SMS, "+18005551234", NEW_YORK)
    assert found == {("America/New_York", US_LAW), ("America/New_York", "09:00-18:00")}
    unknown = holding(windows, Channel.SMS, "+18005551234", UNSET)
    assert {("America/Jamaica", "09:00-18:00"), ("Pacific/Honolulu", US_LAW)} <= unknown
    anywhere = holding(windows, Channel.SMS, "+883510001234567", NEW_YORK)
    assert {hours for _, hours in anywhere} == {US_LAW, "09:00-18:00", "10:00-12:00"}


def test_mail_goes_by_the_country_of_the_zone() -> None:
    """A zone that stands in names a country, of which every zone counts; without any all that is configured holds."""
    windows = table(US={"email": US_LAW}, anybody={"email": "06:00-22:00", "push": "10:00-12:00"})
    assert holding(windows, Channel.EMAIL, "a@example.org", NEW_YORK) == {("America/New_York", US_LAW)}
    assert holding(windows, Channel.EMAIL, "a@example.org", PARIS) == {("Europe/Paris", "06:00-22:00")}
    assert holding(windows, Channel.PUSH, "token", NEW_YORK) == {("America/New_York", "10:00-12:00")}
    standing_in = holding(windows, Channel.EMAIL, "a@example.org", whereabouts(None, "America/New_York"))
    assert ("Pacific/Honolulu", US_LAW) in standing_in
    nobody = holding(windows, Channel.EMAIL, "a@example.org", UNSET)
    assert {("Pacific/Honolulu", US_LAW), ("Etc/UTC", "06:00-22:00")} <= nobody


def test_what_is_not_configured_holds_nobody_up() -> None:
    """A country without windows, and a channel without any."""
    windows = table(US={"sms": US_LAW})
    assert contact.rules(windows, Channel.SMS, "+33612345678", PARIS) == ()
    assert contact.rules(windows, Channel.EMAIL, "a@example.org", NEW_YORK) == ()
    assert contact.rules({}, Channel.SMS, None, UNSET) == ()


def test_a_countrys_holidays_hold_in_the_windows_for_anybody() -> None:
    """Its own dates, beside those of the windows for anybody."""
    windows = table(
        US={"sms": US_LAW, "except": ["2026-07-04"]}, anybody={"email": "09:00-17:00", "except": [date(2027, 1, 1)]}
    )
    (rule,) = contact.rules(windows, Channel.EMAIL, "a@example.org", NEW_YORK)
    assert not is_allowed([rule], at(2026, 7, 4, 16))
    assert not is_allowed([rule], at(2027, 1, 1, 16))
    assert is_allowed([rule], at(2026, 7, 3, 16))


def test_a_country_may_have_no_more_than_holidays() -> None:
    """They hold in the windows for anybody, so that each country need not repeat these; without such they are idle."""
    said = {"*": {"sms": "09:00-20:00", "except": ["2027-01-01"]}, "DE": {"except": ["2026-10-03"]}}
    windows = values.checked("contact_windows", said, "here")
    (rule,) = contact.rules(windows, Channel.SMS, "+4915112345678", UNSET)
    assert not is_allowed([rule], at(2026, 10, 3, 12))
    assert not is_allowed([rule], at(2027, 1, 1, 12))
    assert is_allowed([rule], at(2026, 10, 4, 12))
    (other,) = contact.rules(windows, Channel.SMS, "+33612345678", UNSET)
    assert is_allowed([other], at(2026, 10, 3, 12))
    for lone in ({"DE": {"except": ["2026-10-03"]}}, {"*": {"except": ["2026-10-03"]}}):
        with pytest.raises(UsageError, match=r"names no channel.*except by itself is for the windows of"):
            values.checked("contact_windows", lone, "here")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mon-sat 09:00-21:00, sun 12:00-21:00", "mon-sat 09:00-21:00, sun 12:00-21:00"),
        ("sun 12:00-21:00, MON-SAT 09:00-21:00", "mon-sat 09:00-21:00, sun 12:00-21:00"),
        ("09:00-24:00", "09:00-24:00"),
        ("00:00-24:00", "00:00-24:00"),
        ("fri-mon 20:00-02:00", "mon 20:00-02:00, fri-sun 20:00-02:00"),
        ("mon-fri 09:00-12:00, mon-fri 14:00-18:00", "mon-fri 09:00-12:00, mon-fri 14:00-18:00"),
        ("Never", "never"),
    ],
)
def test_windows_as_they_are_written_and_shown(text: str, shown: str) -> None:
    """What is shown means the same when it is read again."""
    found = contact.parse("US", {"sms": text})
    assert str(found.windows[Channel.SMS]) == shown
    assert contact.parse("US", found.table()) == found


span = st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda each: each[0] != each[1])
item = st.tuples(st.sampled_from(["", "mon ", "sun ", "sat-sun ", "fri-mon ", "mon-fri "]), span)


@given(st.lists(item, min_size=1, max_size=4))
def test_any_windows_are_shown_as_what_they_are(items: list[tuple[str, tuple[int, int]]]) -> None:
    """The text of windows, read again, is the same windows."""
    text = ",".join(f"{days}{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for days, (a, b) in items)
    found = contact.parse("US", {"sms": text})
    assert contact.parse("US", found.table()) == found


@pytest.mark.parametrize(
    ("country", "value", "words"),
    [
        ("us", {"sms": US_LAW}, "'us' is no country"),
        ("UK", {"sms": US_LAW}, "'UK' is no country: the United Kingdom is GB"),
        ("US", US_LAW, "US is not a table"),
        ("US", {"fax": US_LAW}, "US.fax is no setting"),
        ("US", {"except": ["2026-12-25"]}, "US names no channel"),
        ("US", {"sms": ""}, "US.sms is no text"),
        ("US", {"sms": 8}, "US.sms is no text"),
        ("US", {"sms": "8-21"}, "US.sms: '8-21' is no window"),
        ("US", {"sms": "mon-sat 09:00-21:00,"}, "US.sms: '' is no window"),
        ("US", {"sms": "mo-fr 09:00-21:00"}, "'mo-fr 09:00-21:00' is no window"),
        ("US", {"sms": "mon-fry 09:00-21:00"}, "'fry' in"),
        ("US", {"sms": "24:00-24:00"}, "no clock shows"),
        ("US", {"sms": "09:00-24:30"}, "no clock shows"),
        ("US", {"sms": "09:60-24:00"}, "no clock shows"),
        ("US", {"sms": "09:00-09:00"}, "a whole day is 00:00-24:00"),
        ("US", {"sms": US_LAW, "except": "2026-12-25"}, "US.except is no list"),
        ("US", {"sms": US_LAW, "except": ["2026-02-30"]}, "'2026-02-30' is no date"),
        ("US", {"sms": US_LAW, "except": ["25.12.2026"]}, "'25.12.2026' is no date"),
        ("US", {"sms": US_LAW, "except": [datetime(2026, 12, 25)]}, "is no date"),
    ],
)
def test_windows_that_cannot_be_meant(country: str, value: Any, words: str) -> None:
    """They are refused with the key and a remedy."""
    with pytest.raises(ValueError, match=re.escape(words)):
        contact.parse(country, value)


def test_two_ways_to_write_a_policy_have_one_digest() -> None:
    """What means the same is the same, whatever else changes has another digest."""
    one = Policy(
        contact_windows=table(US={"sms": "mon-sun 08:00-21:00"}, FR={"sms": "mon 10:00-20:00, tue 10:00-20:00"})
    )
    same = Policy(contact_windows=table(FR={"sms": "mon-tue 10:00-20:00"}, US={"sms": US_LAW, "except": []}))
    assert digest(one) == digest(same)
    others = [
        Policy(),
        Policy(on_cap=OnCap.CANCEL),
        Policy(cap_counts_transactional=False),
        Policy(default_timezone="Europe/Berlin"),
        Policy(contact_windows=table(US={"sms": US_LAW})),
        Policy(contact_windows=table(US={"email": US_LAW})),
        Policy(contact_windows=table(US={"sms": US_LAW, "except": ["2026-12-25"]})),
    ]
    assert len({digest(each) for each in [one, *others]}) == len(others) + 1


def test_a_zone_that_nobody_set() -> None:
    """The schema's default says nothing; what stands in is named, and so is what cannot be read."""
    assert str(whereabouts("Europe/Paris", "Europe/Berlin")) == "Europe/Paris"
    assert str(whereabouts("UTC", "Europe/Berlin")) == "Europe/Berlin (default_timezone: no zone is set)"
    assert str(whereabouts("UTC", None)) == "Etc/UTC (UTC stands in: no zone is set)"
    assert str(whereabouts(None, None)) == "Etc/UTC (UTC stands in: no zone is set)"
    assert str(whereabouts("Etc/UTC", "Europe/Berlin")) == "Etc/UTC"
    mars = whereabouts("Mars/Olympus", "Europe/Berlin")
    assert str(mars) == "Europe/Berlin (default_timezone: the stored zone 'Mars/Olympus' cannot be read)"
    assert not mars.known
    assert mars.zone is zones.find("Europe/Berlin")
