"""The databases the runs work on: a PostgreSQL server for the time of a run, and how they are filled, by SQL alone."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from tests.benchmarks import processes
from tests.benchmarks.program import Program
from tests.support import postgres

PEOPLE = 1_000
CONTENT = {
    "v": 1,
    "subject": "Your parcel",
    "text": "Hello, your parcel left our house today and reaches you tomorrow.",
}
# What the peers post: the same mail, ready made.
BODY = {
    "personalizations": [{"to": [{"email": "person1@example.org"}], "custom_args": {"notification_id": "0" * 36}}],
    "from": {"email": "alerts@example.com"},
    "subject": CONTENT["subject"],
    "content": [{"type": "text/plain", "value": CONTENT["text"]}],
}

# The ids are random, as everywhere.
_ROWS = """
    INSERT INTO notifications (id, user_id, idempotency_key, message_type, provider, status, payload, content_hash,
        created_at, due_at, sent_at, last_attempted, attempt_count, provider_message_id)
    SELECT gen_random_uuid()::text, u.id, encode(sha256(g::text::bytea), 'hex'), 'email', 'sendgrid', %(status)s,
        %(payload)s, repeat('0', 64), %(since)s + g, %(since)s + g, %(sent)s, %(sent)s, %(attempts)s, %(message)s
    FROM generate_series(%(first)s::bigint, %(first)s::bigint + %(count)s - 1) g
    JOIN (SELECT id, row_number() OVER () - 1 AS number FROM users) u ON u.number = g %% %(people)s
"""
_SQLITE_ROW = """
    INSERT INTO notifications (id, user_id, idempotency_key, message_type, provider, payload, content_hash,
        created_at, due_at)
    VALUES (?, ?, ?, 'email', 'sendgrid', ?, ?, ?, ?)
"""


class Server:
    """A PostgreSQL server: the one given by NOTIFYCTL_TEST_DATABASE_URL, else one that `server` starts (`is_own`)."""

    def __init__(self, url: str, *, is_own: bool) -> None:
        self.is_own = is_own
        self._url = make_url(url).set(drivername="postgresql")
        self._names = (f"notifyctl_bench_{os.getpid()}_{number}" for number in itertools.count(1))
        self.postmaster = self._postmaster()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of an empty database."""
        name = sql.Identifier(plain := next(self._names))
        with psycopg.connect(self.text(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
            try:
                yield self.text(plain)
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def text(self, database: str | None = None) -> str:
        """Return the URL, of that database."""
        url = self._url if database is None else self._url.set(database=database)
        return url.render_as_string(hide_password=False)

    def about(self) -> str:
        """Return the server's version, and the settings that say what a commit costs."""
        with psycopg.connect(self.text()) as conn:
            settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
            fsync, synchronous = conn.execute(settings).fetchone() or ("", "")
            version = conn.info.server_version // 10_000
            return f"PostgreSQL {version}, fsync {fsync}, synchronous_commit {synchronous}"

    def set(self, name: str, value: str) -> str:
        """Change a setting of a server of our own for all sessions; return what it was."""
        with psycopg.connect(self.text(), autocommit=True) as conn:
            before = conn.execute("SELECT current_setting(%s)", (name,)).fetchone() or ("",)
            conn.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), value))
            conn.execute("SELECT pg_reload_conf()")
        return str(before[0])

    def _postmaster(self) -> int | None:
        """Return the process that is parent of all the server's; None where it runs on another machine."""
        with psycopg.connect(self.text()) as conn:
            backend = conn.info.backend_pid
            if processes.command(backend) != "postgres":
                return None
            return processes.parent(backend)


@contextmanager
def server() -> Iterator[Server]:
    """Yield a server, started for the run where none is given."""
    given = os.environ.get("NOTIFYCTL_TEST_DATABASE_URL")
    if given:
        yield Server(given, is_own=False)
        return
    folder = postgres.folder()
    try:
        yield Server(postgres.obtain(folder, os.getpid()), is_own=True)
    finally:
        postgres.remove(folder)


@contextmanager
def ours(server: Server, program: Program) -> Iterator[str]:
    """Yield the URL of a database of that notifyctl's on the server, with people and a provider."""
    with server.database() as url:
        _settle(program, url)
        with psycopg.connect(url) as conn:
            conn.cursor().executemany("INSERT INTO users (id, username, email) VALUES (%s, %s, %s)", _people())
        yield url


