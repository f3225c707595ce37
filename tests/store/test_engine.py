"""Connections and transactions: what is tried again, what is not, and what an operator is told."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from notifyctl.core.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    NotAllowed,
    NotifyctlError,
    SchemaMismatch,
    UsageError,
)
from notifyctl.store.db import database as databases
from notifyctl.store.db import engines
from notifyctl.store.db.database import TRIES, Database
from notifyctl.store.db.filelock import exclusive
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema import revisions
from notifyctl.store.schema.tables import contact_points, suppressions, users


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """A migrated PostgreSQL database with two users, a and b."""
    opened = Database(postgresql_url)
    opened.write(lambda tx: tx.execute(insert(users), [_user("a"), _user("b")]))
    yield opened
    opened.close()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """A migrated SQLite database."""
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def _user(name: str) -> dict[str, str]:
    return {"id": name, "email": f"{name}@example.org", "username": name}


def _names(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(select(users.c.username).order_by(users.c.username)).scalars())


def _rename(tx: Tx, name: str, to: str) -> None:
    tx.execute(update(users).where(users.c.id == name).values(username=to))


def _path(database: Database) -> Path:
    assert database.path is not None
    return database.path


def _elsewhere(database: Database, statement: str) -> None:
    with psycopg.connect(database.url.render_as_string(hide_password=False), autocommit=True) as conn:
        conn.execute(statement.encode())


def _terminate(database: Database, tx: Tx) -> None:
    pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
    _elsewhere(database, f"SELECT pg_terminate_backend({pid}, 5000)")


def _cut(_: Database, tx: Tx) -> None:
    """Close the connection's socket under the driver, as a dead network would."""
    driver = tx.conn.connection.driver_connection
    assert driver is not None
    with socket.socket(fileno=os.dup(driver.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


LOSE: dict[str, Callable[[Database, Tx], None]] = {"terminate": _terminate, "cut": _cut}

# Both


def test_a_transaction_is_stored_or_not(database: Database) -> None:
    """What `write` returns is what its work returned; an exception undoes all of it."""
    assert database.write(lambda tx: tx.execute(insert(users).values(_user("a"))) and "done") == "done"

    def fails(tx: Tx) -> None:
        tx.execute(insert(users).values(_user("b")))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        database.write(fails)
    assert _names(database) == ["a"]


def test_reading_changes_nothing(database: Database) -> None:
    """What is done on a connection for reading is undone."""
    with database.read() as tx:
        tx.execute(insert(users).values(_user("a")))
    assert _names(database) == []


def test_integrity_errors_pass_through(database: Database) -> None:
    """What a broken constraint means is the caller's to say, and it is not tried again."""
    tries: list[int] = []

    def work(tx: Tx) -> None:
        tries.append(1)
        tx.execute(insert(users), [_user("a"), _user("a")])

    with pytest.raises(IntegrityError):
        database.write(work)
    assert len(tries) == 1


def test_a_table_that_is_missing_is_a_matter_of_the_schema(database: Database) -> None:
    """The hint says how to get there."""
    for statement in ("SELECT * FROM not_yet", "SELECT not_yet FROM users", "INSERT INTO users (not_yet) VALUES (1)"):
        with pytest.raises(SchemaMismatch, match="not_yet") as caught:
            database.write(lambda tx, statement=statement: tx.execute(text(statement)))  # type: ignore[misc]
        assert caught.value.hint == "notifyctl migrate up"


def test_an_older_schema_is_refused(database: Database) -> None:
    """The version is compared as it is stored."""
    database.write(lambda tx: tx.execute(text("UPDATE alembic_version SET version_num = '0000'")))
    with pytest.raises(SchemaMismatch, match="has schema 0000, this program needs") as caught:
        database.require_version()
    assert caught.value.hint == "notifyctl migrate up"


def test_parameters_stay_out_of_messages(database: Database) -> None:
    """An error names the statement, never the values: they may be secrets."""
    with pytest.raises(IntegrityError) as caught:
        database.write(lambda tx: tx.execute(insert(users).values({**_user("a"), "email": None, "id": "canary"})))
    assert "canary" not in str(caught.value).split("[SQL")[-1]


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"]
)
def test_urls_that_cannot_be_meant(url: str) -> None:
    """Each is refused with an example of what can."""
    with pytest.raises(UsageError) as caught:
        Database(url)
    assert caught.value.hint == "sqlite:///path or postgresql://host/name"


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("postgresql://anna:secret@db1/notify", "postgresql://anna:***@db1/notify"),
        ("postgresql+psycopg://db1/notify?password=secret", "postgresql://db1/notify"),
        ("sqlite:////var/lib/notify.db", "sqlite:////var/lib/notify.db"),
    ],
)
def test_the_label_holds_no_secret(url: str, label: str) -> None:
    """The URL for people names neither driver nor password."""
    assert Database(url).label == label


