"""The whole gate against an oracle of its own: thousands of people, moments and rules, judged minute by minute."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from notifyctl.core import contact, quiet
from notifyctl.core.gate import Facts, Person, PutOff, Refuse, Suppress, Verdict, gate
from notifyctl.core.model import Channel, OnCap
from notifyctl.core.policy import Policy
from notifyctl.core.whereabouts import whereabouts
from tests.support import oracle
from tests.support.oracle import ContactHours, QuietHours

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
BEGIN = oracle.ms(datetime(2026, 1, 1, tzinfo=UTC))
WINDOWS = {
    "US": ContactHours(((0, 5, 540, 1260), (6, 6, 720, 1260)), frozenset({date(2026, 12, 25)})),
    "FR": ContactHours(((0, 4, 600, 1200),)),
    "IN": ContactHours(((4, 5, 1200, 120),)),  # Friday's and Saturday's nights
}
ZONES = {
    "US": (
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "America/Phoenix",
        "America/Los_Angeles",
        "America/Anchorage",
        "America/Adak",
        "Pacific/Honolulu",
    ),
    "FR": ("Europe/Paris",),
    "IN": ("Asia/Kolkata",),
}
COUNTRY = {name: country for country, names in ZONES.items() for name in names}
NUMBERS = {"US": "+14155552671", "FR": "+33612345678", "IN": "+919876543210", "DE": "+4915112345678"}
TABLE = {
    country: contact.parse(country, {"sms": str(hours), "except": [each.isoformat() for each in hours.holidays]})
    for country, hours in WINDOWS.items()
}


@dataclass(frozen=True)
class Case:
    """A notification by SMS, and all that is known of its user; `zone` is None where none is set."""

    now: int
    expires_at: int | None
    number: str | None
    suppressed: bool
    zone: str | None
    critical: bool
    enabled: bool
    quiet: QuietHours | None
    cap: int | None
    used: int
    marketing: bool
    left: bool
    limit: int | None
    sent: tuple[tuple[int, int], ...]
    cancels: bool
    counts_transactional: bool


def drawn(chance: random.Random) -> Case:
    def one_in(many: int) -> bool:
        return chance.randrange(many) == 0

    now = BEGIN + chance.randrange(400 * DAY_MS)
    start = chance.randrange(0, 1440, 5)
    return Case(
        now=now,
        expires_at=now + chance.randrange(-HOUR_MS, 3 * DAY_MS) if one_in(3) else None,
        number=None if one_in(30) else chance.choice([*NUMBERS]),
        suppressed=one_in(30),
        zone=None if one_in(4) else chance.choice([*COUNTRY, "Asia/Kathmandu", "Australia/Lord_Howe"]),
        critical=one_in(5),
        enabled=not one_in(20),
        quiet=None if one_in(3) else QuietHours(start, (start + chance.randrange(5, 1000, 5)) % 1440),
        cap=None if one_in(2) else chance.randrange(5),
        used=chance.randrange(5),
        marketing=not one_in(3),
        left=one_in(20),
        limit=None if one_in(2) else chance.randrange(1, 5),
        sent=tuple((now // 1_000 - ago, chance.randrange(1, 3)) for ago in chance.sample(range(80), 4)),
        cancels=one_in(4),
        counts_transactional=not one_in(3),
    )


def judged(case: Case) -> Verdict:
    policy = Policy(OnCap.CANCEL if case.cancels else OnCap.DEFER, case.counts_transactional, None, TABLE)
    person = Person(
        channel=Channel.SMS,
        where=whereabouts(case.zone, None),
        policy=policy,
        critical=case.critical,
        enabled=case.enabled,
        quiet=None if case.quiet is None else quiet.parse(str(case.quiet), "--quiet"),
        cap=case.cap,
        used=case.used,
        category="offers" if case.marketing else None,
        marketing=case.marketing,
        left=case.left,
        limit=case.limit,
        slots=case.sent,
    )
    number = None if case.number is None else NUMBERS[case.number]
    return gate(Facts(case.now, case.expires_at, True, number, "bounced" if case.suppressed else None, person))


def law(case: Case) -> list[oracle.Condition]:
    """What holds for marketing: the number's country by its clocks and the person's, the zone's by that clock."""
    if not case.marketing:
        return []
    found: list[oracle.Condition] = []
    for country in filter(WINDOWS.__contains__, [case.number]):
        at_home = COUNTRY.get(case.zone or "") == country
        found += [(name, WINDOWS[country]) for name in ZONES[country] if not at_home]
        found += [(case.zone, WINDOWS[country])] if case.zone else []
    if case.zone in COUNTRY:
        found.append((case.zone, WINDOWS[COUNTRY[case.zone]]))
    return found


