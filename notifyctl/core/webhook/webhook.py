"""A webhook, as it was set up and as its receiver has behaved."""

from __future__ import annotations

import uuid
from dataclasses import field

from notifyctl.core import names
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.event import WebhookEvent, is_subscribed
from notifyctl.core.webhook.schedule import RETRIES, TIMEOUT_S

TABLE = "notification_webhooks"
LONGEST_URL = 500
SECRET, PREVIOUS_SECRET = "secret_key", "previous_secret"


def webhook_name(text: str) -> str:
    """Return what a webhook is called, as it is stored. Raises UsageError for what may be mistaken."""
    name = names.label(text, "webhook's name")
    if "/" in name:
        raise UsageError(f"the webhook's name {name!r} has a / in it", "USER/NAME is how a webhook is meant")
    if name.startswith("-") or _is_id(name):
        raise UsageError(f"the webhook's name {name!r} looks like an option or an id", "a name is like orders-prod")
    return name


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name.lower()
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook; its fields are columns. Times are milliseconds since the epoch.

    `secret_key` and `previous_secret` are sealed (`core.sealing`); the latter signs as well until
    `previous_secret_ends`. `failing_since` is the first failure after which nothing succeeded, `failures_apart` how
    many there were since, each well after the one before, `failure_counted_at` the last of those. `slowed` is how often
    in a row it asked for less, `rests_until` until when it is left alone for that. `disabled_because` is None where an
    operator disabled it. The URL may be a secret: what is shown is its host.
    """

    id: str
    user_id: str
    name: str
    url: str = field(repr=False)
    secret_key: str = field(repr=False)
    events: tuple[str, ...]
    created_at: int
    updated_at: int
    all_users: bool = False
    is_active: bool = True
    retry_count: int = RETRIES
    timeout_seconds: int = TIMEOUT_S
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_ends: int | None = None
    failing_since: int | None = None
    failures_apart: int = 0
    failure_counted_at: int | None = None
    slowed: int = 0
    rests_until: int | None = None
    disabled_at: int | None = None
    disabled_because: str | None = None

    def hears(self, event: WebhookEvent) -> bool:
        """Return whether it is told of an event."""
        return is_subscribed(self.events, event)
