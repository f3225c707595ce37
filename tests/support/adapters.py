"""Another provider in this process: as if somebody's package with it were installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import ClassVar, cast

from notifyctl.core.model import Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response, Trace
from notifyctl.providers.sendgrid import SendGrid


class Second(SendGrid):
    """A second provider of e-mail, with SendGrid's protocol; it has no templates of its own."""

    name = "second"

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return SendGrid's request; raise InvalidMessage for a template."""
        if "template_id" in message.content:
            raise InvalidMessage("template_id: there are no templates here")
        return super().build(message, credentials)


class Faulty(Second):
    """A third provider of e-mail, by somebody who made mistakes, in what `raises` names."""

    name = "faulty"
    raises: ClassVar[str] = ""

    def check(self, credentials: Credentials) -> Sequence[str]:
        """Return nothing, or raise."""
        if self.raises == "check":
            raise KeyError("setting")
        return ()

    def read(self, response: Response) -> Outcome:
        """Return SendGrid's outcome, or one of a kind that is a mere text, or with a wish in parts of milliseconds."""
        outcome = super().read(response)
        if self.raises == "wish":
            return Outcome(Kind.THROTTLED, "slowly", retry_after_ms=cast(int, 1_500.5))
        return replace(outcome, kind=cast(Kind, "accepted")) if self.raises == "read" else outcome

    def read_trace(self, response: Response, message_ids: Sequence[str]) -> Trace:
        """Return SendGrid's answer, or what is none, or one with such a wish."""
        if self.raises == "trace wish":
            return Trace(Kind.THROTTLED, message="slowly", retry_after_ms=cast(int, 90_000.5))
        return cast(Trace, None) if self.raises == "trace" else super().read_trace(response, message_ids)


FAULTY = ("faulty", "tests.support.adapters:Faulty")
SECOND = {"second": "tests.support.adapters:Second"}


def install(name: str, value: str) -> None:
    """Install a provider for the rest of this process."""
    there = {**registry._entry_points(), name: EntryPoint(name, value, registry.GROUP)}
    registry._entry_points = lambda: there  # type: ignore[assignment]
