"""The schema goes up and down, as a whole or not at all, and ends as the tables that the program knows."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from notifyctl.core.errors import DatabaseUnavailable, NotifyctlError, SchemaMismatch, UsageError
from notifyctl.core.migration import Difference, Revision, SchemaStatus
from notifyctl.store.db.database import Database
from notifyctl.store.schema import revisions as schema
from notifyctl.store.schema.tables import metadata, notification_preferences, users
from notifyctl.store.schema.version import SCHEMA_VERSION
from tests.support import seed
from tests.support.catalogue import contents
from tests.support.command import REPOSITORY
from tests.support.databases import PostgreSQLMaker


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    """A database that was never migrated."""
    opened = Database(empty_database_url)
    yield opened
    opened.close()


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """A migrated PostgreSQL database."""
    opened = Database(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """A migrated SQLite database."""
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def _execute(database: Database, *statements: str) -> None:
    def work(conn: object) -> None:
        for statement in statements:
            conn.exec_driver_sql(statement)  # type: ignore[attr-defined]

    database.alter(work)


def _ids(revisions: tuple[Revision, ...]) -> list[str]:
    return [revision.id for revision in revisions]


def test_the_newest_migration_is_the_programs_version() -> None:
    """What the program asks of a database is what the newest migration makes of it."""
    assert schema.history()[0].id == SCHEMA_VERSION


def test_revisions_are_numbered() -> None:
    """Revisions ascend as text, which is how a newer database is recognised without loading Alembic."""
    ids = _ids(schema.history())
    assert ids == sorted(ids, reverse=True)
    assert [revision.previous for revision in schema.history()] == [*ids[1:], None]


def test_up_down_up(empty: Database) -> None:
    """A database goes all the way up, down and up again; down leaves nothing but the empty version table."""
    everything = _ids(schema.history())
    assert _ids(schema.up(empty)) == everything[::-1]
    first = contents(empty)
    assert _ids(schema.down(empty, "base")) == everything
    assert contents(empty) == []
    assert schema.status(empty).current is None
    assert _ids(schema.up(empty)) == everything[::-1]
    assert contents(empty) == first
    empty.require_version()


def test_one_step_at_a_time(empty: Database) -> None:
    """Relative revisions work in both directions."""
    assert _ids(schema.up(empty, "+1")) == ["0001"]
    assert _ids(schema.down(empty, "-1")) == ["0001"]


def test_up_again_does_nothing(database: Database) -> None:
    """A database that is up stays as it is."""
    before = contents(database)
    assert schema.up(database) == ()
    assert contents(database) == before


def test_migrations_make_what_the_models_describe(database: Database, empty: Database) -> None:
    """To the letter: migrated, a database equals one made from the models."""
    if empty.path:
        empty.path.touch()
    empty.alter(metadata.create_all)
    assert contents(database) == contents(empty)


def test_models_and_database_are_the_same_after_up(database: Database) -> None:
    """`check` finds nothing."""
    assert schema.check(database) == ()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP INDEX idx_users_email", Difference("idx_users_email", "missing: index")),
        ("CREATE INDEX extra ON users (language)", Difference("extra", "unexpected: index")),
        ("DROP TABLE dispatchers", Difference("dispatchers", "missing")),
        ("ALTER TABLE users ADD COLUMN extra TEXT", Difference("users.extra", "unexpected")),
    ],
)
def test_check_finds_differences(database: Database, statement: str, expected: Difference) -> None:
    """What somebody changed by hand is named."""
    _execute(database, statement)
    assert schema.check(database) == (expected,)


def test_check_finds_a_column_of_another_name(database: Database) -> None:
    """One is missing and another is there."""
    _execute(database, "ALTER TABLE notification_dlq RENAME COLUMN note TO other")
    expected = {Difference("notification_dlq.note", "missing"), Difference("notification_dlq.other", "unexpected")}
    assert expected <= set(schema.check(database))


def test_check_sees_conditions_and_expressions(database: Database) -> None:
    """An index of the same name is another one where its condition, order, expression or uniqueness differs."""
    _execute(
        database,
        "DROP INDEX idx_notifications_due",
        "CREATE INDEX idx_notifications_due ON notifications (provider, is_critical, due_at)"
        " WHERE status || '' = 'pending'",
        "DROP INDEX idx_notifications_provider_message",
        "CREATE INDEX idx_notifications_provider_message ON notifications (provider_message_id)",
        "DROP INDEX idx_metrics_bucket",
        "CREATE UNIQUE INDEX idx_metrics_bucket ON notification_metrics"
        " (date, coalesce(hour, 0), provider, message_type)",
        "DROP INDEX idx_api_key_hash",
        "CREATE INDEX idx_api_key_hash ON api_keys (key_hash)",
    )
    assert {difference.what for difference in schema.check(database)} == {
        "idx_notifications_due",
        "idx_notifications_provider_message",
        "idx_metrics_bucket",
        "idx_api_key_hash",
    }


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE users ALTER COLUMN email TYPE TEXT", Difference("users.email", "another type")),
        ("ALTER TABLE users ALTER COLUMN email DROP NOT NULL", Difference("users.email", "another nullable")),
        ("ALTER TABLE users ALTER COLUMN created_at DROP DEFAULT", Difference("users.created_at", "another default")),
        (
            "ALTER TABLE webhook_deliveries ALTER COLUMN attempt_count SET DEFAULT 2",
            Difference("webhook_deliveries.attempt_count", "another default"),
        ),
        (
            "ALTER TABLE notifications DROP CONSTRAINT notifications_status_check",
            Difference("notifications_status_check", "missing: check"),
        ),
        (
            "ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_user_id_fkey",
            Difference("audit_logs.user_id", "missing: foreign key ON UPDATE CASCADE ON DELETE SET NULL"),
        ),
    ],
)
def test_check_finds_what_only_postgresql_can_change(
    postgresql: Database, statement: str, expected: Difference
) -> None:
    """Types, defaults and constraints, which SQLite cannot change in place."""
    _execute(postgresql, statement)
    assert schema.check(postgresql) == (expected,)


def test_check_takes_quotes_for_no_difference(postgresql: Database) -> None:
    """A server that is set to quote all names tells the same schema in other words."""
    _execute(postgresql, f"ALTER DATABASE {postgresql.url.database} SET quote_all_identifiers = on")
    postgresql.close()  # the setting holds for new connections
    assert schema.check(postgresql) == ()


def test_check_finds_another_condition(postgresql: Database) -> None:
    """A CHECK of the same name with other values is another one."""
    _execute(
        postgresql,
        "ALTER TABLE notifications DROP CONSTRAINT notifications_status_check",
        "ALTER TABLE notifications ADD CONSTRAINT notifications_status_check CHECK (status IN ('pending', 'sent'))",
    )
    (difference,) = schema.check(postgresql)
    assert difference.what == "notifications_status_check"


def test_check_passes_over_other_tables(database: Database) -> None:
    """A database may be shared with another program's tables."""
    _execute(database, "CREATE TABLE others (id INT)", "CREATE INDEX others_id ON others (id)")
    assert schema.check(database) == ()


