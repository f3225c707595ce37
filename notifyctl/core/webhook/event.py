"""The events of a notification's life that webhooks tell of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import StrEnum

from notifyctl.core.errors import UsageError

PREFIX = "notification."
EVERYTHING = f"{PREFIX}*"


class WebhookEvent(StrEnum):
    """What became of a notification.

    `cancelled` is an operator's act, `suppressed` a policy's; `requeued` is every road back to pending.
    """

    CREATED = "notification.created"
    SENT = "notification.sent"
    FAILED = "notification.failed"
    CANCELLED = "notification.cancelled"
    SUPPRESSED = "notification.suppressed"
    REQUEUED = "notification.requeued"
    DEFERRED = "notification.deferred"
    DELIVERED = "notification.delivered"
    BOUNCED = "notification.bounced"

    @property
    def about(self) -> str:
        """What it tells, in one line."""
        return _ABOUT[self]


TEST = "webhook.test"
"""The event of `webhooks test`: of no notification, and of no subscription."""

_ABOUT = {
    WebhookEvent.CREATED: "it was accepted",
    WebhookEvent.SENT: "a provider accepted it",
    WebhookEvent.FAILED: "it will not be tried again by itself: there is a dead letter",
    WebhookEvent.CANCELLED: "an operator cancelled it",
    WebhookEvent.SUPPRESSED: "policy decided that it shall not be sent",
    WebhookEvent.REQUEUED: "it is pending again: its dead letter was retried, or it was restored",
    WebhookEvent.DEFERRED: "a rule put it off, without an attempt",
    WebhookEvent.DELIVERED: "it reached its recipient, as the provider says",
    WebhookEvent.BOUNCED: "the provider gave it up after taking it",
}


def subscription(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the events that somebody names, in the order in which they happen; short names (`sent`) are accepted.

    Raises UsageError for none, and for one that there is not.
    """
    wanted = {_named(text) for text in texts}
    if not wanted:
        raise UsageError("no event was named", f"--event sent, or --event '{EVERYTHING}'")
    if EVERYTHING in wanted:
        return (EVERYTHING,)
    return tuple(each.value for each in WebhookEvent if each.value in wanted)


def is_subscribed(events: Sequence[str], event: WebhookEvent) -> bool:
    """Return whether who subscribed to these is told of this one."""
    return EVERYTHING in events or event.value in events


def _named(text: str) -> str:
    name = text.strip().lower()
    full = name if name.startswith(PREFIX) else f"{PREFIX}{name}"
    if full == EVERYTHING or full in set(WebhookEvent):
        return full
    near = difflib.get_close_matches(full, list(WebhookEvent), 1) if name else []
    known = ", ".join(each.value.removeprefix(PREFIX) for each in WebhookEvent)
    raise UsageError(f"there is no event {text!r}", f"did you mean {near[0]}?" if near else f"they are {known}, *")
