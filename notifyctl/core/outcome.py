"""What one attempt came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from notifyctl.core.model import Category


class Kind(StrEnum):
    """The classes of outcomes; each leads to one act (`core.decide`)."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    RECIPIENT = "recipient"
    CONFIG = "config"
    UNKNOWN = "unknown"


@dataclass(slots=True)  # one is made for each attempt, and to freeze it would take longer than all the rest of reading
class Outcome:
    """The reading of a provider's answer, or of its absence. Nobody changes it: `dataclasses.replace` makes another.

    `code` is the provider's own code ("21211", "UNREGISTERED"), `message` one line for people, `response` what the
    provider said (cut and cleaned before it is stored). `retry_after_ms` is the provider's own wish, unclamped.
    `category` refines PERMANENT only. `asked` is False where the provider was never asked: nothing was sent.
    `blames` is the content's field ("from", "to") that the answer is about, where it is about one.
    """

    kind: Kind
    message: str = ""
    code: str | None = None
    http_status: int | None = None
    provider_message_id: str | None = None
    retry_after_ms: int | None = None
    response: str | None = None
    category: Category = Category.PROVIDER_REJECTED
    asked: bool = True
    blames: str | None = None
