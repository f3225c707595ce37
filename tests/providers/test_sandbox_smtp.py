"""The sandbox as a mail server: what it takes, notes and gets wrong on request, seen through the adapter."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from notifyctl.core.errors import Conflict
from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers.contract import Credentials, Response
from notifyctl.providers.smtp import Smtp
from notifyctl.providers.wire import Wire, outcome_of
from notifyctl.sandbox import SMTP_PASSWORD, SMTP_USER

ID = "11111111-2222-4333-8444-555555555555"


def port_of(sandbox: Any) -> int:
    return (urlsplit(sandbox.url).port or 0) + 1


def outcomes(sandbox: Any, count: int = 1, login: tuple[str, str] = ("", ""), timeout_s: float = 30) -> list[Outcome]:
    """Send so many mails in turn, over one wire."""
    settings = {"host": "127.0.0.1", "port": port_of(sandbox), "security": "none", "from": "shop@example.com"}
    message = Message(ID, Channel.EMAIL, "anna@example.org", {"v": 1, "subject": "Hello", "text": "Hello!\n.\n"})
    request = Smtp().build(message, Credentials(*login, settings))

    async def main() -> list[Outcome]:
        wire = Wire()
        try:
            answers = [await wire.send(request, timeout_s) for _ in range(count)]
        finally:
            await wire.aclose()
        return [Smtp().read(each) if isinstance(each, Response) else outcome_of(each) for each in answers]

    return asyncio.run(main())


def test_a_mail_is_noted(start_sandbox: Callable[..., Any]) -> None:
    """What it took is in the log: from whom, to whom, whose notification it is, and the mail as it came."""
    with start_sandbox(seed=1) as sandbox:
        (first, second) = outcomes(sandbox, 2, (SMTP_USER, SMTP_PASSWORD))
        (line, _) = sandbox.log
    assert (first.kind, second.kind) == (Kind.ACCEPTED, Kind.ACCEPTED)
    assert first.provider_message_id != second.provider_message_id
    assert (line["provider"], line["method"], line["status"], line["fault"]) == ("smtp", "MAIL", 250, None)
    assert (line["notification_id"], line["recipient"]) == (ID, "anna@example.org")
    assert line["headers"] == {"mail-from": "shop@example.com", "rcpt-to": "anna@example.org"}
    assert "Subject: Hello\r\n" in line["body"] and line["body"].endswith("\r\n\r\nHello!\r\n.\r\n")


def test_a_wrong_login(start_sandbox: Callable[..., Any]) -> None:
    """It knows one login; no login at all is as good."""
    with start_sandbox() as sandbox:
        (refused,) = outcomes(sandbox, login=(SMTP_USER, "wrong"))
        assert (refused.kind, refused.code) == (Kind.CONFIG, "5.7.8")
        assert sandbox.log == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("421", Kind.TRANSIENT),
        ("454", Kind.THROTTLED),
        ("550", Kind.RECIPIENT),
        ("552", Kind.PERMANENT),
        ("599", Kind.PERMANENT),
        ("reset", Kind.UNKNOWN),
        ("cut", Kind.UNKNOWN),
        ("garbage", Kind.UNKNOWN),
        ("slow", Kind.UNKNOWN),
        ("hang", Kind.UNKNOWN),
    ],
)
def test_faults(start_sandbox: Callable[..., Any], fault: str, kind: Kind) -> None:
    """Each fault strikes when the mail was handed over, as often as it should; afterwards all is well."""
    with start_sandbox(f"smtp={fault}x1") as sandbox:
        (struck,) = outcomes(sandbox, timeout_s=5 if fault in ("slow", "hang") else 30)
        (well,) = outcomes(sandbox)
        (first, second) = sandbox.log
    assert (struck.kind, well.kind) == (kind, Kind.ACCEPTED)
    assert (first["fault"], second["fault"]) == (fault, None)
    assert first["status"] == (int(fault) if fault.isdigit() else None if fault in ("reset", "hang") else 250)


def test_the_port_for_mail_is_the_next_one(start_sandbox: Callable[..., Any]) -> None:
    """Where it is taken, the sandbox does not start, and names it."""
    with start_sandbox() as sandbox:
        taken = urlsplit(sandbox.url).port or 0
        with pytest.raises(Conflict, match="cannot be used"), start_sandbox(port=taken - 1):
            pass


def test_every_client_is_understood(start_sandbox: Callable[..., Any]) -> None:
    """It is a mail server for others too: Python's own client delivers to it."""
    with start_sandbox() as sandbox:
        with smtplib.SMTP("127.0.0.1", port_of(sandbox), timeout=30) as client:
            client.login(SMTP_USER, SMTP_PASSWORD)
            client.sendmail("a@example.com", ["b@example.com", "c@example.com"], "Subject: Hi\r\n\r\nHi\r\n")
        (line,) = sandbox.log
    assert (line["recipient"], line["notification_id"]) == ("b@example.com", None)
    assert line["headers"]["rcpt-to"] == "b@example.com c@example.com"
