"""What cannot be meant on a command line is told in plain words; a duration is one wherever it is."""

from __future__ import annotations

import pytest

from notifyctl.core.sealing import format_key
from tests.support.command import Cli

KEYS = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes(64))}


@pytest.fixture
def desk(sqlite_url: str, bare_cli: Cli) -> Cli:
    """A provider and a webhook."""
    bare_cli.env |= {"NOTIFYCTL_DATABASE_URL": sqlite_url, **KEYS}
    bare_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    setting = ("--set", "from=a@example.org")
    bare_cli.call("providers", "add", "sendgrid", "--api-key", "-", *setting, input="SG.key").ok()
    bare_cli.call("webhooks", "create", "anna", "https://example.org/hook", "--event", "sent", "--name", "w").ok()
    return bare_cli


@pytest.mark.parametrize("thing", [("providers", "update", "sendgrid"), ("webhooks", "update", "w")])
def test_a_timeout_is_a_duration(desk: Cli, thing: tuple[str, ...]) -> None:
    """Like all others: with a unit, or seconds; what is stored is whole seconds, and anything else changes nothing."""
    for text, count in (("7", 7), ("8s", 8), ("9000ms", 9), (" 10s", 10)):
        assert desk.call(*thing, "--timeout", text, "-o", "json").ok().json()["timeout_seconds"] == count
    for text in ("0", "0s", "1500ms", "1h", "301", "-1", "x", "", "1e3", "1_0"):
        refused = desk.call(*thing, f"--timeout={text}")
        assert (refused.exit_code, refused.stdout) == (2, ""), text
        assert "--timeout" in refused.stderr and "1s to " in refused.stderr
    shown = desk.call(thing[0], "show", thing[2], "-o", "json").ok().json()
    assert shown["timeout_seconds"] == 10


@pytest.mark.parametrize(
    "line", ["users list --limit 5x", "providers update sendgrid --priority 1.5", "receipts poll --limit many"]
)
def test_what_is_no_number(desk: Cli, line: str) -> None:
    """In words, with the option's name, and without the names that a library has for types."""
    refused = desk.call(*line.split())
    assert refused.exit_code == 2
    assert f"'{line.split()[-2]}': '{line.split()[-1]}' is no whole number\n" in refused.stderr


def test_what_is_missing(desk: Cli) -> None:
    """It is named as any command names it, and what there is to choose from."""
    told = desk.call("send", "anna", "--body", "x").stderr.splitlines()
    assert told == ["error: Missing option '--channel'", "hint: --channel email, sms, push"]
    assert desk.call("send").stderr.startswith("error: Missing argument 'USER', or -f FILE\n")


@pytest.mark.parametrize(
    "line",
    [
        "send anna --channel sms --body x --in 1h --expires-in soon",
        "dispatch --poll 1s --lease 0s",
        "dispatch --bytes-in-flight 1q",
        "dlq retry --all --rate x",
        "notifications list --since 2h --stuck x",
        "notifications list --since 2h --until x",
        "keys create anna --name x --expires-in 0",
        "keys create anna --name x --scope users:read --scope nope",
        "metrics show --last x",
        "status --watch x",
        "webhooks rotate-secret w --grace x",
        "webhooks redeliver --webhook w --failed --rate x",
    ],
)
def test_the_option_is_named_whose_value_is_refused(desk: Cli, line: str) -> None:
    """Once, whichever it is of several that take the same kind of value."""
    words = line.split()
    refused = desk.call(*words)
    first = refused.stderr.splitlines()[0]
    assert refused.exit_code == 2
    assert first.startswith(f"error: {words[-2]}: ") and first.count(words[-2]) == 1, first
