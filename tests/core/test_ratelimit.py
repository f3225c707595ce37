"""A rate limit holds in every minute, wherever it begins, whoever asks and however often; and it is used."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.ratelimit import MINUTE_US, SLACK_US, burst, take

asks = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 300), st.integers(0, SLACK_US)), max_size=300)


@given(st.integers(1, 10_000), asks)
def test_no_minute_has_more_than_the_limit(per_minute: int, steps: list[tuple[int, int, int]]) -> None:
    """Whatever is asked for and when, and though each request takes up to the slack longer than another to arrive."""
    now, stored, arrivals = 1_000_000, 0, []
    for wait, wanted, delay in steps:
        now += wait
        taken, stored = take(stored, now, per_minute, wanted)
        assert 0 <= taken <= min(wanted, burst(per_minute))
        arrivals += [now * 1_000 + delay] * taken
    assert _most_in_a_minute(arrivals) <= per_minute


@given(st.integers(1, 6_000), st.integers(0, 59_999))
def test_the_whole_of_it_is_used(per_minute: int, begins: int) -> None:
    """Who asks 10 ms after there is a permit gets 95 % of the limit in every minute, and never more than all of it."""
    now, stored, arrivals = 0, 0, []
    while now < 3 * 60_000:
        taken, stored = take(stored, now, per_minute, 1_000)
        arrivals += [now * 1_000] * taken
        now = max(now, stored // 1_000) + 10
    assert _most_in_a_minute(arrivals) <= per_minute
    first = (60_000 + begins) * 1_000
    used = bisect_left(arrivals, first + MINUTE_US) - bisect_left(arrivals, first)
    assert used >= int(per_minute * 0.95)


@pytest.mark.parametrize(("per_minute", "at_once"), [(1, 1), (59, 1), (119, 1), (120, 2), (600, 10), (6_000, 100)])
def test_a_seconds_worth_may_begin_at_once(per_minute: int, at_once: int) -> None:
    """And no more: a provider that counts by the second is not called with what two of them allow."""
    assert take(0, 60_000, per_minute, 1_000)[0] == at_once


def test_nothing_taken_changes_nothing() -> None:
    """An ask that gets nothing must not push the others' permits away."""
    assert take(10_000_000, 9_999, 60, 5) == (0, 10_000_000)


def _most_in_a_minute(arrivals: list[int]) -> int:
    """Return the most that any minute has, wherever it begins; its end is not in it."""
    ordered = sorted(arrivals)
    return max((bisect_left(ordered, at + MINUTE_US) - start for start, at in enumerate(ordered)), default=0)
