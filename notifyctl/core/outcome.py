"""The outcome of an attempt: how the provider's answer, or its absence, was understood."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from notifyctl.core.model import Category
from notifyctl.core.text import one_line


class Kind(StrEnum):
    """The classes of outcomes; each leads to one act (`core.decide`)."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    RECIPIENT = "recipient"
    CONFIG = "config"
    UNKNOWN = "unknown"


class Fault(StrEnum):
    """Who is to blame that there is no response, which says nothing about whether the request was sent.

    HOST is this machine: no files, memory or ports left, a resolver that does not work, certificates that cannot be
    read. ROUTE is the network on the way: no route, or no connection in time. PROVIDER is whoever was called: the name
    does not exist, the connection was refused or lost, TLS failed, no answer came, or none that is HTTP.
    """

    HOST = "host"
    ROUTE = "route"
    PROVIDER = "provider"


@dataclass(slots=True)  # one is made for each attempt, and to freeze it would take longer than all the rest of reading
class Outcome:
    """The reading of a provider's answer, or of its absence. Nobody changes it: `dataclasses.replace` makes another.

    `code` is the provider's own code ("21211", "UNREGISTERED"), `message` one line for people, `response` what the
    provider said (cut and cleaned before it is stored). `retry_after_ms` is the provider's own wish, unclamped.
    `category` refines PERMANENT only. `asked` is False where the provider was never asked: nothing was sent.
    `blames` is the content's field ("from", "to") that the answer is about, where it is about one; where there is no
    answer, `fault` says who is to blame for that.
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
    fault: Fault = Fault.PROVIDER


def describe(outcome: Outcome) -> str:
    """Return the outcome on one line: the code, if any, and the message."""
    words = one_line(outcome.message) or outcome.kind.value
    code = one_line(outcome.code, 60) if outcome.code else None
    return words if not code or code in words else f"{code} {words}"
