"""`dlq` through the command line: list, show, retry, resolve, reopen."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, metrics_dirty_hours, suppressions
from tests.support import letters, seed
from tests.support.command import Cli

HOUR = 3_600_000


@pytest.fixture
def anna(database: Database) -> str:
    """A user and a provider."""
    seed.provider(database, "sendgrid")
    return seed.user(database)


def suppress(database: Database, channel: str, address: str) -> None:
    """Suppress an address."""
    row = {"id": str(uuid.uuid4()), "channel": channel, "address": address, "reason": "STOP"}
    database.write(lambda tx: tx.execute(suppressions.insert().values(row)))


def audited(database: Database) -> list[Any]:
    """Return the audit trail, oldest first."""
    with database.read() as tx:
        return list(tx.execute(select(audit_logs).order_by(audit_logs.c.created_at)))


def test_list_looks_as_it_should(cli: Cli, database: Database, anna: str) -> None:
    """The table of the design: the notification's id, age, who, how, why, attempts and what the provider said."""
    now = database.moment()
    [id_] = letters.dead(database, anna, at=now - 14 * 60_000 - 5_000)
    head, row = cli.call("dlq", "list", "-o", "table").ok().stdout.splitlines()
    assert head.split() == ["ID", "AGE", "USER", "CH", "PROVIDER", "REASON", "TRIES", "ANSWER"]
    assert row.split() == [id_[:8], "14m", "anna", "email", "sendgrid", "retries_exhausted", "6/6", "503"]


def test_list(cli: Cli, database: Database, anna: str) -> None:
    """`list` means unresolved; -o id is the notification's, so that ids pipe between nouns."""
    first, second = (letters.dead(database, anna, at=at)[0] for at in (1_000, 2_000))
    cli.call("dlq", "resolve", first, "--by", "anna", "--note", "fixed").ok()
    assert cli.call("dlq", "list", "-o", "id").ok().stdout == f"{second}\n"
    [resolved] = cli.call("dlq", "list", "--resolved", "-o", "json").ok().json()
    assert (resolved["notification_id"], resolved["resolved_by"], resolved["note"]) == (first, anna, "fixed")
    assert resolved["id"] == seed.dead_letter(database, first).id
    piped = cli.call("notifications", "show", *cli.call("dlq", "list", "-o", "id").stdout.split(), "-o", "json").ok()
    assert piped.json()["status"] == "failed"


@pytest.mark.parametrize(
    ("args", "exit_code"),
    [(("--user", "nobody"), 3), (("--provider", "nobody"), 3), (("--reason", "bad luck"), 2), (("--since", "x"), 2)],
)
def test_bad_filters(cli: Cli, anna: str, args: tuple[str, ...], exit_code: int) -> None:
    """An unknown name is never an empty list."""
    result = cli.call("dlq", "list", *args)
    assert (result.exit_code, result.stdout) == (exit_code, "")


def test_pages(cli: Cli, database: Database, anna: str) -> None:
    """A page of a long list says of how many, and its cursor goes on without a gap."""
    letters.dead(database, anna, count=7)
    page = cli.call("dlq", "list", "--limit", "4", "-o", "id").ok()
    assert "4 of 7" in page.stderr
    rest = cli.call("dlq", "list", "--cursor", page.stderr.split("--cursor ")[1].split()[0], "-o", "id").ok()
    assert len({*page.stdout.split(), *rest.stdout.split()}) == 7


def test_show(cli: Cli, database: Database, anna: str) -> None:
    """By the entry's id or the notification's, whole or the beginning, with the attempts."""
    [id_] = letters.dead(database, anna)
    entry = seed.dead_letter(database, id_).id
    for text in (id_, entry, id_[:8], entry[:8]):
        shown = cli.call("dlq", "show", text, "-o", "json").ok().json()
        assert (shown["id"], shown["notification_id"]) == (entry, id_)
    assert shown["payload"] == seed.CONTENT["email"]
    assert [attempt["ended_at"] for attempt in shown["attempts"]] == ["1970-01-01T00:00:01.700Z"]
    assert "busy" in cli.call("dlq", "show", id_, "-o", "table").ok().stdout
    assert cli.call("dlq", "show", str(uuid.uuid4())).exit_code == 3
    [other] = seed.pending(database, anna)
    assert cli.call("dlq", "show", other).exit_code == 3


def test_retry(cli: Cli, database: Database, anna: str) -> None:
    """Pending again, due now, with --retries more; the letter is in the history; the old hour is counted again."""
    [id_] = letters.dead(database, anna, created_at=3 * HOUR + 5)
    entry = seed.dead_letter(database, id_).id
    [said] = cli.call("dlq", "retry", entry, "--retries", "2", "-o", "json").ok().json()
    assert (said["id"], said["result"]) == (id_, "retried")
    shown = cli.call("notifications", "show", id_, "-o", "json").ok().json()
    assert (shown["status"], shown["state"], shown["attempt_count"], shown["max_retries"]) == ("pending", "due", 6, 8)
    assert [each.get("event") or each["outcome"] for each in shown["attempts"]] == ["transient", "dead_letter"]
    assert cli.call("dlq", "show", id_).exit_code == 3
    [row] = audited(database)
    assert (row.action, row.resource_type, row.resource_id) == ("retry", "notification", id_)
    with database.read() as tx:
        assert set(tx.execute(select(metrics_dirty_hours.c.hour_start)).scalars()) == {3 * HOUR}
    assert cli.call("dlq", "retry", id_).exit_code == 3


