"""Which other provider takes over: pure, so tested over everything there may be."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from notifyctl.core import failover, history
from notifyctl.core.change import Retry
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Claim
from notifyctl.core.outcome import Kind, Outcome
from tests.support.claims import claim

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
kinds = st.sampled_from(Kind)
mostly_transient = st.just(Kind.TRANSIENT) | kinds


def claimed(past: list[dict[str, Any]], fails_over: bool = True, provider: str = "a") -> Claim:
    """Return a claim with such a history."""
    text = None
    for entry in past:
        text = history.append(text, entry)
    return claim(provider=provider, attempt=len(past) + 1, max_retries=90, retry_history=text, fails_over=fails_over)


def attempted(provider: str, kind: Kind) -> dict[str, Any]:
    """Return a history's entry."""
    return {"provider": provider, "outcome": kind.value}


@given(st.lists(st.tuples(names, st.booleans()), unique_by=lambda each: each[0]))
def test_the_best_that_works_stands_in_for_all_that_fail(preferred: list[tuple[str, bool]]) -> None:
    """Nobody stands in for one that works, and nobody who fails stands in."""
    found = failover.stand_ins(preferred)
    working = [name for name, fails in preferred if not fails]
    failing = tuple(name for name, fails in preferred if fails)
    assert found == ({working[0]: failing} if working and failing else {})


@given(
    st.lists(st.tuples(names, mostly_transient), max_size=6), mostly_transient, st.booleans(), st.permutations(NAMES)
)
@example([], Kind.TRANSIENT, True, ["a", "b", "c"])
@example([("a", Kind.TRANSIENT)], Kind.TRANSIENT, True, ["a", "b", "c"])
@example([("b", Kind.TRANSIENT)], Kind.TRANSIENT, True, ["a", "b", "c"])
def test_one_that_failed_twice_goes_to_one_that_has_not_tried(
    past: list[tuple[str, Kind]], kind: Kind, fails_over: bool, others: list[str]
) -> None:
    """After two transient failures of its provider, to the best that has not had it; pinned or perhaps sent: never."""
    attempt = Attempt(claimed([attempted(*each) for each in past], fails_over), 1, 2)
    others = [name for name in others if name != "a"]
    found = failover.elsewhere(decide(attempt, Outcome(kind, "x"), 0.5), attempt, others)
    to = found.provider if isinstance(found, Retry) and found.provider != "a" else None
    fresh = [name for name in others if name not in {provider for provider, _ in past}]
    often = [*past, ("a", kind)].count(("a", Kind.TRANSIENT)) >= 2
    due = fails_over and kind is Kind.TRANSIENT and often and fresh != []
    assert to == (fresh[0] if due else None)


def test_nothing_goes_home_twice() -> None:
    """What both cannot build ends as a dead letter: it was sent back once, and then stays."""
    past = [failover.entry("b", "a", 1, "b is open: 503"), failover.entry("a", "b", 2, "a cannot deliver it")]
    attempt = Attempt(claimed(past, provider="b", fails_over=False), 3, 4)
    assert failover.back(attempt, Outcome(Kind.PERMANENT, "no template", asked=False)) is None


@given(kinds, st.booleans(), st.booleans())
def test_only_what_could_not_be_built_goes_home(kind: Kind, asked: bool, moved: bool) -> None:
    """What the other provider itself refuses is its answer; what never got to it does not count, attempt and all."""
    past = [failover.entry("b", "a", 1, "b is open: 503")] if moved else []
    attempt = Attempt(claimed(past), 1, 2)
    home = failover.back(attempt, Outcome(kind, "no template", asked=asked))
    assert (home is not None) == (moved and not asked and kind is Kind.PERMANENT)
    if home is not None:
        given_back = (home.provider, home.attempt_count, home.due_at, home.fails_over)
        assert given_back == ("b", attempt.claim.attempt - 1, attempt.claim.due_at, False)
