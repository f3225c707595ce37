"""The gate: one verdict, by the first check that objects."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import contact, quiet, userlimit
from notifyctl.core.allowed import SPREAD_MS
from notifyctl.core.gate import Facts, GateName, Person, PutOff, Refuse, Suppress, Wait, gate, is_free
from notifyctl.core.model import Category, Channel, OnCap
from notifyctl.core.policy import Policy
from notifyctl.core.quiet import Quiet
from notifyctl.core.walk import GateAnswer, walk
from notifyctl.core.whereabouts import whereabouts
from tests.support import oracle

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NEW_YORK, UNSET = whereabouts("America/New_York", None), whereabouts("UTC", None)
NUMBER = "+14155552671"
US = {"US": contact.parse("US", {"sms": "08:00-21:00", "email": "08:00-21:00"})}
US_BUT_THAT_DAY = {"US": contact.parse("US", {"sms": "08:00-21:00", "except": ["2026-07-01", "2026-07-04"]})}
NIGHT = quiet.parse("22:00-09:30", "--quiet")


def at(*parts: int) -> int:
    return oracle.ms(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


NOON, MIDNIGHT = at(2026, 7, 1, 16), at(2026, 7, 1, 4)  # in New York, UTC-4

facts = st.builds(
    Facts,
    now=st.integers(0, 100),
    expires_at=st.none() | st.integers(0, 100),
    needs_address=st.booleans(),
    address=st.sampled_from([None, "", "a@example.org"]),
    suppression=st.sampled_from([None, "bounced"]),
    person=st.none(),
)


@given(facts)
def test_the_order_of_the_checks(given_facts: Facts) -> None:
    """Expiry goes before the address, the address before its suppression; without an objection it is sent."""
    verdict = gate(given_facts)
    if given_facts.expires_at is not None and given_facts.now >= given_facts.expires_at:
        assert verdict == Suppress("expired before it was sent")
    elif given_facts.needs_address and not given_facts.address:
        assert verdict == Refuse(Category.NO_ADDRESS, "the user has no address on this channel")
    elif given_facts.suppression:
        assert verdict == Suppress("the address is suppressed: bounced")
    else:
        assert verdict is None


def asked(person: Person, now: int = NOON, expires_at: int | None = None, address: str = NUMBER) -> Facts:
    return Facts(now, expires_at, needs_address=False, address=address, suppression=None, person=person)


def somebody(**what: object) -> Person:
    return Person(**{"channel": Channel.SMS, "where": NEW_YORK, "policy": Policy(), **what})  # type: ignore[arg-type]


EVERYTHING: dict[str, object] = {
    "enabled": False,
    "left": True,
    "marketing": True,
    "category": "offers",
    "policy": Policy(contact_windows=US),
    "quiet": NIGHT,
    "cap": 3,
    "used": 3,
    "limit": 1,
    "slots": ((MIDNIGHT // 1_000, 1),),
}


def test_each_gate_stands_behind_the_one_before() -> None:
    """What all gates object to is refused by each in turn, as the ones before it are made to agree."""
    agreeing: list[tuple[GateName, dict[str, object]]] = [
        (GateName.CHANNEL, {"enabled": True}),
        (GateName.CATEGORY, {"left": False}),
        (GateName.CONTACT, {"policy": Policy()}),
        (GateName.QUIET_HOURS, {"quiet": None}),
        (GateName.CAP, {"used": 2}),
        (GateName.LIMIT, {"limit": 2}),
    ]
    what = dict(EVERYTHING)
    for name, change in agreeing:
        (objecting,) = [each for each in walk(asked(somebody(**what), MIDNIGHT)) if each.finding is GateAnswer.OBJECTS]
        assert objecting.gate is name
        what |= change
    assert gate(asked(somebody(**what), MIDNIGHT)) is None


def test_one_deferral_to_the_moment_that_all_allow() -> None:
    """The window would open at 08:00, the quiet hours end at 09:30: until then, for the window's reason."""
    person = somebody(marketing=True, policy=Policy(contact_windows=US), quiet=NIGHT)
    verdict = gate(asked(person, MIDNIGHT))
    assert isinstance(verdict, PutOff)
    assert (verdict.until, verdict.wait, verdict.by_policy) == (at(2026, 7, 1, 13, 30), Wait.CONTACT, True)
    assert verdict.reason == "outside the contact window 08:00-21:00"
    assert verdict.end == verdict.until + SPREAD_MS
    night = gate(asked(somebody(quiet=Quiet(HOUR_MS, 2 * HOUR_MS)), MIDNIGHT + HOUR_MS))
    assert isinstance(night, PutOff)
    assert night.end == night.until + SPREAD_MS
    assert gate(asked(person, verdict.until)) is None