def test_check_of_an_empty_database(empty: Database) -> None:
    """Without tables all are missing; without a file there is nothing to look at."""
    if empty.path:
        with pytest.raises(SchemaMismatch, match="there is no database"):
            schema.check(empty)
    else:
        assert {difference.what for difference in schema.check(empty)} == {"version", *metadata.tables}


def test_status_tells_where_a_database_stands(empty: Database) -> None:
    """Before and after `up`; asking creates nothing."""
    before = schema.status(empty)
    assert (before.current, before.head, before.is_current) == (None, SCHEMA_VERSION, False)
    assert _ids(before.pending) == _ids(schema.history())[::-1]
    assert before.exists is (empty.path is None)
    assert empty.path is None or not empty.path.exists()
    schema.up(empty)
    after = schema.status(empty)
    assert (after.current, after.pending, after.is_current, after.exists) == (SCHEMA_VERSION, (), True, True)


def test_a_failing_migration_leaves_nothing(empty: Database) -> None:
    """The last table is in the way: what was made before it is gone again, and the next try succeeds."""
    if empty.path:
        empty.path.touch()
    _execute(empty, "CREATE TABLE metrics_dirty_hours (id INT)")
    before = contents(empty)
    with pytest.raises(NotifyctlError, match="already exists"):
        schema.up(empty)
    assert contents(empty) == before
    assert schema.status(empty).current is None
    _execute(empty, "DROP TABLE metrics_dirty_hours")
    assert len(schema.up(empty)) == len(schema.history())


def test_a_failing_way_down_leaves_everything(database: Database) -> None:
    """A table that is missing stops `down`; the others are still there."""
    _execute(database, "DROP TABLE users" if database.path else "DROP TABLE users CASCADE")
    before = contents(database)
    with pytest.raises(NotifyctlError, match="users"):
        schema.down(database, "base")
    assert contents(database) == before
    assert schema.status(database).current == SCHEMA_VERSION


