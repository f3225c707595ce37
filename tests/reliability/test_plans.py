"""Queries stay flat: what a claim costs does not depend on how much history there is."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from notifyctl.store.claims import Batch, Order, claim
from notifyctl.store.engine import Database
from tests.reliability.sizes import Tell, sizes
from tests.support import seed

FLAT = 1.3
BATCH = 100
ME = "11111111-1111-4111-8111-111111111111"
NOW = 10_000_000

HISTORY = {
    "postgresql": """
        INSERT INTO notifications (id, user_id, idempotency_key, message_type, provider, status, payload, attempt_count,
            content_hash, created_at, due_at, sent_at, provider_message_id)
        SELECT gen_random_uuid(), :user, md5(i::text), 'email', 'sendgrid',
            CASE WHEN i % 50 = 0 THEN 'failed' WHEN i % 51 = 0 THEN 'cancelled' ELSE 'sent' END,
            '{}', 1, repeat('0', 64), i, i, i + 1, 'm' || i
        FROM generate_series(1, :count) AS i""",
    "sqlite": """
        WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)
        INSERT INTO notifications (id, user_id, idempotency_key, message_type, provider, status, payload, attempt_count,
            content_hash, created_at, due_at, sent_at, provider_message_id)
        SELECT printf('%08x-0000-4000-8000-000000000000', i * 2654435761 % 4294967296), :user, printf('%032x', i),
            'email', 'sendgrid',
            CASE WHEN i % 50 = 0 THEN 'failed' WHEN i % 51 = 0 THEN 'cancelled' ELSE 'sent' END,
            '{}', 1, printf('%064d', 0), i, i, i + 1, 'm' || i
        FROM numbers""",
}


def take(db: Database, now: int = NOW) -> Batch:
    """Claim a batch."""
    order = Order("sendgrid", ME, BATCH, 65_000)
    return db.write(lambda conn: claim(conn, db.dialect, order, now))


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """PostgreSQL alone."""
    opened = Database(postgresql_url)
    yield opened
    opened.close()


@sizes(20_000, 5_000_000)
def test_21_a_claim_costs_the_same_with_history(database: Database, tell: Tell, size: int) -> None:
    """The claim of a table with history looks at as much as that of an empty one, and takes as long."""
    seed.provider(database)
    anna = seed.user(database)
    empty_steps, empty_ms = _cost(database, anna)
    _history(database, anna, size)
    full_steps, full_ms = _cost(database, anna)
    steps, times = full_steps / empty_steps, full_ms / empty_ms
    counts = {"history": size, "looked at": full_steps, "of empty": empty_steps, "ratio": round(steps, 2)}
    tell("21 queries stay flat", {**counts, "ms": round(full_ms, 1), "time ratio": round(times, 2)})
    assert steps <= FLAT
    if size > 1_000_000:  # a time says something only beside much history
        assert times <= FLAT


def _history(db: Database, user: str, count: int) -> None:
    """Write that many notifications that have ended, and let the planner know."""
    statement = text(HISTORY[db.dialect.name])
    db.write(lambda conn: conn.execute(statement, {"user": user, "count": count}))
    db.write(lambda conn: conn.execute(text("ANALYZE")))


def _cost(db: Database, user: str) -> tuple[int, float]:
    """Return what the claim's question looks at (pages; on SQLite steps), and a claim's median time in ms."""
    seed.pending(db, user, count=BATCH * 2)
    looked_at = _looked_at(db)
    seed.pending(db, user, count=BATCH * 20)
    times: list[float] = []
    for _ in range(19):
        began = time.perf_counter()
        assert len(take(db).claims) == BATCH
        times.append((time.perf_counter() - began) * 1_000)
    db.write(lambda conn: conn.execute(text("DELETE FROM notifications WHERE status = 'pending'")))
    if db.dialect.name == "postgresql":
        _vacuum(db)
    return looked_at, statistics.median(times)


def _vacuum(db: Database) -> None:
    with db._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE notifications"))


def _looked_at(db: Database) -> int:
    if db.dialect.name == "sqlite":
        return _machine_steps(db)
    plan = _explained(db)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _machine_steps(db: Database) -> int:
    steps = 0

    def tick() -> int:
        nonlocal steps
        steps += 1
        return 0

    def run(conn: Any) -> Batch:
        driver = conn.connection.driver_connection
        driver.set_progress_handler(tick, 10)
        try:
            return claim(conn, db.dialect, Order("sendgrid", ME, BATCH, 65_000), NOW)
        finally:
            driver.set_progress_handler(None, 0)

    assert len(db.write(run).claims) == BATCH
    return steps


def _explained(db: Database) -> Any:
    """Return the plan of the claim's question, as it was asked, run once more on what is left."""
    asked: list[tuple[str, Any]] = []

    def listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "SKIP LOCKED" in statement:
            asked.append((statement, parameters))

    event.listen(db._engine, "before_cursor_execute", listen)
    try:
        assert len(take(db).claims) == BATCH
    finally:
        event.remove(db._engine, "before_cursor_execute", listen)
    ((statement, parameters),) = asked
    with db.read() as conn:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        return conn.exec_driver_sql(explain, parameters).scalar_one()


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