@contextmanager
def ours_sqlite(folder: Path, program: Program) -> Iterator[str]:
    """Yield the URL of a SQLite database, with people and a provider."""
    made = folder / uuid.uuid4().hex
    made.mkdir()
    url = f"sqlite:///{made / 'bench.db'}"
    _settle(program, url)
    with _sqlite(url) as conn:
        conn.executemany("INSERT INTO users (id, username, email) VALUES (?, ?, ?)", _people())
    yield url
    shutil.rmtree(made)


def fill(url: str, pending: int, done: int = 0, *, checkpoint: bool = True) -> None:
    """Write notifications that are due, and others that were sent, and bring the statistics up to date."""
    if url.startswith("sqlite"):
        _fill_sqlite(url, pending)
        return
    since = time.time_ns() // 1_000_000 - pending - done  # in the running hour, but for long fills: as in life
    shared = {"payload": json.dumps(CONTENT), "people": PEOPLE, "since": since}
    was_sent = {"status": "sent", "sent": since, "attempts": 1, "message": "stub"}
    is_due = {"status": "pending", "sent": None, "attempts": 0, "message": None}
    with psycopg.connect(url, autocommit=True) as conn:
        first = conn.execute("SELECT count(*) FROM notifications").fetchone()
        assert first is not None
        conn.execute(_ROWS, {**shared, **was_sent, "first": first[0], "count": done})
        conn.execute(_ROWS, {**shared, **is_due, "first": first[0] + done, "count": pending})
        conn.execute("VACUUM ANALYZE")
        if checkpoint:
            conn.execute("CHECKPOINT")


def small_table(url: str, count: int) -> None:
    """Make the peers' table: what is to be posted, and whether it was sent; with three indexes."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE outbox (id bigint PRIMARY KEY, status varchar(20) NOT NULL, payload text NOT NULL,"
            " created_at bigint NOT NULL, sent_at bigint, response text)"
        )
        conn.execute("CREATE INDEX ON outbox (status, created_at)")
        conn.execute("CREATE INDEX ON outbox (sent_at)")
        conn.execute(
            "INSERT INTO outbox SELECT g, 'pending', %s, g FROM generate_series(1, %s) g", (json.dumps(BODY), count)
        )
        conn.execute("VACUUM ANALYZE outbox")


def moments(url: str, since: float, provider: str = "sendgrid") -> list[int]:
    """Return when each notification of the provider was sent after `since` (seconds), in milliseconds, in order."""
    query = (
        "SELECT sent_at FROM notifications"
        f" WHERE sent_at >= {int(since * 1_000)} AND provider = '{provider}' ORDER BY sent_at"
    )
    return [int(row[0]) for row in _rows(url, query)]


def told(url: str, since: float) -> list[int]:
    """Return when the first notification was sent after `since` (seconds), and when webhooks were told of each."""
    query = f"SELECT delivered_at FROM webhook_deliveries WHERE delivered_at >= {int(since * 1_000)}"
    return moments(url, since)[:1] + sorted(int(row[0]) for row in _rows(url, query))


def left(url: str) -> int:
    """Return how many notifications are still pending."""
    return int(_rows(url, "SELECT count(*) FROM notifications WHERE status = 'pending'")[0][0])


def _rows(url: str, query: str) -> Sequence[Sequence[Any]]:
    if url.startswith("sqlite"):
        with _sqlite(url) as conn:
            return conn.execute(query).fetchall()
    with psycopg.connect(url) as postgresql:
        postgresql.execute("SET track_counts = off")  # these look at whole tables: not the pages of who is measured
        return postgresql.execute(query.encode()).fetchall()


def _settle(program: Program, url: str) -> None:
    program.run(url, "migrate", "up")
    program.run(
        url, "providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.com", stdin="SG.bench"
    )


def _people() -> list[tuple[str, str, str]]:
    return [(str(uuid.uuid4()), f"person{each}", f"person{each}@example.org") for each in range(PEOPLE)]


@contextmanager
def _sqlite(url: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose work is committed."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as conn, conn:
        yield conn


def _fill_sqlite(url: str, pending: int) -> None:
    since = time.time_ns() // 1_000_000 - 2 * pending
    with _sqlite(url) as conn:
        people = [row[0] for row in conn.execute("SELECT id FROM users")]
        first = conn.execute("SELECT count(*) FROM notifications").fetchone()[0]
        rows = [
            (
                str(uuid.uuid4()),
                people[number % len(people)],
                uuid.uuid4().hex,
                json.dumps(CONTENT),
                "0" * 64,
                since + number,
                since + number,
            )
            for number in range(first, first + pending)
        ]
        conn.executemany(_SQLITE_ROW, rows)
