"""When deliveries are tried again, and what a subscription says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.webhook import schedule
from notifyctl.core.webhook.event import WebhookEvent, is_subscribed, subscription

H = 3_600_000


def test_a_receiver_may_be_down_for_a_day_and_a_half() -> None:
    """With the retries that `webhooks create` writes, even where chance makes every wait as short as it can be."""
    waits = [schedule.wait_ms(attempts, 0.0) for attempts in range(1, schedule.RETRIES + 1)]
    assert sum(waits) > 36 * H
    assert not schedule.is_given_up(schedule.RETRIES, schedule.RETRIES)
    assert schedule.is_given_up(schedule.RETRIES + 1, schedule.RETRIES)


@given(st.integers(1, 40), st.floats(0, 1), st.none() | st.integers(0, 10**12))
def test_a_wait_is_the_longer_of_both_and_bounded(attempts: int, chance: float, wish: int | None) -> None:
    """The receiver's own wish never makes it shorter, and never longer than a day."""
    ours = schedule.wait_ms(attempts, chance)
    delay = schedule.DELAYS_MS[min(attempts, 9) - 1]
    assert 0.8 * delay - 1 <= ours <= 1.2 * delay + 1
    assert schedule.wait_ms(attempts, chance, wish) == max(ours, min(wish or 0, 24 * H))


def test_short_names_and_everything() -> None:
    """In the order of a notification's life, whatever the order in which they were named."""
    assert subscription(["FAILED", " sent "]) == ("notification.sent", "notification.failed")
    assert subscription(["*"]) == subscription(["notification.*", "sent"]) == ("notification.*",)
    assert all(is_subscribed(("notification.*",), each) for each in WebhookEvent)
    assert is_subscribed(("notification.sent",), WebhookEvent.SENT)
    assert not is_subscribed(("notification.sent",), WebhookEvent.FAILED)
    assert all(each.about for each in WebhookEvent)


@pytest.mark.parametrize("texts", [[], ["sentt"], ["notification."], ["webhook.test"], ["sent,failed"], [""]])
def test_an_event_that_there_is_not_is_refused(texts: list[str]) -> None:
    """With the probable one, or all of them."""
    with pytest.raises(UsageError) as refused:
        subscription(texts)
    assert refused.value.hint
