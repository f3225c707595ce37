"""Whose trouble it is that nobody answers: a way that is broken here hits all, one that is broken there hits one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.outcome import Fault, Kind, Outcome
from notifyctl.core.reach import ALONE_MS, LONGEST_REST_MS, Reach, Rest, was_not_reached

NO_WAY = Outcome(Kind.TRANSIENT, "no route to host", fault=Fault.ROUTE)
NO_NAME = Outcome(Kind.CONFIG, "no such name", asked=False, fault=Fault.SETTINGS)
NO_FILES = Outcome(Kind.TRANSIENT, "too many open files", fault=Fault.HOST)


def test_a_lack_of_files_is_always_the_hosts() -> None:
    """However well others are reached: it says nothing of whom was to be called."""
    reach = Reach()
    reach.reached("twilio", 1_000)
    assert reach.is_ours("sendgrid", NO_FILES, 1_001)
    reach.reached("twilio", 1_002)
    assert reach.is_ours("sendgrid", NO_FILES, 1_003)


def test_no_way_to_anybody_is_the_hosts() -> None:
    """What was reached before the trouble began shows nothing: the cable may have been pulled since."""
    reach = Reach()
    for name in ("sendgrid", "twilio"):
        reach.reached(name, 1_000)
    assert reach.is_ours("sendgrid", NO_WAY, 1_001)
    assert reach.is_ours("twilio", NO_WAY, 1_002)
    assert reach.is_ours("sendgrid", NO_WAY, 90_000)


def test_no_way_to_one_alone_is_its_own() -> None:
    """As soon as another is reached while this one is not; reached itself, it begins anew."""
    reach = Reach()
    assert reach.is_ours("sendgrid", NO_WAY, 1_000)
    reach.reached("twilio", 1_500)
    assert not reach.is_ours("sendgrid", NO_WAY, 2_000)
    reach.reached("sendgrid", 3_000)
    assert reach.is_ours("sendgrid", NO_WAY, 3_001)


def test_an_unknown_name_is_configuration_unless_all_are_hit() -> None:
    """A resolver that gives wrong answers to all is not what somebody mistyped."""
    reach = Reach()
    assert not reach.is_ours("sendgrid", NO_NAME, 1_000)
    assert reach.is_ours("twilio", NO_WAY, 1_001)
    assert reach.is_ours("sendgrid", NO_NAME, 1_002)
    reach.reached("fcm", 1_003)
    assert not reach.is_ours("sendgrid", NO_NAME, 1_004)


def test_who_was_called_alone_shows_nothing_yet() -> None:
    """Then, after a while, it is time to look at the others."""
    reach = Reach()
    reach.is_ours("sendgrid", NO_WAY, 1_000)
    assert not reach.is_alone("sendgrid", 1_000 + ALONE_MS - 1)
    assert reach.is_alone("sendgrid", 1_000 + ALONE_MS)
    reach.is_ours("twilio", NO_WAY, 1_001 + ALONE_MS)
    assert not reach.is_alone("sendgrid", 1_002 + ALONE_MS)


@given(st.lists(st.integers(0, 60_000), max_size=40))
def test_rests_grow_and_end(pauses: list[int]) -> None:
    """Twice as long each time, half a minute at the most; trouble of calls that were under way counts once."""
    rest, now, before = Rest(), 0, 0
    for pause in pauses:
        now += pause
        if rest.trouble(now):
            assert rest.left_ms(now) == min(LONGEST_REST_MS, max(250, 2 * before))
            before = rest.left_ms(now)
        assert 0 < rest.left_ms(now) <= LONGEST_REST_MS
    rest.over()
    assert (rest.left_ms(now), rest.began) == (0, None)


@given(st.sampled_from(Kind), st.sampled_from(Fault))
def test_only_what_was_not_sent_is_taken_back(kind: Kind, fault: Fault) -> None:
    """A call that may have arrived counts, whosever fault its end was."""
    taken_back = was_not_reached(Outcome(kind, "x", fault=fault))
    assert not taken_back or (kind in (Kind.TRANSIENT, Kind.CONFIG) and fault is not Fault.PROVIDER)
