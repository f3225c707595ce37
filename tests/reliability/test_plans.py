"""Queries stay flat: what a claim and a record look at does not depend on what else is in the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import text, update

from notifyctl.core.change import Bury, Cancel, Change, Retry, Sent
from notifyctl.core.model import Category, Claim
from notifyctl.store import providers
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.schema.tables import notifications
from tests.reliability.history import HOUR_MS, NOW, analyze, backlog, write
from tests.reliability.plans import Look, look
from tests.reliability.sizes import Tell, sizes
from tests.support import seed

FLAT = 1.3
PASSED_OVER = {"sqlite": 2, "postgresql": 0.25}
"""What one notification in flight may add. A claim passes over those of its provider, as they keep their place in the
index: that way to lease them writes no index. On PostgreSQL several stand on a page, on SQLite it is 20 steps.
"""
BATCH = 100
LARGE = 1_000_000
ME = "11111111-1111-4111-8111-111111111111"
LEASE_MS = 65_000

DUE = "idx_notifications_due"
BY_ID = "notifications_pkey"


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many notifications have ended, wait for something, and are in flight."""

    history: int
    waiting: int
    in_flight: int


SMALL = Amounts(history=10_000, waiting=10_000, in_flight=1_000)
FULL = Amounts(history=5_000_000, waiting=400_000, in_flight=5_000)


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """PostgreSQL alone."""
    opened = Database(postgresql_url)
    yield opened
    opened.close()


@sizes(SMALL, FULL)
def test_21_a_claim_costs_the_same_whatever_else_is_there(
    room: None, database: Database, tell: Tell, size: Amounts
) -> None:
    """A claim looks at as much as in a table of what is due alone; a record finds its rows by their ids."""
    db = database
    anna = seed.user(db)
    seed.provider(db)
    seed.provider(db, "twilio")
    backlog(db, anna, "sendgrid", size.in_flight * 2, NOW - 1)
    alone = _claimed(db)
    flat: dict[str, Callable[[], object]] = {
        "history": lambda: write(db, 1, size.history),
        "a paused provider's backlog": lambda: _paused(db, anna, size.waiting),
        "what is scheduled": lambda: backlog(db, anna, "sendgrid", size.waiting, NOW + HOUR_MS),
    }
    for what, add in flat.items():
        add()
        seen = _claimed_with(db, tell, what, alone, size)
        assert seen.read <= alone.read * FLAT, seen.plans
    _in_flight(db, size.in_flight)
    seen = _claimed_with(db, tell, "what is in flight", alone, size)
    assert seen.read <= alone.read * FLAT + size.in_flight * PASSED_OVER[db.dialect.name], seen.plans
    _records_find_their_rows(db, tell, size)


@sizes(SMALL, FULL)
def test_21_what_templates_hold_costs_a_claim_nothing(
    room: None, database: Database, tell: Tell, size: Amounts
) -> None:
    """However much of a provider's is held back, and whatever came before it: it is not in the queue."""
    anna = seed.user(database)
    seed.provider(database)
    backlog(database, anna, "sendgrid", size.in_flight * 2, NOW - 1)
    alone = _claimed(database)
    _parked(database, anna, size.waiting)
    seen = _claimed_with(database, tell, "what a template holds", alone, size)
    assert seen.read <= alone.read * FLAT, seen.plans


def _claimed_with(db: Database, tell: Tell, what: str, alone: Look, size: Amounts) -> Look:
    seen = _claimed(db)
    ratio, ms = round(seen.read / alone.read, 2), round(seen.ms, 1)
    facts = {"with": what, "looked at": seen.read, "of alone": alone.read, "ratio": ratio, "ms": ms}
    tell("21 claims stay flat", {**facts, "history": size.history, "ms of alone": round(alone.ms, 1)})
    return seen


def _paused(db: Database, user: str, count: int) -> None:
    backlog(db, user, "twilio", count, NOW - HOUR_MS)
    db.write(lambda tx: providers.pause(tx.at(NOW - 1), "twilio", "credentials"))


def _parked(db: Database, user: str, count: int) -> None:
    n, before = notifications.c, NOW - 2 * HOUR_MS
    backlog(db, user, "sendgrid", count, before)
    held = update(notifications).where(n.due_at == before).values(parked_at=NOW, template_id=ME, template_version=1)
    db.write(lambda tx: tx.execute(held))


