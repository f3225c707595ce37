"""From outcome to change: every outcome leads to one act, and attempts are never lost or invented."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.backoff import BASE_MS, CEILING_MS, RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS, backoff_ms
from notifyctl.core.change import Bury, Retry, Sent
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.doubt import RECENT_MS, Evidence
from notifyctl.core.history import KEPT_ENTRIES, append, in_a_row, parse
from notifyctl.core.model import Category, OnUnknown
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.text import STORED_RESPONSE_BYTES
from tests.support.claims import claim

KEYS = {
    "address",
    "attempt",
    "provider",
    "began_at",
    "ended_at",
    "outcome",
    "code",
    "http_status",
    "message",
    "wait_ms",
}

chances = st.floats(0, 1, exclude_max=True)
wishes = st.none() | st.integers(-(10**12), 10**12)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(Kind),
    message=st.text(),
    code=st.none() | st.text(max_size=40),
    http_status=st.none() | st.integers(0, 999),
    retry_after_ms=wishes,
    response=st.none() | st.text(max_size=4_000),
    blames=st.sampled_from(Blame),
    counts=st.booleans(),
)
attempts = st.builds(
    lambda number, most: Attempt(claim(attempt=number, max_retries=most), 1_000, 2_000),
    st.integers(1, 40),
    st.integers(0, 30),
)


@given(st.integers(1, 1_000), chances, wishes)
def test_backoff_stays_in_its_bounds(attempt: int, chance: float, wish: int | None) -> None:
    """Full jitter under an exponential ceiling of 15 minutes; the provider's wish, clamped to an hour, comes first."""
    wait = backoff_ms(attempt, chance, wish)
    ceiling = min(CEILING_MS, BASE_MS * 2 ** (attempt - 1))
    least = 0 if wish is None else min(max(wish, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS)
    assert least <= wait <= least + max(ceiling, least)


def test_backoff_uses_the_whole_range() -> None:
    """Waits are spread from nothing to the ceiling, so that those which failed together do not return together."""
    assert [backoff_ms(3, chance) for chance in (0.0, 0.25, 0.5, 0.999)] == [0, 2_000, 4_000, 7_992]


def test_what_was_told_the_same_time_does_not_return_together() -> None:
    """A provider that tells everybody to come back in a minute is not called by everybody in a minute."""
    assert [backoff_ms(1, chance, 60_000) for chance in (0.0, 0.5, 0.999)] == [60_000, 90_000, 119_940]


@given(attempts, outcomes, chances, st.sampled_from(OnUnknown))
def test_every_outcome_has_its_act(attempt: Attempt, outcome: Outcome, chance: float, policy: OnUnknown) -> None:
    """Accepted is sent and nothing else is; the rest is retried within its attempts or buried with a category."""
    act = decide(attempt, outcome, chance, policy)
    assert isinstance(act, Sent) == (outcome.kind is Kind.ACCEPTED)
    if isinstance(act, Retry):
        about_account = outcome.kind is Kind.CONFIG and outcome.blames is Blame.ACCOUNT
        given_back = outcome.kind is Kind.THROTTLED or about_account or not outcome.counts
        assert act.attempt_count == attempt.claim.attempt - given_back
        assert given_back or attempt.claim.attempt <= attempt.claim.max_retries
        assert act.due_at == attempt.ended_at + parse(act.retry_history)[-1]["wait_ms"]
        assert act.provider == "sendgrid"
        assert act.fails_over == (outcome.kind is not Kind.UNKNOWN)
    if isinstance(act, Bury):
        refused = [each.address for each in act.refusals]
        assert refused == (["anna@example.org"] if outcome.kind is Kind.RECIPIENT else [])
        assert outcome.kind not in (Kind.THROTTLED, Kind.ACCEPTED)
        assert outcome.kind is not Kind.CONFIG or outcome.blames is not Blame.ACCOUNT


@given(attempts, outcomes, chances)
def test_what_is_stored_is_small_and_clean(attempt: Attempt, outcome: Outcome, chance: float) -> None:
    """An oversized or dirty answer must not make recording fail: the send would be repeated for ever."""
    act = decide(attempt, outcome, chance)
    assert isinstance(act, Sent | Retry | Bury)
    assert len((act.provider_response or "").encode()) <= STORED_RESPONSE_BYTES
    assert "\x00" not in (act.provider_response or "")
    if not isinstance(act, Sent):
        (entry,) = parse(act.retry_history)
        assert set(entry) == KEYS
        assert "\x00" not in json.dumps(entry)
        assert "\n" not in act.error_message


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        (Kind.RECIPIENT, Category.INVALID_RECIPIENT),
        (Kind.PERMANENT, Category.PROVIDER_REJECTED),
        (Kind.TRANSIENT, Category.RETRIES_EXHAUSTED),
        (Kind.UNKNOWN, Category.OUTCOME_UNKNOWN),
        (Kind.CONFIG, Category.PROVIDER_REJECTED),
    ],
)
def test_the_last_attempt_is_buried_under_its_category(kind: Kind, category: Category) -> None:
    """1 + max_retries attempts, then a dead letter that says why."""
    act = decide(Attempt(claim(attempt=6), 1, 2), Outcome(kind, "no", blames=Blame.PAIR), 0.5)
    assert isinstance(act, Bury)
    assert act.category is category


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.UNKNOWN])
@pytest.mark.parametrize("most", [0, 1, 5])
def test_each_attempt_that_is_left_is_used(kind: Kind, most: int) -> None:
    """Of 1 + max_retries attempts only the last one ends it: one less is a message given up too early."""
    acts = [
        decide(Attempt(claim(attempt=n, max_retries=most), 1, 2), Outcome(kind, "no"), 0.5) for n in range(1, most + 2)
    ]
    assert [type(act) for act in acts] == [Retry] * most + [Bury]


