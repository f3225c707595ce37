"""What happens to a webhook while deliveries, or another transaction, are under way: nothing is mistaken."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core.change import Cancel, Row
from notifyctl.core.model import Channel
from notifyctl.core.webhook.attempt import HookReply
from notifyctl.core.webhook.target import HookReach
from notifyctl.services import hookchanges
from notifyctl.services.webhooks import Setup
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import deliveries
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.deliveries import Attempted
from notifyctl.store.schema.tables import webhook_deliveries
from tests.store.test_deliveries import DAY_MS, LEASE_MS, NOW, hook, one, owe, settle, take
from tests.support import seed

OLD, NEW = "https://old.example.org/hook", "https://new.example.org/hook"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def anna(database: Database) -> str:
    """A user's id."""
    seed.provider(database)
    return seed.user(database)


def moved(database: Database, anna: str, count: int = 1, **values: Any) -> tuple[str, list[Any]]:
    """Return a webhook that was given another URL while deliveries were under way, and these."""
    webhook = seed.webhook(database, anna, OLD, **values)
    for note in seed.pending(database, anna, count=count):
        owe(database, webhook, note)
    taken = take(database)
    hookchanges.update(database, webhook, Setup(url=NEW), HookReach())
    return webhook, taken


@pytest.mark.parametrize("status", [410, 429, 500, 503, None])
def test_what_the_receiver_of_another_url_answers_says_nothing_of_this_one(
    database: Database, anna: str, status: int | None
) -> None:
    """It was called before the URL was changed: it is neither failing nor gone, and the delivery is tried again."""
    webhook, taken = moved(database, anna)
    said = settle(database, taken, status=status, retry_after_ms=60_000)
    found = hook(database, webhook)
    assert (said.told, found.is_active, found.disabled_because) == ((), True, None)
    assert (found.failing_since, found.failures_apart, found.slowed, found.rests_until) == (None, 0, 0, None)
    row = one(database, taken[0].id)
    assert (row.ended, row.delivered) == (None, False)
    assert row.next_retry_at > NOW


def test_a_success_or_probe_of_another_url_says_nothing_of_this_one(database: Database, anna: str) -> None:
    """What failed at the new URL meanwhile stays so; a probe that was given back ends no rest of another receiver's."""
    webhook, taken = moved(database, anna, slowed=2)
    assert [each.probe for each in taken] == [True]
    seed.change_webhook(database, webhook, failing_since=NOW, failures_apart=1, failure_counted_at=NOW, slowed=1)
    seed.change_webhook(database, webhook, rests_until=NOW + 9_000)
    settle(database, taken)
    assert hook(database, webhook).rests_until == NOW + 9_000
    settle(database, take(database, NOW + 9_000), NOW + 9_001, status=200)
    assert hook(database, webhook).failing_since is None, "the new one's own answers count"
    webhook, taken = moved(database, anna)
    seed.change_webhook(database, webhook, failing_since=NOW, failures_apart=1, failure_counted_at=NOW)
    settle(database, taken, status=200)
    assert hook(database, webhook).failing_since == NOW


def test_what_still_waits_when_it_is_enabled_was_not_tried(database: Database, anna: str) -> None:
    """Who read that it was active committed after it was disabled: without --redeliver that is not sent."""
    webhook = seed.webhook(database, anna, is_active=False, disabled_at=NOW)
    [note, other] = seed.pending(database, anna, count=2)
    [late] = owe(database, webhook, note, attempt_count=1)
    [lost] = owe(database, webhook, other, lease_id="l" * 36, next_retry_at=1)
    hookchanges.enable(database, webhook)
    for id_ in (late, lost):
        assert (one(database, id_).ended, one(database, id_).next_retry_at) == ("disabled", None)
    hookchanges.disable(database, webhook, None)
    assert hookchanges.enable(database, webhook, redeliver=True).queued == 0, "it happened before"
    [again] = owe(database, webhook, note, created_at=database.moment() + 60_000, next_retry_at=1)
    hookchanges.disable(database, webhook, None)
    assert hookchanges.enable(database, webhook, redeliver=True).queued == 1
    assert one(database, again).is_replay


# Two transactions at once (PostgreSQL: SQLite has one writer)


