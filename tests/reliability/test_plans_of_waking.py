"""Waking is done in portions: what one of them looks at does not grow with how much there is to wake."""

from __future__ import annotations

from sqlalchemy import update

from notifyctl.store import adopting
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.reliability.history import HOUR_MS, NOW, analyze, backlog
from tests.reliability.plans import Look, look
from tests.support import seed

DEFERRED, BY_ID = "idx_notifications_deferred", "notifications_pkey"
FLAT = 1.3


def test_a_portion_costs_the_same_however_much_is_deferred(database: Database) -> None:
    """A million rows that an older policy put off are read once in all, and not once for each portion."""
    anna = seed.user(database)
    seed.provider(database)
    for digest in ("a" * 64, "b" * 64):
        database.write(lambda tx, digest=digest: adopting.adopt(tx, digest))
    few = _woken(database, anna, 4_000)
    many = _woken(database, anna, 16_000)
    assert DEFERRED in many.of("notifications") <= {DEFERRED, BY_ID}, many.plans
    assert many.read <= few.read * FLAT, many.plans


def _woken(db: Database, user: str, count: int) -> Look:
    backlog(db, user, "sendgrid", count, NOW + HOUR_MS)
    db.write(lambda tx: tx.execute(update(notifications).values(deferred_by="cap")))
    analyze(db)
    return look(db, lambda tx: adopting.wake_portion(tx.at(NOW)), indexed=True, only="SKIP LOCKED")
