"""What webhooks are told of a change, and the body in which they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from notifyctl.core.change import (
    Acknowledge,
    Bury,
    Cancel,
    Change,
    Confirm,
    ConfirmCancelled,
    ConfirmFailed,
    Defer,
    Requeue,
    Restore,
    Sent,
)
from notifyctl.core.json_codec import encode
from notifyctl.core.text import one_line
from notifyctl.core.webhook.event import WebhookEvent

VERSION = 1
"""Of the body: it grows by fields without a new number."""
LONGEST_DETAIL = 300
LAST_MOMENT = 253_402_300_799_999
"""The end of the year 9999, after which RFC 3339 has no more (5.6: four digits)."""
MOMENTS = 64
"""Of so many the text is kept: what one transaction tells of happened at one moment."""
_DEFERRAL = "policy"
_NAMES = (
    *("notification_id", "user_id", "channel", "provider", "status", "attempts"),
    *("category", "template_id", "template_version", "batch_id"),
)
"""What the fields of `Tidings` are called in the body."""


class Telling(NamedTuple):
    """One event and what is told of it besides the notification, None for what is not known."""

    event: WebhookEvent
    more: Mapping[str, Any]


class Tidings(NamedTuple):
    """The notification as it is after the change."""

    id: str
    user_id: str
    message_type: str
    provider: str
    status: str
    attempt_count: int
    category: str | None
    template_id: str | None
    template_version: int | None
    batch_id: str | None


CREATED = Telling(WebhookEvent.CREATED, {})


def tellings(change: Change) -> Sequence[Telling]:
    """Return what webhooks are told of a change, in the order in which it happened."""
    of_kind = _TELLINGS.get(type(change))
    return () if of_kind is None else of_kind(change)


def body(telling: Telling, of: Tidings, at: int) -> str:
    """Return the JSON text of an event that happened at a moment (milliseconds since the epoch).

    Its form is Standard Webhooks' (type, timestamp, data); what is not known is left out.
    """
    known = {name: value for name, value in zip(_NAMES, of, strict=True) if value is not None}
    known |= {name: value for name, value in telling.more.items() if value is not None}
    whole = {"type": telling.event.value, "timestamp": moment(at), "version": VERSION, "data": known}
    return encode(whole).decode()


@lru_cache(MOMENTS)
def moment(at: int) -> str:
    """Return milliseconds since the epoch as RFC 3339 in UTC; what is after its last year is its last moment."""
    at = min(at, LAST_MOMENT)
    whole = datetime.fromtimestamp(at // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{at % 1_000:03d}Z"


def detail(text: str | None) -> str | None:
    """Return a text for people as it is told: one line, not too long."""
    return None if text is None else one_line(text)[:LONGEST_DETAIL]


def _sent(change: Sent | Confirm) -> Sequence[Telling]:
    return (Telling(WebhookEvent.SENT, {"provider_message_id": change.provider_message_id}),)


def _failed(change: Bury) -> Sequence[Telling]:
    more = {"reason": change.category.value, "detail": detail(change.error_message)}
    return (Telling(WebhookEvent.FAILED, more),)


def _cancelled(change: Cancel) -> Sequence[Telling]:
    event = WebhookEvent.CANCELLED if change.by_operator else WebhookEvent.SUPPRESSED
    return (Telling(event, {"detail": detail(change.error_message)}),)


def _deferred(change: Defer) -> Sequence[Telling]:
    reason = change.deferred_by or _DEFERRAL
    more = {"reason": reason, "detail": detail(change.error_message), "until": moment(change.due_at)}
    return (Telling(WebhookEvent.DEFERRED, more),)


def _requeued(change: Requeue | Restore) -> Sequence[Telling]:
    return (Telling(WebhookEvent.REQUEUED, {}),)


def _acknowledged(change: Acknowledge) -> Sequence[Telling]:
    known = getattr(change.of, "known", None)
    found = []
    if change.delivered_at is not None and (known is None or known.delivered_at is None):
        found.append(Telling(WebhookEvent.DELIVERED, {}))
    if change.bounced_at is not None and (known is None or known.bounced_at is None):
        found.append(Telling(WebhookEvent.BOUNCED, {"detail": detail(change.receipt)}))
    return found


_TELLINGS: Mapping[type[Change], Callable[[Any], Sequence[Telling]]] = {
    Sent: _sent,
    Confirm: _sent,
    ConfirmFailed: _sent,
    ConfirmCancelled: _sent,
    Bury: _failed,
    Cancel: _cancelled,
    Defer: _deferred,
    Requeue: _requeued,
    Restore: _requeued,
    Acknowledge: _acknowledged,
}
