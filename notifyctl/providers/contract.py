"""What an adapter is: it builds a request and reads a response, and does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Fault, Kind, Outcome
from notifyctl.core.receipt import Arrival
from notifyctl.core.suppression import Refusal


class InvalidMessage(Exception):
    """The content cannot be made into a request the provider would take; the text says which field and why."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One provider's decrypted secrets and settings (`config`: the plain part of `config_json`).

    `service_account` (fcm) is the parsed key file; `access_token` is the OAuth2 token a caller obtained with it.
    """

    api_key: str = field(repr=False)
    api_secret: str | None = field(default=None, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict)
    service_account: Mapping[str, Any] | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete; the body is what goes over the wire.

    `varying` are the headers that no two requests have in common: what the others come to is made once for many.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    varying: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response: header names in lower case, the body cut at the wire's limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FailureKind(StrEnum):
    """Whether the provider can have seen the request."""

    UNSENT = "unsent"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Failure:
    """No response: `UNSENT` when no byte can have reached the provider, else `AMBIGUOUS`. `fault`: whose it is.

    `refused`: whoever checks addresses would not have this one dialled.
    """

    kind: FailureKind
    message: str
    fault: Fault = Fault.PROVIDER
    refused: bool = False


class Adapter(Protocol):
    """A provider's protocol without I/O. `name` is what `provider_configs.provider_name` holds."""

    name: str
    channel: Channel
    default_url: str

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each; empty when all is well."""

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that delivers `message`; raise InvalidMessage when none can."""

    def read(self, response: Response) -> Outcome:
        """Return what the answer means. Never raises, whatever the body holds."""


Builder = Callable[[Message], Request]
"""Returns the request that delivers a message; raises InvalidMessage when none can."""


@runtime_checkable
class Preparing(Protocol):
    """What an adapter may offer besides: to do once what depends on the credentials alone, for many messages."""

    def builder(self, credentials: Credentials) -> Builder:
        """Return what builds with these credentials as `build` does: equal requests, and InvalidMessage for the same.

        Never raises: what is wrong with the credentials, each message is told.
        """


@runtime_checkable
class Judging(Preparing, Protocol):
    """What a `Preparing` adapter may offer besides: to see in little time that a usual message can be built."""

    def judge(self, credentials: Credentials) -> Callable[[Message], object]:
        """Return what is true of messages that can surely be built with these credentials; else nothing is decided."""


def builder(adapter: Adapter, credentials: Credentials) -> Builder:
    """Return how `adapter` builds with these credentials; a class that overrides `build` alone has the last word."""
    if isinstance(adapter, Preparing) and "builder" in _last_word(adapter):
        return adapter.builder(credentials)
    return lambda message: adapter.build(message, credentials)


def checker(adapter: Adapter, credentials: Credentials) -> Callable[[Message], object]:
    """Return what raises InvalidMessage where the builder would, and is mostly quicker.

    Whoever overrides how messages are built has the last word on this, too.
    """
    build = builder(adapter, credentials)
    if not (isinstance(adapter, Judging) and "judge" in _last_word(adapter)):
        return build
    is_sure = adapter.judge(credentials)
    return lambda message: is_sure(message) or build(message)


def _last_word(adapter: Adapter) -> Container[str]:
    """Return what the class has of its own that says how messages are built."""
    return next((vars(owner) for owner in type(adapter).__mro__ if {"build", "builder"} & vars(owner).keys()), {})


@runtime_checkable
class Described(Protocol):
    """What an adapter may offer besides: which settings it has, by name, each with a line of help.

    Where it does, no others are taken; without it, any are.
    """

    settings: Mapping[str, str]


@runtime_checkable
class Limited(Protocol):
    """What an adapter may offer besides: to say how many calls can be made at once, whatever the dispatcher would."""

    def at_once(self, settings: Mapping[str, Any]) -> int:
        """Return how many, one at the least."""