# PostgreSQL


def test_a_serialization_failure_is_tried_again(postgresql: Database) -> None:
    """Somebody else changed the row after this transaction saw it."""
    strict = f"ALTER DATABASE \"{postgresql.url.database}\" SET default_transaction_isolation = 'repeatable read'"
    _elsewhere(postgresql, strict)
    postgresql.close()  # it holds for the connections to come
    tries: list[int] = []

    def work(tx: Tx) -> None:
        tx.execute(select(users)).all()
        if not tries:
            _elsewhere(postgresql, "UPDATE users SET username = 'theirs' WHERE id = 'a'")
        tries.append(1)
        _rename(tx, "a", "ours")

    postgresql.write(work)
    assert (len(tries), _names(postgresql)) == (2, ["b", "ours"])


def test_a_deadlock_is_tried_again(postgresql: Database) -> None:
    """Two transactions take the same rows in opposite order; both end well."""
    both_hold_one = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    def work(first: str, second: str) -> Callable[[Tx], None]:
        def run(tx: Tx) -> None:
            tries.append(first)
            tx.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            tx.execute(select(users).where(users.c.id == first).with_for_update()).all()
            if tries.count(first) == 1:
                both_hold_one.wait()
            _rename(tx, second, f"{second} by {first}")

        return run

    threads = [threading.Thread(target=postgresql.write, args=(work(*pair),)) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(tries), _names(postgresql)) == (3, ["a by b", "b by a"])


@pytest.mark.parametrize("lose", ["terminate", "cut"])
def test_a_lost_connection_is_tried_again(postgresql: Database, lose: str) -> None:
    """An administrator or the network ended the connection before COMMIT: nothing was stored yet."""
    tries = []

    def work(tx: Tx) -> None:
        tries.append(1)
        tx.execute(insert(users).values(_user("c")))
        if len(tries) == 1:
            LOSE[lose](postgresql, tx)
        _rename(tx, "a", "renamed")

    postgresql.write(work)
    assert (len(tries), _names(postgresql)) == (2, ["b", "c", "renamed"])


@pytest.mark.parametrize("lose", ["terminate", "cut"])
def test_a_failed_commit_is_unknown(postgresql: Database, lose: str) -> None:
    """The connection ends before COMMIT is answered: it is not tried again, it might have been stored."""
    tries = []

    def work(tx: Tx) -> None:
        tries.append(1)
        tx.execute(insert(users).values(_user("c")))
        LOSE[lose](postgresql, tx)

    with pytest.raises(CommitUnknown):
        postgresql.write(work)
    assert len(tries) == 1


def test_a_backend_that_ends_in_commit_is_unknown(postgresql: Database) -> None:
    """The server goes away while it commits."""
    _elsewhere(
        postgresql,
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION leave()",
    )
    with pytest.raises(CommitUnknown):
        postgresql.write(lambda tx: tx.execute(insert(users).values(_user("c"))))


def test_a_commit_that_was_refused_is_not_unknown(postgresql: Database) -> None:
    """The server answered COMMIT with an error: nothing was stored, and that is known."""
    _elsewhere(
        postgresql,
        "CREATE TABLE badges (user_id CHAR(36) REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    with pytest.raises(IntegrityError):
        postgresql.write(lambda tx: tx.execute(text("INSERT INTO badges VALUES ('nobody')")))


def test_trying_ends(postgresql: Database) -> None:
    """What never succeeds is given up, with nothing changed."""
    tries = []

    def work(tx: Tx) -> None:
        tries.append(1)
        tx.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))

    with pytest.raises(DatabaseUnavailable):
        postgresql.write(work)
    assert len(tries) == TRIES


def test_connections_that_ended_meanwhile_are_replaced(postgresql: Database) -> None:
    """That the server was restarted between two transactions is not noticed by a writer."""
    with postgresql.read() as first, postgresql.read() as second:
        pids = [conn.execute(text("SELECT pg_backend_pid()")).scalar_one() for conn in (first, second)]
    for pid in pids:
        _elsewhere(postgresql, f"SELECT pg_terminate_backend({pid}, 5000)")
    postgresql.write(lambda tx: _rename(tx, "a", "renamed"))
    assert _names(postgresql) == ["b", "renamed"]


