"""What the configuration decides about when people may be reached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field

from notifyctl.core.contact import ContactWindows
from notifyctl.core.frozen import dataclass
from notifyctl.core.localtime import date_of
from notifyctl.core.model import OnCap


@dataclass(frozen=True, slots=True)
class Policy:
    """The same for everybody. `default_timezone` is of people who set none, `contact_windows` are by country.

    `notification_limit` is how many a minute are for somebody who has no limit of his own.
    """

    on_cap: OnCap = OnCap.DEFER
    cap_counts_transactional: bool = True
    default_timezone: str | None = None
    contact_windows: ContactWindows = field(default_factory=dict)
    notification_limit: int | None = None

    def counts(self, is_marketing: bool) -> bool:
        """Return whether such a notification counts against the cap, and is stopped by it."""
        return is_marketing or self.cap_counts_transactional


UNCONFIGURED = Policy()
"""Where nothing is configured."""


def digest(policy: Policy) -> str:
    """Return the SHA-256 of what a policy means: two that are only written differently have the same."""
    text = json.dumps(_canonical(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(policy: Policy) -> Mapping[str, object]:
    return {
        "on_cap": policy.on_cap.value,
        "cap_counts_transactional": policy.cap_counts_transactional,
        "default_timezone": policy.default_timezone,
        "notification_limit": policy.notification_limit,
        "contact_windows": {
            country: {
                "windows": {channel.value: hours.week for channel, hours in each.windows.items()},
                "except": [date_of(day).isoformat() for day in sorted(each.closed)],
            }
            for country, each in policy.contact_windows.items()
        },
    }
