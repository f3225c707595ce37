"""`templates preview --sandbox`: what a template says, on the page of a sandbox that runs."""

from __future__ import annotations

import json
import socket
from urllib.request import urlopen

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.sandbox import Sandbox

WORDS = {
    "email": ("--subject", "Hi {{ name }}", "--body", "Hello {{ name }}"),
    "sms": ("--body", "Hello {{ name }}"),
    "push": ("--title", "Hi {{ name }}", "--body", "Hello {{ name }}"),
}


def create(cli: Cli, channel: str, *more: str) -> None:
    """Make a template of that channel."""
    made = ("templates", "create", "welcome", "--channel", channel, "--by", "anna", "--variables", "name")
    cli.call(*made, *WORDS[channel], *more).ok()


def shown(cli: Cli, sandbox: Sandbox, *more: str) -> str:
    """Show it there, and return what the page has that the command names."""
    line = ("templates", "preview", "welcome", "--var", "name=<Anna>", "--sandbox", sandbox.url)
    with urlopen(cli.call(*line, *more).ok().stdout.strip()) as page:
        return str(page.read().decode())


@pytest.mark.parametrize("channel", list(WORDS))
def test_a_preview_is_shown_as_its_provider_would_get_it(
    cli: Cli, database: Database, sandbox: Sandbox, channel: str
) -> None:
    """No provider has to be set up for that, and the sandbox counts it as nothing that was to be sent."""
    seed.user(database)
    create(cli, channel)
    page = shown(cli, sandbox)
    assert "Hello &lt;Anna&gt;" in page
    assert "(preview)" in page
    assert channel == "sms" or "Hi &lt;Anna&gt;" in page
    with urlopen(f"{sandbox.url}/messages.json") as listed:
        [message] = json.load(listed)
    assert message["checks"] is True


def test_a_preview_of_marketing_is_left_by_nobody(cli: Cli, database: Database, sandbox: Sandbox) -> None:
    """It has the headers of RFC 8058, with a token that the handler behind the link refuses."""
    seed.user(database)
    cli.call("categories", "create", "news", "--kind", "marketing").ok()
    (cli.home / "config.toml").write_text("unsubscribe_url = 'https://example.org/u'\n")
    cli.env |= {"NOTIFYCTL_CONFIG": str(cli.home / "config.toml")}
    create(cli, "email", "--category", "news")
    page = shown(cli, sandbox)
    assert "List-Unsubscribe=One-Click" in page
    [token] = {part.partition("&quot;")[0].split("&gt;")[0] for part in page.split("token=")[1:2]}
    assert cli.call("prefs", "unsubscribe", token.split("<")[0].split("&")[0]).exit_code == 7


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8025", "http://example.org", "http://127.0.0.1@evil.org", "x", "http://[::"]
)
def test_previews_go_to_no_other_machine(cli: Cli, database: Database, url: str) -> None:
    """They may hold what somebody's notification said."""
    seed.user(database)
    create(cli, "sms")
    refused = cli.call("templates", "preview", "welcome", "--var", "name=x", "--sandbox", url)
    assert refused.exit_code == 2
    assert "--sandbox" in refused.stderr


def test_where_no_sandbox_runs_it_is_said(cli: Cli, database: Database) -> None:
    """With the command that starts one."""
    seed.user(database)
    create(cli, "sms")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused = cli.call("templates", "preview", "welcome", "--var", "name=x", "--sandbox", url)
    assert refused.exit_code == 7
    assert "notifyctl sandbox" in refused.stderr