def test_21_the_claim_walks_its_partial_index(postgresql: Database) -> None:
    """On PostgreSQL: the index of what is due, read in its order, no sort and no walk through the table."""
    db = postgresql
    seed.provider(db)
    anna = seed.user(db)
    _history(db, anna, 20_000)
    seed.pending(db, anna, count=BATCH * 2)
    db.write(lambda conn: conn.execute(text("ANALYZE")))
    nodes = _nodes(_explained(db)[0]["Plan"])
    scans = [node for node in nodes if node.get("Relation Name") == "notifications"]
    assert [node.get("Index Name") for node in scans] == ["idx_notifications_due"], json.dumps(scans, indent=1)
    limited = next(node for node in nodes if node["Node Type"] == "Limit")
    assert "Sort" not in {node["Node Type"] for node in _nodes(limited)}


def test_21_the_claim_walks_its_partial_index_on_sqlite(sqlite_url: str) -> None:
    """On SQLite: the same index."""
    db = Database(sqlite_url)
    plans: list[str] = []

    def listen(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "idx" not in statement and "MATERIALIZED" in statement:
            found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in found)

    seed.provider(db)
    seed.pending(db, seed.user(db), count=3)
    event.listen(db._engine, "before_cursor_execute", listen)
    take(db)
    db.close()
    assert any("idx_notifications_due" in line for line in plans), plans
    assert not any(line.startswith("SCAN notifications") for line in plans), plans


@sizes(4_000, 100_000)
def test_21_a_held_snapshot(postgresql: Database, tell: Tell, size: int) -> None:
    """While somebody holds an old snapshot, dead rows stay: a claim goes on, and its cost is told.

    It is flat again as soon as the snapshot is gone and the table was vacuumed.
    """
    db = postgresql
    seed.provider(db)
    anna = seed.user(db)
    before, before_ms = _cost(db, anna)
    with db._engine.connect() as holder:
        holder.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        holder.execute(text("SELECT count(*) FROM notifications")).scalar_one()
        _churn(db, anna, size)
        during, during_ms = _cost(db, anna)
    _vacuum(db)
    after, after_ms = _cost(db, anna)
    times = {"ms before": round(before_ms, 1), "during": round(during_ms, 1), "after": round(after_ms, 1)}
    pages = {"pages before": before, "pages during": during, "pages after": after}
    tell("21 a held snapshot", {"churn": size, **times, **pages})
    assert after <= before * FLAT


def _churn(db: Database, user: str, count: int) -> None:
    """Let that many notifications come, be claimed, and end."""
    for _ in range(count // 1_000):
        seed.pending(db, user, count=1_000)
        for _ in range(10):
            take(db)
        db.write(
            lambda conn: conn.execute(
                text("UPDATE notifications SET status = 'sent', lease_id = NULL WHERE status = 'pending'")
            )
        )
