"""Whether a notification that is due shall be sent now.

One pure function over the notification, the user's state and the moment. The order of the checks is the policy, and
each has its own reason; the claim, `send`'s warning and `explain` ask the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from notifyctl.core import contact, userlimit
from notifyctl.core.allowed import ZonedHours, allowed_until, first_allowed, is_allowed, spread
from notifyctl.core.audience import needs_address
from notifyctl.core.frozen import dataclass
from notifyctl.core.localtime import date_of, local_day
from notifyctl.core.model import Category, Channel, Message, OnCap
from notifyctl.core.policy import Policy
from notifyctl.core.quiet import Quiet
from notifyctl.core.userlimit import Slot
from notifyctl.core.when import written
from notifyctl.core.whereabouts import Whereabouts


class GateName(StrEnum):
    """What is asked, in this order, as `explain` names it."""

    EXPIRY = "not expired"
    ADDRESS = "address"
    CHANNEL = "channel"
    CATEGORY = "category"
    CONTACT = "contact"
    QUIET_HOURS = "quiet hours"
    CAP = "cap"
    LIMIT = "rate limit"


class Wait(StrEnum):
    """Why a notification was put off; stored as `deferred_by`."""

    CONTACT = "contact_window"
    QUIET_HOURS = "quiet_hours"
    CAP = "cap"
    LIMIT = "limit"
    SENDER = "sender"
    NEWER_PAYLOAD = "newer_payload"
    KEY = "encryption_key"


BY_RULES = (Wait.CONTACT, Wait.QUIET_HOURS, Wait.CAP, Wait.LIMIT)
"""What rules put off: those of a person, and of the policy. The rest waits for something else, whatever they say."""


class Person(NamedTuple):
    """What the gate knows of a user for one notification, where there is anything to know.

    `used` counts what was sent to the user on the channel in the present local day (`localtime.local_day` of the zone),
    attempts of unknown outcome included. `category` is its name, and `left` says that the user left it. `slots` are
    those of the user's limit, in notifications a minute. `group` is what the category is at SendGrid. `unread_hours`
    are stored as quiet hours, and are none. `ahead` is how many of `used`, and of those in `slots`, are only due before
    it. Of a category that is not `declared` nobody knows the kind: the stricter one holds.
    """

    channel: Channel
    where: Whereabouts
    policy: Policy
    critical: bool = False
    enabled: bool = True
    quiet: Quiet | None = None
    cap: int | None = None
    used: int = 0
    category: str | None = None
    marketing: bool = False
    left: bool = False
    limit: int | None = None
    slots: tuple[Slot, ...] = ()
    group: str = ""
    unread_hours: str | None = None
    ahead: tuple[int, int] = (0, 0)
    declared: bool = True

    def addressed(self, message: Message) -> Message:
        """Return the message, which is of the category's group of mails."""
        return message._replace(group=self.group) if self.group else message

    @property
    def counts(self) -> bool:
        """Whether the notification counts against the cap; a critical one does, though it is not stopped."""
        return self.policy.counts(self.marketing)


class Facts(NamedTuple):
    """What the gate looks at. Times are milliseconds since the epoch. A tuple: one is made for every attempt.

    `needs_address` is False where the content names the audience itself. `suppression` is the reason why the address
    is suppressed. `person` is None for one who has no preference, limit or category to be asked for.
    """

    now: int
    expires_at: int | None
    needs_address: bool
    address: str | None
    suppression: str | None
    person: Person | None = None


@dataclass(frozen=True, slots=True)
class PutOff:
    """Not now: `until` is the first instant at which it may be sent. Costs no attempt.

    Up to `end` it may be sent as well, so that what was put off to one moment goes out spread. `by_policy` says that it
    may be another instant where the configuration's policy is another.
    """

    until: int
    reason: str
    wait: Wait
    end: int = 0
    by_policy: bool = False

    def due_at(self, chance: float) -> int:
        """Return when it is due, by a uniform `chance` in [0, 1)."""
        return spread(self.until, self.end, chance)


@dataclass(frozen=True, slots=True)
class Suppress:
    """Policy decided that it shall not be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be sent: a dead letter of this category."""

    category: Category
    reason: str


Objection = PutOff | Suppress | Refuse
Verdict = Objection | None
Check = Callable[[Facts], Verdict]
PersonalCheck = Callable[[Facts, Person], Verdict]


def facts(
    message: Message, expires_at: int | None, suppression: str | None, now: int, person: Person | None = None
) -> Facts:
    """Return what the gate looks at in a message; `suppression` is why its address must not be written to."""
    to = message.to
    needs = to is None and needs_address(message.channel, message.content)
    return Facts(now, expires_at, needs, to, None if to is None else suppression, person)


def gate(facts: Facts) -> Verdict:
    """Return the first objection; None where nothing stands against it."""
    for _, check in CHECKS:
        verdict = check(facts)
        if verdict is not None:
            return verdict
    person = facts.person
    if person is not None:
        for _, personal in PERSONAL:
            verdict = personal(facts, person)
            if verdict is not None:
                return verdict
    return None


def is_free(person: Person, now: int) -> bool:
    """Return whether nothing that is for somebody is stopped at that moment by what is known, or counted.

    So rules need not be asked for each notification. Of marketing an address may be where nobody is written to now.
    """
    if person.marketing or person.group or person.cap is not None or person.limit is not None:
        return False
    anything = Facts(now, None, False, None, None, person)
    return all(check(anything, person) is None for _, check in PERSONAL)


def closed(verdict: Verdict) -> Verdict:
    """Return the verdict of somebody who has an address, which is sealed and does not open."""
    if isinstance(verdict, Refuse) and verdict.category is Category.NO_ADDRESS:
        return Refuse(Category.INVALID_PAYLOAD, "the user's address does not open")
    return verdict


