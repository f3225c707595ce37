"""What each gate says of a notification, and by which values: for `explain`. It judges nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from notifyctl.core import userlimit, zones
from notifyctl.core.allowed import ZonedHours, first_allowed, is_allowed
from notifyctl.core.audit.masking import masked_address
from notifyctl.core.gate import CHECKS, PERSONAL, Facts, GateName, Person, Verdict, contact_rules, exceptions
from notifyctl.core.localtime import changed, local_day, shown
from notifyctl.core.zones import Zone


class GateAnswer(StrEnum):
    """What a gate says. Once one objects, those behind it are not asked; nor is one that does not concern it."""

    OK = "ok"
    OBJECTS = "objects"
    NOT_ASKED = "not asked"


class GateStep(NamedTuple):
    """One gate: what it says, and by which values; `verdict` is the objection, where it is the first."""

    gate: GateName
    finding: GateAnswer
    words: str
    verdict: Verdict = None


def walk(facts: Facts, *, is_now: bool = True) -> tuple[GateStep, ...]:
    """Return every gate in order; the first objection among them is what `gate` returns.

    `is_now`: the moment that they are asked of is the present one.
    """
    return tuple(_steps(facts, "now" if is_now else "then"))


def _steps(facts: Facts, when: str) -> Iterator[GateStep]:
    objected = False
    for gate, verdict in _verdicts(facts):
        words = _said(gate, facts, when)
        if verdict is not None and not objected:
            objected = True
            yield GateStep(gate, GateAnswer.OBJECTS, words, verdict)
        else:
            skipped = objected or not _concerns(gate, facts.person)
            yield GateStep(gate, GateAnswer.NOT_ASKED if skipped else GateAnswer.OK, words)


def _said(gate: GateName, facts: Facts, when: str) -> str:
    person = facts.person
    return _quiet(facts, person, when) if gate is GateName.QUIET_HOURS else _WORDS[gate](facts, person)


def _verdicts(facts: Facts) -> Iterator[tuple[GateName, Verdict]]:
    for gate, check in CHECKS:
        yield gate, check(facts)
    person = facts.person
    for gate, personal in PERSONAL:
        yield gate, None if person is None else personal(facts, person)


def _concerns(gate: GateName, person: Person | None) -> bool:
    if person is None:
        return True
    if gate is GateName.CONTACT:
        return person.marketing
    if gate is GateName.CAP:
        return not person.critical and (person.cap is None or person.counts)
    return not (gate is GateName.QUIET_HOURS and person.critical)


def _expiry(facts: Facts, person: Person | None) -> str:
    if facts.expires_at is None:
        return "never expires"
    zone = zones.utc() if person is None else person.where.zone
    return f"until {shown(zone, facts.expires_at, facts.now)}"


def _address(facts: Facts, _: Person | None) -> str:
    if not facts.needs_address and not facts.address:
        return "the content names the audience"
    if not facts.address:
        return "none on this channel"
    stands = "not suppressed" if facts.suppression is None else f"suppressed: {facts.suppression}"
    return f"{masked_address(facts.address)}, {stands}"


def _channel(_: Facts, person: Person | None) -> str:
    return "enabled" if person is None or person.enabled else "disabled by the user"


def _category(_: Facts, person: Person | None) -> str:
    if person is None or person.category is None:
        return "none: transactional"
    kind = "marketing" if person.marketing else "transactional"
    if not person.declared:
        kind = f"there is none of that name: judged as {kind}"
    return f"{person.category} ({kind}), {'left' if person.left else 'not left'}"


def _contact(facts: Facts, person: Person | None) -> str:
    if person is None or not person.marketing:
        return "of marketing only"
    rules = contact_rules(facts, person)
    if not rules:
        return "no window is configured"
    return f"{'; '.join(dict.fromkeys(str(each.hours) for each in rules))}; {_opening(rules, facts.now)}"


def _opening(rules: tuple[ZonedHours, ...], now: int) -> str:
    zone = rules[0].zone
    shared = {each.zone for each in rules}
    place = zone.name if len(shared) == 1 else f"{len(shared)} zones"
    if is_allowed(rules, now):
        return f"open in {place}"
    opening = first_allowed(rules, now)
    closed = exceptions(rules, now)
    why = f"except {', '.join(map(str, closed))}; " if closed else ""
    return f"{place}; {why}" + ("it never opens" if opening is None else f"opens {shown(zone, opening, now)}")


def _quiet(facts: Facts, person: Person | None, when: str) -> str:
    if person is None or person.quiet is None:
        unread = None if person is None else person.unread_hours
        return "none" if unread is None else f"none: what is stored cannot be read ({unread})"
    passed = "; a critical one passes" if person.critical else ""
    return f"{person.quiet} {person.where}; {when} {_shown(person.where.zone, facts.now)}{passed}"


def _shown(zone: Zone, now: int) -> str:
    change = changed(zone, now)
    return shown(zone, now, now) + (f", {change}" if change else "")


def _cap(facts: Facts, person: Person | None) -> str:
    if person is None or person.cap is None:
        return "none"
    if not person.counts:
        return "of marketing only (cap_counts_transactional)"
    day = local_day(person.where.zone, facts.now)
    passed = "; a critical one passes" if person.critical else ""
    ahead = person.ahead[0]
    used = f"{person.used - ahead} of {person.cap}{_due_before(ahead)}"
    return f"{used} on {day.date.isoformat()}, {person.where}{passed}"


def _limit(facts: Facts, person: Person | None) -> str:
    if person is None or person.limit is None:
        return "none"
    ahead = person.ahead[1]
    return f"{userlimit.used(person.slots, facts.now) - ahead} of {person.limit}{_due_before(ahead)} in a minute"


def _due_before(ahead: int) -> str:
    return f", with {ahead} more due before it," if ahead else ""


_WORDS: dict[GateName, Callable[[Facts, Person | None], str]] = {
    GateName.EXPIRY: _expiry,
    GateName.ADDRESS: _address,
    GateName.CHANNEL: _channel,
    GateName.CATEGORY: _category,
    GateName.CONTACT: _contact,
    GateName.CAP: _cap,
    GateName.LIMIT: _limit,
}
