"""Durations: what people write, and nothing that only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.duration import MAX_MS, parse_ms, show_ms
from notifyctl.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90", 90_000),
        ("90s", 90_000),
        ("1.5", 1_500),
        ("2h30m", 9_000_000),
        ("90d", 90 * 86_400_000),
        ("1w", 7 * 86_400_000),
        ("1ms", 1),
        (" 5m ", 300_000),
        ("36525d", MAX_MS),
    ],
)
def test_what_is_meant(text: str, ms: int) -> None:
    """A bare number is seconds; ms, s, m, h, d, w may be combined."""
    assert parse_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "-5", "-5s", "+5s", "5 m", "5mm", "5y", "1hXX2m", "1h 2m", "0", "0s", "0.0001ms", "5M", "1e3"),
        *("nan", "inf", "٥s", "36526d", "9" * 400, "9" * 400 + "d", "1" * 20 + "w"),
    ],
)
def test_what_is_refused(text: str) -> None:
    """Nothing, less than nothing, more than 100 years and everything unclear is a usage error with a hint."""
    with pytest.raises(UsageError) as refused:
        parse_ms(text)
    assert refused.value.hint


@given(st.text(max_size=20))
def test_any_text(text: str) -> None:
    """Any text is a number of milliseconds within the bounds, or a usage error."""
    try:
        assert 1 <= parse_ms(text) <= MAX_MS
    except UsageError as refused:
        assert refused.hint


@given(st.integers(1, MAX_MS))
def test_what_is_shown_can_be_read(ms: int) -> None:
    """The short form means at most what it stands for, to its second-largest unit."""
    shown = parse_ms(show_ms(ms))
    assert shown <= ms
    assert ms - shown < max(1_000, ms / 20)