def test_transactional_passes_the_contact_window() -> None:
    """It is for marketing alone."""
    person = somebody(policy=Policy(contact_windows=US))
    assert gate(asked(person, MIDNIGHT)) is None
    assert isinstance(gate(asked(person._replace(marketing=True), MIDNIGHT)), PutOff)


def test_critical_passes_quiet_hours_and_cap_and_nothing_else() -> None:
    """A critical notification still keeps to the law, to the user's word, and to the limit."""
    critical: dict[str, object] = {"critical": True, "quiet": NIGHT, "cap": 1, "used": 1}
    assert gate(asked(somebody(**critical), MIDNIGHT)) is None
    assert gate(asked(somebody(**{**critical, "cap": 0}), MIDNIGHT)) is None
    law = gate(asked(somebody(**critical, marketing=True, policy=Policy(contact_windows=US)), MIDNIGHT))
    assert isinstance(law, PutOff)
    assert law.until == at(2026, 7, 1, 12), "quiet hours last longer, and are passed"
    assert isinstance(gate(asked(somebody(**critical, enabled=False))), Suppress)
    assert isinstance(gate(asked(somebody(**critical, left=True, category="offers"))), Suppress)
    limited = somebody(**critical, limit=1, slots=((MIDNIGHT // 1_000, 1),))
    assert isinstance(gate(asked(limited, MIDNIGHT)), PutOff)


def test_never_allowed_is_cancelled_and_says_why() -> None:
    """Quiet hours that cover the whole window: no deferral from day to day."""
    person = somebody(marketing=True, policy=Policy(contact_windows=US), quiet=Quiet(7 * HOUR_MS, 22 * HOUR_MS))
    for now in (NOON, MIDNIGHT):
        verdict = gate(asked(person, now))
        assert isinstance(verdict, Suppress)
        assert verdict.reason.startswith("there is no allowed moment within a year: ")
        assert "quiet hours 07:00-22:00 in America/New_York" in verdict.reason
        assert "contact window 08:00-21:00 in America/New_York" in verdict.reason


def test_the_cap_defers_to_after_midnight() -> None:
    """To the next local day, and behind its quiet hours."""
    verdict = gate(asked(somebody(cap=3, used=3)))
    assert verdict == PutOff(
        at(2026, 7, 2, 4),
        "the user's cap of 3 a day is reached, America/New_York",
        Wait.CAP,
        at(2026, 7, 2, 4, 15),
        True,
    )
    quietly = gate(asked(somebody(cap=3, used=3, quiet=NIGHT)))
    assert isinstance(quietly, PutOff)
    assert (quietly.until, quietly.wait) == (at(2026, 7, 2, 13, 30), Wait.CAP)


def test_what_is_over_the_cap_is_cancelled_where_that_is_the_policy() -> None:
    """`on_cap`; a cap of nothing cancels in any case, since no day is better."""
    policy = Policy(on_cap=OnCap.CANCEL)
    assert gate(asked(somebody(cap=3, used=3, policy=policy))) == Suppress("the user's cap of 3 a day is reached")
    assert gate(asked(somebody(cap=3, used=2, policy=policy))) is None
    assert gate(asked(somebody(cap=0))) == Suppress("the user's cap of sms is 0 a day")


def test_transactional_may_be_left_out_of_the_cap() -> None:
    """`cap_counts_transactional`: it is neither counted nor stopped then, marketing is both."""
    policy = Policy(cap_counts_transactional=False)
    person = somebody(cap=1, used=5, policy=policy)
    assert not person.counts
    assert gate(asked(person)) is None
    marketing = person._replace(marketing=True)
    assert marketing.counts
    assert isinstance(gate(asked(marketing)), PutOff)
    assert somebody().counts


def test_what_would_expire_while_it_waits_is_cancelled_at_once() -> None:
    """It says both moments; one that expires later waits, and is spread no further than its end."""
    night = somebody(quiet=NIGHT)
    until = at(2026, 7, 1, 13, 30)
    verdict = gate(asked(night, MIDNIGHT, until))
    assert isinstance(verdict, Suppress)
    expiry = "it would expire at 2026-07-01T13:30:00Z, before it may be sent at 2026-07-01T13:30:00Z"
    assert verdict.reason == f"{expiry}: quiet hours 22:00-09:30 America/New_York"
    later = gate(asked(night, MIDNIGHT, until + 60_000))
    assert isinstance(later, PutOff)
    assert until <= later.due_at(0.999) < until + 60_000


def test_the_end_of_the_calendar_is_no_moment() -> None:
    """What is scheduled for the last night of the year 9999 has no morning."""
    verdict = gate(asked(somebody(quiet=NIGHT, where=whereabouts("Etc/UTC", None)), at(9999, 12, 31, 23)))
    assert isinstance(verdict, Suppress)


def test_whether_a_deferral_hangs_on_the_configuration() -> None:
    """Quiet hours by the person's own zone do not; by a zone that stands in they do."""
    own = gate(asked(somebody(quiet=NIGHT), MIDNIGHT))
    standing_in = gate(asked(somebody(quiet=Quiet(0, 12 * HOUR_MS), where=UNSET), MIDNIGHT))
    assert isinstance(own, PutOff)
    assert not own.by_policy
    assert isinstance(standing_in, PutOff)
    assert standing_in.by_policy
    assert standing_in.reason == "quiet hours 00:00-12:00 Etc/UTC (UTC stands in: no zone is set)"


seconds = st.lists(st.tuples(st.integers(-70, 5), st.integers(1, 4)), max_size=8, unique_by=lambda each: each[0])


@given(seconds, st.integers(1, 8), st.integers(0, 999))
def test_the_users_limit_counts_the_slots_that_decide(offsets: list[tuple[int, int]], limit: int, millis: int) -> None:
    """The 60 before this second, and what a clock that was put back left ahead; it says when the first is free."""
    second = NOON // 1_000
    slots = tuple((second + ago, count) for ago, count in offsets)

    def counted(now: int) -> int:
        return sum(count for when, count in slots if now - when <= 60)

    assert userlimit.used(slots, NOON + millis) == counted(second)
    assert userlimit.used([(second + 3_600, 1)], NOON) == 0  # a clock that was put back by much shuts nobody out
    free = next(each for each in range(second, second + 68) if counted(each) < limit)
    verdict = gate(asked(somebody(limit=limit, slots=slots), NOON + millis))
    if free == second:
        assert verdict is None
    else:
        assert verdict == PutOff(
            free * 1_000, f"the user's limit of {limit} a minute is reached", Wait.LIMIT, free * 1_000, False
        )


def test_what_waits_for_the_limit_and_then_for_a_window_goes_out_spread() -> None:
    """The window that opens is one moment for very many people; the minute is each one's own."""
    closing = at(2026, 7, 2, 0, 59)  # 20:59 in New York
    used = {"limit": 1, "slots": ((closing // 1_000, 1),)}
    soon = gate(asked(somebody(**used), closing))
    morning = gate(asked(somebody(marketing=True, policy=Policy(contact_windows=US), **used), closing))
    assert isinstance(soon, PutOff)
    assert isinstance(morning, PutOff)
    assert (soon.until, soon.end) == (closing + 61_000, closing + 61_000)
    assert (morning.wait, morning.until) == (Wait.LIMIT, at(2026, 7, 2, 12))
    assert morning.end == morning.until + SPREAD_MS


times = st.times().map(lambda each: each.replace(microsecond=0))
policies = st.builds(
    Policy,
    on_cap=st.sampled_from(OnCap),
    cap_counts_transactional=st.booleans(),
    default_timezone=st.none(),
    contact_windows=st.sampled_from([{}, US]),
)
people = st.builds(
    Person,
    channel=st.sampled_from(Channel),
    where=st.sampled_from([NEW_YORK, UNSET, whereabouts("Asia/Kolkata", None)]),
    policy=policies,
    critical=st.booleans(),
    enabled=st.sampled_from([True, True, False]),
    quiet=st.none() | st.builds(quiet.stored, times, times | st.just(time(7))),
    cap=st.none() | st.integers(0, 3),
    used=st.integers(0, 4),
    category=st.none() | st.just("offers"),
    marketing=st.booleans(),
    left=st.sampled_from([False, False, True]),
    limit=st.none() | st.integers(1, 3),
    slots=seconds.map(lambda found: tuple((NOON // 1_000 + when, count) for when, count in found)),
)


@given(people, st.integers(NOON, NOON + DAY_MS), st.none() | st.integers(NOON, NOON + 3 * DAY_MS), st.floats(0, 0.9999))
def test_what_is_walked_is_what_is_judged(person: Person, now: int, expires_at: int | None, chance: float) -> None:
    """`explain` names every gate once and in order; its first objection is the gate's, and what follows is not asked.

    A deferral leads later, and to before its end; then no window and no quiet hours stand in the way.
    """
    given_facts = asked(person, now, expires_at)
    verdict, steps = gate(given_facts), walk(given_facts)
    assert [each.gate for each in steps] == list(GateName)
    assert all(each.words for each in steps)
    objecting = [each for each in steps if each.finding is GateAnswer.OBJECTS]
    assert [each.verdict for each in objecting] == ([] if verdict is None else [verdict])
    if objecting:
        behind = steps[steps.index(objecting[0]) + 1 :]
        assert {each.finding for each in behind} <= {GateAnswer.NOT_ASKED}
    if isinstance(verdict, PutOff):
        due_at = verdict.due_at(chance)
        assert now < verdict.until <= due_at < verdict.until + SPREAD_MS
        assert expires_at is None or due_at < expires_at
        for each in (verdict.until, due_at):
            after = gate(asked(person._replace(cap=None, slots=()), each, expires_at))
            assert after is None


@pytest.mark.parametrize(
    ("person", "now", "name", "words"),
    [
        (
            somebody(quiet=quiet.parse("22:00-07:00", "-"), where=whereabouts("Europe/London", None)),
            at(2026, 10, 25, 1, 30),
            GateName.QUIET_HOURS,
            "22:00-07:00 Europe/London; now 01:30 GMT, clocks went back",
        ),
        (somebody(cap=3), NOON, GateName.CAP, "0 of 3 on 2026-07-01, America/New_York"),
        (somebody(limit=60, slots=((NOON // 1_000, 2),)), NOON, GateName.LIMIT, "2 of 60 in a minute"),
        (somebody(category="offers", marketing=True), NOON, GateName.CATEGORY, "offers (marketing), not left"),
        (somebody(), NOON, GateName.CATEGORY, "none: transactional"),
        (somebody(enabled=False), NOON, GateName.CHANNEL, "disabled by the user"),
        (
            somebody(marketing=True, policy=Policy(contact_windows=US)),
            MIDNIGHT,
            GateName.CONTACT,
            "08:00-21:00; America/New_York; opens 08:00 EDT",
        ),
        (
            somebody(marketing=True, policy=Policy(contact_windows=US_BUT_THAT_DAY)),
            NOON,
            GateName.CONTACT,
            "08:00-21:00; America/New_York; except 2026-07-01; opens Thu 08:00 EDT",
        ),
        (
            somebody(marketing=True, policy=Policy(contact_windows=US_BUT_THAT_DAY)),
            NOON + DAY_MS,
            GateName.CONTACT,
            "08:00-21:00; open in America/New_York",
        ),
        (
            somebody(marketing=True, policy=Policy(contact_windows=US)),
            NOON,
            GateName.CONTACT,
            "08:00-21:00; open in America/New_York",
        ),
    ],
)
def test_the_words_of_a_gate(person: Person, now: int, name: GateName, words: str) -> None:
    """Each gate shows the values that it judged by."""
    (found,) = [each for each in walk(asked(person, now)) if each.gate is name]
    assert found.words == words


def test_a_gate_that_does_not_concern_a_notification_is_not_asked() -> None:
    """Critical passes two of them, and a contact window is for marketing."""
    steps = {each.gate: each.finding for each in walk(asked(somebody(critical=True, cap=1, quiet=NIGHT)))}
    skipped = {name for name, finding in steps.items() if finding is GateAnswer.NOT_ASKED}
    assert skipped == {GateName.CONTACT, GateName.QUIET_HOURS, GateName.CAP}


whoever = st.builds(
    somebody,
    enabled=st.booleans(),
    quiet=st.none() | st.just(NIGHT),
    cap=st.none() | st.integers(0, 2),
    used=st.integers(0, 2),
    category=st.just("offers"),
    marketing=st.booleans(),
    left=st.booleans(),
    limit=st.none() | st.integers(1, 2),
    group=st.sampled_from(["", "7"]),
    where=st.sampled_from([NEW_YORK, UNSET]),
    policy=st.sampled_from([Policy(), Policy(contact_windows=US)]),
)


@given(whoever, facts, st.sampled_from([NOON, MIDNIGHT]), st.booleans())
def test_who_is_free_gets_whatever_somebody_without_rules_gets(
    person: Person, about: Facts, now: int, critical: bool
) -> None:
    """Then nothing of the notification, its address or its end, makes a rule matter."""
    moved = about._replace(now=now, expires_at=None if about.expires_at is None else now + about.expires_at - 50)
    if is_free(person, now):
        assert gate(moved._replace(person=person._replace(critical=critical))) == gate(moved)
        assert (person.cap, person.limit, person.group, person.marketing) == (None, None, "", False)


def test_wishes_that_let_all_pass_now_leave_somebody_free() -> None:
    """In the day of somebody with quiet hours at night; not then, nor where anything is counted or left."""
    assert is_free(somebody(quiet=NIGHT), NOON)
    assert not is_free(somebody(quiet=NIGHT), MIDNIGHT)
    for rule in ({"enabled": False}, {"left": True}, {"marketing": True}, {"cap": 9}, {"limit": 9}, {"group": "7"}):
        assert not is_free(somebody(**rule), NOON)