def meanwhile(db: Database, first: Callable[[Tx], Any], second: Callable[[], Any]) -> Any:
    """Do `second` while a transaction has done `first` and not ended, until it waits for that; return what it gave."""
    done, may_end = Event(), Event()

    def work(tx: Tx) -> None:
        first(tx)
        done.set()
        may_end.wait(30)

    with ThreadPoolExecutor(2) as pool:
        one_ = pool.submit(db.write, work)
        assert done.wait(30)
        other = pool.submit(second)
        while not other.done():
            with db.read() as tx:
                if tx.conn.exec_driver_sql(WAITING).scalar():
                    break
            time.sleep(0.02)
        may_end.set()
        one_.result(30)
        return other.result(30)


def test_what_is_told_while_it_is_enabled_is_sent_as_well(postgresql_url: str) -> None:
    """A change that read that it is disabled, and commits last, is waited for."""
    db = Database(postgresql_url)
    anna = seed.user(db)
    seed.provider(db)
    webhook = seed.webhook(db, anna, is_active=False, disabled_at=NOW)
    [note] = seed.pending(db, anna)

    def cancel(tx: Tx) -> None:
        of = Row(note, None, "sendgrid", Channel.EMAIL, 1_000)
        apply(tx, [Cancel(of, "no", 0, None, None, True, by_operator=True)])

    enabled = meanwhile(db, cancel, lambda: hookchanges.enable(db, webhook, redeliver=True))
    assert enabled.queued == 1
    [row] = seed.deliveries(db)
    assert (row.ended, row.is_replay, row.next_retry_at is not None) == (None, True, True)
    db.close()


def test_what_an_application_submits_while_it_is_enabled_is_sent_as_well(postgresql_url: str) -> None:
    """Its transaction, by SQL, may last: who enables the webhook waits for it."""
    db = Database(postgresql_url)
    anna = seed.user(db)
    seed.provider(db, "sendgrid", config_json='{"from":"alerts@example.com"}')
    webhook = seed.webhook(db, anna, is_active=False, disabled_at=NOW)
    submit = """SELECT id FROM notifyctl_submit('anna', 'email', '{"subject": "Hi", "text": "Hi"}')"""
    enabled = meanwhile(
        db,
        lambda tx: tx.conn.exec_driver_sql(submit).all(),
        lambda: hookchanges.enable(db, webhook, redeliver=True),
    )
    assert enabled.queued == 1
    [row] = seed.deliveries(db)
    assert (row.event_type, row.ended, row.is_replay) == ("notification.created", None, True)
    db.close()


def test_what_is_taken_while_it_is_queued_again_stays_taken(postgresql_url: str) -> None:
    """Who has it under way has a lease that holds; nobody else sends it as well."""
    db = Database(postgresql_url)
    webhook, id_ = _owed(db)
    lease = "l" * 36

    def lock(tx: Tx) -> None:
        values = {"lease_id": lease, "next_retry_at": NOW + LEASE_MS}
        tx.conn.execute(update(webhook_deliveries).values(values))

    assert meanwhile(db, lock, lambda: _requeued(db, webhook)) == 0
    assert (one(db, id_).lease_id, one(db, id_).is_replay) == (lease, False)
    db.close()


def test_what_is_delivered_while_it_is_queued_again_is_not_sent_once_more(postgresql_url: str) -> None:
    """A dispatcher that was slow records its success after its lease ended."""
    db = Database(postgresql_url)
    webhook, id_ = _owed(db)
    taken = take(db, NOW - LEASE_MS)
    results = [Attempted(each, HookReply(NOW, 10, 200)) for each in taken]
    assert meanwhile(db, lambda tx: deliveries.record(tx.at(NOW), results), lambda: _requeued(db, webhook)) == 0
    row = one(db, id_)
    assert (row.delivered, row.is_replay, row.next_retry_at) == (True, False, None)
    db.close()


def _owed(db: Database) -> tuple[str, str]:
    """Return a webhook, and a delivery that is owed to it."""
    anna = seed.user(db)
    seed.provider(db)
    webhook = seed.webhook(db, anna)
    [id_] = owe(db, webhook, seed.pending(db, anna)[0], created_at=NOW - LEASE_MS, next_retry_at=NOW - LEASE_MS)
    return webhook, id_


def _requeued(db: Database, webhook: str) -> int:
    return db.write(lambda tx: deliveries.requeue(tx.at(NOW), webhook, NOW - DAY_MS, 500))
