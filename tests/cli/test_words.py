"""What an act answers to a person: one line; a format that was asked for, and a program, get the record as ever."""

from __future__ import annotations

import re

import pytest

from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from tests.support import letters, seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


@pytest.fixture
def person(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line with a user and a provider."""
    db = Database(sqlite_url)
    seed.user(db)
    seed.provider(db, config_json='{"from": "a@example.org"}')
    db.close()
    bare_cli.env |= {"NOTIFYCTL_DATABASE_URL": sqlite_url, "NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes(64))}
    return bare_cli


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("users", "create", "zoe", "--email", "zoe@example.org"), rf"user zoe created: {UUID}"),
        (("users", "update", "anna", "--language", "de"), rf"user anna updated: {UUID}"),
        (("users", "contacts", "add", "anna", "push", "token"), rf"push token added to anna: {UUID}"),
        (
            ("providers", "update", "sendgrid", "--timeout", "5"),
            rf"provider sendgrid \(email\) updated, active: {UUID}",
        ),
        (("providers", "disable", "sendgrid"), rf"provider sendgrid \(email\) disabled: {UUID}"),
        (("providers", "pause", "sendgrid", "--reason", "x"), rf"provider sendgrid \(email\) paused: {UUID}"),
        (("keys", "create", "anna", "--name", "cron"), rf"key {UUID} \(cron\) of anna created: nctl_\S+"),
    ],
)
def test_one_line_of_words(person: Cli, args: tuple[str, ...], line: str) -> None:
    """At a terminal an act says what became of it, with the whole id."""
    shown = on_terminal(person, *args)
    assert shown.exit_code == 0
    assert re.fullmatch(line, shown.stdout.splitlines()[0]), shown.stdout


def test_send_says_who_sends(person: Cli) -> None:
    """A person learns in 80 columns that what was accepted waits for a dispatcher; a script gets the whole record."""
    send = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b")
    first, second = on_terminal(person, *send).stdout.splitlines()
    assert re.fullmatch(r"email to anna by sendgrid accepted, due: [0-9a-f]{8}", first)
    assert "sendgrid" in on_terminal(person, "notifications", "show", first[-8:]).stdout
    assert second.startswith("no dispatcher is running: notifyctl dispatch")
    key = ("--idempotency-key", "k", "--at", "2035-01-01T00:00:00Z")
    later = on_terminal(person, *send, *key).stdout.splitlines()[0]
    again = on_terminal(person, *send, *key).stdout.splitlines()[0]
    assert "there already, for 2035" in again
    assert max(map(len, (first, later, again))) <= 80
    assert "accepted, for 2035-01-01 00:00:00: " in later
    piped = person.run(*send).ok()
    assert (piped.stdout.splitlines()[0].split("\t")[0], piped.stderr) == ("id", "")
    asked = on_terminal(person, *send, "-o", "id").stdout
    assert re.fullmatch(rf"{UUID}\n", asked)


def test_every_act_that_makes_something_due_says_who_sends(person: Cli, sqlite_url: str) -> None:
    """Retried, resent, restored, moved or waited for without a dispatcher: a person is told, a script is not."""
    db = Database(sqlite_url)
    user = seed.user(db, "li")
    waiting, gone, moved, quiet = seed.pending(db, user, count=4)
    [dead] = letters.dead(db, user, at=1_000)
    db.close()
    person.run("notifications", "cancel", waiting, quiet).ok()
    for act in (
        ("dlq", "retry", dead),
        ("notifications", "restore", waiting, "--yes"),
        ("notifications", "reschedule", moved, "--at", "now"),
        ("notifications", "resend", quiet),
        ("send", "li", "--channel", "email", "--subject", "s", "--body", "b", "--wait", "--timeout", "1s"),
        ("schedule", "li", "--channel", "email", "--subject", "s", "--body", "b", "--in", "1h"),
    ):
        shown = on_terminal(person, *act).stdout
        assert shown.count("no dispatcher is running: notifyctl dispatch") == 1, (act, shown)
    rehearsed = on_terminal(person, "notifications", "reschedule", gone, "--at", "now", "--dry-run").stdout
    assert "no dispatcher" not in rehearsed
    assert "no dispatcher" not in on_terminal(person, "notifications", "cancel", gone).stdout
    assert "no dispatcher" not in person.run("notifications", "reschedule", moved, "--at", "now").ok().stderr


def test_lifting_says_that_it_did(person: Cli) -> None:
    """Rows alone do not tell whether they were shown or lifted: a line says so, apart from the data."""
    person.run("suppressions", "add", "email", "bob@example.org", "--reason", "bounced").ok()
    lifted = person.run("suppressions", "remove", "email", "BOB@example.org").ok()
    assert lifted.stderr == "1 lifted: BOB@example.org may be written to again\n"
    assert "bob@example.org" in lifted.stdout and "lifted" not in lifted.stdout
