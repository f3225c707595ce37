"""What webhooks are told of a change: whatever changes what becomes of a notification, and nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifyctl.core import change
from notifyctl.core.change import Acknowledge, Cancel, Change, Defer, Row
from notifyctl.core.model import Channel, Status
from notifyctl.core.suppression import Refusal
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.telling import moment, tellings

ROW = Row("n", None, "sendgrid", Channel.EMAIL, 1_000)
PLAIN: dict[type[Any], st.SearchStrategy[Any]] = {str: st.text(max_size=400), int: st.integers(0, 2**53)}
AFTER = {
    Status.PENDING: {WebhookEvent.REQUEUED},
    Status.SENT: {WebhookEvent.SENT},
    Status.FAILED: {WebhookEvent.FAILED},
    Status.CANCELLED: {WebhookEvent.CANCELLED, WebhookEvent.SUPPRESSED},
}
"""The events of each status that a notification can come to."""


def _kinds() -> list[type[Change]]:
    found = (each for each in vars(change).values() if isinstance(each, type) and issubclass(each, Change))
    return [each for each in found if each is not Change]


def _changes(kind: type[Change]) -> st.SearchStrategy[Change]:
    """Any change of a kind, about one notification."""
    return _made(kind, of=st.just(ROW))


def _made(kind: type[Any], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass; what is not `known` of it is anything of its type."""
    hints = get_type_hints(kind)
    made = {each.name: st.from_type(hints[each.name]) for each in fields(kind)}
    for name in made:
        for base, strategy in PLAIN.items():
            if hints[name] is base:
                made[name] = strategy
            elif hints[name] == base | None:
                made[name] = st.none() | strategy
    return st.builds(kind, **made | known)


st.register_type_strategy(Refusal, _made(Refusal))


@pytest.mark.parametrize("kind", _kinds())
@settings(max_examples=30)
@given(data=st.data())
def test_each_change_tells_what_it_made(kind: type[Change], data: st.DataObject) -> None:
    """One event where the status becomes another, of that status; one where it is put off; none of other changes but
    what receipts say, which no status shows.
    """
    made = data.draw(_changes(kind))
    told = [each.event for each in tellings(made)]
    if isinstance(made, Acknowledge):
        assert told == [
            event
            for event, at in (
                (WebhookEvent.DELIVERED, made.delivered_at),
                (WebhookEvent.BOUNCED, made.bounced_at),
            )
            if at is not None
        ]
    elif made.BEFORE is not made.AFTER:
        assert len(told) == 1
        assert set(told) <= AFTER[made.AFTER]
    else:
        assert told == ([WebhookEvent.DEFERRED] if isinstance(made, Defer) else [])
    for each in tellings(made):
        assert len(each.more.get("detail") or "") <= 300
        assert "\n" not in (each.more.get("detail") or "")


@given(by_operator=st.booleans())
def test_who_cancelled_makes_the_event(*, by_operator: bool) -> None:
    """An operator's act and a policy's decision are never told as the other, nor both."""
    of: dict[str, Any] = {"error_message": "no", "attempt_count": 0, "last_attempted": None, "retry_history": None}
    [told] = tellings(Cancel(ROW, **of, fails_over=True, by_operator=by_operator))
    assert told.event is (WebhookEvent.CANCELLED if by_operator else WebhookEvent.SUPPRESSED)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000_001, "2027-01-15T08:00:00.001Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_moments(at: int, text: str) -> None:
    """RFC 3339 has four digits for a year; a time after that fails no change."""
    assert moment(at) == text
