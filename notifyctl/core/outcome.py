"""The outcome of an attempt: how the provider's answer, or its absence, was understood."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from notifyctl.core.model import Category
from notifyctl.core.suppression import Refusal, SuppressionCause
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


class Blame(StrEnum):
    """Whom an answer that is no acceptance is about: nobody else has to suffer from it.

    ACCOUNT is all that goes by the provider, also where nothing is said of whom. SENDER is whoever the message is from,
    PAIR this sender to this recipient or its country. RECIPIENT is the one address; TARGET is one device, topic or app
    with a limit or a trouble of its own.
    """

    ACCOUNT = "account"
    SENDER = "sender"
    PAIR = "pair"
    RECIPIENT = "recipient"
    TARGET = "target"


class Fault(StrEnum):
    """Who is to blame that there is no response, which says nothing about whether the request was sent.

    HOST is this machine: no files, memory or ports left, certificate authorities that cannot be read. ROUTE is the way,
    which may be broken at either end: no route, no connection in time, a resolver that does not answer. SETTINGS is
    what was configured: a name that does not exist, a certificate that does not check. PROVIDER is whoever was called:
    the connection was refused or lost, TLS failed, no answer came, or none that is HTTP. PROXY is a proxy that lets
    nobody through.
    """

    HOST = "host"
    ROUTE = "route"
    SETTINGS = "settings"
    PROVIDER = "provider"
    PROXY = "proxy"


@dataclass(slots=True)  # one is made for each attempt, and to freeze it would take longer than all the rest of reading
class Outcome:
    """The reading of a provider's answer, or of its absence. Nobody changes it: `dataclasses.replace` makes another.

    `code` is the provider's own code ("21211", "UNREGISTERED"), `message` one line for people, `response` what the
    provider said (cut and cleaned before it is stored). `retry_after_ms` is the provider's own wish, unclamped.
    `lasts_ms` is how long a limit lasts by the provider's documentation, such as a day's.
    `category` refines PERMANENT only. `asked` is False where the provider was never asked: nothing was sent.
    `counts` is False where the message was not sent for lack of something else, such as an access token: that uses up
    no attempt. `blames` says whom the answer is about, `field` is the content's field ("from", "reply_to") that stands
    above the setting that is to blame; where there is no answer, `fault` says who is to blame for that. `cause` is why
    the recipient of RECIPIENT must not be written to any more; `refusals` say the same of others who were to get it.
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
    blames: Blame = Blame.ACCOUNT
    field: str | None = None
    fault: Fault = Fault.PROVIDER
    lasts_ms: int = 0
    counts: bool = True
    cause: SuppressionCause = SuppressionCause.BOUNCE
    refusals: tuple[Refusal, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Whether the configuration is wrong, or only for this message: a refusal that is not about the account."""
        return self.kind is Kind.CONFIG and self.blames is not Blame.ACCOUNT

    @property
    def refusal(self) -> str:
        """What tells one refusal from another."""
        return one_line(f"{self.http_status or ''} {self.code or ''}".strip() or self.message, 60)


def describe(outcome: Outcome) -> str:
    """Return the outcome on one line: the code, if any, and the message."""
    words = one_line(outcome.message) or outcome.kind.value
    code = one_line(outcome.code, 60) if outcome.code else None
    return words if not code or code in words else f"{code} {words}"
