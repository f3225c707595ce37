"""What other programs stored and no fixture can say: a dump names each of it, and why, on both databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from notifyctl.store.db.database import Database
from tests.cli.test_fixtures import apply, changes
from tests.support import seed
from tests.support.command import Cli

STORED = """\
users:
  - username: anna
    email: anna@example.org
    preferences: [{channel: sms, cap: 3, quiet: 22:00-07:00, timezone: Europe/London}]
categories: [{name: news}]
opt_outs: [{user: anna, category: news}]
templates:
  - {name: pin, channel: push, by: anna, title: Pin, body: b, data: {a: b}, variables: [x], variants: {de: {body: d}}}
"""


def spoil(database: Database, *statements: str) -> None:
    """Store something as another program might: with foreign keys off, where the database has it so."""
    if database.path is None:
        database.write(lambda tx: [tx.conn.exec_driver_sql(each) for each in statements])
        return
    with closing(sqlite3.connect(database.path)) as connection, connection:
        for each in statements:
            connection.execute(each)


def told(cli: Cli) -> list[str]:
    """Return what a dump says besides; nothing of it is told where all is well."""
    return cli.call("fixtures", "dump").ok().stderr.splitlines()


def test_quiet_hours_and_zones_that_are_none_are_named(cli: Cli, database: Database, backend: str) -> None:
    """Whose they are, on which channel, what is stored and the command that ends it; the rest is dumped."""
    apply(cli, STORED).ok()
    assert told(cli) == []
    spoil(database, "UPDATE notification_preferences SET quiet_hours_end = NULL, timezone = 'europe/berlin'")
    hours = "22:00:00-?"
    if backend == "sqlite":
        spoil(database, "UPDATE notification_preferences SET quiet_hours_start = 'late'")
        hours = "late-?"
    dumped = cli.call("fixtures", "dump", "--kind", "users").ok()
    assert dumped.stderr.splitlines() == [
        f"preference anna sms: left out, since it cannot be read: quiet hours {hours!r}"
        " (notifyctl prefs set anna sms --quiet 22:00-07:00)",
        "preference anna sms: left out, since it cannot be read: zone 'europe/berlin'"
        " (notifyctl prefs set anna sms --timezone Europe/Berlin)",
    ]
    assert "cap: 3" in dumped.stdout
    assert "quiet" not in dumped.stdout
    assert cli.call("fixtures", "dump", "--kind", "categories").ok().stderr == ""
    cli.call("prefs", "set", "anna", "sms", "--quiet", "none", "--timezone", "none").ok()
    assert told(cli) == []


@pytest.mark.parametrize("column", ["variables", "data", "variants"])
@pytest.mark.parametrize("value", ["[", '"text"'])
def test_parts_of_templates_that_cannot_be_read_are_named(
    cli: Cli, database: Database, column: str, value: str
) -> None:
    """What is no JSON, or JSON of another kind: the template is another one in the dump."""
    apply(cli, STORED).ok()
    spoil(database, f"UPDATE template_versions SET {column} = '{value}'")
    assert told(cli) == [f"template pin: left out, since it cannot be read: {column} (notifyctl templates update pin)"]
    spoil(database, f"UPDATE template_versions SET {column} = 'null'")
    assert told(cli) == []


def test_a_template_of_which_nothing_is_kept_is_named(cli: Cli, database: Database) -> None:
    """Without a version there is nothing that a fixture could say of it."""
    apply(cli, STORED).ok()
    spoil(database, "DELETE FROM template_versions", "UPDATE notification_templates SET published_version = 0")
    dumped = cli.call("fixtures", "dump").ok()
    assert dumped.stderr.splitlines() == [
        "template pin has no version, and is left out (notifyctl templates delete pin)"
    ]
    assert "templates:" not in dumped.stdout
    cli.call("templates", "delete", "pin", "--yes").ok()


def test_settings_and_events_that_cannot_be_read_are_named(cli: Cli, database: Database) -> None:
    """Of providers, where credentials may be among them, and of webhooks."""
    seed.provider(database, config_json='{"from": "a@example.org"}')
    seed.webhook(database, seed.user(database), name="orders")
    usual = told(cli)
    spoil(
        database,
        "UPDATE provider_configs SET config_json = '{\"from\": '",
        "UPDATE notification_webhooks SET events = 'sent'",
    )
    found = cli.call("fixtures", "dump").ok()
    assert [each for each in found.stderr.splitlines() if each not in usual] == [
        "provider sendgrid: left out, since it cannot be read: settings (notifyctl providers update sendgrid)",
        "webhook anna orders: left out, since it cannot be read: events"
        " (notifyctl webhooks update anna/orders --event sent)",
    ]
    assert "from" not in found.stdout


def test_what_nobody_has_any_more_is_counted(cli: Cli, database: Database, backend: str) -> None:
    """Where foreign keys are off, opt-outs outlive their user."""
    apply(cli, STORED.partition("templates:")[0]).ok()
    spoil(database, "DELETE FROM users")
    dumped = cli.call("fixtures", "dump").ok()
    assert "opt_outs" not in dumped.stdout
    gone = ["1 opt-out is left out: the users are gone"] if backend == "sqlite" else []
    assert dumped.stderr.splitlines() == gone
    assert changes(apply(cli, dumped.stdout, "-o", "json")) == []
