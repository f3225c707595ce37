"""SMTP as a person meets it: adding it, looking at it, trying a mail out."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.command import Cli
from tests.support.mailserver import MailServer
from tests.support.terminal import on_terminal
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
    changed = cli.call(
        "providers", "update", "smtp", "--api-secret", "-", "--keep-credentials", "--set", "port=2525", input="other\n"
    ).ok()
    shown = cli.call("providers", "show", "smtp", "-o", "json").ok()
    assert shown.json()["config"]["port"] == "2525"
    assert "secret" not in added.stdout.replace("api_secret", "")
    assert "other" not in changed.stdout + shown.stdout


def test_a_login_can_be_taken_away(cli: Cli) -> None:
    """A relay that no longer asks for a login gets none: an empty file or line removes user and password."""
    login = ("--api-key", "-", "--api-secret", "-")
    (cli.home / "empty").touch()
    for none, typed in ((("--api-key", "@empty", "--api-secret", "@empty"), None), (login, "\n\n")):
        with MailServer() as server:
            settings = ("--set", "host=127.0.0.1", "--set", f"port={server.port}", "--set", "security=none")
            cli.call("providers", "add", "smtp", *HOST[2:], *settings, *login, input="anna\nsecret\n").ok()
            gone = cli.call("providers", "update", "smtp", *none, "-o", "json", input=typed).ok().json()
            assert (gone["api_key"], gone["api_secret"]) == (None, None)
            cli.call("providers", "test", "smtp").ok()
            assert "EHLO" in server.commands and "AUTH" not in server.commands
        again = cli.call("providers", "add", "smtp", *HOST[2:], *settings, "--if-not-exists", "-o", "json").ok().json()
        assert not again["created"]
        cli.call("providers", "delete", "smtp", "--yes").ok()


def test_nothing_given_removes_nothing(cli: Cli) -> None:
    """The end of stdin is no answer, and a provider that needs its key keeps it."""
    cli.call("providers", "add", "smtp", *HOST, "--api-key", "-", input="anna\n").ok()
    said = cli.call("providers", "update", "smtp", "--api-key", "-", input="")
    assert (said.exit_code, "--api-key: nothing was given" in said.stderr) == (2, True)
    cli.call("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@example.com", input="SG.key\n").ok()
    (cli.home / "empty").touch()
    needed = cli.call("providers", "update", "sendgrid", "--api-key", "@empty")
    assert (needed.exit_code, "the API key is missing" in needed.stderr) == (2, True)
    shown = cli.call("providers", "list", "-o", "json").ok().json()
    assert len(shown) == 2
    for name in ("smtp", "sendgrid"):
        assert cli.call("providers", "show", name, "-o", "json").ok().json()["api_key"] == "set"


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


def test_dry_run_obeys_no_message(cli: Cli) -> None:
    """What a message would have a terminal do is shown, not done; and its lines stay lines."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "smtp", *HOST, "--api-key", "-", input="anna\n").ok()
    (cli.home / "body").write_text("\x1b]0;owned\x07 \x1b[2J\nhidden \u202e backwards\n")
    mail = ("send", "anna", "--channel", "email", "--subject", "S", "--body-file", "body", "--dry-run")
    shown = on_terminal(cli, *mail).stdout
    assert "\\x1b]0;owned\\x07 \\x1b[2J\nhidden \\u202e backwards" in shown
    assert "\x1b]" not in shown and "\u202e" not in shown


def test_dry_run_hides_no_part_of_the_host(cli: Cli) -> None:
    """A user's name that is also in the server's, or in the scheme's, leaves both as they are."""
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    host = ("--set", "host=smtp.example.org", "--set", "from=a@example.org", "--api-key", "-")
    cli.call("providers", "add", "smtp", *host, input="smtp\n").ok()
    mail = ("send", "anna", "--channel", "email", "--subject", "Hello", "--body", "x", "--dry-run", "-o", "json")
    assert cli.call(*mail).ok().json()["url"] == "smtp://smtp.example.org:587"


@pytest.mark.parametrize("spelling", [quote, escape, str], ids=["url", "html", "plain"])
def test_pictures_are_shown(cli: Cli, spelling: Callable[[str], str]) -> None:
    """Whatever a file is called, and however HTML may write that, the mail's bytes name it alike in both places."""
    names = ["Grüße.png", "p q.png", "a&b (1).png", "..x.png", f"{'long-' * 40}.png"]
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call("providers", "add", "smtp", *HOST).ok()
    for name in names:
        (cli.home / name).write_bytes(b"PNG")
    html = "\n".join(f'<p><img src="cid:{spelling(name)}"></p>' for name in names)
    (cli.home / "page.html").write_text(html, encoding="utf-8")
    files = ("--html-file", "page.html", *(part for name in names for part in ("--attach", name)), "--dry-run")
    mail = ("send", "anna", "--channel", "email", "--subject", "Hello", *files)
    body = cli.call(*mail, "-o", "json").ok().json()["body"]
    ids = re.findall(r"^Content-ID: <([A-Za-z0-9_-][A-Za-z0-9._-]*@[a-z]+)>\r$", body, re.MULTILINE)
    assert len(set(ids)) == len(names)
    assert re.findall(r'src="cid:(.*?)"', body.replace("=\r\n", "").replace("=3D", "=")) == ids
    read = cli.call(*mail).ok().stdout
    for shown in ids:
        assert f"cid <{shown}>" in read and f'<img src="cid:{shown}">' in read


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
        cli.call("providers", "add", "smtp", *HOST[2:], *settings, *login, input="anna\nsecret\n").ok()
        tested = cli.call("providers", "test", "smtp")
    assert (tested.exit_code, words in tested.stderr) == (exit_code, True)
    assert "MAIL" not in server.commands
    if exit_code and "login" in words:
        assert "providers update smtp --api-key - --api-secret -" in tested.stderr
