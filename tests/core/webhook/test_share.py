"""How many calls at once a receiver gets: more as it answers, fewer as it does not, and never none for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.webhook.attempt import HookReply
from notifyctl.core.webhook.share import FIRST, LEAST_OF_SLOW, LONGEST_REST_MS, MOST, SLOW_MS, Share

QUICK = 20


def answers(share: Share, status: int | None, times: int = 1, ms: int = QUICK, at: int = 1_000) -> Share:
    """Let calls that began together end with the same answer."""
    for _ in range(times):
        share.heard(HookReply(0, ms, status), at, at + ms)
    return share


steps = st.tuples(st.sampled_from([None, 200, 204, 404, 429, 500, 503]), st.integers(1, 30_000), st.integers(0, 60_000))


@given(st.lists(steps, max_size=80))
def test_it_keeps_within_its_bounds(life: list[tuple[int | None, int, int]]) -> None:
    """Whatever comes: one at least and 64 at most, and it rests for ten seconds at most."""
    share, now = Share(), 0
    for status, ms, pause in life:
        began, now = now + pause, now + pause + ms
        share.heard(HookReply(0, ms, status), began, now)
        assert 1 <= share.most <= MOST
        assert share.rests_until <= now + LONGEST_REST_MS
        assert 0 <= share.room(now) <= share.most
        assert share.room(now + LONGEST_REST_MS) >= 1


def test_it_grows_with_each_success() -> None:
    """As many as are under way come on top, each time that all of them succeed: twice as many."""
    share = answers(Share(), 200, FIRST)
    assert share.most == 2 * FIRST
    assert answers(share, 200, 1_000).most == MOST


def test_a_burst_of_failures_is_one() -> None:
    """Calls that ran at once fail for one reason: few are tried next, after a moment; not after many moments."""
    share = answers(Share(), None, FIRST)
    assert (share.most, share.misses) == (1, 1)
    assert share.rests_until == 1_000 + QUICK + 100
    again = answers(share, None, at=2_000)
    assert (again.misses, again.rests_until) == (2, 2_000 + QUICK + 200)
    assert answers(again, 200, at=3_000).misses == 0


def test_answers_that_are_no_trouble_of_its_own_change_nothing() -> None:
    """It answers that it does not want this, or that it is broken: it is there all the same."""
    for status in (301, 400, 404, 410, 500):
        assert answers(Share(), status, 100) == Share()


def test_one_that_takes_its_time_keeps_some() -> None:
    """It holds its places for long, so it gets few; but it works."""
    assert answers(Share(), 200, 50, SLOW_MS + 1).most == LEAST_OF_SLOW


def test_calls_count_until_they_end() -> None:
    """What is under way leaves less room."""
    share = Share()
    for _ in range(FIRST):
        share.began()
    assert share.room(0) == 0
    share.ended()
    assert share.room(0) == 1
    share.leave_alone(0, 50)
    assert (share.room(49), share.room(50)) == (0, 1)
