"""Years of notifications that have ended, as a system leaves them: many users, three providers, every status.

They are numbered from the newest back, one every `EVERY_MS` before `NOW`: what is recent is the same however much
history there is behind it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

import psycopg

from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from tests.support import seed

NOW = 1_750_000_000_000
EVERY_MS = 16_000
PER_USER = 100
UNRESOLVED = 4_500
"""Of the notifications before this number, somebody has dealt with the dead letters."""
HOUR_MS = 3_600_000

_SCATTER, _SCATTERED = 2_654_435_761, 2**32
_SERIES = {
    "postgresql": "SELECT generate_series({first}::bigint, {last}) AS i",
    "sqlite": "WITH RECURSIVE numbers(i) AS (VALUES ({first}) UNION ALL SELECT i + 1 FROM numbers WHERE i < {last})"
    " SELECT i FROM numbers",
}
_HEX = {"postgresql": "lpad(to_hex({number}), {width}, '0')", "sqlite": "printf('%0{width}x', {number})"}
_DATE = {
    "postgresql": "to_timestamp({ms} / 1000.0)::timestamp::date",
    "sqlite": "strftime('%Y-%m-%d', {ms} / 1000, 'unixepoch')",
}
_QUICKLY = {"postgresql": "SET LOCAL maintenance_work_mem = '256MB'", "sqlite": "PRAGMA cache_size = -1000000"}

_USERS = """
    INSERT INTO users (id, username, email, created_at, updated_at)
    SELECT {id}, 'user' || i, 'user' || i || '@example.org', {now} - i, {now} - i FROM ({series}) AS counted"""

# What is so of a number decides what becomes of it; the divisors have little in common.
_NOTIFICATIONS = """
    INSERT INTO notifications (id, user_id, idempotency_key, content_hash, message_type, provider, status, payload,
        attempt_count, created_at, send_at, due_at, last_attempted, sent_at, failed_at, error_message,
        provider_response, provider_message_id)
    SELECT {id}, {user_id}, {key}, {key},
        CASE WHEN kind < 12 THEN 'email' WHEN kind < 17 THEN 'sms' ELSE 'push' END,
        CASE WHEN kind < 12 THEN 'sendgrid' WHEN kind < 17 THEN 'twilio' ELSE 'fcm' END,
        status, '{{"v": 1, "subject": "Order ' || i || '", "text": "It is on its way.", "from": "us@example.com"}}',
        CASE status WHEN 'sent' THEN 1 WHEN 'failed' THEN 6 ELSE 0 END, at, CASE WHEN i % 20 = 7 THEN at END, at,
        CASE WHEN status <> 'cancelled' THEN at + 100 END, CASE WHEN status = 'sent' THEN at + 300 END,
        CASE WHEN status = 'failed' THEN at + 900000 END,
        CASE status WHEN 'failed' THEN '503 busy' WHEN 'cancelled' THEN 'cancelled by an operator' END,
        CASE status WHEN 'sent' THEN '{{"status": 202}}' END, CASE status WHEN 'sent' THEN 'message-' || i END
    FROM (SELECT i, {now} - i * {every} AS at, (i / 7) % 20 AS kind,
            CASE WHEN i % 50 = 0 THEN 'failed' WHEN i % 50 = 1 THEN 'cancelled' ELSE 'sent' END AS status
        FROM ({series}) AS counted) AS ended"""

_DEAD_LETTERS = """
    INSERT INTO notification_dlq (id, notification_id, failure_reason, moved_to_dlq_at, resolved, resolved_at)
    SELECT {id}, {id}, 'retries_exhausted', at, i > {unresolved}, CASE WHEN i > {unresolved} THEN at + 3600000 END
    FROM (SELECT i, {now} - i * {every} + 900000 AS at FROM ({series}) AS counted WHERE i % 50 = 0) AS failed"""

_METRICS = """
    INSERT INTO notification_metrics (id, date, hour, provider, message_type, total_sent, rolled_at)
    SELECT {id}, {date}, at / 3600000 % 24, 'sendgrid', 'email', 225, {now}
    FROM (SELECT i, {now} - i * 3600000 AS at FROM ({series}) AS counted) AS hours"""

_BACKLOG = """
    INSERT INTO notifications (id, user_id, idempotency_key, content_hash, message_type, provider, payload, created_at,
        send_at, due_at)
    SELECT {id}, '{user_id}', {key}, {key}, '{channel}', '{provider}', '{payload}', {now} - i, {due_at}, {due_at}
    FROM ({series}) AS counted"""


def user_id(number: int) -> str:
    """Return the id of a user; each has about `PER_USER` notifications."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def notification_id(number: int) -> str:
    """Return the id of a notification."""
    return f"{number * _SCATTER % _SCATTERED:08x}-0000-4000-8000-{number:012x}"


