"""What a claim of deliveries looks at does not depend on how many were delivered, wait for retries, or are due."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import text

from notifyctl.core.webhook.offer import Offer
from notifyctl.core.webhook.telling import CREATED
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import outbox
from notifyctl.store.queue.due_deliveries import DeliveryRequest, claim
from tests.reliability.history import HOUR_MS, NOW, analyze
from tests.reliability.plans import Look, look
from tests.reliability.sizes import Tell, sizes
from tests.support import seed

MOST = {"sqlite": 50, "postgresql": 15}
"""What a claim may look at for each delivery that it takes: pages on PostgreSQL, steps on SQLite."""
HANDED = {"sqlite": 60, "postgresql": 40}
"""And for each that is written as taken, with its entries in six indexes."""
SHARE = 20

_OWED = """
    INSERT INTO webhook_deliveries (id, webhook_id, notification_id, event_type, payload, attempt_count, delivered,
        created_at, next_retry_at, is_replay)
    SELECT '{prefix}' || substr(id, 13), '{webhook}', id, 'notification.sent', '{{}}', {attempts}, {delivered},
        {now} - 9, {due}, {replay}
    FROM notifications LIMIT {most}"""


# Webhooks that are owed nothing.
_IDLE = """
    INSERT INTO notification_webhooks (id, user_id, url, secret_key, events, name, created_at, updated_at)
    SELECT '{prefix}' || substr(id, 13), '{user}', 'https://example.org/', 'sealed', '["notification.*"]', id, 1, 1
    FROM notifications LIMIT 2000"""


def owe(db: Database, webhook_id: str, due: str, most: int = -1, **values: Any) -> None:
    """Write a delivery of each notification, or of as many, all made at one moment, as by a bulk act."""
    plain = {"attempts": 0, "delivered": "false", "replay": "false", **values}
    marks = {"prefix": uuid.uuid4().hex[:12], "now": NOW, "most": "NULL" if most < 0 and db.path is None else most}
    statement = _OWED.format(webhook=webhook_id, due=due, **marks, **plain)
    db.write(lambda tx: tx.execute(text(statement)))


@sizes(2_000, 50_000)
def test_21_a_claim_of_deliveries_stays_flat(room: None, database: Database, tell: Tell, size: int) -> None:
    """Of so many notifications: deliveries that arrived, retries to come, another's backlog, and more that is due."""
    anna = seed.user(database)
    seed.provider(database)
    seed.pending(database, anna, count=size)
    one, other = seed.webhook(database, anna), seed.webhook(database, anna)
    idle = _IDLE.format(prefix=uuid.uuid4().hex[:12], user=anna)
    database.write(lambda tx: tx.execute(text(idle)))
    owe(database, one, "NULL", delivered="true")
    owe(database, one, f"{NOW + HOUR_MS}", attempts=2)
    owe(database, one, f"{NOW + HOUR_MS}", attempts=2, replay="true")
    owe(database, one, f"{NOW} - 3")
    unknown = _claimed(database, SHARE, analyzed=False)
    waiting = _claimed(database, SHARE)
    owe(database, other, f"{NOW} - 9")
    due = _claimed(database, 2 * SHARE)
    facts = {"deliveries": 5 * size, "waiting": waiting.read, "due": due.read, "ms": round(due.ms, 1)}
    tell("21 claims of deliveries stay flat", facts)
    for seen, claimed in ((unknown, SHARE), (waiting, SHARE), (due, 2 * SHARE)):
        assert seen.read <= claimed * MOST[database.dialect.name] + 100, seen.plans
        assert "whole table" not in seen.of("webhook_deliveries"), seen.plans
        assert "next_retry_at > " not in seen.plans, "what is under way is looked up by its notification"


def _claimed(db: Database, expected: int, *, analyzed: bool = True) -> Look:
    """Look at a claim, of each webhook as much as its share; by statistics that are up to date, or by none."""

    def work(tx: Tx) -> None:
        order = DeliveryRequest("h" * 36, "1" * 36, 200, 65_000, SHARE, {})
        assert len(claim(tx.at(NOW), order)) == expected

    if analyzed:
        analyze(db)
    return look(db, work, only="SKIP LOCKED")


@sizes(2_000, 50_000)
def test_21_what_is_handed_over_looks_at_its_own_notification(
    room: None, database: Database, tell: Tell, size: int
) -> None:
    """However much its receiver is still owed, retries that wait, and however little the database believes that is."""
    anna = seed.user(database)
    seed.provider(database)
    seed.pending(database, anna, count=size)
    one = seed.webhook(database, anna)
    owe(database, one, "NULL", delivered="true")
    owe(database, one, f"{NOW + HOUR_MS}", attempts=2, most=9)
    analyze(database)
    owe(database, one, f"{NOW + HOUR_MS}", attempts=2)
    few, known = (_handed(database, anna, analyzed=analyzed) for analyzed in (False, True))
    tell("21 what is handed over", {"owed": size, "pages": known.read, "where few were": few.read})
    for seen in (few, known):
        assert seen.read <= SHARE * HANDED[database.dialect.name] + 100, seen.plans
        assert "whole table" not in seen.of("webhook_deliveries"), seen.plans


def _handed(db: Database, user: str, *, analyzed: bool = True) -> Look:
    """Look at how deliveries are written that are taken at once."""
    ids = seed.pending(db, user, count=SHARE)

    def work(tx: Tx) -> None:
        offer = Offer("h" * 36, str(uuid.uuid4()), 65_000, SHARE, {}, SHARE, 0.0)
        outbox.put(tx.at(NOW).offering(offer), [(id_, CREATED) for id_ in ids])
        assert len(offer.taken) == SHARE

    if analyzed:
        analyze(db)
    return look(db, work, only="those")
