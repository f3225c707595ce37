"""What an adapter is: it builds a request and reads a response, and does nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome


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
    """One HTTP request, complete; the body is what goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


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
    """No response: `UNSENT` when no byte can have reached the provider, else `AMBIGUOUS`."""

    kind: FailureKind
    message: str


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
