"""What can still be told of a notification, from its row: for webhooks that listen later.

That it was requeued or put off is told by nothing once it is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from notifyctl.core.model import Status
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.telling import Telling, Tidings, detail


class Moments(NamedTuple):
    """When what is known of a notification happened, in milliseconds since the epoch; its fields are columns.

    Of a cancellation no moment is kept: it is as late as the notification was due, or as the audit trail says
    (`cancelled_at`). `by_operator`: one did.
    """

    created_at: int
    status: str
    due_at: int
    sent_at: int | None
    failed_at: int | None
    delivered_at: int | None
    bounced_at: int | None
    by_operator: bool
    cancelled_at: int | None

    def events(self) -> Iterator[tuple[WebhookEvent, int]]:
        """Yield what happened, and when."""
        yield WebhookEvent.CREATED, self.created_at
        if self.status == Status.SENT and self.sent_at is not None:
            yield WebhookEvent.SENT, self.sent_at
        if self.status == Status.FAILED and self.failed_at is not None:
            yield WebhookEvent.FAILED, self.failed_at
        if self.status == Status.CANCELLED:
            event = WebhookEvent.CANCELLED if self.by_operator else WebhookEvent.SUPPRESSED
            yield event, self.cancelled_at or max(self.created_at, self.due_at)
        if self.delivered_at is not None:
            yield WebhookEvent.DELIVERED, self.delivered_at
        if self.bounced_at is not None:
            yield WebhookEvent.BOUNCED, self.bounced_at


class Known(NamedTuple):
    """What is told besides the notification itself, as its row has it; `reason` is its dead letter's."""

    provider_message_id: str | None
    error_message: str | None
    receipt: str | None
    reason: str | None


def telling(event: WebhookEvent, known: Known) -> Telling:
    """Return what is told of an event."""
    said = {"detail": detail(known.error_message)}
    more = {
        WebhookEvent.SENT: {"provider_message_id": known.provider_message_id},
        WebhookEvent.FAILED: {"reason": known.reason, **said},
        WebhookEvent.CANCELLED: said,
        WebhookEvent.SUPPRESSED: said,
        WebhookEvent.BOUNCED: {"detail": detail(known.receipt)},
    }
    return Telling(event, more.get(event, {}))


def as_it_was(event: WebhookEvent, of: Tidings) -> Tidings:
    """Return the notification as it was at an event: when it was created nothing had been tried."""
    return of._replace(status=Status.PENDING.value, attempt_count=0) if event is WebhookEvent.CREATED else of
