"""Notifications in fixtures, on both databases: by the same plan as `send`, once for each key."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, batches, notifications
from tests.cli.test_fixtures import apply, changes, counts
from tests.support import seed
from tests.support.command import Cli

SENT = """\
notifications:
  - {user: anna, key: first, channel: sms, body: no, send_at: 2030-10-25T09:00:00+01:00, max_retries: 0}
  - user: anna
    key: second
    channel: sms
    template: welcome
    category: news
    variables: {name: 0700, vip: false, items: [1, two]}
    expires_in: 1h
    critical: yes
users:
  - {username: anna, email: anna@example.org, contacts: [{channel: sms, address: +447700900123}]}
categories:
  - {name: news}
templates:
  - {name: welcome, channel: sms, by: anna, body: "Welcome {{ name }}", variables: [name, vip, items]}
"""


@pytest.fixture(autouse=True)
def provider(database: Database) -> None:
    """A provider of text messages."""
    seed.provider(database, "twilio", config_json='{"from": "+14155552345"}')


def test_they_are_submitted_once_as_one_batch(cli: Cli, database: Database) -> None:
    """With all that the same file makes; one audit row for all, and nothing the second time."""
    done = changes(apply(cli, SENT, "-o", "json"))
    assert done[-2:] == [("notifications", "anna first", "create"), ("notifications", "anna second", "create")]
    with database.read() as tx:
        rows = {row.max_retries: row for row in tx.execute(select(notifications))}
        assert tx.execute(select(batches.c.source)).scalars().all() == ["fixtures"]
        told = tx.execute(select(audit_logs.c.action).where(audit_logs.c.resource_type == "batch")).scalars().all()
    assert (rows[0].send_at, '"no"' in rows[0].payload) == (1919145600000, True)
    assert (rows[5].is_critical, rows[5].category, rows[5].template_version) == (True, "news", 1)
    assert '"name":"0700"' in rows[5].payload
    assert '"vip":false' in rows[5].payload
    assert told == ["submit"]
    before = counts(database)
    again = apply(cli, SENT, "-o", "json")
    assert (changes(again), again.stderr) == ([], "6 unchanged\n")
    assert counts(database) == before


def test_the_same_submission_by_send_is_recognised(cli: Cli, database: Database) -> None:
    """A key means the same in a fixture and on the command line."""
    apply(cli, SENT).ok()
    options = ("--channel", "sms", "--body", "no", "--at", "2030-10-25T09:00:00+01:00", "-o", "json")
    told = cli.call("send", "anna", *options, "--idempotency-key", "first").ok().json()
    assert told["deduplicated"] is True
    cli.call("send", "anna", *options, "--idempotency-key", "third").ok()
    more = SENT.replace("key: first", "key: third")
    assert changes(apply(cli, more, "-o", "json")) == []


def test_a_key_with_other_content_is_told_and_nothing_is_done(cli: Cli, database: Database) -> None:
    """Exit 5, with the line; also in a dry run, which leaves nothing."""
    before = counts(database)
    assert len(changes(apply(cli, SENT, "--dry-run", "-o", "json"))) == 6
    assert counts(database) == before
    apply(cli, SENT).ok()
    before = counts(database)
    for more in ((), ("--dry-run",)):
        refused = apply(cli, SENT.replace("body: no", "body: other"), *more)
        assert refused.exit_code == 5
        assert "-:2:18: notifications[0].key: the idempotency key 'first' was used" in refused.stderr
    assert counts(database) == before


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("body: no", "body: no, template: welcome", 2, "notifications[0]"),
        ("body: no, ", "", 2, "notifications[0]"),
        ("2030-10-25T09", "2020-10-25T09", 2, "is past"),
        ("2030-10-25T09:00:00+01:00", "2030-10-25", 2, "notifications[0].send_at"),
        ("key: first, ", "", 2, "notifications[0].key: is missing"),
        ("key: first", "key: second", 2, "the notification anna second is there twice"),
        ("max_retries: 0", "max_retries: -1", 2, "notifications[0].max_retries"),
        ("max_retries: 0", "provider: fcm", 3, "notifications[0].provider: there is no provider 'fcm'"),
        ("vip: false", "vip: 1.10", 2, "notifications[1].variables: would be the number 1.1"),
        ("template: welcome", "template: none", 3, "notifications[1].template: there is no template 'none'"),
        ("expires_in: 1h", "expires_in: soon", 2, "notifications[1].expires_in"),
        ("body: no", "body: no, to: nowhere", 2, "notifications[0]"),
        ("user: anna, key: first", "user: dora, key: first", 3, "notifications[0].user: there is no user 'dora'"),
        ("channel: sms, body: no", "channel: push, body: no", 5, "notifications[0]: no active provider delivers push"),
    ],
)
def test_what_cannot_be_submitted_is_refused_with_its_line(
    cli: Cli, database: Database, old: str, new: str, code: int, said: str
) -> None:
    """All or nothing."""
    before = counts(database)
    refused = apply(cli, SENT.replace(old, new))
    assert (refused.exit_code, said in refused.stderr) == (code, True), refused.stderr
    assert counts(database) == before


def test_no_dump_has_them_and_nothing_prunes_them(cli: Cli) -> None:
    """What was sent must not be sent again, and is taken back by `notifications cancel` alone."""
    apply(cli, SENT, "--label", "ci").ok()
    dumped = cli.call("fixtures", "dump", "--kind", "users", "--kind", "categories", "--kind", "templates").ok().stdout
    assert "notifications" not in dumped
    assert cli.call("fixtures", "dump", "--kind", "notifications").exit_code == 2
    without = SENT[SENT.index("users:") :]
    assert changes(apply(cli, without, "--label", "ci", "--prune", "--yes", "-o", "json")) == []
    assert len(cli.call("notifications", "list", "-o", "json").ok().json()) == 2
