"""What webhooks are told of what people do: every way in, every act on many, and nothing of what is deleted."""

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import insert, select, update

import notifyctl
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import batches, notification_webhooks, notifications, users, webhook_deliveries
from tests.support import seed
from tests.support.command import Cli

SEND = ("send", "anna", "--channel", "email", "--subject", "Hi", "--body", "Hi", "-o", "id")
ROWS = "user,channel,subject,body\n" + "anna,email,Hi,Hi\n" * 3
FIXTURE = "notifications: [{user: anna, key: k1, channel: email, subject: Hi, body: Hi}]\n"


@pytest.fixture(autouse=True)
def hooks(database: Database) -> list[str]:
    """Who listens to everything of anna's: her webhook, and one that hears of everybody."""
    seed.provider(database, "sendgrid", config_json='{"from": "alerts@example.com"}')
    anna, bert = seed.user(database), seed.user(database, "bert")
    heard = [seed.webhook(database, anna), seed.webhook(database, bert, all_users=True)]
    seed.webhook(database, bert)
    return heard


def told(database: Database, hooks: list[str]) -> list[tuple[str, str]]:
    """The notifications and what is told of each; each webhook is told the same, once."""
    rows = seed.deliveries(database)
    of = [[(row.notification_id, row.event_type[13:]) for row in rows if row.webhook_id == hook] for hook in hooks]
    assert Counter(of[0]) == Counter(of[1])
    assert len(rows) == 2 * len(of[0])
    return of[0]


def ids(database: Database) -> set[str]:
    """All notifications."""
    with database.read() as tx:
        return set(tx.execute(select(notifications.c.id)).scalars())


def forget(database: Database) -> None:
    """What was told so far."""
    database.write(lambda tx: tx.execute(webhook_deliveries.delete()))


