"""SMTP: e-mail through whatever mail server the operator has."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.providers.contract import Credentials, Request, Response
from notifyctl.providers.smtp import answers
from notifyctl.providers.smtp.mail import mail
from notifyctl.providers.smtp.relay import address, connections, problems


class Smtp:
    """The adapter.

    `api_key` is the user, `api_secret` the password; either may be empty, both are for a server that asks for neither.
    """

    name = "smtp"
    channel = Channel.EMAIL
    default_url = ""
    settings: Mapping[str, str] = {
        "host": "the mail server; needed",
        "from": "the sender, a@b or Name <a@b>; needed",
        "reply_to": "where answers go",
        "security": "starttls (unless set), tls or none",
        "port": "587, 465 or 25 unless set, by security",
        "ca_file": "the certificates to trust instead of the system's",
        "connections": "how many at once, 8 unless set",
        "ehlo": "by what name it greets the server, this machine's own or [address] unless set",
    }

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        return problems(credentials)

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the mail and its envelope; raise InvalidMessage when there can be none."""
        envelope, body = mail(message, credentials)
        return Request("MAIL", address(credentials), {**_login(credentials), **envelope}, body)

    def at_once(self, settings: Mapping[str, Any]) -> int:
        """Return how many mails can be on their way at once: one a connection."""
        return connections(settings)

    def read(self, response: Response) -> Outcome:
        """Return what the reply means; only a 250 after the whole mail is a success."""
        return answers.read(response)

    def checkup(self, credentials: Credentials) -> Request:
        """Return the question that shows whether the server can be reached and takes the login."""
        return Request("NOOP", address(credentials), _login(credentials), b"")

    def read_checkup(self, response: Response) -> str | None:
        """Return what is wrong with the server or the login, None when nothing is."""
        return answers.read_checkup(response)


def _login(credentials: Credentials) -> dict[str, str]:
    user, password = credentials.api_key, credentials.api_secret or ""
    if not user and not password:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{quote(user)}:{quote(password)}".encode()).decode()}
