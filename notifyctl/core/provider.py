"""A provider: its configuration and its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from notifyctl.core import senders
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Health, Hold
from notifyctl.core.model import Channel
from notifyctl.core.sealing import Place

SERVICE_ACCOUNT = "service_account"
SECRET_WIDTH = 255


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider as it is configured; the secrets are sealed. Times are milliseconds.

    `config` is the plain part of `config_json`, `service_account` the sealed one (fcm). `rate_limit` is in requests a
    minute. `updated_at` is the configuration's version: it grows with every change. `channel` is None where nobody who
    has the adapter has said yet. `next_permit_us` and `next_question_us` are the states of the rate limits of messages
    and of questions after receipts, in microseconds. `receipts_unmatched` is how many of its receipts were of nothing,
    `health_at` when `health` was written last.
    """

    id: str
    provider_name: str
    api_key: str = field(repr=False)
    api_secret: str | None = field(repr=False)
    config: Mapping[str, Any]
    service_account: str | None = field(repr=False)
    is_active: bool
    rate_limit: int | None
    timeout_seconds: int
    priority: int
    created_at: int
    updated_at: int
    channel: Channel | None = None
    health: Health = field(default_factory=Health)
    next_permit_us: int = 0
    next_question_us: int = 0
    health_at: int = 0
    receipts_unmatched: int = 0

    def hold(self, now: int) -> Hold | None:
        """Return why nothing may be sent by it now; None where something may."""
        return self.health.hold(now) if self.is_active else Hold.DISABLED

    def fails(self, now: int) -> bool:
        """Return whether others may stand in for it: it is in use, and paused for more than a moment."""
        hold = self.hold(now)
        return hold is not None and hold.lasts

    def probe_due(self, now: int) -> bool:
        """Return whether one notification may try whether it works again."""
        return self.is_active and self.health.probe_due(now)

    def held_senders(self, now: int) -> Mapping[str, int]:
        """Return the senders that it is left alone for now, by name, and until when."""
        configured = self.config.get("messaging_service_sid") or self.config.get("from") or "the configured sender"
        return senders.waiting(senders.parse(self.health.held_senders), str(configured), now)

    @property
    def polled(self) -> bool:
        """Whether it is asked later for receipts of the messages that it took."""
        return self.config.get("receipts") == "poll"

    def place(self, column: str) -> Place:
        """Return where one of its secrets is sealed to."""
        return Place("provider_configs", self.id, column)