_UP = (
    "import sys; from notifyctl.store.db.database import Database; from notifyctl.store.schema import revisions;"
    "print(len(revisions.up(Database(sys.argv[1]))))"
)


@pytest.mark.slow
def test_several_at_once(empty_database_url: str) -> None:
    """Of several processes one migrates; the others wait for it and find nothing to do."""
    started = [
        subprocess.Popen([sys.executable, "-c", _UP, empty_database_url], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    counts = [int(process.communicate(timeout=60)[0]) for process in started]
    assert sorted(counts) == [0, 0, len(schema.history())]


def test_sql_runs_on_an_empty_database(backend: str, empty: Database) -> None:
    """What `sql` prints does what `up` does; making it connects to nothing."""
    script = schema.sql(empty)
    if backend == "sqlite":
        assert empty.path is not None
        assert not empty.path.exists()
        with closing(sqlite3.connect(empty.path)) as conn:
            conn.executescript(script)
            assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    else:
        with psycopg.connect(empty.url.render_as_string(), autocommit=True) as connection:
            connection.execute(script.encode())
    assert schema.check(empty) == ()
    empty.require_version()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at.all", "postgresql://127.0.0.1:1/nowhere"])
def test_sql_of_a_range(url: str) -> None:
    """From the newest revision to the newest there is nothing to do but the transaction."""
    statements = schema.sql(Database(url), f"{SCHEMA_VERSION}:head")
    assert "CREATE" not in statements
    assert "BEGIN" in statements


def test_unknown_revisions_are_refused(database: Database) -> None:
    """A revision that does not exist is the caller's mistake, and changes nothing."""
    for act in (schema.up, schema.down):
        with pytest.raises(UsageError, match="no-such") as caught:
            act(database, "no-such")
        assert caught.value.hint == "notifyctl migrate history"
    with pytest.raises(UsageError):
        schema.sql(database, "no-such")
    assert schema.status(database).is_current


def test_a_newer_database_is_left_alone(database: Database) -> None:
    """A later version of the program has been here: say so, and what to do."""
    _execute(database, "UPDATE alembic_version SET version_num = '9999'")
    for act in (lambda: schema.up(database), lambda: schema.down(database, "base"), database.require_version):
        with pytest.raises(SchemaMismatch, match="newer than this program") as caught:
            act()
        assert caught.value.hint == "upgrade notifyctl"
    assert schema.status(database) == SchemaStatus(
        database.label, "9999", SCHEMA_VERSION, pending=(), exists=True, known=False
    )


def test_no_schema_at_all(empty: Database) -> None:
    """A command on a database that was never migrated says what to do."""
    with pytest.raises(SchemaMismatch) as caught:
        empty.require_version()
    assert caught.value.hint == "notifyctl migrate up"


def test_down_creates_no_file(tmp_path: Path) -> None:
    """Only `up` creates a database."""
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SchemaMismatch):
        schema.down(database, "base")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_alembic_itself_runs(empty_database_url: str) -> None:
    """Developers run `alembic` from a checkout; the database is the environment's."""
    environment = {**os.environ, "NOTIFYCTL_DATABASE_URL": empty_database_url}
    if empty_database_url.startswith("sqlite"):
        Path(empty_database_url.removeprefix("sqlite:///")).touch()
    for words in (["upgrade", "head"], ["current", "--check-heads"], ["downgrade", "base"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *words], cwd=REPOSITORY, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


# PostgreSQL


def test_a_lock_timeout_is_said_clearly(postgresql: Database) -> None:
    """A table in use stops a migration after the time given, with nothing changed."""
    before = contents(postgresql)
    with psycopg.connect(postgresql.url.render_as_string()) as other:
        other.execute("SELECT * FROM users")
        with pytest.raises(DatabaseUnavailable, match="lock was not granted in time"):
            schema.down(postgresql, "base", lock_timeout_ms=100)
    assert contents(postgresql) == before


def test_another_up_is_waited_for_longer_than_a_lock(postgresql: Database) -> None:
    """The lock timeout limits how long tables are waited for, not how long another migration is."""
    with psycopg.connect(postgresql.url.render_as_string()) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('notifyctl.schema', 0))")
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        assert schema.up(postgresql, lock_timeout_ms=50) == ()
        timer.join()


def test_a_missing_database_is_named(postgresql_maker: PostgreSQLMaker, postgresql_url: str) -> None:
    """PostgreSQL runs, the database does not exist: the hint creates it."""
    database = Database(str(Database(postgresql_url).url.set(database="no_such")))
    with pytest.raises(DatabaseUnavailable, match='"no_such" does not exist') as caught:
        schema.up(database)
    assert caught.value.hint == "createdb no_such, then notifyctl migrate up"


# SQLite


def test_up_creates_file_and_folder_for_the_owner_only(tmp_path: Path) -> None:
    """Whatever the umask says, nobody else reads the database; a folder that exists is left as it is."""
    before = os.umask(0)
    try:
        database = Database(f"sqlite:///{tmp_path / 'data' / 'notify me%.db'}")
        schema.up(database)
    finally:
        os.umask(before)
    assert database.path is not None
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (database.path.parent, database.path)]
    assert modes == [0o700, 0o600]
    assert {stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()} == {0o600}


