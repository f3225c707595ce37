"""An audit row is there exactly when something changed: every command, in a story in which each of them does both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from notifyctl import __version__
from notifyctl.core.audit.words import knows
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.columns import metadata
from notifyctl.store.schema.tables import audit_logs, notification_dlq, notifications
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.tree import LEAVES

RECKONED = frozenset(
    (
        "audit_anchors",
        "audit_logs",
        "audit_seals",
        "cap_usage",
        "dispatchers",
        "fixture_labels",
        "metrics_dirty_hours",
        "notification_metrics",
        "rate_limits",
    )
)
"""Tables that nobody changes by a command's purpose: the trail itself, presence, and what is counted of other rows."""

LOOKING = frozenset(
    (
        *("migrate status", "migrate history", "migrate sql", "migrate check", "migrate roles"),
        *("users list", "users export", "users show", "users contacts list", "keys list", "keys show", "keys scopes"),
        *("providers list", "providers show", "templates list", "templates show", "templates diff", "templates lint"),
        *("notifications list", "notifications show", "notifications export", "notifications explain"),
        *("batches list", "batches show", "dlq list", "dlq show", "dlq export", "suppressions list"),
        *("suppressions show", "suppressions export", "categories list", "categories show", "prefs show", "prefs list"),
        *("limits show", "limits list", "fixtures dump", "fixtures schema", "webhooks list", "webhooks show"),
        *("webhooks deliveries", "webhooks events", "metrics show", "metrics export", "audit list", "audit show"),
        *(
            "audit actions",
            "audit export",
            "audit verify",
            "status",
            "secrets status",
            "config show",
            "config path",
            "completion show",
        ),
    )
)
"""Commands that change nothing whatever they are given."""

ELSEWHERE = {
    "sandbox": "serves until it is stopped, on no database",
    "demo": "makes a database of its own",
    "webhooks listen": "serves until it is stopped, on no database",
    "webhooks verify": "reads what was received, on no database",
    "webhooks test": "calls a receiver",
    "webhooks redeliver": "asks dispatchers to call a receiver",
    "migrate down": "takes the trail away with everything else",
    "providers test": "calls a provider",
    "suppressions pull": "calls a provider; what it writes is what suppressions import writes",
    "receipts poll": "calls a provider; what it writes is what receipts ingest writes",
    "templates preview": "with --sandbox asks a sandbox; changes nothing",
    "templates pull": "writes files",
    "audit seal": "changes the trail's own tables alone",
    "audit anchor": "changes the trail's own tables alone",
    "audit purge": "changes the trail alone, and is on record there: test_audit.py",
    "secrets generate-key": "writes a file",
    "metrics rollup": "counts what other rows say",
    "keys verify": "looks at a key",
}
"""Commands that are no part of the story, and why."""