def test_a_read_only_server(postgresql: Database) -> None:
    """A standby, or an administrator's switch: nothing was changed, repeat later."""
    name = postgresql.url.database
    _elsewhere(postgresql, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    postgresql.close()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        postgresql.write(lambda tx: _rename(tx, "a", "renamed"))


def test_a_role_that_may_not(postgresql: Database) -> None:
    """Roles with fewer rights are told so."""

    def work(tx: Tx) -> None:
        tx.execute(text("CREATE ROLE notifyctl_test_nobody"))
        tx.execute(text("SET LOCAL ROLE notifyctl_test_nobody"))
        _rename(tx, "a", "renamed")

    with pytest.raises(NotAllowed, match="permission denied"):
        postgresql.write(work)


def test_an_unexpected_error_is_a_defect(postgresql: Database) -> None:
    """What no operator can cause is called what it is."""
    with pytest.raises(NotifyctlError, match="division by zero") as caught:
        postgresql.write(lambda tx: tx.execute(text("SELECT 1 / 0")))
    assert type(caught.value) is NotifyctlError


def test_a_server_that_is_down() -> None:
    """Nobody listens: known at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        _unreachable(Database(f"postgresql://127.0.0.1:{taken.getsockname()[1]}/notify"), within_s=15)


def test_a_server_that_does_not_answer() -> None:
    """Somebody listens and says nothing: given up after the time in the URL, or 5 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/notify"
        _unreachable(Database(f"{address}?connect_timeout=2"), within_s=15)
    assert engines.CONNECT_TIMEOUT_S == 5


def _unreachable(database: Database, within_s: float) -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as caught:
        database.write(lambda tx: tx.execute(text("SELECT 1")))
    assert time.monotonic() - began < within_s
    assert caught.value.exit_code == 10


def test_no_session_state(postgresql: Database) -> None:
    """PgBouncer in transaction mode loses prepared statements and session settings: there are none."""
    with postgresql.read() as tx:
        for _ in range(10):
            tx.execute(select(users)).all()
        assert tx.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


# SQLite


@pytest.mark.parametrize("act", ["read", "write", "require_version"])
def test_a_missing_file_is_not_created(tmp_path: Path, act: str) -> None:
    """Only `migrate up` creates a database; every other command says so."""
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SchemaMismatch, match="there is no database at") as caught:
        if act == "read":
            with database.read():
                pass
        elif act == "write":
            database.write(lambda tx: None)
        else:
            database.require_version()
    assert caught.value.hint == "notifyctl migrate up"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Somebody else's file is left as it is."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Anna, " * 100)
    database = Database(f"sqlite:///{path}")
    for act in (database.require_version, lambda: database.write(lambda tx: None)):
        with pytest.raises(DatabaseUnavailable, match="not a database"):
            act()
    assert path.read_text() == "Dear Anna, " * 100


def test_paths_are_paths(tmp_path: Path) -> None:
    """A path stands in the URL as it is: what means something in other URLs means nothing here."""
    path = tmp_path / "a b#c%41d?e=f.db"
    database = Database(f"sqlite:///{path}")
    revisions.up(database)
    database.require_version()
    assert {found.name for found in tmp_path.iterdir()} >= {path.name, f"{path.name}.lock"}
    database.close()


def test_a_relative_path_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sqlite:///notify.db` is a file in the folder where the command was started."""
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///notify.db")
    revisions.up(database)
    monkeypatch.chdir("/")
    assert (tmp_path / "notify.db").exists()
    database.close()


