"""The words of the domain: channels, statuses, categories, and what is read of a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PAYLOAD_VERSION = 1
PROVIDER_NAME = re.compile(r"^[a-z][a-z0-9_]{0,19}$")


class Channel(StrEnum):
    """How a notification reaches a person; stored as `message_type`."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class Status(StrEnum):
    """The four stored statuses of a notification."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Category(StrEnum):
    """Why a notification became a dead letter; stored as `failure_reason`."""

    RETRIES_EXHAUSTED = "retries_exhausted"
    INVALID_RECIPIENT = "invalid_recipient"
    INVALID_PAYLOAD = "invalid_payload"
    PROVIDER_REJECTED = "provider_rejected"
    NO_ADDRESS = "no_address"
    OUTCOME_UNKNOWN = "outcome_unknown"


class OnUnknown(StrEnum):
    """What to do after an attempt whose outcome nobody knows: send again, or leave it to a person."""

    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Message:
    """What a provider is to deliver: the content (a payload of `PAYLOAD_VERSION`) to one address.

    `to` is None where the content itself names the audience (a push topic or condition).
    """

    notification_id: str
    channel: Channel
    to: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """One notification leased to this dispatcher for one attempt.

    `attempt` counts this attempt already (1 for the first). `due_at` is the moment it was due before the lease, to
    give back when no call was begun. `metric_at` is the moment by which it is counted. `provider_version` is the
    provider's configuration that the attempt goes by. Times are milliseconds since the epoch.

    `fails_over`: another provider may take it. `probe`: it is to show whether a paused provider works again.
    `watched`: the provider failed within the current window, and what does not fail is counted too. `traced`: the
    provider is asked later what became of it.
    """

    id: str
    user_id: str
    lease_id: str
    provider: str
    message: Message
    attempt: int
    max_retries: int
    due_at: int
    metric_at: int
    provider_version: int
    retry_history: str | None
    fails_over: bool = False
    probe: bool = False
    watched: bool = False
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it: the API key's user, or nobody by name (the operator who has the database's credentials).

    `agent` says which program ran where, for the audit trail.
    """

    user_id: str | None = None
    agent: str | None = None
