"""A rate limit holds over any span, whoever asks and however often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.permits import BURST_US, MINUTE_US, take

asks = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 300)), max_size=60)


@given(st.integers(1, 100_000), asks)
def test_never_more_than_the_rate_and_a_burst(per_minute: int, steps: list[tuple[int, int]]) -> None:
    """Over any time t no more than t's worth and one burst goes out."""
    now, stored, total = 1_000_000, 0, 0
    start = now
    for wait, wanted in steps:
        now += wait
        taken, stored = take(stored, now, per_minute, wanted)
        assert 0 <= taken <= wanted
        total += taken
    burst = 1 + -(-per_minute * BURST_US // MINUTE_US)
    assert total <= (now - start) * 1_000 * per_minute / MINUTE_US + burst + 1


@given(st.integers(1, 6_000))
def test_the_rate_is_reached(per_minute: int) -> None:
    """Somebody who always asks gets the whole rate, within two hundredths."""
    now, stored, total = 0, 0, 0
    while now < 2 * 60_000:
        taken, stored = take(stored, now, per_minute, 1_000)
        total += taken
        now += 100
    assert total >= 2 * per_minute * 0.98


def test_nothing_taken_changes_nothing() -> None:
    """An ask that gets nothing must not push the others' permits away."""
    assert take(10_000_000, 9_999, 60, 5) == (0, 10_000_000)
