"""What its receiver's answers make of a webhook."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.webhook.attempt import HookReply
from notifyctl.core.webhook.health import APART_MS, LEAST_FAILURES, LIMIT_MS, LONGEST_REST_MS, HookHealth
from notifyctl.core.webhook.schedule import LONGEST_WISH_MS

HOUR = 3_600_000
statuses = st.sampled_from([None, 200, 204, 301, 400, 404, 429, 500, 502, 503, 504])


def answer(at: int, status: int | None, retry_after_ms: int | None = None, *, probe: bool = False) -> HookReply:
    """Return an answer that came at a moment, without taking any time."""
    return HookReply(at, 0, status, None, retry_after_ms, probe=probe)


lives = st.lists(st.tuples(st.integers(0, 30 * HOUR), statuses), min_size=1, max_size=60)
"""Waits between answers, and the answers."""


def lived(life: list[tuple[int, int | None]]) -> list[HookReply]:
    """Return the answers of a life, each at its moment."""
    at, found = 1, []
    for wait, status in life:
        at += wait
        found.append(answer(at, status))
    return found


@given(lives)
def test_it_is_disabled_after_five_days_without_a_success(life: list[tuple[int, int | None]]) -> None:
    """And not before, whatever there was in between: a model that knows the whole past agrees at each answer."""
    health, past = HookHealth(), list[HookReply]()
    for reply in lived(life):
        past.append(reply)
        health = health.after([reply], reply.at, 0.5)
        last = max((number for number, each in enumerate(past) if each.is_success), default=-1)
        failures = [each.at for each in past[last + 1 :]]
        apart = list[int]()
        for at in failures:
            if not apart or at - apart[-1] >= APART_MS:
                apart.append(at)
        due = bool(failures) and reply.at - failures[0] >= LIMIT_MS and len(apart) >= LEAST_FAILURES
        assert (health.why_disabled([reply], reply.at) is not None) == due
        assert health.failing_since == (failures[0] if failures else None)


@given(lives, st.randoms(use_true_random=False))
def test_the_order_in_which_answers_are_recorded_is_no_matter(life: list[tuple[int, int | None]], draw: object) -> None:
    """They are taken in the order in which they came."""
    replies = lived(life)
    mixed = list(replies)
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    now = replies[-1].at
    distinct = len({each.at for each in replies}) == len(replies)
    one, other = HookHealth().after(replies, now, 0.5), HookHealth().after(mixed, now, 0.5)
    assert one == other or not distinct


def test_gone_is_gone() -> None:
    """One answer is enough, whatever else came with it."""
    health = HookHealth().after([answer(1, 410), answer(2, 200)], 2, 0.5)
    assert health.why_disabled([answer(1, 410), answer(2, 200)], 2)


def test_the_share_of_its_time() -> None:
    """From it warnings are made; a clock that was put back makes it none."""
    health = HookHealth(failing_since=1_000, failures_apart=1, failure_counted_at=1_000)
    assert HookHealth().share(5) == 0
    assert health.share(1_000 + LIMIT_MS // 2) == 0.5
    assert health.share(0) == 0


@given(st.integers(1, 60), st.floats(0, 1), st.one_of(st.none(), st.integers(0, 10**15)))
def test_the_rest_grows_and_has_an_end(times: int, chance: float, wish: int | None) -> None:
    """With each probe in vain, up to ten minutes and a fifth, unless the receiver says more: a day at most."""
    health, now = HookHealth(), 1
    for number in range(times):
        health = health.after([answer(now, 429, wish, probe=number > 0)], now, chance)
        assert health.slowed == number + 1
        assert health.rests_until is not None
        rest = health.rests_until - now
        assert rest >= min(wish or 0, LONGEST_WISH_MS)
        assert 4_000 <= rest <= max(1.2 * LONGEST_REST_MS, min(wish or 0, LONGEST_WISH_MS))
        now = health.rests_until
    assert health.after([answer(now, 200, probe=True)], now, chance) == HookHealth()


def test_calls_at_once_are_one_refusal() -> None:
    """Thirty that ran when it began to refuse slow it once, in however many batches they are recorded."""
    health = HookHealth().after([answer(5, 503)] * 20, 5, 0.5).after([answer(6, 503, 90_000)] * 10, 6, 0.5)
    assert (health.slowed, health.rests_until) == (1, 90_006)


def test_a_call_from_before_ends_no_rest() -> None:
    """It was begun before the receiver asked for less; that nothing works is over all the same."""
    slowed = HookHealth().after([answer(5, 503)], 5, 0.5)
    after = slowed.after([answer(6, 200)], 6, 0.5)
    assert (after.slowed, after.rests_until, after.failing_since) == (1, slowed.rests_until, None)


def test_what_a_probe_says() -> None:
    """No answer at all: it rests again. Any other answer: it answers, and is asked as usual."""
    slowed = replace(HookHealth().after([answer(5, 503)], 5, 0.5), rests_until=65_000)
    at = 70_000
    assert slowed.after([answer(at, None, probe=True)], at, 0.5).slowed == 2
    assert slowed.after([answer(at, 404, probe=True)], at, 0.5).rests_until is None
    assert slowed.without_probe().rests_until is None
    assert slowed.without_probe().slowed == 1


@given(lives)
def test_what_says_nothing_of_a_receiver_disables_nobody(life: list[tuple[int, int | None]]) -> None:
    """A proxy that lets nobody through: the health stays as it was, however long that lasts."""
    failing = HookHealth(failing_since=1, failures_apart=LEAST_FAILURES, failure_counted_at=1)
    for health in (HookHealth(), failing):
        replies = [replace(each, status=None, counts=False) for each in lived(life)]
        assert health.after(replies, 2 * LIMIT_MS, 0.5) == health
        assert health.why_disabled(replies, 2 * LIMIT_MS) is None