@pytest.mark.parametrize(("rate", "gap"), [("5/s", 200), ("5", 200), ("120/m", 500), ("0.5/s", 2_000), ("7200/h", 500)])
def test_rate(cli: Cli, database: Database, anna: str, rate: str, gap: int) -> None:
    """The moments from which they are due lie so far apart, the oldest first: the provider is not run over."""
    ids = [letters.dead(database, anna, at=at)[0] for at in (3_000, 1_000, 2_000)]
    cli.call("dlq", "retry", "--all", "--yes", "--rate", rate).ok()
    due = [seed.notification(database, ids[index]).due_at for index in (1, 2, 0)]
    assert [later - due[0] for later in due] == [0, gap, 2 * gap]


@pytest.mark.parametrize("args", [("--rate", "0/s"), ("--rate", "fast"), ("--rate", "5/d"), ("--retries", "0")])
def test_bad_rates(cli: Cli, database: Database, anna: str, args: tuple[str, ...]) -> None:
    """Exit 2, and nothing is sent."""
    [id_] = letters.dead(database, anna)
    assert cli.call("dlq", "retry", id_, *args).exit_code == 2
    assert seed.notification(database, id_).status == "failed"


def test_a_resolved_letter_needs_force(cli: Cli, database: Database, anna: str) -> None:
    """Somebody dealt with it: sending it after all must be meant."""
    [id_] = letters.dead(database, anna)
    cli.call("dlq", "resolve", id_, "--by", "anna").ok()
    result = cli.call("dlq", "retry", id_)
    assert (result.exit_code, "--force" in result.stderr) == (5, True)
    assert cli.call("dlq", "retry", "--resolved", "--yes").exit_code == 2
    assert seed.notification(database, id_).status == "failed"
    cli.call("dlq", "retry", "--resolved", "--yes", "--force", "--expect", "1").ok()
    assert seed.notification(database, id_).status == "pending"


def test_a_suppressed_address_is_warned_of(cli: Cli, database: Database, anna: str) -> None:
    """The retry goes through, but it will be cancelled: the command that helps is on stderr, stdout stays data."""
    suppress(database, "email", "anna@example.org")
    suppress(database, "sms", "+14155552345")
    mails, [text] = letters.dead(database, anna, count=2), letters.dead(database, anna, "twilio")
    result = cli.call("dlq", "retry", "--all", "--yes", "-o", "json").ok()
    assert {row["id"] for row in result.json()} == {*mails, text}
    assert "notifyctl users contacts unsuppress anna email anna@example.org" in result.stderr
    assert "notifyctl users contacts unsuppress anna sms +14155552345" in result.stderr
    assert result.stderr.count("warning: ") == 2


def test_an_expired_one_is_warned_of(cli: Cli, database: Database, anna: str) -> None:
    """It would be cancelled instead of sent, which the person should know now."""
    letters.dead(database, anna, expires_at=5_000)
    assert "1 of them have expired" in cli.call("dlq", "retry", "--all", "--yes").ok().stderr


def test_resolve_and_reopen(cli: Cli, database: Database, anna: str) -> None:
    """The letter keeps its row and says who, when and why; reopened it is as before. Both leave an audit row."""
    [id_] = letters.dead(database, anna)
    cli.call("dlq", "resolve", id_, "--by", "anna@example.org", "--note", "called them").ok()
    entry = seed.dead_letter(database, id_)
    assert (entry.resolved, entry.resolved_by, entry.note) == (True, anna, "called them")
    assert entry.resolved_at is not None
    assert seed.notification(database, id_).status == "failed"
    again = cli.call("dlq", "resolve", id_, "--by", "anna")
    assert (again.exit_code, "resolved by anna already" in again.stderr) == (5, True)
    cli.call("dlq", "reopen", "--all", "--yes", "--expect", "1").ok()
    entry = seed.dead_letter(database, id_)
    assert (entry.resolved, entry.resolved_by, entry.resolved_at, entry.note) == (False, None, None, None)
    assert cli.call("dlq", "reopen", id_).exit_code == 5
    assert [(row.action, row.resource_type, row.resource_id) for row in audited(database)] == [
        ("resolve", "dead_letter", entry.id),
        ("reopen", "dead_letter", entry.id),
    ]


def test_who_resolves(cli: Cli, database: Database, anna: str) -> None:
    """--by, else the API key's user, else the profile's operator; with neither exit 2, nothing changed."""
    omar = seed.user(database, "omar")
    ids = letters.dead(database, anna, count=4)
    nobody = cli.call("dlq", "resolve", ids[0])
    assert (nobody.exit_code, "--by USER" in nobody.stderr) == (2, True)
    assert cli.call("dlq", "resolve", ids[0], "--by", "nobody").exit_code == 3
    assert not seed.dead_letter(database, ids[0]).resolved
    (cli.home / "config.toml").write_text('profile = "p"\n[profiles.p]\noperator = "omar"\n')
    config = {"NOTIFYCTL_CONFIG": str(cli.home / "config.toml")}
    key = cli.call("keys", "create", "anna", "--name", "n", "-o", "secret").ok().stdout.strip()
    cli.call("dlq", "resolve", ids[0], env=config).ok()
    cli.call("dlq", "resolve", ids[1], env={**config, "NOTIFYCTL_API_KEY": key}).ok()
    cli.call("dlq", "resolve", ids[2], "--by", "omar", env={**config, "NOTIFYCTL_API_KEY": key}).ok()
    assert [seed.dead_letter(database, id_).resolved_by for id_ in ids] == [omar, anna, omar, None]
