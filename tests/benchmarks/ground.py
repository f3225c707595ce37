"""The databases the runs work on: a PostgreSQL server for the time of a run, and how they are filled."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import insert, make_url, text

from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.services.credentials import Given, applied
from notifyctl.store import providers, schema
from notifyctl.store.engine import Database
from notifyctl.store.providers import ProviderConfig
from notifyctl.store.tables import notifications, users
from tests.support import postgres

KEYS = "k1:" + "QUJD" * 21 + "QQ=="
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


def keyring() -> Keyring:
    """Return the keys that open the benchmarks' credentials."""
    return parse_keys(KEYS, "the benchmarks")


class Server:
    """A PostgreSQL server: the one given by NOTIFYCTL_TEST_DATABASE_URL, else one that `server` starts."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._names = (f"notifyctl_bench_{os.getpid()}_{number}" for number in itertools.count(1))

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


@contextmanager
def server() -> Iterator[Server]:
    """Yield a server, started for the run where none is given."""
    given = os.environ.get("NOTIFYCTL_TEST_DATABASE_URL")
    if given:
        yield Server(given)
        return
    folder = postgres.folder()
    try:
        yield Server(postgres.obtain(folder, os.getpid()))
    finally:
        postgres.remove(folder)


@contextmanager
def ours(server: Server) -> Iterator[str]:
    """Yield the URL of a database of notifyctl's on the server, with people and a provider."""
    with server.database() as url:
        _settle(url)
        yield url


@contextmanager
def ours_sqlite(folder: Path) -> Iterator[str]:
    """Yield the URL of a SQLite database, with people and a provider."""
    made = folder / uuid.uuid4().hex
    made.mkdir()
    url = f"sqlite:///{made / 'bench.db'}"
    _settle(url)
    yield url
    shutil.rmtree(made)


def fill(url: str, pending: int, done: int = 0) -> None:
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


def row(person: str, id_: str) -> dict[str, Any]:
    """Return a notification to insert, due at once."""
    return {
        "id": id_,
        "user_id": person,
        "idempotency_key": uuid.uuid4().hex,
        "message_type": "email",
        "provider": "sendgrid",
        "payload": json.dumps(CONTENT),
        "content_hash": "0" * 64,
    }


def left(url: str) -> int:
    """Return how many notifications are still pending."""
    db = Database(url)
    with db.read() as conn:
        found = conn.execute(text("SELECT count(*) FROM notifications WHERE status = 'pending'")).scalar_one()
    db.close()
    return int(found)


def _settle(url: str) -> None:
    db = Database(url)
    schema.up(db)
    people = [
        {"id": str(uuid.uuid4()), "username": f"person{each}", "email": f"person{each}@example.org"}
        for each in range(PEOPLE)
    ]
    empty = ProviderConfig(str(uuid.uuid4()), "sendgrid", "", None, {}, None, True, None, 30, 0, 1, 1)
    config = applied(empty, Given(api_key="SG.bench", settings={"from": "alerts@example.com"}), keyring())
    db.write(lambda conn: conn.execute(insert(users), people))
    db.write(lambda conn: providers.create(conn, db.dialect, config))
    db.close()


def _fill_sqlite(url: str, pending: int) -> None:
    db = Database(url)
    since = time.time_ns() // 1_000_000 - 2 * pending
    with db.read() as conn:
        people = list(conn.execute(text("SELECT id FROM users")).scalars())
        first = conn.execute(text("SELECT count(*) FROM notifications")).scalar_one()
    rows = [
        row(people[number % len(people)], str(uuid.uuid4())) | {"created_at": since + number, "due_at": since + number}
        for number in range(first, first + pending)
    ]
    db.write(lambda conn: conn.execute(insert(notifications), rows))
    db.close()
