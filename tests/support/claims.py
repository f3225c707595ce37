"""Claims to decide about, without a database."""

from __future__ import annotations

from typing import Any

from notifyctl.core.model import Channel, Claim, Message


def claim(**values: Any) -> Claim:
    """Return the first attempt of a mail by sendgrid, but for what is given."""
    plain = {
        "id": "id",
        "user_id": "user",
        "lease_id": "lease",
        "provider": "sendgrid",
        "channel": Channel.EMAIL,
        "message": Message("id", Channel.EMAIL, "anna@example.org", {}),
        "attempt": 1,
        "max_retries": 5,
        "due_at": 7,
        "last_attempted": None,
        "claimed_at": 900,
        "metric_at": 7,
        "version": 1,
        "retry_history": None,
        "fails_over": True,
    }
    return Claim(**{**plain, **values})
