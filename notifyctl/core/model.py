"""The words of the domain: channels, statuses, categories, and what is read of a row."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import Grant
from notifyctl.core.patterns import pattern
from notifyctl.core.scope import Scope, covers

PAYLOAD_VERSION = 1
MAX_RETRIES = 5
"""How many attempts follow the first, where nothing is said."""
MOST_RETRIES = 1_000
"""How many may be asked for."""
PROVIDER_NAME = pattern(r"^[a-z][a-z0-9_]{0,19}$")


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
    TEMPLATE_ERROR = "template_error"
    NO_ADDRESS = "no_address"
    OUTCOME_UNKNOWN = "outcome_unknown"


class OnCap(StrEnum):
    """What becomes of a notification above the cap of its day: sent on a later one, or never."""

    DEFER = "defer"
    CANCEL = "cancel"


class OnUnknown(StrEnum):
    """What to do after an attempt whose outcome nobody knows: send again, or leave it to a person."""

    RETRY = "retry"
    HOLD = "hold"


class TemplateRef(NamedTuple):
    """What a message is rendered from: a template's id, the version, and the language of who reads it, if known."""

    id: str
    version: int
    language: str | None = None


class Subscription(NamedTuple):
    """What a person can leave with one click: a category of marketing. `at`: when the mail with the link was made."""

    user_id: str
    category: str
    at: int


class Message(NamedTuple):
    """What a provider is to deliver: the content (a payload of `PAYLOAD_VERSION`) to one address. A tuple: see `Claim`.

    `to` is None where the content itself names the audience (a push topic or condition). `attempt` is which of the
    notification's attempts it is for, so that a receipt can name it. With a `template` its text is yet to be rendered.
    A mail of a `subscription` can be left; `one_click`: its headers say how. `group` is its category at SendGrid.
    """

    notification_id: str
    channel: Channel
    to: str | None
    content: Mapping[str, Any]
    attempt: int = 1
    template: TemplateRef | None = None
    subscription: Subscription | None = None
    one_click: bool = False
    group: str = ""

    def rendered(self, content: Mapping[str, Any]) -> Message:
        """Return it with its text, as `_replace` would in several times as long, and the class in twice."""
        id_, channel, to, _, attempt, _, subscription, one_click, group = self
        return tuple.__new__(Message, (id_, channel, to, content, attempt, None, subscription, one_click, group))


class Claim(NamedTuple):
    """One notification leased to this dispatcher for one attempt. A tuple: one is made for every attempt.

    `attempt` counts this attempt already (1 for the first). `due_at` and `last_attempted` are as they were before the
    lease, to give back when no call was begun. `claimed_at` is when the lease began, `metric_at` the moment by which it
    is counted, `version` that of the provider's configuration that the attempt goes by. Times are milliseconds since
    the epoch.

    `fails_over`: another provider may take it. `probe`: it is to show whether a paused provider works again.
    `watched`: the provider failed within the current window, and what does not fail is counted too. `polled`: the
    provider is asked later what became of it. `weight`: how many bytes it has with its files, where those are many.
    `counted`: the claim counted it for its user's cap, which is taken back unless it may have gone out.
    `veiled`: the address is sealed where it is stored, and is written down nowhere else.
    """

    id: str
    user_id: str
    lease_id: str
    provider: str
    channel: Channel
    message: Message
    attempt: int
    max_retries: int
    due_at: int
    last_attempted: int | None
    claimed_at: int
    metric_at: int
    version: int
    retry_history: str | None
    fails_over: bool = False
    probe: bool = False
    watched: bool = False
    polled: bool = False
    weight: int = 0
    counted: bool = False
    veiled: bool = False


def metric_at(created_at: int, send_at: int | None) -> int:
    """Return the moment by which a notification is counted, in milliseconds: the one it is for, else its making.

    As SQL it is `store.hours.METRIC_AT`.
    """
    return created_at if send_at is None else send_at


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it: the API key's user, or the operator who has the database's credentials.

    `grant` is what the key lets them do; None is all. What the audit trail says: `name` is the user's, or the
    operator's as person@host; `agent` the program and its command, `ip_address` where the operator came from by SSH,
    and `reason` what was given as that.
    """

    user_id: str | None = None
    agent: str | None = None
    grant: Grant | None = None
    name: str | None = None
    ip_address: str | None = None
    reason: str | None = None

    @property
    def key_id(self) -> str | None:
        """The API key that was used."""
        return None if self.grant is None else self.grant.key_id

    @property
    def sees_addresses(self) -> bool:
        """Whether addresses of people are shown in full."""
        return self.grant is None or covers(self.grant.scopes, Scope.USERS_READ)
