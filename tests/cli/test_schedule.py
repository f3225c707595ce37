"""`schedule`: `send` that insists on a time."""

from __future__ import annotations

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli

TEXT = ("schedule", "anna", "--channel", "sms", "--body", "It works", "--to", "+14155552345")


def test_schedule_insists_on_a_time(cli: Cli, database: Database) -> None:
    """Without --at or --in nothing is stored: a notification meant for later must not go out now."""
    seed.user(database)
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    refused = cli.call(*TEXT)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--at" in refused.stderr and "--in" in refused.stderr
    stored = cli.call(*TEXT, "--in", "90s", "-o", "json").ok().json()
    assert stored["state"] == "scheduled"
    row = seed.notification(database, stored["id"])
    assert row.send_at == row.due_at == row.created_at + 90_000
    assert cli.call(*TEXT, "--at", "2031-01-01T00:00:00Z").exit_code == 0


def test_the_two_take_the_same_options(bare_cli: Cli) -> None:
    """Whoever knows `send` knows `schedule`; only of files there is one road."""

    def options(command: str) -> list[str]:
        return [line.split()[0] for line in bare_cli.call(command, "--help").ok().stdout.splitlines() if "  -" in line]

    of_files = ("-f,", "--format", "--delimiter", "--map", "--rejects", "--batch", "--rate", "--canary")
    assert [each for each in options("send") if each not in of_files] == options("schedule") != []
    assert set(of_files) <= set(options("send"))