def test_a_writer_that_waits_too_long_gives_up(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends, and whoever gave up does not get in the way when the lock is free."""
    monkeypatch.setattr(databases, "WRITE_LOCK_TIMEOUT_S", 0.2)
    with exclusive(f"{sqlite.path}.lock", 1), pytest.raises(DatabaseUnavailable, match="has been writing"):
        sqlite.write(lambda tx: None)
    for name in "abc":
        sqlite.write(lambda tx, name=name: tx.execute(insert(users).values(_user(name))))  # type: ignore[misc]
    assert _names(sqlite) == ["a", "b", "c"]


def test_a_writer_that_does_not_know_the_lock(sqlite_url: str) -> None:
    """Another program writes to the file: its lock is SQLite's own, and is waited for as well."""
    database = Database(f"{sqlite_url}?timeout=0.2")
    with closing(sqlite3.connect(_path(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            database.write(lambda tx: None)
        other.execute("ROLLBACK")
    database.write(lambda tx: None)
    database.close()


def test_readers_do_not_wait_for_the_writer(sqlite: Database) -> None:
    """A reader sees what was there when it began."""

    def work(tx: Tx) -> list[str]:
        tx.execute(insert(users).values(_user("a")))
        return _names(sqlite)

    assert sqlite.write(work) == []
    assert _names(sqlite) == ["a"]


_BULK = """
import sys, uuid
from sqlalchemy import insert
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import suppressions
database = Database(sys.argv[1])
def row():
    return {"id": str(uuid.uuid4()), "channel": "email", "address": str(uuid.uuid4()), "reason": "bulk"}
while True:
    database.write(lambda conn: conn.execute(insert(suppressions), [row() for _ in range(200)]))
    print(flush=True)
"""


def test_writers_take_turns(sqlite: Database) -> None:
    """Beside two bulk imports that never pause, a command gets its turn after a transaction or two."""
    bulk = [
        subprocess.Popen([sys.executable, "-c", _BULK, sqlite.url.render_as_string()], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for process in bulk:
            assert process.stdout is not None
            process.stdout.readline()
        waits = []
        for number in range(20):
            began = time.monotonic()
            sqlite.write(lambda tx, name=str(number): tx.execute(insert(users).values(_user(name))))  # type: ignore[misc]
            waits.append(time.monotonic() - began)
    finally:
        for process in bulk:
            process.kill()
            process.communicate()
    assert max(waits) < 10
    with sqlite.read() as tx:
        assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert len(tx.execute(select(suppressions.c.id)).all()) % 200 == 0


def test_a_full_disk(sqlite: Database) -> None:
    """Nothing of the transaction that did not fit is stored; the next one that fits is."""
    sqlite.write(lambda tx: tx.execute(insert(users).values(_user("a"))))
    big = {"id": "b", "channel": "email", "address": "b", "reason": "x" * 2_000_000}
    with _file_size_limit(_path(sqlite).stat().st_size + 1_000_000), pytest.raises(DatabaseUnavailable):
        sqlite.write(lambda tx: tx.execute(insert(suppressions).values(big)))
    sqlite.write(lambda tx: tx.execute(insert(users).values(_user("c"))))
    with sqlite.read() as tx:
        assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert tx.execute(select(suppressions.c.id)).all() == []
    assert _names(sqlite) == ["a", "c"]


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_only_be_read(sqlite: Database) -> None:
    """Reading works, writing says why not."""
    sqlite.write(lambda tx: tx.execute(insert(users).values(_user("a"))))
    sqlite.close()
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "notifyctl.db"
        shutil.copyfile(_path(sqlite), path)
        Path(f"{path}.lock").touch()
        path.chmod(0o444)
        Path(f"{path}.lock").chmod(0o666)
        folder.chmod(0o777)  # WAL needs its two files, even for reading
        database = Database(f"sqlite:///{path}")
        with _unprivileged():
            assert _names(database) == ["a"]
            with pytest.raises(DatabaseUnavailable, match="readonly"):
                database.write(lambda tx: tx.execute(insert(users).values(_user("b"))))
            database.close()
    finally:
        shutil.rmtree(folder)


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Be somebody who may not do everything, where the tests are run by root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_the_lock_is_shared_like_the_database(sqlite: Database) -> None:
    """A group that may write to the database may take its lock."""
    lock = Path(f"{sqlite.path}.lock")
    lock.unlink(missing_ok=True)
    _path(sqlite).chmod(0o660)
    before = os.umask(0o077)
    try:
        sqlite.write(lambda tx: None)
    finally:
        os.umask(before)
    assert lock.stat().st_mode & 0o777 == 0o660


@pytest.fixture
def owned(sqlite: Database) -> Database:
    """A SQLite database with a user and a row that points there."""

    def work(tx: Tx) -> None:
        tx.execute(insert(users).values(_user("a")))
        tx.execute(insert(contact_points).values(id="p", user_id="a", channel="email", address="a@example.org"))

    sqlite.write(work)
    return sqlite


def test_altering_follows_no_references(owned: Database) -> None:
    """SQLite changes a table by making another: dropping the first must not delete the rows that point there."""

    def rebuild(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE new AS SELECT * FROM users"))
        conn.execute(text("DROP TABLE users"))
        conn.execute(text("ALTER TABLE new RENAME TO users"))
        conn.execute(text("CREATE UNIQUE INDEX users_id ON users (id)"))

    owned.alter(rebuild)
    with owned.read() as tx:
        assert len(tx.execute(select(contact_points.c.id)).all()) == 1
        assert tx.conn.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_altering_checks_references(owned: Database) -> None:
    """A migration that would leave rows pointing nowhere is undone."""
    with pytest.raises(NotifyctlError, match="rows of contact_points would point at rows that are gone"):
        owned.alter(lambda conn: conn.execute(text("DELETE FROM users")))
    assert _names(owned) == ["a"]