def test_up_takes_no_lock_away_from_a_connection_that_is_open(sqlite: Database) -> None:
    """Closing a file gives up all locks the process holds on it: the next to leave would reset the log under us."""
    with sqlite.read() as tx:
        tx.execute(text("SELECT 1 FROM users")).all()
    another = Database(str(sqlite.url))
    schema.up(another)
    another.close()
    alone = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA journal_mode = DELETE')"
    other = subprocess.run([sys.executable, "-c", alone, str(sqlite.path)], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The path leads through a file."""
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="Not a directory"):
        schema.up(Database(f"sqlite:///{tmp_path / 'file' / 'x' / 'notifyctl.db'}"))


def test_up_on_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Somebody else's file is not touched."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Anna, " * 100)
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        schema.up(Database(f"sqlite:///{path}"))
    assert path.read_text().startswith("Dear Anna, Dear Anna")


def test_settings_of_sqlite(sqlite: Database) -> None:
    """References are followed, commits reach the disk, readers and the writer do not wait for each other."""
    with sqlite.read() as tx:
        settings = {
            name: tx.conn.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("foreign_keys", "synchronous", "journal_mode")
        }
    assert settings == {"foreign_keys": 1, "synchronous": 2, "journal_mode": "wal"}


def _prefer(database: Database, user: str) -> None:
    row = {"id": "p" * 36, "user_id": user, "channel": "email"}
    database.write(lambda tx: tx.execute(insert(notification_preferences).values(row)))


@pytest.mark.parametrize("value", ["CAST('x' AS BLOB)", "X''", "X'FFFE'"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "email"),
        ("users", "updated_at"),
        ("notifications", "payload"),
        ("notifications", "is_critical"),
        ("notification_preferences", "quiet_hours_start"),
        ("notification_preferences", "timezone"),
        ("notification_preferences", "frequency_cap"),
        ("webhook_deliveries", "payload"),
    ],
)
def test_bytes_are_no_text_and_no_number(sqlite: Database, table: str, column: str, value: str) -> None:
    """What PostgreSQL refuses, SQLite would keep; one such row would end the claims of everybody."""
    user = seed.user(sqlite)
    seed.owed(sqlite, seed.webhook(sqlite, user), *seed.pending(sqlite, user))
    _prefer(sqlite, user)
    with pytest.raises(IntegrityError, match=f"{table}_{column}_kind_check"):
        sqlite.write(lambda tx: tx.execute(text(f"UPDATE {table} SET {column} = {value}")))


@pytest.mark.parametrize(
    ("value", "is_kept"), [("'soon'", False), ("1.5", False), ("'5'", True), ("5", True), ("NULL", True)]
)
def test_words_are_no_numbers(sqlite: Database, value: str, is_kept: bool) -> None:
    """Neither are they on PostgreSQL; a number in quotes is one."""
    _prefer(sqlite, seed.user(sqlite))
    change = text(f"UPDATE notification_preferences SET frequency_cap = {value}")
    with nullcontext() if is_kept else pytest.raises(IntegrityError):
        sqlite.write(lambda tx: tx.execute(change))


@pytest.mark.parametrize(
    ("column", "fits"), [("email", 255), ("username", 100), ("language", 35), ("id", 36)], ids=lambda value: str(value)
)
def test_lengths_are_kept(database: Database, column: str, fits: int) -> None:
    """The longest value that the document allows is stored, in characters; one more is refused by both databases."""
    row = {"id": "0", "email": "e", "username": "u", column: "é" * fits}
    database.write(lambda tx: tx.execute(insert(users).values(row)))
    with pytest.raises((IntegrityError, NotifyctlError)):
        database.write(lambda tx: tx.execute(insert(users).values({**row, column: "é" * (fits + 1)})))
    with database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
