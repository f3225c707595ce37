"""Another provider in this process: as if somebody's package with it were installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from notifyctl.core.model import Message
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, InvalidMessage, Request
from notifyctl.providers.sendgrid import SendGrid


class Second(SendGrid):
    """A second provider of e-mail, with SendGrid's protocol; it has no templates of its own."""

    name = "second"

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return SendGrid's request; raise InvalidMessage for a template."""
        if "template_id" in message.content:
            raise InvalidMessage("template_id: there are no templates here")
        return super().build(message, credentials)


SECOND = {"second": "tests.support.adapters:Second"}


def install(name: str, value: str) -> None:
    """Install a provider for the rest of this process."""
    there = {**registry._entry_points(), name: EntryPoint(name, value, registry.GROUP)}
    registry._entry_points = lambda: there  # type: ignore[assignment]
