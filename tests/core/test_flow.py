"""What failures make of a provider, and which other one takes over: pure, so tested over everything there may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import failover, flow, history
from notifyctl.core.decide import Attempt, Retry, decide
from notifyctl.core.flow import Cause
from notifyctl.core.model import Channel, Claim, Message
from notifyctl.core.outcome import Kind, Outcome

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
kinds = st.sampled_from(Kind)


def claimed(past: list[dict[str, Any]], fails_over: bool = True, provider: str = "a") -> Claim:
    """Return a claim with such a history."""
    text = None
    for entry in past:
        text = history.append(text, entry)
    message = Message("id", Channel.EMAIL, "x@example.org", {})
    return Claim("id", "user", "lease", provider, message, len(past) + 1, 90, 7, 7, 1, text, fails_over)


def attempted(provider: str, kind: Kind) -> dict[str, Any]:
    """Return a history's entry."""
    return {"provider": provider, "outcome": kind.value}


@given(st.sampled_from([Cause.CONFIG, Cause.BREAKER]), st.integers(-5, 10_000))
def test_probes_wait_longer_and_longer(cause: Cause, probes: int) -> None:
    """Never less than the first wait, never more than the longest, and never shorter than the one before."""
    first, longest = flow.PROBES[cause]
    wait = flow.probe_wait_ms(cause, probes) or 0
    assert first <= wait <= (flow.probe_wait_ms(cause, probes + 1) or 0) <= longest


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_breaker_opens_on_number_and_share(succeeded: int, failed: int) -> None:
    """A few failures do not, however many of the attempts they are; many do not while most attempts succeed."""
    assert flow.opens(succeeded + failed, failed) == (failed >= 20 and failed >= succeeded)


@given(st.none() | st.integers(-(10**12), 10**12))
def test_nobody_is_left_alone_for_ever(wish: int | None) -> None:
    """Whatever a provider wishes, it is asked again after an hour at most, and not before a second is over."""
    assert 1_000 <= flow.throttle_ms(wish) <= 3_600_000


@given(kinds, st.booleans())
def test_an_answer_is_a_failure_or_works_or_neither(kind: Kind, asked: bool) -> None:
    """Never both, and nothing without an answer."""
    outcome = Outcome(kind, asked=asked)
    assert not (flow.works(outcome) and flow.fails(outcome))
    assert asked or not (flow.works(outcome) or flow.fails(outcome))


@given(st.lists(st.tuples(names, st.booleans()), unique_by=lambda each: each[0]))
def test_the_best_that_works_stands_in_for_all_that_fail(preferred: list[tuple[str, bool]]) -> None:
    """Nobody stands in for one that works, and nobody who fails stands in."""
    found = failover.stand_ins(preferred)
    working = [name for name, fails in preferred if not fails]
    failing = tuple(name for name, fails in preferred if fails)
    assert found == ({working[0]: failing} if working and failing else {})


@given(st.lists(st.tuples(names, kinds), max_size=6), kinds, st.booleans(), st.permutations(NAMES))
def test_one_that_failed_twice_goes_to_one_that_has_not_tried(
    past: list[tuple[str, Kind]], kind: Kind, fails_over: bool, others: list[str]
) -> None:
    """After two transient failures of its provider, to the best that has not had it; pinned or perhaps sent: never."""
    claim = claimed([attempted(*each) for each in past], fails_over)
    attempt = Attempt(claim.attempt, claim.max_retries, "a", 1, 2)
    others.remove("a")
    found = failover.elsewhere(decide(attempt, Outcome(kind, "x"), 0.5), claim, attempt, others)
    move = found.move if isinstance(found, Retry) else None
    fresh = [name for name in others if name not in {provider for provider, _ in past}]
    often = [*past, ("a", kind)].count(("a", Kind.TRANSIENT)) >= failover.FAILURES
    due = fails_over and kind is Kind.TRANSIENT and often and fresh != []
    assert (None if move is None else move.to) == (fresh[0] if due else None)


def test_nothing_goes_home_twice() -> None:
    """What both cannot build ends as a dead letter: it was sent back once, and then stays."""
    past = [failover.entry("b", "a", 1, "b is open: 503"), failover.entry("a", "b", 2, "a cannot deliver it")]
    claim = replace(claimed(past), provider="b", fails_over=False)
    attempt = Attempt(claim.attempt, claim.max_retries, "b", 3, 4)
    assert failover.back(claim, attempt, Outcome(Kind.PERMANENT, "no template", asked=False)) is None


@given(kinds, st.booleans(), st.booleans())
def test_only_what_could_not_be_built_goes_home(kind: Kind, asked: bool, moved: bool) -> None:
    """What the other provider itself refuses is its answer; what never got to it does not count, attempt and all."""
    past = [failover.entry("b", "a", 1, "b is open: 503")] if moved else []
    claim = claimed(past)
    attempt = Attempt(claim.attempt, claim.max_retries, "a", 1, 2)
    home = failover.back(claim, attempt, Outcome(kind, "no template", asked=asked))
    assert (home is not None) == (moved and not asked and kind is Kind.PERMANENT)
    if home is not None:
        assert home.move is not None
        assert (home.move.to, home.attempts, home.due_at, home.fails_over) == ("b", claim.attempt - 1, 7, False)
