"""What a webhook heard of a notification, in one word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from notifyctl.core.webhook.hearer import hearer
from notifyctl.core.webhook.standing import DeliveryStanding


def told(state: str, attempts: int = 1, answer: int | None = None, at: int | None = None) -> Any:
    """A delivery."""
    facts = {"webhook_id": "w", "state": DeliveryStanding(state), "attempt_count": attempts}
    return SimpleNamespace(**facts, response_status=answer, next_retry_at=at)


@pytest.mark.parametrize(
    ("given", "state", "delivered", "next_at", "answer"),
    [
        ([told("delivered", answer=200), told("delivered", answer=204)], "delivered", 2, None, None),
        ([told("delivered"), told("waiting", 0, at=7)], "waiting", 1, 7, None),
        ([told("delivered"), told("in-flight", 1, at=99)], "waiting", 1, None, None),
        ([told("in-flight", 2, 500, 99)], "failing", 0, None, 500),
        ([told("retrying", 1, 500, 9), told("retrying", 1, 503, 8)], "failing", 0, 8, 503),
        ([told("retrying", 1, None, 9), told("given-up", 10, 404)], "failing", 0, 9, 404),
        ([told("given-up", 10, 404), told("waiting", 0, at=3)], "waiting", 0, 3, 404),
        ([told("given-up", 10), told("disabled", 0), told("delivered")], "given-up", 1, None, None),
        ([told("disabled", 0), told("delivered")], "disabled", 1, None, None),
    ],
)
def test_the_worst_is_said(
    given: list[Any], state: str, delivered: int, next_at: int | None, answer: int | None
) -> None:
    """What fails stands above what waits, and that above what has ended; the next attempt is the earliest."""
    found = hearer("anna/shop", "example.org", given)
    assert (found.state, found.events, found.delivered) == (state, len(given), delivered)
    assert (found.next_at, found.answer) == (next_at, answer)