@runtime_checkable
class Checkable(Protocol):
    """What an adapter may offer besides: a question that shows whether the credentials work, and sends nothing.

    An adapter without it gets its settings checked and no more.
    """

    def checkup(self, credentials: Credentials) -> Request:
        """Return the question; asked only where `check` found nothing. `credentials` hold the access token, if any."""

    def read_checkup(self, response: Response) -> str | None:
        """Return what is wrong with the credentials and what to do, in a sentence; None when they work.

        Never raises, and repeats nothing of the body that may be a secret. Not asked about a provider in trouble of its
        own (HTTP: a redirect, 408, 429, 5xx; a mail server: 4xx), which says nothing about the credentials.
        """


@dataclass(frozen=True, slots=True)
class Trace:
    """What the answer to a question about messages says.

    `kind` is ACCEPTED where it is an answer (`arrivals` has what it says; it need not name all that were asked about),
    THROTTLED or CONFIG where the next question would fare no better, else PERMANENT (asked in vain) or UNKNOWN (no
    answer). `message` says why it is none, `retry_after_ms` for how long to ask nothing. Of the receipts in `unclear`
    the provider says more when asked alone about the ids that they stand under.
    """

    kind: Kind
    arrivals: tuple[Arrival, ...] = ()
    message: str = ""
    retry_after_ms: int | None = None
    unclear: Mapping[str, Arrival] = field(default_factory=dict)


@runtime_checkable
class Traceable(Protocol):
    """What an adapter may offer besides: to ask what became of messages that the provider took.

    `traced_at_once` is how many messages one question may be about, `traces_per_minute` how many questions the provider
    allows (None: any number, in moderation).
    """

    traced_at_once: int
    traces_per_minute: int | None

    def trace(self, message_ids: Sequence[str], credentials: Credentials) -> Request:
        """Return the question about these messages, by the provider's own ids; one of `Trace.unclear` stands alone."""

    def read_trace(self, response: Response, message_ids: Sequence[str]) -> Trace:
        """Return what the answer says. Never raises, and never takes for delivered what was not said to be."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of a list of addresses. `kind` is ACCEPTED where it is one, THROTTLED where it is to be asked for later.

    Else `message` says why it is none; UNKNOWN: a shorter one may be. `count` is how many rows it has, `said` what they
    say.
    """

    kind: Kind
    said: tuple[Refusal, ...] = ()
    count: int = 0
    message: str = ""
    retry_after_ms: int | None = None


@runtime_checkable
class SuppressionLists(Protocol):
    """What an adapter may offer besides: to read the lists of those to whom the provider itself does not write."""

    lists: Sequence[str]

    def suppresses(self, name: str) -> bool:
        """Return whether who is on a list is written to no more."""

    def list_request(self, name: str, offset: int, limit: int, credentials: Credentials) -> Request:
        """Return the request for at most `limit` rows of a list, from `offset` on."""

    def read_list(self, name: str, response: Response) -> ListPage:
        """Return what a page says. Never raises."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a provider made to a webhook, as it came: the raw body, header names in lower case.

    `url` is the address that the provider called, `token` a secret that the stored credentials do not hold.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    token: str | None = field(default=None, repr=False)


class Unsigned(Exception):
    """The call cannot be checked; the text says what is missing."""


class MalformedCall(Exception):
    """The body is none that the provider sends; the text names the line or element."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a call that is none of the provider's; `why` names the line or element. The others count."""

    why: str


@runtime_checkable
class Calling(Protocol):
    """What an adapter may offer besides: to read the calls that the provider makes to a webhook."""

    def read_call(self, call: Call) -> list[Arrival | Unread]:
        """Return what a call says, in its order; raise MalformedCall where nothing in it is the provider's."""

    def is_genuine(self, call: Call, credentials: Credentials) -> bool:
        """Return whether the provider signed it; raise Unsigned where something needed for that is missing."""
