"""The outbox: what webhooks are told stands in the change's own transaction, once for each webhook that listens."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from notifyctl.core.change import Cancel, Row
from notifyctl.core.model import Channel
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.telling import CREATED, Telling
from notifyctl.store import webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import outbox
from notifyctl.store.queue.apply import apply
from tests.support import seed

NOW = 1_700_000_000_123


def cancel(database: Database, id_: str, **values: Any) -> None:
    """Cancel a notification as an operator does, unless it is said otherwise."""
    change = {"error_message": "not needed\nany more", "attempt_count": 0, "by_operator": True, **values}
    rest = {"last_attempted": None, "retry_history": None, "fails_over": True}
    of = Row(id_, None, "sendgrid", Channel.EMAIL, 1_000)
    database.write(lambda tx: apply(tx.at(NOW), [Cancel(of=of, **rest, **change)]))


def test_who_listens_is_told(database: Database) -> None:
    """One row for each webhook of the user's and of everybody's that listens; none for another's, or another event."""
    anna, bert = seed.user(database), seed.user(database, "bert")
    own = seed.webhook(database, anna)
    some = seed.webhook(database, anna, events=("notification.cancelled",))
    wide = seed.webhook(database, bert, all_users=True)
    seed.webhook(database, bert)
    seed.webhook(database, anna, events=("notification.suppressed", "notification.sent"))
    [id_] = seed.pending(database, anna)
    cancel(database, id_)
    rows = seed.deliveries(database)
    assert {row.webhook_id for row in rows} == {own, some, wide}
    assert len(rows) == 3
    for row in rows:
        assert (row.notification_id, row.event_type) == (id_, "notification.cancelled")
        assert (row.attempt_count, row.next_retry_at, row.created_at) == (0, NOW, NOW)
        assert (row.delivered, row.ended) == (False, None)


def test_several_at_once(database: Database) -> None:
    """Each webhook is told of its own user's and once of each, also where it is told of everybody's as well."""
    users = [seed.user(database, name) for name in ("anna", "bert", "cleo")]
    own = {user: seed.webhook(database, user) for user in users[:2]}
    wide = seed.webhook(database, users[0], all_users=True)
    notes = {user: seed.pending(database, user, count=2) for user in users}

    def work(tx: Tx) -> int:
        said = [(id_, CREATED) for ids in notes.values() for id_ in ids]
        return outbox.put(tx.at(NOW), [*said, (said[0][0], Telling(WebhookEvent.REQUEUED, {}))])

    assert database.write(work) == 12
    told = Counter((row.webhook_id, row.notification_id) for row in seed.deliveries(database))
    first = notes[users[0]][0]
    expected = Counter({(hook, id_): 1 for user, hook in own.items() for id_ in notes[user]})
    expected += Counter({(wide, id_): 1 for ids in notes.values() for id_ in ids})
    assert told == expected + Counter({(own[users[0]], first): 1, (wide, first): 1})


def test_the_body(database: Database) -> None:
    """Standard Webhooks' form, the moment in UTC with its milliseconds, the status after the change, no content."""
    anna = seed.user(database)
    seed.webhook(database, anna)
    [id_] = seed.pending(database, anna)
    cancel(database, id_, by_operator=False)
    [row] = seed.deliveries(database)
    assert json.loads(row.payload) == {
        "type": "notification.suppressed",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "version": 1,
        "data": {
            "notification_id": id_,
            "user_id": anna,
            "channel": "email",
            "provider": "sendgrid",
            "status": "cancelled",
            "attempts": 0,
            "detail": "not needed any more",
        },
    }


def test_what_does_not_commit_tells_nobody(database: Database) -> None:
    """A change that is taken back takes its deliveries along."""
    anna = seed.user(database)
    seed.webhook(database, anna)
    [id_] = seed.pending(database, anna)

    class Stop(Exception):
        pass

    def work(tx: Tx) -> None:
        of = Row(id_, None, "sendgrid", Channel.EMAIL, 1_000)
        apply(tx, [Cancel(of, "no", 0, None, None, True, by_operator=True)])
        raise Stop

    with pytest.raises(Stop):
        database.write(work)
    assert seed.deliveries(database) == []


def test_while_it_is_disabled_what_happens_is_kept(database: Database) -> None:
    """It is not tried, and not lost."""
    anna = seed.user(database)
    seed.webhook(database, anna, is_active=False)
    [id_] = seed.pending(database, anna)
    cancel(database, id_)
    [row] = seed.deliveries(database)
    assert (row.next_retry_at, row.ended, row.attempt_count) == (None, "disabled", 0)


def test_a_webhook_deleted_meanwhile_is_waited_for(postgresql_url: str) -> None:
    """The change is made all the same, and what is gone is told nothing."""
    server = Database(postgresql_url)
    anna = seed.user(server)
    gone, other = seed.webhook(server, anna), seed.webhook(server, anna)
    [id_] = seed.pending(server, anna)
    going, may_end = Event(), Event()

    def delete(tx: Tx) -> None:
        webhooks.remove(tx, gone)
        going.set()
        may_end.wait(30)

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(2) as pool:
        deleting = pool.submit(server.write, delete)
        assert going.wait(30)
        cancelling = pool.submit(cancel, server, id_)
        while not cancelling.done():
            with server.read() as tx:
                if tx.conn.exec_driver_sql(waiting).scalar():
                    break
            time.sleep(0.02)
        may_end.set()
        deleting.result(30)
        cancelling.result(30)
    assert [row.webhook_id for row in seed.deliveries(server)] == [other]
    server.close()
