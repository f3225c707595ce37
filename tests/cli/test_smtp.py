"""SMTP as a person meets it: adding it, looking at it, trying a mail out."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support.command import Cli
from tests.support.mailserver import MailServer
from tests.support.world import KEYS

HOST = ("--set", "host=mail.example.com", "--set", "from=Shöp <shop@example.com>")


@pytest.fixture
def cli(sqlite_url: str, tmp_path: Path) -> Cli:
    """The command line with encryption keys. On SQLite only: nothing here is about the database."""
    home = tmp_path / "home"
    home.mkdir()
    made = Cli(home=home, database_url=sqlite_url)
    made.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    return made


def test_no_login_is_needed(cli: Cli) -> None:
    """A relay that asks for none gets none, also at a terminal, where nobody is asked; others still need their key."""
    added = cli.call("providers", "add", "smtp", *HOST, "-o", "json").ok().json()
    assert (added["channel"], added["api_key"], added["api_secret"]) == ("email", None, None)
    cli.call("providers", "add", "smtp", *HOST, "--if-not-exists").ok()
    cli.call("providers", "delete", "smtp", "--yes").ok()
    assert cli.type("providers", "add", "smtp", *HOST, keys="").exit_code == 0
    refused = cli.call("providers", "add", "sendgrid", "--set", "from=a@example.com")
    assert (refused.exit_code, "the API key is missing" in refused.stderr) == (2, True)


def test_login(cli: Cli) -> None:
    """User and password are kept like any secret, and shown only as set; they can be changed one at a time."""
    login = ("--api-key", "-", "--api-secret", "-")
    added = cli.call("providers", "add", "smtp", *HOST, *login, "-o", "json", input="anna\nsecret\n").ok()
    assert (added.json()["api_key"], added.json()["api_secret"]) == ("set", "set")
    changed = cli.call("providers", "update", "smtp", "--api-secret", "-", "--set", "port=2525", input="other\n").ok()
    shown = cli.call("providers", "show", "smtp", "-o", "json").ok()
    assert shown.json()["config"]["port"] == "2525"
    assert "secret" not in added.stdout.replace("api_secret", "")
    assert "other" not in changed.stdout + shown.stdout


def test_settings_are_checked(cli: Cli) -> None:
    """Each wrong setting is said at once, and a password cannot be given where it would not be encrypted."""
    wrong = cli.call("providers", "add", "smtp", "--set", "host=mail:25", "--set", "security=ssl")
    assert wrong.exit_code == 2
    for words in ("without a port", "starttls, tls, none", 'the sender "from" is missing'):
        assert words in wrong.stderr
    assert cli.call("providers", "add", "smtp", *HOST, "--set", "password=x").exit_code == 2


def test_dry_run_is_readable(cli: Cli) -> None:
    """A person sees the words, not their encoding; a script gets the mail as it is."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "smtp", *HOST, "--api-key", "-", input="anna\n").ok()
    file = {"filename": "ä.pdf", "type": "application/pdf", "content": b64encode(b"x" * 5_000).decode()}
    data = json.dumps({"html": "<p>Hällo</p>", "cc": ["bob@example.org"], "attachments": [file]})
    mail = ("send", "anna", "--channel", "email", "--subject", "Grüße", "--body", "Hällo", "--data", data, "--dry-run")
    lines = cli.call(*mail).ok().stdout.splitlines()
    assert lines[:2] == ["MAIL smtp://mail.example.com:587", "Authorization: Basic ***"]
    for line in (
        "Rcpt-To: <anna@example.org> <bob@example.org>",
        "From: Shöp <shop@example.com>",
        "Subject: Grüße",
        "Hällo",
        "--- text/html",
        "<p>Hällo</p>",
        "--- application/pdf, attachment, ä.pdf",
        "(5,000 bytes)",
    ):
        assert line in lines
    exact = cli.call(*mail, "-o", "json").ok().json()
    assert "Content-Transfer-Encoding: quoted-printable" in exact["body"]
    assert exact["headers"]["Authorization"] == "Basic ***"


def test_what_smtp_cannot_do_is_refused_at_once(cli: Cli) -> None:
    """A template of SendGrid's is refused by the field's name when it is submitted, not hours later."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "smtp", *HOST).ok()
    refused = cli.call("send", "anna", "--channel", "email", "--data", '{"template_id": "d-1"}')
    assert (refused.exit_code, "template_id: SMTP knows nothing like it" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("reply", "exit_code", "words"),
    [
        ("235 welcome", 0, ""),
        ("535 5.7.8 no", 7, "the login is refused"),
        ("421 4.3.2 busy", 7, "it is in trouble itself"),
    ],
)
def test_providers_test(cli: Cli, reply: str, exit_code: int, words: str) -> None:
    """Whether the login works is asked of the server, without a mail."""
    with MailServer({"AUTH": reply}) as server:
        settings = ("--set", "host=127.0.0.1", "--set", f"port={server.port}", "--set", "security=none")
        login = ("--api-key", "-", "--api-secret", "-")
        cli.call("providers", "add", "smtp", *HOST, *settings, *login, input="anna\nsecret\n").ok()
        tested = cli.call("providers", "test", "smtp")
    assert (tested.exit_code, words in tested.stderr) == (exit_code, True)
    assert "MAIL" not in server.commands
    if exit_code and "login" in words:
        assert "providers update smtp --api-key - --api-secret -" in tested.stderr