@given(st.integers(0, 30), chances)
def test_what_is_throttled_comes_back_ever_later(times: int, chance: float) -> None:
    """2 s, 4 s ... 15 min, never sooner for the jitter: it uses up no attempt, so nothing else would slow it down."""
    throttled, past = Outcome(Kind.THROTTLED, "slowly"), None
    for _ in range(times):
        past = append(past, {"outcome": "throttled"})
    act = decide(Attempt(claim(retry_history=past), 1_000, 2_000), throttled, chance)
    assert isinstance(act, Retry)
    least = min(CEILING_MS, BASE_MS * 2**times)
    assert least <= act.due_at - 2_000 < 2 * least


@given(chances, st.integers(1, 30))
def test_what_was_never_sent_for_lack_of_a_token_uses_up_no_attempt(chance: float, number: int) -> None:
    """However often: the message is not to blame that Google gives no token, and time may not end it."""
    no_token = Outcome(Kind.TRANSIENT, "no access token", counts=False)
    act = decide(Attempt(claim(attempt=number, max_retries=0), 1_000, 2_000), no_token, chance)
    assert isinstance(act, Retry)
    assert act.attempt_count == number - 1


@given(attempts, chances, st.sampled_from(Blame))
def test_what_is_refused_while_others_go_is_the_messages_own(attempt: Attempt, chance: float, blames: Blame) -> None:
    """A sender that reaches others is no configuration to be mended: it is a dead letter at once, with its reason."""
    refused = Outcome(Kind.CONFIG, "not to that country", blames=blames)
    act = decide(attempt, refused, chance, others_go=True)
    assert isinstance(act, Bury) or blames in (Blame.ACCOUNT, Blame.TARGET)


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=30), st.sampled_from(["a", "b"]))
def test_others_go_only_where_nobody_else_was_refused_since(past: list[str | None], whom: str) -> None:
    """None stands for something that went out: a sender that just broke refuses more than one in a row."""
    evidence = Evidence()
    for each in past:
        if each is None:
            evidence.accepted(1_000)
        else:
            evidence.others_go(each, 1_000)
    since = past[len(past) - past[::-1].index(None) :] if None in past else None
    assert evidence.others_go(whom, 1_001) == (since is not None and set(since) <= {whom})
    assert not evidence.others_go(whom, 1_000 + RECENT_MS)


def test_hold_leaves_the_unknown_to_a_person() -> None:
    """Where a duplicate is worse than a delay, an ambiguous answer is not repeated by itself."""
    first = Attempt(claim(), 1, 2)
    assert isinstance(decide(first, Outcome(Kind.UNKNOWN), 0.5, OnUnknown.HOLD), Bury)
    assert isinstance(decide(first, Outcome(Kind.UNKNOWN), 0.5, OnUnknown.RETRY), Retry)


@given(st.text() | st.none(), st.integers(1, 120))
def test_history_survives_damage_and_stays_bounded(damaged: str | None, count: int) -> None:
    """A notification that an operator retries for days: its history must not grow without end."""
    past = damaged
    for number in range(count):
        past = append(past, {"attempt": number})
    kept = parse(past)
    assert len(kept) <= KEPT_ENTRIES
    assert kept[-1] == {"attempt": count - 1}


@given(st.lists(st.sampled_from(["throttled", "unknown", "transient", "config"]), max_size=200))
def test_no_attempt_in_doubt_leaves_the_history(outcomes: list[str]) -> None:
    """That an attempt may have gone out is what a person has to know before a retry: it outlives everything else."""
    past = None
    for number, outcome in enumerate(outcomes):
        past = append(past, {"attempt": number, "provider": "p", "outcome": outcome})
    doubtful = [entry["attempt"] for entry in parse(past) if entry["outcome"] == "unknown"]
    assert doubtful == [number for number, outcome in enumerate(outcomes) if outcome == "unknown"]


@pytest.mark.parametrize("outcome", ["throttled", "config"])
def test_being_put_off_a_thousand_times_is_one_entry(outcome: str) -> None:
    """They say nothing new and use up no attempt; how often it was is still counted, for the wait to grow."""
    lost = {"attempt": 1, "provider": "p", "outcome": "unknown", "began_at": 1, "ended_at": 2}
    past = append(None, lost)
    for number in range(1_000):
        again = {"attempt": 2, "provider": "p", "outcome": outcome, "began_at": number, "ended_at": number + 1}
        past = append(past, {**again, "code": "x"})
    kept, merged = parse(past)
    assert kept == lost
    assert (merged["times"], merged["began_at"], merged["ended_at"]) == (1_000, 0, 1_000)
    assert in_a_row(past, outcome) == 1_000


def test_the_latest_attempt_stays_whatever_was_before() -> None:
    """Also behind more attempts in doubt than are kept otherwise: what comes next is decided by it."""
    past = None
    for number in range(KEPT_ENTRIES + 10):
        past = append(past, {"attempt": number, "outcome": "unknown"})
    assert in_a_row(append(past, {"attempt": 99, "outcome": "transient"}), "transient") == 1