def contact_rules(facts: Facts, person: Person) -> tuple[ZonedHours, ...]:
    """Return what must be open for marketing; nothing for anything else."""
    windows = person.policy.contact_windows
    if not person.marketing or not windows:
        return ()
    return contact.rules(windows, person.channel, facts.address, person.where)


def all_rules(facts: Facts, person: Person) -> tuple[ZonedHours, ...]:
    """Return all that must be open together: contact windows, and what is not quiet."""
    windows = contact_rules(facts, person)
    if person.quiet is None or person.critical:
        return windows
    return (*windows, ZonedHours(person.where.zone, person.quiet))


def _not_expired(facts: Facts) -> Verdict:
    if facts.expires_at is not None and facts.now >= facts.expires_at:
        return Suppress("expired before it was sent")
    return None


def _address(facts: Facts) -> Verdict:
    if facts.needs_address and not facts.address:
        return Refuse(Category.NO_ADDRESS, "the user has no address on this channel")
    if facts.suppression is not None:
        return Suppress(f"the address is suppressed: {facts.suppression}")
    return None


def _enabled(_: Facts, person: Person) -> Verdict:
    return None if person.enabled else Suppress(f"the user has disabled {person.channel}")


def _not_left(_: Facts, person: Person) -> Verdict:
    return Suppress(f"the user has left the category {person.category}") if person.left else None


def _contact(facts: Facts, person: Person) -> Verdict:
    windows = contact_rules(facts, person)
    if is_allowed(windows, facts.now):
        return None
    said = ", ".join(dict.fromkeys(str(each.hours) for each in windows))
    closed = exceptions(windows, facts.now)
    why = f", except {', '.join(map(str, closed))}" if closed else ""
    return _put_off(facts, person, Wait.CONTACT, f"outside the contact window {said}{why}", facts.now)


def _not_quiet(facts: Facts, person: Person) -> Verdict:
    quiet = person.quiet
    if quiet is None or person.critical or is_allowed((ZonedHours(person.where.zone, quiet),), facts.now):
        return None
    return _put_off(facts, person, Wait.QUIET_HOURS, f"quiet hours {quiet} {person.where}", facts.now)


def _below_cap(facts: Facts, person: Person) -> Verdict:
    cap = person.cap
    if cap is None or person.critical or person.used < cap or not person.counts:
        return None
    if cap < 1:
        return Suppress(f"the user's cap of {person.channel} is {cap} a day")
    if person.policy.on_cap is OnCap.CANCEL:
        return Suppress(f"the user's cap of {cap} a day is reached")
    tomorrow = local_day(person.where.zone, facts.now).ends
    return _put_off(facts, person, Wait.CAP, f"the user's cap of {cap} a day is reached, {person.where}", tomorrow)


def _below_limit(facts: Facts, person: Person) -> Verdict:
    if person.limit is None:
        return None
    free_at = userlimit.free_at(person.slots, person.limit, facts.now)
    if free_at is None:
        return None
    return _put_off(facts, person, Wait.LIMIT, f"the user's limit of {person.limit} a minute is reached", free_at)


def _put_off(facts: Facts, person: Person, wait: Wait, reason: str, at: int) -> PutOff | Suppress:
    """Put off to the first instant, from `at` on, at which contact windows and quiet hours are both open."""
    rules = all_rules(facts, person)
    until = first_allowed(rules, at)
    if until is None:
        return Suppress(f"there is no allowed moment within a year: {in_words(rules)}")
    expires_at = facts.expires_at
    if expires_at is not None and until >= expires_at:
        early = f"it would expire at {written(expires_at)}, before it may be sent at {written(until)}"
        return Suppress(f"{early}: {reason}")
    # A minute is each person's own; a day, and a window that opens, are one moment for very many.
    end = until if wait is Wait.LIMIT and until == at else allowed_until(rules, until)
    by_policy = wait in (Wait.CONTACT, Wait.CAP) or not person.where.known or bool(contact_rules(facts, person))
    return PutOff(until, reason, wait, end if expires_at is None else min(end, expires_at), by_policy)


def exceptions(rules: Iterable[ZonedHours], now: int) -> list[date]:
    """Return the dates, by the clocks of rules, but for which they would be open."""
    days = {hours.excepted(now + zone.offset(now)) for zone, hours in rules}
    return [date_of(day) for day in sorted(each for each in days if each is not None)]


def in_words(rules: Iterable[ZonedHours]) -> str:
    """Return what has to be open together, each with its zones: `quiet hours 22:00-07:00 in Europe/London`."""
    zones: dict[str, list[str]] = {}
    for zone, hours in rules:
        zones.setdefault(f"{'quiet hours' if isinstance(hours, Quiet) else 'contact window'} {hours}", []).append(
            zone.name
        )
    return " and ".join(f"{what} in {_few(dict.fromkeys(names))}" for what, names in zones.items())


def _few(names: Iterable[str]) -> str:
    """Return names of zones, of which a country may have dozens."""
    first, *others = names
    if len(others) <= 1:
        return " and in ".join((first, *others))
    return f"{first} and in {len(others)} other zones"


CHECKS: tuple[tuple[GateName, Check], ...] = ((GateName.EXPIRY, _not_expired), (GateName.ADDRESS, _address))
PERSONAL: tuple[tuple[GateName, PersonalCheck], ...] = (
    (GateName.CHANNEL, _enabled),
    (GateName.CATEGORY, _not_left),
    (GateName.CONTACT, _contact),
    (GateName.QUIET_HOURS, _not_quiet),
    (GateName.CAP, _below_cap),
    (GateName.LIMIT, _below_limit),
)