def _by_python(cli: Cli) -> None:
    url = cli.env["NOTIFYCTL_DATABASE_URL"]
    opened: Any = sqlite3.connect(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else psycopg.connect(url)
    with closing(opened) as conn, notifyctl.locked(conn):
        notifyctl.submit(conn, notifyctl.Submission("anna", "email", {"subject": "Hi", "text": "Hi"}))
        conn.commit()


def _by_sql(cli: Cli) -> None:
    with psycopg.connect(cli.env["NOTIFYCTL_DATABASE_URL"]) as conn:
        conn.execute('SELECT notifyctl_submit(\'anna\', \'email\', \'{"subject": "Hi", "text": "Hi"}\')')


WAYS_IN: dict[str, Callable[[Cli], Any]] = {
    "send": lambda cli: cli.call(*SEND).ok(),
    "schedule": lambda cli: cli.call("schedule", *SEND[1:], "--in", "1h").ok(),
    "send a file": lambda cli: cli.call("send", "-f", "-", "--format", "csv", "--batch", "spring", input=ROWS).ok(),
    "fixtures apply": lambda cli: cli.call("fixtures", "apply", "-f", "-", input=FIXTURE).ok(),
    "in Python": _by_python,
    "in SQL": _by_sql,
}


@pytest.mark.parametrize(
    ("backend", "way"),
    [("postgresql", way) for way in WAYS_IN] + [("sqlite", way) for way in WAYS_IN if way != "in SQL"],
)
def test_every_way_in(cli: Cli, database: Database, hooks: list[str], way: str) -> None:
    """Whatever is new is told of, once to each who listens; what a repetition finds there is not told again."""
    WAYS_IN[way](cli)
    made = ids(database)
    assert len(made) == (3 if way == "send a file" else 1)
    assert Counter(told(database, hooks)) == Counter((id_, "created") for id_ in made)
    if way in ("send a file", "fixtures apply"):
        WAYS_IN[way](cli)
        assert ids(database) == made
        assert len(told(database, hooks)) == len(made)


def _failed(database: Database, count: int = 2) -> list[str]:
    """Notifications that a provider refused."""
    with database.read() as tx:
        now = tx.now
    order = ClaimRequest("sendgrid", str(uuid.uuid4()), count, 65_000)

    def work(tx: Any) -> None:
        claims = claim(tx, order).claims
        assert len(claims) == count
        refused = Outcome(Kind.PERMANENT, "no")
        record(tx, [AttemptResult(each, decide(Attempt(each, now, now), refused, 0.5), refused) for each in claims])

    database.write(work)
    return sorted(ids(database))


@pytest.fixture
def two(database: Database) -> list[str]:
    """Two pending notifications of anna's, in a batch."""
    with database.read() as tx:
        anna = tx.execute(select(users.c.id).where(users.c.username == "anna")).scalar_one()
    batch = {"id": str(uuid.uuid4()), "name": "spring", "source": "file"}
    database.write(lambda tx: tx.execute(insert(batches).values(batch)))
    return sorted(seed.pending(database, anna, count=2, batch_id=batch["id"]))


def test_acts_on_many(cli: Cli, database: Database, hooks: list[str], two: list[str]) -> None:
    """Cancelling and restoring: each is told of each, a notification that stays as it is of nothing."""
    cli.call("notifications", "cancel", *two, "--yes").ok()
    assert sorted(told(database, hooks)) == [(id_, "cancelled") for id_ in two]
    forget(database)
    cli.call("notifications", "cancel", *two, "--yes")
    assert told(database, hooks) == []
    cli.call("notifications", "restore", *two, "--yes").ok()
    assert sorted(told(database, hooks)) == [(id_, "requeued") for id_ in two]
    forget(database)
    cli.call("notifications", "reschedule", *two, "--at", "2090-01-01T00:00:00Z", "--yes").ok()
    assert told(database, hooks) == []
    cli.call("batches", "pause", "spring").ok()
    assert told(database, hooks) == []
    cli.call("batches", "cancel", "spring", "--yes").ok()
    assert sorted(told(database, hooks)) == [(id_, "cancelled") for id_ in two]


def test_dead_letters(cli: Cli, database: Database, hooks: list[str], two: list[str]) -> None:
    """What is retried is pending again; what is only resolved is told of no more; a copy is a new one."""
    _failed(database)
    assert sorted(told(database, hooks)) == [(id_, "failed") for id_ in two]
    forget(database)
    cli.call("dlq", "resolve", two[0], "--by", "anna", "--yes").ok()
    assert told(database, hooks) == []
    cli.call("dlq", "retry", two[1], "--yes").ok()
    assert told(database, hooks) == [(two[1], "requeued")]
    forget(database)
    cli.call("notifications", "resend", two[0], "--yes").ok()
    [new] = ids(database) - set(two)
    assert told(database, hooks) == [(new, "created")]


def test_deleting_tells_nothing(cli: Cli, database: Database, hooks: list[str], two: list[str]) -> None:
    """A user takes notifications, webhooks and deliveries along, also those that others were to have of them."""
    cli.call("notifications", "cancel", *two, "--yes").ok()
    assert len(seed.deliveries(database)) == 4
    cli.call("users", "delete", "anna", "--yes").ok()
    assert seed.deliveries(database) == []
    with database.read() as tx:
        assert tx.execute(select(notification_webhooks.c.id)).scalars().all() != []


def test_what_a_dispatcher_finds_disabled_is_told_of_once(
    cli: Cli, database: Database, hooks: list[str], two: list[str]
) -> None:
    """A user's wish that came after the submission: suppressed, and never cancelled as well."""
    cli.call("prefs", "set", "anna", "email", "--disable").ok()
    database.write(lambda tx: tx.execute(update(notifications).values(due_at=1_000)))
    database.write(lambda tx: claim(tx, ClaimRequest("sendgrid", str(uuid.uuid4()), 10, 65_000)))
    assert sorted(told(database, hooks)) == [(id_, "suppressed") for id_ in two]
