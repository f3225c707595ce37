"""A hint is a command, and people paste it: whatever a thing is called, it is one word there, and nothing is run."""

from __future__ import annotations

import base64
import re
import shlex

import pytest

from notifyctl.core.operate import BY_OPERATOR
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli, Result

USER, BATCH, WEBHOOK = "o'neil;$(id)", "new year; $(id)", 'shop "a" & $(id)'


@pytest.fixture
def desk(cli: Cli, database: Database) -> Cli:
    """Somebody, a batch and a webhook that are called so."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = f"k1:{base64.b64encode(bytes(64)).decode()}"
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    seed.provider(database, "twilio", config_json='{"from":"+14155550100","account_sid":"AC1"}')
    cli.call("users", "create", USER, "--email", "oneil@example.org").ok()
    cli.call("webhooks", "create", USER, "https://example.org/a", "--event", "sent", "--name", WEBHOOK).ok()
    (cli.home / "f.csv").write_text(f"user,channel,subject,body\n{USER},email,Hello,Hi\n")
    cli.call("send", "-f", "f.csv", "--batch", BATCH).ok()
    return cli


def told(result: Result, command: str) -> list[str]:
    """The words that a shell makes of a command that was told, up to where its own words begin."""
    found = re.search(rf"notifyctl ({command} .*)", result.stdout + result.stderr)
    assert found, result
    return shlex.split(found[1])


def test_people(desk: Cli) -> None:
    """Who is there already, and where an address is missing."""
    again = desk.call("users", "create", USER, "--email", "other@example.org")
    assert told(again, "users show") == ["users", "show", USER]
    desk.call(*told(again, "users show")).ok()
    missing = desk.call("send", USER, "--channel", "sms", "--body", "x")
    assert told(missing, "users contacts add")[:5] == ["users", "contacts", "add", USER, "sms"]
    gone = desk.call("users", "contacts", "remove", USER, "sms", "+14155552671")
    desk.call(*told(gone, "users contacts list")).ok()


def test_batches(desk: Cli) -> None:
    """One that is held, and one that takes nothing more."""
    desk.call("batches", "pause", BATCH).ok()
    held = told(desk.call("status"), "batches resume")
    assert held == ["batches", "resume", BATCH]
    desk.call(*held).ok()
    desk.call("batches", "cancel", BATCH, "--yes").ok()
    assert told(desk.call("send", "-f", "f.csv", "--batch", BATCH), "batches resume")[:3] == held


def test_webhooks(desk: Cli) -> None:
    """One that is there already, and one that works."""
    called = f"{USER}/{WEBHOOK}"
    again = desk.call("webhooks", "create", USER, "https://example.org/b", "--event", "sent", "--name", WEBHOOK)
    assert told(again, "webhooks update")[:3] == ["webhooks", "update", called]
    works = told(desk.call("webhooks", "enable", called, "--redeliver"), "webhooks redeliver")
    assert works == ["webhooks", "redeliver", "--webhook", called, "--failed"]
    desk.call(*works).ok()


def test_what_cannot_be_restored_or_deleted(desk: Cli, database: Database) -> None:
    """The way out names what it is for: it runs as it stands there."""
    user = desk.call("users", "show", USER, "-o", "json").ok().json()["id"]
    [gone] = seed.pending(database, user, status="cancelled", error_message="the address is suppressed: x")
    [late] = seed.pending(database, user, status="cancelled", error_message=BY_OPERATOR, expires_at=1)
    for id_ in (gone, late):
        anew = told(desk.call("notifications", "restore", id_, "--yes"), "notifications resend")
        desk.call(*anew).ok()
    kept = told(desk.call("providers", "delete", "sendgrid", "--yes"), "providers disable")
    desk.call(*kept).ok()
    desk.call("templates", "create", "hi", "--channel", "sms", "--body", "b", "--by", USER).ok()
    version = desk.call("templates", "show", "hi", "-o", "json").ok().json()
    seed.pending(database, user, "twilio", template_id=version["id"], template_version=1)
    desk.call(*told(desk.call("templates", "delete", "hi", "--yes"), "templates disable")).ok()
