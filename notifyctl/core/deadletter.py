"""A dead letter as it is read to be shown or acted on."""

from __future__ import annotations

from notifyctl.core.change import Row
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, metric_at


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry with what one wants to know of its notification. Times are milliseconds since the epoch.

    `history` is the notification's own; `username` is its user's, `resolver` that of who resolved it.
    """

    id: str
    notification_id: str
    failure_reason: str
    retry_history: str | None
    moved_to_dlq_at: int
    resolved: bool
    resolved_at: int | None
    resolved_by: str | None
    note: str | None
    user_id: str
    message_type: str
    provider: str
    payload: str
    attempt_count: int
    max_retries: int
    error_message: str | None
    created_at: int
    send_at: int | None
    expires_at: int | None
    history: str | None
    template_id: str | None
    username: str
    resolver: str | None

    @property
    def subject(self) -> Row:
        """Its notification, as changes want it."""
        return Row(self.notification_id, None, self.provider, Channel(self.message_type), self.metric_at)

    @property
    def metric_at(self) -> int:
        """The moment that says to which hour of the metrics its notification belongs."""
        return metric_at(self.created_at, self.send_at)
