"""Mail through a mail server, the whole way: from `providers add` and `send` to the server's queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Cli
from tests.support.mailserver import LATE, MailServer
from tests.support.sandbox import Sandbox
from tests.support.world import KEYS

MAIL = ("send", "anna", "--channel", "email", "--subject", "Grüße", "--body", "Hällo")


@pytest.fixture
def sqlite_cli(sqlite_url: str, tmp_path: Path) -> Cli:
    """The command line for what is between notifyctl and the mail server, whichever the database is."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home=home, database_url=sqlite_url)


def begin(cli: Cli, port: int, *options: str, input: str | None = None) -> None:
    """Make anna, and the mail server at this port a provider."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    add(cli, port, *options, input=input)


def add(cli: Cli, port: int, *options: str, input: str | None = None) -> dict[str, Any]:
    settings = ("--set", "host=127.0.0.1", "--set", f"port={port}", "--set", "from=Shop <shop@example.com>")
    added = cli.call("providers", "add", "smtp", *settings, *options, "-o", "json", input=input).ok()
    return dict(added.json())


def shown(cli: Cli, id_: str) -> dict[str, Any]:
    found = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    return dict(found[0] if isinstance(found, list) else found)


def test_the_whole_way(cli: Cli) -> None:
    """Without a login, over one connection: what `send` was given is in the server's queue, under its name for it."""
    with MailServer() as server:
        begin(cli, server.port, "--set", "security=none")
        sent = [cli.call(*MAIL, "-o", "id").ok().stdout.strip() for _ in range(5)]
        cli.call("dispatch", "--once", "--concurrency", "1").ok()
    assert len(server.heard) == 1
    assert server.commands[-1] == "QUIT"
    mails = [message_from_bytes(mail, policy=policy.default) for mail in server.mails]
    assert {str(mail["Message-ID"]) for mail in mails} == {f"<{id_}@example.com>" for id_ in sent}
    assert {(str(mail["Subject"]), mail.get_content().strip()) for mail in mails} == {("Grüße", "Hällo")}
    last = shown(cli, sent[-1])
    assert (last["status"], last["provider"], last["provider_message_id"]) == ("sent", "smtp", "4XyZ12Abc")


@pytest.mark.slow
def test_no_more_is_taken_than_there_are_connections(sqlite_cli: Cli) -> None:
    """What would only wait for a connection stays in the queue, where it costs no attempt."""
    cli = sqlite_cli
    with MailServer({"DATA": [LATE]}) as server:
        begin(cli, server.port, "--set", "security=none", "--set", "connections=2", "--timeout", "2")
        sent = [cli.call(*MAIL, "-o", "id").ok().stdout.strip() for _ in range(12)]
        report = cli.call("dispatch", "--once", "-o", "json").ok().json()
    assert (report["accepted"], report["attempts"]) == (12, 12)
    assert {shown(cli, id_)["attempt_count"] for id_ in sent} == {1}
    assert len(server.heard) <= 2


def test_refusals(sqlite_cli: Cli) -> None:
    """A dead mailbox becomes a dead letter; a server that is busy gets the mail later."""
    cli = sqlite_cli
    with MailServer({"RCPT": ["550 5.1.1 no such user", "451 4.3.0 later"]}) as server:
        begin(cli, server.port, "--set", "security=none")
        dead = cli.call(*MAIL, "--to", "gone@example.org", "-o", "id").ok().stdout.strip()
        cli.call("dispatch", "--once").ok()
        later = cli.call(*MAIL, "-o", "id").ok().stdout.strip()
        cli.call("dispatch", "--once", "--limit", "1").ok()
    assert cli.call("dlq", "list", "-o", "json").ok().json()[0]["failure_reason"] == "invalid_recipient"
    assert shown(cli, dead)["error_message"] == "550 5.1.1 no such user"
    assert (shown(cli, later)["status"], shown(cli, later)["attempt_count"]) == ("pending", 1)


def test_a_wrong_password_pauses(sqlite_cli: Cli) -> None:
    """A login that is refused is nobody's message's fault: the provider waits for a person, who learns what to do."""
    cli = sqlite_cli
    with MailServer({"AUTH": ["535 5.7.8 wrong", "235 welcome"]}) as server:
        begin(cli, server.port, "--set", "security=none", "--api-key", "-", "--api-secret", "-", input="anna\nwrong\n")
        id_ = cli.call(*MAIL, "-o", "id").ok().stdout.strip()
        paused = cli.call("dispatch", "--once").ok()
        assert "the login is refused" in paused.stderr
        assert "wrong" not in paused.stderr.replace("5.7.8 wrong", "")
        cli.call("providers", "update", "smtp", "--api-secret", "-", "--resume", input="right\n").ok()
        end = time.monotonic() + 60
        while shown(cli, id_)["status"] == "pending":
            assert time.monotonic() < end
            cli.call("dispatch", "--once").ok()
    assert shown(cli, id_)["status"] == "sent"
    assert shown(cli, id_)["attempt_count"] == 1


def test_priority_decides(cli: Cli) -> None:
    """Among several providers of a channel the one of the highest priority takes it, whichever that is."""
    begin(cli, 25, "--set", "security=none", "--priority", "5")
    sender = ("--set", "from=alerts@example.com")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *sender, input="SG.key\n").ok()
    assert cli.call(*MAIL, "-o", "json").ok().json()["provider"] == "smtp"
    cli.call("providers", "update", "sendgrid", "--priority", "6").ok()
    assert cli.call(*MAIL, "-o", "json").ok().json()["provider"] == "sendgrid"
    assert cli.call(*MAIL, "--provider", "smtp", "-o", "json").ok().json()["provider"] == "smtp"


@pytest.mark.slow
def test_by_the_sandbox(sqlite_cli: Cli, sandbox_with: Callable[..., Sandbox]) -> None:
    """The sandbox is a mail server too, with the login it prints; what it took is in its log."""
    cli = sqlite_cli
    sandbox = sandbox_with("--inject", "smtp=451x1")
    facts = sandbox.facts["smtp"]
    login = f"{facts['api_key']}\n{facts['api_secret']}\n"
    begin(cli, facts["port"], "--set", "security=none", "--api-key", "-", "--api-secret", "-", input=login)
    cli.call("providers", "test", "smtp").ok()
    id_ = cli.call(*MAIL, "-o", "id").ok().stdout.strip()
    end = time.monotonic() + 60
    while shown(cli, id_)["status"] == "pending":
        assert time.monotonic() < end
        cli.call("dispatch", "--once").ok()
    lines = sandbox.requests("smtp")
    assert [line["status"] for line in lines] == [451, 250]
    assert {line["notification_id"] for line in lines} == {id_}
    assert lines[0]["recipient"] == "anna@example.org"