def _in_flight(db: Database, count: int) -> None:
    for _ in range(count // 1_000):
        assert len(_take(db, 1_000).claims) == 1_000


def _take(db: Database, most: int = BATCH) -> Batch:
    """Claim a batch."""
    return db.write(lambda tx: claim(tx.at(NOW), ClaimRequest("sendgrid", ME, most, LEASE_MS)))


def _claimed(db: Database) -> Look:
    """Look at a claim; on PostgreSQL at its question, which is all of it that reads what it does not change."""

    def work(tx: Tx) -> None:
        found = claim(tx.at(NOW), ClaimRequest("sendgrid", ME, BATCH, LEASE_MS))
        assert len(found.claims) == BATCH

    analyze(db)
    seen = look(db, work, only="SKIP LOCKED")
    assert DUE in seen.of("notifications"), seen.plans
    assert seen.of("notifications") <= {DUE, BY_ID}, seen.plans
    if db.dialect.name == "postgresql":
        assert DUE in _below_limit(seen.plans) and "Sort" not in _below_limit(seen.plans), seen.plans
    return seen


def _below_limit(plan: str) -> str:
    """Return what PostgreSQL does to find as many as asked for."""
    match = re.search(r"^( *)Limit.*\n((?:\1 .*\n?)*)", plan, re.MULTILINE)
    return match[2] if match else ""


def _records_find_their_rows(db: Database, tell: Tell, size: Amounts) -> None:
    claims = _take(db).claims
    analyze(db)
    for what, make in _CHANGES.items():
        changes = [make(each) for each in claims]

        def work(tx: Tx, changes: list[Change] = changes) -> None:
            assert len(apply(tx, changes).changes) == BATCH

        seen = look(db, work, indexed=size.history < LARGE)
        facts = {"what": what, "history": size.history, "read": seen.read, "ms": round(seen.ms, 1)}
        tell("21 records find rows by id", facts)
        assert seen.of("notifications") == {BY_ID}, f"{what}:\n{seen.plans}"


_CHANGES: dict[str, Callable[[Claim], Change]] = {
    "sent": lambda each: Sent(each, NOW, "id", "{}"),
    "retry": lambda each: Retry(each, NOW + 1, 1, "503 busy", "{}", "[]", True, each.provider),
    "bury": lambda each: Bury(each, NOW, 1, NOW, "503 busy", "{}", "[]", True, Category.RETRIES_EXHAUSTED),
    "cancel": lambda each: Cancel(each, "expired", 0, None, None, True),
}


@sizes(4_000, 100_000)
def test_21_a_held_snapshot(postgresql: Database, tell: Tell, size: int) -> None:
    """While somebody holds an old snapshot, dead rows stay: a claim goes on, and its cost is told.

    It is flat again as soon as the snapshot is gone and the table was vacuumed.
    """
    db = postgresql
    seed.provider(db)
    anna = seed.user(db)
    before = _cost(db, anna)
    with psycopg.connect(db.url.render_as_string(hide_password=False)) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM notifications")
        _churn(db, anna, size)
        during = _cost(db, anna)
    after = _cost(db, anna)
    times = {"ms before": round(before.ms, 1), "during": round(during.ms, 1), "after": round(after.ms, 1)}
    pages = {"pages before": before.read, "pages during": during.read, "pages after": after.read}
    tell("21 a held snapshot", {"churn": size, **times, **pages})
    assert after.read <= before.read * FLAT


@sizes(5_000, 75_000)
def test_21_a_burst_into_an_empty_queue(postgresql: Database, tell: Tell, size: int) -> None:
    """The server last counted when nothing was pending: a claim still reads what it takes, and not all that came."""
    db = postgresql
    seed.provider(db)
    anna = seed.user(db)
    alone = _cost(db, anna)
    _churn(db, anna, 4 * size)
    analyze(db)
    seed.pending(db, anna, count=size)
    seen = look(db, lambda tx: claim(tx.at(NOW), ClaimRequest("sendgrid", ME, BATCH, LEASE_MS)), only="SKIP LOCKED")
    tell("21 a burst into an empty queue", {"burst": size, "looked at": seen.read, "of alone": alone.read})
    assert seen.read <= alone.read * FLAT, seen.plans


def _cost(db: Database, user: str) -> Look:
    """Return what a claim looks at where nothing else is pending."""
    seed.pending(db, user, count=BATCH * 2)
    found = _claimed(db)
    db.write(lambda tx: tx.execute(text("DELETE FROM notifications WHERE status = 'pending'")))
    return found


def _churn(db: Database, user: str, count: int) -> None:
    """Let that many notifications come, be claimed, and end."""
    for _ in range(count // 1_000):
        seed.pending(db, user, count=1_000)
        for _ in range(10):
            _accept(db, _take(db).claims)


def _accept(db: Database, claims: Iterable[Claim]) -> None:
    accepted = [Sent(each, NOW, None, None) for each in claims]
    db.write(lambda tx: apply(tx, accepted))