def wanted(case: Case) -> list[oracle.Condition]:
    own = case.zone or "Etc/UTC"
    return [] if case.quiet is None or case.critical else [(own, case.quiet)]


def objection(case: Case) -> tuple[str, int]:
    """Return which word stands first against it, and from when on what it says is over; empty where none does."""
    counted = case.marketing or case.counts_transactional
    in_minute = sum(count for second, count in case.sent if 0 <= case.now // 1_000 - second <= 60)
    if case.expires_at is not None and case.expires_at <= case.now:
        return "cancel", 0
    if case.number is None:
        return "fail", 0
    if case.suppressed or not case.enabled or case.left:
        return "cancel", 0
    if not oracle.allows(law(case), case.now):
        return "contact_window", case.now
    if not oracle.allows(wanted(case), case.now):
        return "quiet_hours", case.now
    if case.cap is not None and not case.critical and counted and case.used >= case.cap:
        return ("cancel", 0) if case.cancels or case.cap == 0 else ("cap", midnight(case))
    if case.limit is not None and in_minute >= case.limit:
        return "limit", free(case, case.limit)
    return "", case.now


def midnight(case: Case) -> int:
    own = oracle.zone(case.zone or "Etc/UTC")
    today = oracle.moment(case.now).astimezone(own).date()
    at = case.now - case.now % 60_000
    while oracle.moment(at).astimezone(own).date() == today:
        at += 60_000
    return at


def free(case: Case, limit: int) -> int:
    second = case.now // 1_000
    while sum(count for at, count in case.sent if 0 <= second - at <= 60) >= limit:
        second += 1
    return second * 1_000


def agree(case: Case) -> str:
    """Compare the verdict with the oracle's; return what it was."""
    verdict, (word, begin) = judged(case), objection(case)
    if word in ("", "cancel", "fail"):
        assert isinstance(verdict, {"": type(None), "cancel": Suppress, "fail": Refuse}[word]), case
        return word or "send"
    days = 16 if not isinstance(verdict, PutOff) else (verdict.until - begin) // DAY_MS + 1
    until = oracle.first_allowed(law(case) + wanted(case), begin, days)
    if until is None or (case.expires_at is not None and until >= case.expires_at):
        assert isinstance(verdict, Suppress), case
        return "never" if until is None else "too late"
    assert isinstance(verdict, PutOff), case
    assert (verdict.wait.value, verdict.until) == (word, until), case
    due_at = verdict.due_at(0.999)
    assert until <= due_at < until + 15 * 60_000, case
    assert oracle.allows(law(case) + wanted(case), due_at), case
    return word


def compare(many: int, seed: int) -> None:
    chance = random.Random(seed)
    seen = {agree(drawn(chance)) for _ in range(many)}
    assert seen >= {"send", "cancel", "fail", "contact_window", "quiet_hours", "cap", "limit", "too late", "never"}


def test_a_hundred_and_fifty_cases() -> None:
    """Every verdict there is occurs among them."""
    compare(150, seed=1)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
def test_ten_thousand_cases(seed: int) -> None:
    """Five hundred cases at a time."""
    compare(500, seed=seed + 100)
