"""The whole gate against an oracle of its own: thousands of people, moments and rules, judged minute by minute."""

from __future__ import annotations

import random

import pytest

from notifyctl.core import contact, quiet
from notifyctl.core.gate import Facts, Person, PutOff, Refuse, Suppress, Verdict, gate
from notifyctl.core.model import OnCap
from notifyctl.core.policy import Policy
from notifyctl.core.whereabouts import whereabouts
from tests.support.gatecases import NUMBERS, WINDOWS, Case, drawn, fits, judged

TABLE = {
    country: contact.parse(country, {"sms": str(hours), "except": [each.isoformat() for each in hours.holidays]})
    for country, hours in WINDOWS.items()
}
ENDS = {"send": type(None), "cancel": Suppress, "fail": Refuse, "defer": PutOff}


def verdict_of(case: Case) -> Verdict:
    policy = Policy(OnCap.CANCEL if case.cancels else OnCap.DEFER, case.counts_transactional, None, TABLE)
    person = Person(
        channel=case.channel,
        where=whereabouts(case.zone, None),
        policy=policy,
        critical=case.critical,
        enabled=case.enabled,
        quiet=None if case.quiet is None else quiet.parse(str(case.quiet), "--quiet"),
        cap=case.cap,
        used=case.used,
        category=case.category,
        marketing=case.marketing,
        left=case.left,
        limit=case.limit,
        slots=case.sent,
    )
    number = None if case.number is None else NUMBERS[case.number].format(2671)
    return gate(Facts(case.now, case.expires_at, True, number, "bounced" if case.suppressed else None, person))


def agree(case: Case) -> str:
    """Compare the verdict with the oracle's; return what it was."""
    verdict = verdict_of(case)
    wanted = judged(case, verdict.until if isinstance(verdict, PutOff) else None)
    assert isinstance(verdict, ENDS[wanted.end]), case
    if isinstance(verdict, PutOff):
        assert (verdict.wait.value, verdict.until) == (wanted.word, wanted.until), case
        assert fits(case, wanted, verdict.due_at(0.999)), case
    return wanted.word


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