@dataclass
class Story:
    """A command line on a database, with the ids that came up."""

    cli: Cli
    database: Database
    folder: Path
    ids: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, text: str) -> str:
        """Write a file and return its path."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def state(self) -> dict[str, list[str]]:
        """Return what is stored, but for what is reckoned."""
        with self.database.read() as tx:
            names = [name for name in sorted(metadata.tables) if name not in RECKONED]
            return {name: sorted(map(repr, tx.execute(select(metadata.tables[name])).all())) for name in names}

    def rows(self) -> dict[str, Any]:
        """Return the trail, by id."""
        with self.database.read() as tx:
            return {row.id: row for row in tx.execute(select(audit_logs))}

    def notification(self, *words: str) -> str:
        """Submit a notification for later and return its id."""
        line = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--in", "1h", *words, "-o", "id")
        return self.cli.call(*line).ok().stdout.strip()


Words = Sequence[str] | Callable[[Story], Sequence[str]]


@dataclass(frozen=True)
class Step:
    """A command line: `changes` says whether it changes something, `codes` are its possible exit codes.

    `elsewhere`: what it changes is not in the database, and it is audited all the same.
    """

    path: str
    words: Words = ()
    changes: bool = True
    input: str | None = None
    codes: tuple[int, ...] = (0,)
    elsewhere: bool = False


def same(path: str, words: Words = (), **more: Any) -> Step:
    """Return a step that changes nothing."""
    return Step(path, words, changes=False, **more)


FIXTURE = "users:\n  - username: fay\n    email: fay@example.org\n"
TEMPLATE = ("--channel", "email", "--subject", "Hi {{ name }}", "--body", "Hello {{ name }}", "--by", "anna")
MANY = "user,channel,subject,body\nanna,email,s,b\n"
MAIL = ("anna", "--channel", "email", "--subject", "s", "--body", "b")


def _dead(story: Story) -> str:
    """Return the id of a notification that is a dead letter."""
    user = story.ids["anna"]
    [made] = seed.pending(story.database, user, status="failed", failed_at=2_000, attempt_count=1)
    letter = {"id": made[:-1] + "0" if made[-1] != "0" else made[:-1] + "1", "notification_id": made}
    row = {**letter, "failure_reason": "retries_exhausted", "moved_to_dlq_at": 3_000}
    story.database.write(lambda tx: tx.execute(notification_dlq.insert(), [row]))
    story.ids["dead"] = made
    return made


def _receipt(story: Story) -> Sequence[str]:
    made = story.notification()
    sent = update(notifications).where(notifications.c.id == made)
    sent = sent.values(status="sent", sent_at=1_000, provider_message_id="m1", send_at=None)
    story.database.write(lambda tx: tx.execute(sent))
    event = {"email": "anna@example.org", "event": "delivered", "notification_id": made, "timestamp": 2, "attempt": 1}
    story.ids["receipt"] = story.file("events.json", json.dumps([event]))
    return (story.ids["receipt"], "--provider", "sendgrid")


def _rows_of_users(story: Story) -> Sequence[str]:
    return ("-f", story.file("people.csv", "username,email\nivy,ivy@example.org\n"))


STORY: tuple[Step, ...] = (
    same("migrate up"),
    Step("users create", ("anna", "--email", "anna@example.org")),
    same("users create", ("anna", "--email", "anna@example.org", "--if-not-exists")),
    same("users create", ("anna", "--email", "other@example.org"), codes=(5,)),
    Step("users create", ("omar", "--email", "omar@example.org")),
    Step("users update", ("anna", "--language", "de")),
    same("users update", ("anna", "--language", "de")),
    Step("users import", _rows_of_users),
    same("users import", _rows_of_users),
    Step("users contacts add", ("anna", "sms", "+14155552345")),
    same("users contacts add", ("anna", "sms", "+14155552345", "--if-not-exists")),
    Step("users contacts suppress", ("anna", "sms", "+14155552345", "--reason", "said no to +14155552345")),
    same("users contacts suppress", ("anna", "sms", "+14155552345", "--reason", "said no"), codes=(0, 5)),
    Step("users contacts unsuppress", ("anna", "sms", "+14155552345")),
    same("users contacts unsuppress", ("anna", "sms", "+14155552345"), codes=(0, 3, 5)),
    Step("users contacts remove", ("anna", "sms", "+14155552345")),
    same("users contacts remove", ("anna", "sms", "+14155552345"), codes=(3,)),
    Step("keys create", ("anna", "--name", "ci")),
    same("keys create", ("anna", "--name", "ci", "--if-not-exists")),
    Step("keys rotate", lambda story: (_key(story),)),
    Step("keys revoke", lambda story: (_key(story),)),
    same("keys revoke", lambda story: (_revoked(story),)),
    Step("providers add", ("sendgrid", "--api-key", "-", "--set", "from=shop@example.com"), input="SG.s3cr3t-canary"),
    Step("providers update", ("sendgrid", "--priority", "3")),
    same("providers update", ("sendgrid", "--priority", "3")),
    Step("providers pause", ("sendgrid", "--reason", "because of anna@example.org")),
    Step("providers resume", ("sendgrid",)),
    same("providers resume", ("sendgrid",)),
    Step("providers disable", ("sendgrid",)),
    same("providers disable", ("sendgrid",)),
    Step("providers enable", ("sendgrid",)),
    same("providers enable", ("sendgrid",)),
    Step("providers add", ("smtp", "--set", "host=mail.example.org", "--set", "from=shop@example.com")),
    Step("providers delete", ("smtp", "--yes")),
    same("providers delete", ("smtp", "--yes"), codes=(3,)),
    Step("categories create", ("news", "--kind", "marketing")),
    same("categories create", ("news", "--kind", "marketing", "--if-not-exists")),
    Step("categories update", ("news", "--description", "what is new")),
    same("categories update", ("news", "--description", "what is new")),
    Step("prefs set", ("anna", "email", "--cap", "3")),
    same("prefs set", ("anna", "email", "--cap", "3")),
    Step("prefs opt-out", ("anna", "news")),
    same("prefs opt-out", ("anna", "news")),
    Step("prefs opt-in", ("anna", "news")),
    same("prefs opt-in", ("anna", "news")),
    same("prefs unsubscribe", ("nonsense",), codes=(2,)),
    Step("prefs clear", ("anna",)),
    same("prefs clear", ("anna",)),
    Step("limits set", ("anna", "--per-minute", "5")),
    same("limits set", ("anna", "--per-minute", "5")),
    Step("limits set", ("anna", "--per-minute", "none")),
    Step("templates create", ("welcome", *TEMPLATE)),
    Step("templates update", ("welcome", "--body", "Dear {{ name }}")),
    same("templates update", ("welcome", "--body", "Dear {{ name }}")),
    Step("templates publish", ("welcome",)),
    same("templates publish", ("welcome",), codes=(5,)),
    Step("templates rollback", ("welcome",)),
    Step("templates disable", ("welcome",)),
    same("templates disable", ("welcome",)),
    Step("templates enable", ("welcome",)),
    same("templates enable", ("welcome",)),
    Step("send", MAIL),
    Step("send", (*MAIL, "--idempotency-key", "k")),
    same("send", (*MAIL, "--idempotency-key", "k")),
    same("send", (*MAIL, "--dry-run")),
    Step("schedule", (*MAIL, "--in", "1h")),
    Step(
        "send",
        lambda story: (
            "-f",
            story.file("many.csv", "user,channel,subject,body\nanna,email,s,b\n"),
            "--batch",
            "spring",
        ),
    ),
    Step("batches pause", ("spring",)),
    same("batches pause", ("spring",)),
    Step("batches resume", ("spring",)),
    same("batches resume", ("spring",)),
    Step("batches cancel", ("spring", "--yes")),
    same("batches cancel", ("spring", "--yes"), codes=(0, 5)),
    Step("notifications reschedule", lambda story: (_later(story), "--at", "2035-01-01T00:00:00Z")),
    Step("notifications cancel", lambda story: (story.ids["later"],)),
    same("notifications cancel", lambda story: (story.ids["later"],), codes=(5,)),
    Step("notifications restore", lambda story: (story.ids["later"],)),
    same("notifications restore", lambda story: (story.ids["later"],), codes=(5,)),
    same("notifications cancel", ("--user", "anna", "--dry-run")),
    Step("dlq resolve", lambda story: (_dead(story), "--by", "anna", "--note", "call +14155552345")),
    same("dlq resolve", lambda story: (story.ids["dead"], "--by", "anna"), codes=(5,)),
    Step("dlq reopen", lambda story: (story.ids["dead"],)),
    same("dlq reopen", lambda story: (story.ids["dead"],), codes=(5,)),
    Step("dlq retry", lambda story: (story.ids["dead"],)),
    same("dlq retry", lambda story: (story.ids["dead"],), codes=(3, 5)),
    Step("notifications resend", lambda story: (_resendable(story),)),
    Step("receipts ingest", _receipt),
    same("receipts ingest", lambda story: (story.ids["receipt"], "--provider", "sendgrid")),
    Step("suppressions add", ("email", "dead@example.org", "--reason", "550 <dead@example.org>")),
    same("suppressions add", ("email", "dead@example.org", "--reason", "again", "--if-not-exists"), codes=(0, 5)),
    Step("suppressions remove", ("email", "dead@example.org", "--yes")),
    same("suppressions remove", ("email", "dead@example.org", "--yes"), codes=(0, 3)),
    Step("suppressions import", lambda story: ("-f", story.file("s.csv", "channel,address\nemail,x@example.org\n"))),
    same("suppressions import", lambda story: ("-f", str(story.folder / "s.csv"))),
    Step("webhooks create", ("anna", "https://example.org/hook/t0ken", "--event", "sent", "--name", "hook")),
    Step("webhooks update", ("hook", "--event", "failed")),
    same("webhooks update", ("hook", "--event", "failed")),
    Step("webhooks disable", ("hook",)),
    same("webhooks disable", ("hook",)),
    Step("webhooks enable", ("hook",)),
    same("webhooks enable", ("hook",)),
    Step("webhooks rotate-secret", ("hook",)),
    Step("webhooks delete", ("hook", "--yes")),
    same("webhooks delete", ("hook", "--yes"), codes=(3,)),
    Step("fixtures apply", lambda story: ("-f", story.file("f.yaml", FIXTURE))),
    same("fixtures apply", lambda story: ("-f", str(story.folder / "f.yaml"))),
    Step("templates push", lambda story: (_pulled(story), "--publish", "--by", "anna")),
    same("templates push", lambda story: (str(story.folder / "templates"), "--publish", "--by", "anna")),
    Step("templates delete", ("welcome", "--yes")),
    same("templates delete", ("welcome", "--yes"), codes=(3,)),
    Step("categories delete", ("news", "--yes")),
    same("categories delete", ("news", "--yes"), codes=(3,)),
    Step("dispatch", lambda story: _held(story)),
    same("dispatch", ("--once",)),
    Step("secrets rotate", lambda story: ("--activate", _added(story)), elsewhere=True),
    Step("secrets rotate", ("--re-encrypt",)),
    same("secrets rotate", ("--re-encrypt",)),
    Step("secrets encrypt-addresses", ("--yes",)),
    same("secrets encrypt-addresses", ("--yes",)),
    Step("secrets decrypt-addresses", ("--yes",)),
    same("secrets decrypt-addresses", ("--yes",)),
    Step("users delete", ("omar", "--yes", "--cancel-pending")),
    same("users delete", ("omar", "--yes"), codes=(3,)),
)


def _key(story: Story) -> str:
    return str(story.cli.call("keys", "list", "-o", "json").ok().json()[0]["id"])


def _revoked(story: Story) -> str:
    listed = story.cli.call("keys", "list", "-o", "json").ok().json()
    return str(next(each["id"] for each in listed if each["state"] == "revoked"))


def _later(story: Story) -> str:
    story.ids["later"] = story.notification()
    return story.ids["later"]


def _resendable(story: Story) -> str:
    made = story.notification()
    done = update(notifications).where(notifications.c.id == made).values(status="sent", sent_at=1_000)
    story.database.write(lambda tx: tx.execute(done))
    return made


def _pulled(story: Story) -> str:
    folder = story.folder / "templates"
    story.cli.call("templates", "pull", str(folder)).ok()
    for path in folder.rglob("welcome*"):
        path.write_text(path.read_text().replace("Hello", "Good day").replace("Dear", "Good day"))
    return str(folder)


def _held(story: Story) -> Sequence[str]:
    """Let nothing be due, so that all a dispatcher does is to adopt its policy."""
    story.database.write(lambda tx: tx.execute(update(notifications).values(due_at=2**41)))
    return ("--once",)


def _added(story: Story) -> str:
    story.cli.call("secrets", "generate-key", "--add").ok()
    return story.cli.call("secrets", "status", "-o", "json").ok().json()[-1]["kid"]


def test_every_command_is_somewhere() -> None:
    """A command that is new has to be put into the story, or be said to change nothing."""
    told = {step.path for step in STORY}
    assert set(LEAVES) - told - LOOKING - set(ELSEWHERE) == set()
    assert (told | LOOKING) - set(LEAVES) == set()
    assert not (told & LOOKING or told & set(ELSEWHERE) or LOOKING & set(ELSEWHERE))
    changing = {step.path for step in STORY if step.changes}
    assert told - changing == {"migrate up", "prefs unsubscribe"}  # whose changes have tests of their own


def test_there_is_a_row_exactly_when_something_changed(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Both ways, by command; it says what was done in listed words, by which command, and masks the rest."""
    keys = tmp_path / "keys"
    keys.write_text(format_key("k1", bytes(range(64))) + "\n")
    keys.chmod(0o600)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(keys)
    story, wrong = Story(cli, database, tmp_path), list[str]()
    for step in STORY:
        if "anna" not in story.ids and step.path != "users create" and step.path != "migrate up":
            story.ids["anna"] = cli.call("users", "show", "anna", "-o", "id").ok().stdout.strip()
        words = step.words(story) if callable(step.words) else step.words
        state, rows = story.state(), story.rows()
        done = cli.call(*step.path.split(), *words, input=step.input)
        after, more = story.state(), {id_: row for id_, row in story.rows().items() if id_ not in rows}
        changed = [name for name in after if after[name] != state[name]]
        line = f"{step.path} {' '.join(words)}"
        if done.exit_code not in step.codes:
            wrong.append(f"{line}: {done}")
        elif bool(changed or step.elsewhere) != step.changes:
            wrong.append(f"{line}: changed {changed}")
        elif step.changes != bool(more):
            wrong.append(
                f"{line}: changed {changed}, wrote {[(row.action, row.resource_type) for row in more.values()]}"
            )
        wrong += [f"{line}: {each}" for row in more.values() for each in _faults(row, step.path)]
    assert not wrong, "\n".join(wrong)
    assert cli.call("audit", "verify", "-o", "json").ok().json()["without_mac"] == 0


def _faults(row: Any, path: str) -> list[str]:
    said = f"{row.action} {row.resource_type} {row.changes}"
    found = [] if knows(row.action, row.resource_type) else [f"the vocabulary has no {said}"]
    if row.user_agent != f"notifyctl/{__version__} {path}":
        found.append(f"user agent {row.user_agent}")
    if not row.actor or "@" not in row.actor or row.mac is None:
        found.append(f"actor {row.actor}, MAC {row.mac}")
    for canary in ("anna@", "omar@", "dead@", "x@example", "5552345", "s3cr3t", "t0ken", "Hello", "Dear"):
        if canary in str(row.changes):
            found.append(f"{canary} in {said}")
    return found


@pytest.mark.parametrize("path", sorted(LOOKING))
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_only_looks_writes_nothing(cli: Cli, database: Database, path: str) -> None:
    """Not a row, whatever it finds."""
    from tests.support.tree import line

    seed.user(database)
    with database.read() as tx:
        before = tx.execute(select(func.count()).select_from(audit_logs)).scalar()
    done: Result = cli.call(*line(path, {}))
    assert done.exit_code in (0, 2, 3, 4, 7), done
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(audit_logs)).scalar() == before
