"""Spreading over time, and how long many take at a limit."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.pace import MINUTE_MS, Outflow, moments

NOW = 1_800_000_000_000


@given(st.integers(0, 2**42), st.floats(0.01, 10_000_000), st.integers(1, 1_000))
def test_moments_keep_their_distance(begin: int, interval: float, count: int) -> None:
    """They never come earlier than the rate allows, and do not drift from it."""
    found = list(islice(moments(begin, interval), count))
    assert found[0] == begin
    assert all(abs(each - (begin + number * interval)) <= 1 for number, each in enumerate(found))


@given(st.lists(st.integers(-5, 500), min_size=1, max_size=60), st.integers(1, 100))
def test_the_last_goes_out_when_all_had_their_turn(minutes: list[int], limit: int) -> None:
    """As one after the other at that limit, none before its minute: an estimate that is off by less than a minute."""
    flow, at = Outflow(limit), float(NOW)
    for minute in sorted(minutes):
        due = NOW + minute * MINUTE_MS
        flow.add(due)
        at = max(at, due) + MINUTE_MS / limit
    assert abs(flow.ends_at(NOW) - at) <= MINUTE_MS


def test_without_a_limit_it_is_when_the_last_is_due() -> None:
    """And now where that is over."""
    flow = Outflow(None)
    assert flow.ends_at(NOW) == NOW
    flow.add(NOW - 5, 3)
    assert flow.ends_at(NOW) == NOW
    flow.add(NOW + 7)
    assert flow.ends_at(NOW) == NOW + 7
