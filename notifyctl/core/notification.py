"""A notification as it is read to be shown, and what it is doing."""

from __future__ import annotations

from enum import StrEnum

from notifyctl.core.frozen import dataclass
from notifyctl.core.model import metric_at


class State(StrEnum):
    """What a pending notification is doing now, or that a sent one bounced.

    `status` says only `pending`; the state follows from the lease, `due_at` and the provider. At any moment a pending
    notification is in exactly one of them, the first that holds in this order::

        in-flight   a lease is running: an attempt is being made, until `leased_until` at the latest
        unknown     a lease has ended without a result: the dispatcher that had it is gone; due again
        scheduled   waits for the moment it was submitted for (`send_at`)
        deferred    waits because a rule said so: quiet hours, a cap, a contact window, the user's limit
        retrying    waits for another attempt
        held        due, but its template is disabled, its batch held, or its provider is paused, open, throttled,
                    disabled or gone, and no other stands in for it
        due         may start now

    `bounced` is of those that are `sent`: the provider took it and gave it up later.
    """

    IN_FLIGHT = "in-flight"
    UNKNOWN = "unknown"
    SCHEDULED = "scheduled"
    DEFERRED = "deferred"
    RETRYING = "retrying"
    HELD = "held"
    DUE = "due"
    BOUNCED = "bounced"


WAITING: tuple[State, ...] = tuple(state for state in State if state is not State.BOUNCED)
"""The states of what is pending."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification: its row, its user's name, and what it is doing (`state`: a `State`, else the status).

    Times are milliseconds since the epoch; `payload` and `retry_history` are JSON. Nothing is due that has ended.
    """

    id: str
    user_id: str
    idempotency_key: str
    message_type: str
    provider: str
    status: str
    payload: str
    attempt_count: int
    max_retries: int
    created_at: int
    last_attempted: int | None
    send_at: int | None
    failed_at: int | None
    sent_at: int | None
    error_message: str | None
    provider_response: str | None
    due_at: int | None
    lease_id: str | None
    leased_by: str | None
    leased_until: int | None
    is_critical: bool
    expires_at: int | None
    content_hash: str
    resent_from: str | None
    provider_message_id: str | None
    retry_history: str | None
    fails_over: bool
    sent_to: str | None
    category: str | None
    deferred_by: str | None
    counted_at: int | None
    delivered_at: int | None
    bounced_at: int | None
    receipt: str | None
    receipt_due_at: int | None
    template_id: str | None
    template_version: int | None
    batch_id: str | None
    username: str
    state: str
    template: str | None = None
    batch: str | None = None

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics it belongs."""
        return metric_at(self.created_at, self.send_at)

    def copy_expires_at(self, due_at: int) -> int | None:
        """Return when a copy expires that is for that moment: it has as much time to live as this one had."""
        return None if self.expires_at is None else due_at + max(self.expires_at - self.metric_at, 0)