def moment(number: int) -> int:
    """Return when a notification was created, in milliseconds."""
    return NOW - number * EVERY_MS


def write(db: Database, first: int, last: int) -> None:
    """Write the notifications with these numbers, with users of their own, dead letters and the hours' metrics."""
    db.write(lambda tx: _write(tx, first, last))
    analyze(db)


def backlog(db: Database, owner: str, provider: str, count: int, due_at: int) -> None:
    """Write `count` pending notifications of a user by a provider, all for the same moment."""
    apart = uuid.uuid4().int >> 84
    channel = seed.CHANNEL_OF[provider]
    words = {
        **_ids(db.dialect.name, f"i + {apart}"),
        "user_id": owner,
        "channel": channel,
        "provider": provider,
        "payload": json.dumps(seed.CONTENT[channel]),
        "due_at": due_at,
    }
    db.write(lambda tx: _run(tx, _BACKLOG, (1, count), words))
    analyze(db)


def analyze(db: Database) -> None:
    """Let the planner of PostgreSQL know, as its autovacuum does; on SQLite nobody ever does."""
    if db.dialect.name == "postgresql":
        with psycopg.connect(db.url.render_as_string(hide_password=False), autocommit=True) as conn:
            conn.execute("VACUUM ANALYZE")


def _write(tx: Tx, first: int, last: int) -> None:
    name = tx.dialect.name
    tx.conn.exec_driver_sql(_QUICKLY[name])
    # A fraction of the time that it takes with the indexes there.
    indexes = [(index, made) for table, index, made in tx.dialect.indexes(tx.conn) if table == "notifications"]
    for index, _ in indexes:
        tx.conn.exec_driver_sql(f"DROP INDEX {index}")
    users = (first // PER_USER + 1, last // PER_USER)
    _run(tx, _USERS, users, {"id": _id(name, "i", "0")})
    whose = f"{users[0]} + i * {_SCATTER} / 4096 % {users[1] - users[0] + 1}"
    numbers, words = (first, last), _ids(name, "i")
    _run(tx, _NOTIFICATIONS, numbers, {**words, "user_id": _id(name, whose, "0")})
    for _, made in indexes:
        tx.conn.exec_driver_sql(made)
    _run(tx, _DEAD_LETTERS, numbers, words)
    hours = (first * EVERY_MS // HOUR_MS + 2, last * EVERY_MS // HOUR_MS + 1)
    _run(tx, _METRICS, hours, {**words, "date": _DATE[name].format(ms="at")})


def _run(tx: Tx, statement: str, numbers: tuple[int, int], words: Mapping[str, object]) -> None:
    series = _SERIES[tx.dialect.name].format(first=numbers[0], last=numbers[1])
    facts = {"now": NOW, "every": EVERY_MS, "unresolved": UNRESOLVED}
    whole = statement.format(series=series, **facts, **words)
    tx.conn.exec_driver_sql(whole, execution_options={"no_parameters": True})  # so that % is no placeholder


def _ids(name: str, number: str) -> dict[str, str]:
    scattered = f"(i * {_SCATTER} % {_SCATTERED})"
    return {
        "id": _id(name, scattered, number),
        "key": _hex(name, scattered, 8) + " || " + _hex(name, number, 56),
    }


def _id(name: str, first: str, last: str) -> str:
    return f"{_hex(name, first, 8)} || '-0000-4000-8000-' || {_hex(name, last, 12)}"


def _hex(name: str, number: str, width: int) -> str:
    return _HEX[name].format(number=number, width=width)
