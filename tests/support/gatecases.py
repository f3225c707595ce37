"""Notifications that rules may stop, drawn at random, and what an oracle of its own says of each."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

from notifyctl.core.model import Channel
from tests.support import oracle
from tests.support.oracle import ContactHours, QuietHours

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
SPREAD_MS = 15 * MINUTE_MS
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
ELSEWHERE = ("Asia/Kathmandu", "Australia/Lord_Howe")
"""Zones of countries without windows."""
NUMBERS = {"US": "+1415555{:04}", "FR": "+3361234{:04}", "IN": "+919876{:06}", "DE": "+49151123{:05}"}


@dataclass(frozen=True)
class Case:
    """A notification, and all that is known of its user.

    `number` is the country of the user's number, None where there is no address; `zone` is None where none is set, and
    then `default_zone` stands in. `sent` are seconds, each with how many went out in it.
    """

    now: int
    expires_at: int | None
    channel: Channel
    number: str | None
    suppressed: bool
    zone: str | None
    default_zone: str | None
    critical: bool
    enabled: bool
    quiet: QuietHours | None
    cap: int | None
    used: int
    category: str | None
    left: bool
    limit: int | None
    sent: tuple[tuple[int, int], ...]
    cancels: bool
    counts_transactional: bool

    @property
    def marketing(self) -> bool:
        """Whether it is of a category that keeps to contact windows."""
        return self.category == "offers"

    @property
    def own(self) -> str:
        """By which clocks the user's day and quiet hours are."""
        return self.zone or self.default_zone or "Etc/UTC"

    @property
    def counted(self) -> bool:
        """Whether it counts for the cap."""
        return self.marketing or self.counts_transactional


def drawn(chance: random.Random, channel: Channel = Channel.SMS) -> Case:
    """Return a case: several rules meet in most of them."""

    def one_in(many: int) -> bool:
        return chance.randrange(many) == 0

    now = BEGIN + chance.randrange(400 * DAY_MS)
    start = chance.randrange(0, 1440, 5)
    category = chance.choice([None, "bills", "offers", "offers", "offers", "offers"])
    return Case(
        now=now,
        expires_at=now + chance.randrange(-HOUR_MS, 3 * DAY_MS) if one_in(3) else None,
        channel=channel,
        number=None if one_in(30) and channel is Channel.SMS else chance.choice([*NUMBERS]),
        suppressed=one_in(30),
        zone=None if one_in(4) else chance.choice([*COUNTRY, *ELSEWHERE]),
        default_zone=None,
        critical=one_in(5),
        enabled=not one_in(20),
        quiet=None if one_in(3) else QuietHours(start, (start + chance.randrange(5, 1000, 5)) % 1440),
        cap=None if one_in(2) else chance.randrange(5),
        used=chance.randrange(5),
        category=category,
        left=category is not None and one_in(20),
        limit=None if one_in(2) else chance.randrange(1, 5),
        sent=tuple((now // 1_000 - ago, chance.randrange(1, 3)) for ago in chance.sample(range(80), 4)),
        cancels=one_in(4),
        counts_transactional=not one_in(3),
    )


def law(case: Case) -> list[oracle.Condition]:
    """What holds for marketing: the number's country by its clocks and the person's, the zone's by that clock.

    Mail has no number: there it is the country of the zone, of the one that stands in, or each that has windows.
    """
    if not case.marketing:
        return []
    if case.channel is Channel.SMS:
        return [*_by_country(case, [case.number]), *_by_zone(case)]
    if case.zone is not None:
        return _by_zone(case)
    return _by_country(case, WINDOWS if case.default_zone is None else [COUNTRY[case.default_zone]])


def _by_country(case: Case, countries: Iterable[str | None]) -> list[oracle.Condition]:
    found: list[oracle.Condition] = []
    for country in filter(WINDOWS.__contains__, countries):
        at_home = COUNTRY.get(case.zone or "") == country
        found += [(name, WINDOWS[country]) for name in ZONES[country] if not at_home]
        found += [(case.zone, WINDOWS[country])] if case.zone else []
    return found


def _by_zone(case: Case) -> list[oracle.Condition]:
    return [(case.zone, WINDOWS[COUNTRY[case.zone]])] if case.zone in COUNTRY else []


def wanted(case: Case) -> list[oracle.Condition]:
    """What the user wants: quiet hours, which a critical one passes."""
    return [] if case.quiet is None or case.critical else [(case.own, case.quiet)]


def objection(case: Case) -> tuple[str, int]:
    """Return which word stands first against it, and from when on what it says is over; empty where none does."""
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
    if case.cap is not None and not case.critical and case.counted and case.used >= case.cap:
        return ("cancel", 0) if case.cancels or case.cap == 0 else ("cap", _midnight(case))
    if case.limit is not None and in_minute >= case.limit:
        return "limit", _free(case, case.limit)
    return "", case.now


@dataclass(frozen=True)
class Judgement:
    """What an oracle says of a case: `word` is `send`, `cancel`, `fail`, `never`, `too late`, or why it is put off.

    `until` is the first moment at which it may go out.
    """

    word: str
    until: int = 0

    @property
    def end(self) -> str:
        """What becomes of it: `send`, `cancel`, `fail` or `defer`."""
        ends = {"send": "send", "cancel": "cancel", "fail": "fail", "never": "cancel", "too late": "cancel"}
        return ends.get(self.word, "defer")


@cache
def judged(case: Case, guess: int | None) -> Judgement:
    """Judge a case. `guess` is until when somebody else puts it off: so long is searched, else for two weeks."""
    word, begin = objection(case)
    if word in ("", "cancel", "fail"):
        return Judgement(word or "send")
    ends = [each for each in (guess, case.expires_at) if each is not None]
    days = max(0, min(ends) - begin) // DAY_MS + 1 if ends else 16
    until = oracle.first_allowed(law(case) + wanted(case), begin, days)
    if case.expires_at is not None and (until is None or until >= case.expires_at):
        return Judgement("too late")
    return Judgement("never") if until is None else Judgement(word, until)


def fits(case: Case, judgement: Judgement, due_at: int) -> bool:
    """Return whether a moment may be that of a case that is put off: the first one, or soon after and allowed."""
    soon = judgement.until <= due_at < judgement.until + SPREAD_MS
    return soon and oracle.allows(law(case) + wanted(case), due_at)


def _midnight(case: Case) -> int:
    own = oracle.zone(case.own)
    today = oracle.moment(case.now).astimezone(own).date()
    at = case.now - case.now % MINUTE_MS
    while oracle.moment(at).astimezone(own).date() == today:
        at += MINUTE_MS
    return at


def _free(case: Case, limit: int) -> int:
    second = case.now // 1_000
    while sum(count for at, count in case.sent if 0 <= second - at <= 60) >= limit:
        second += 1
    return second * 1_000
