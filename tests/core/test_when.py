"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core import when
from notifyctl.core.errors import UsageError
from notifyctl.core.when import Ago

NOW = 1_800_000_000_000

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1971, 1, 1), datetime(9999, 12, 30), timezones=zones).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)


@given(moments)
def test_every_written_moment_is_read(moment: datetime) -> None:
    """Whatever the offset and the precision, it is the same instant."""
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert when.moment(moment.isoformat(), "--at") == expected
    assert when.moment(moment.isoformat(sep=" "), "--at") == expected
    assert when.moment(moment.astimezone(UTC).isoformat().replace("+00:00", "z"), "--at") == expected


@given(moments)
def test_without_an_offset_it_is_refused(moment: datetime) -> None:
    """A time without a zone is a guess: never taken as the host's, and the hint shows how to write it."""
    with pytest.raises(UsageError) as caught:
        when.moment(moment.replace(tzinfo=None).isoformat(), "--at")
    assert caught.value.exit_code == 2
    assert when.EXAMPLE in (caught.value.hint or "")


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    """Nothing on the command line ends in a traceback."""
    try:
        assert 0 <= when.moment(text, "--at") <= when.LATEST_MS
    except UsageError as error:
        assert "--at" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-02-01T25:00:00Z",
        "2026-02-01T10:00:00+99:00",
        "2026-02-01",
        "10:00Z",
        "1960-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "٢٠٢٦-02-01T10:00:00Z",
        "1767225600",
        "now",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """Malformed moments are refused, and the hint's example is one that would be taken."""
    with pytest.raises(UsageError) as caught:
        when.moment(text, "--at")
    example = (caught.value.hint or "").split()[1]
    assert when.moment(example, "--at") > 0


def test_the_same_instant_in_several_forms() -> None:
    """Minutes alone, fractions with a comma and offsets without a colon are ISO 8601 as well."""
    forms = ("2026-10-25T09:00+01:00", "2026-10-25T08:00:00Z", "2026-10-25 09:00:00,000 +0100", "2026-10-25T09:00+01")
    assert {when.moment(form, "--at") for form in forms} == {1_792_915_200_000}


def test_now() -> None:
    """`now` is taken where it is allowed, in any case."""
    assert when.moment_or_now("NOW", "--at") is None
    assert when.moment_or_now("2026-10-25T08:00:00Z", "--at") == 1_792_915_200_000


@given(st.integers(0, when.LATEST_MS), st.integers(0, when.LATEST_MS))
def test_the_past_is_refused(milliseconds: int, now: int) -> None:
    """A past moment is a mistake, and the hint shows one that is not past."""
    if milliseconds >= now:
        assert when.not_past(milliseconds, now, "--at") == milliseconds
        return
    with pytest.raises(UsageError) as caught:
        when.not_past(milliseconds, now, "--at")
    shown = when.moment((caught.value.hint or "").split()[1], "--at")
    assert shown >= min(now, when.LATEST_MS - 999)


@given(st.integers(1, 10**15))
def test_points_are_moments_or_so_long_ago(seconds: int) -> None:
    """--since takes both, and only the database's clock makes a moment of a distance."""
    try:
        point = when.point(f"{seconds}s", "--since")
    except UsageError:
        assert seconds > 36_525 * 86_400
        return
    assert point == Ago(seconds * 1000)
    assert when.at(point, NOW) == NOW - seconds * 1000


def test_points() -> None:
    """A moment stays what it is, nothing stays nothing, and the rest is refused by the option's name."""
    assert when.at(when.point("2026-10-25T08:00:00Z", "--since"), NOW) == 1_792_915_200_000
    assert when.at(None, NOW) is None
    assert {when.point(text, "--since") for text in ("2h ago", " 2h  AGO ", "2h")} == {Ago(7_200_000)}
    for text in ("ago", "2h ago ago", "2hago", "2026-10-25 ago", "yesterday", "2026-10-25T08:00:00+99:00", "-2h", "0s"):
        with pytest.raises(UsageError, match="--since"):
            when.point(text, "--since")


def test_after() -> None:
    """A delay that no calendar reaches is refused."""
    assert when.after(NOW, 1_000, "--in") == NOW + 1_000
    with pytest.raises(UsageError, match="--in"):
        when.after(NOW, when.LATEST_MS, "--in")
