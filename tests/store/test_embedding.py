"""`notifyctl.submit`: an application submits in its own transaction, on any of its connections."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.adapt import Dumper, Loader
from psycopg.rows import dict_row, namedtuple_row
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import notifyctl
from notifyctl.core import content
from notifyctl.core.errors import DatabaseUnavailable, NotAllowed, SchemaMismatch
from notifyctl.core.model import Channel
from notifyctl.core.submission import Draft
from notifyctl.services import sending
from notifyctl.store.db import database as database_module
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, batches, categories, notifications
from tests.support import seed
from tests.support.roles import SUBMITS, role

MAIL = {"subject": "Hello", "text": "It works"}
ONE = notifyctl.Submission("anna", "email", MAIL, key="k")

Opened = Callable[[], Any]


@pytest.fixture
def people(database: Database) -> Database:
    """A database with people and providers."""
    for name in ("anna", "omar"):
        seed.user(database, name)
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    return database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def common(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database of many tests', with people and providers."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = request.getfixturevalue("sqlite_maker").migrated(tmp_path_factory.mktemp("common"))
        else:
            url = stack.enter_context(request.getfixturevalue("postgresql_maker").migrated())
        database = Database(url)
        seed.user(database)
        seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}')
        yield url
        database.close()


@contextmanager
def by_driver(url: str, **options: Any) -> Iterator[Any]:
    """Yield the driver's own connection."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), **options)) as conn:
            yield conn
    else:
        with closing(psycopg.connect(url)) as conn:
            yield conn


@contextmanager
def by_sqlalchemy(url: str) -> Iterator[Any]:
    """Yield a connection of SQLAlchemy's."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as conn:
        yield conn


@contextmanager
def by_session(url: str) -> Iterator[Any]:
    """Yield the connection of a session of SQLAlchemy's."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with Session(engine) as session:
        yield session.connection()


@pytest.fixture(params=[by_driver, by_sqlalchemy, by_session], ids=lambda way: way.__name__)
def conn(request: pytest.FixtureRequest, people: Database, database_url: str) -> Iterator[Any]:
    """An application's connection, of each kind."""
    with request.param(database_url) as opened:
        yield opened


def stored(database: Database) -> list[Any]:
    """The notifications, in the order of their making."""
    with database.read() as tx:
        return list(tx.execute(select(notifications).order_by(notifications.c.created_at, notifications.c.id)).all())


# In a transaction of one's own


def test_it_holds_when_the_transaction_commits(people: Database, conn: Any) -> None:
    """And not before: nothing is committed by itself; nothing is left when it is rolled back."""
    with notifyctl.locked(conn):
        notifyctl.submit(conn, ONE)
        conn.rollback()
    assert stored(people) == []
    with notifyctl.locked(conn):
        done = notifyctl.submit(conn, ONE)
        again = notifyctl.submit(conn, ONE)
        assert stored(people) == []
        conn.commit()
    (row,) = stored(people)
    assert done == (row.id, False) and again == notifyctl.Accepted(row.id, deduplicated=True)
    with people.read() as tx:
        (agent,) = tx.execute(select(audit_logs.c.user_agent)).scalars()
    assert agent.startswith("notifyctl")


def test_it_goes_with_the_applications_own_rows(people: Database, conn: Any, backend: str) -> None:
    """An order and its mail: both or none."""
    run = conn.exec_driver_sql if isinstance(conn, sqlalchemy.Connection) else conn.execute
    run("CREATE TABLE orders (id INTEGER)")
    conn.commit()
    for end, count in ((conn.rollback, 0), (conn.commit, 1)):
        with notifyctl.locked(conn):
            run("INSERT INTO orders VALUES (1)")
            notifyctl.submit(conn, notifyctl.Submission("anna", "email", MAIL))
            end()
        assert run("SELECT count(*) FROM orders").fetchone()[0] == len(stored(people)) == count
        conn.rollback()


def test_many_are_a_batch_in_the_order_given(people: Database, conn: Any) -> None:
    """One audit row for all of a call, and all or none of them."""
    given = [notifyctl.Submission("anna", "email", {"subject": "S", "text": str(n)}, key=f"k{n}") for n in range(120)]
    with notifyctl.locked(conn):
        found = notifyctl.submit(conn, iter(given))
        assert notifyctl.submit(conn, []) == []
        conn.commit()
    rows = {row.id: row for row in stored(people)}
    assert [f'"text":"{n}"' in rows[each.id].payload for n, each in enumerate(found)] == [True] * 120
    (batch,) = {row.batch_id for row in rows.values()}
    digest = hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
    a = audit_logs.c
    with people.read() as tx:
        (entry,) = tx.execute(select(a.action, a.resource_type, a.resource_id, a.changes)).all()
        assert tx.execute(select(batches.c.source)).scalar_one() == "application"
    assert tuple(entry) == ("submit", "batch", batch, f'{{"count":120,"ids_sha256":"{digest}"}}')


def test_one_of_many_that_is_refused(people: Database, conn: Any) -> None:
    """It is named, and refuses all."""
    given = [ONE, notifyctl.Submission("nobody", "email", MAIL)]
    with notifyctl.locked(conn), pytest.raises(notifyctl.NotFound, match="submission 2: there is no user"):
        notifyctl.submit(conn, given)
    conn.rollback()
    assert stored(people) == []


FULL = notifyctl.Submission(
    "omar",
    "sms",
    {"body": "Grüße 😀\n", "to": "+1 415 555 2345", "validity_seconds": 600},
    key="Bestellung é",
    send_at=datetime(2030, 1, 2, 3, 4, 5, 678_900, UTC),
    expires_in=timedelta(hours=1.5),
    category="news",
    provider="twilio",
    max_retries=0,
    critical=True,
)
FULL_DRAFT = Draft(
    "omar",
    Channel.SMS,
    content.build(Channel.SMS, data=FULL.content),
    "Bestellung é",
    "twilio",
    1_893_553_445_678,
    None,
    5_400_000,
    0,
    None,
    "news",
    True,
)


def test_the_same_submission_by_send_is_recognised(people: Database, conn: Any) -> None:
    """All that can be said, said to both: the same row."""
    category = {"id": "c", "name": "news"}
    people.write(lambda tx: tx.execute(insert(categories).values(category)))
    with notifyctl.locked(conn):
        made = notifyctl.submit(conn, FULL)
        conn.commit()
    by_send = sending.submit(people, FULL_DRAFT, {})
    assert (by_send.notification.id, by_send.deduplicated) == (made.id, True)
    (row,) = stored(people)
    assert (row.send_at, row.due_at, row.expires_at) == (1_893_553_445_678,) * 2 + (1_893_553_445_678 + 5_400_000,)
    assert (row.max_retries, row.is_critical, row.fails_over, row.category) == (0, True, False, "news")
    assert row.payload == content.canonical(FULL_DRAFT.payload)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"user": "nobody"}, "NotFound", "there is no user"),
        ({"channel": "fax"}, "UsageError", "channel"),
        ({"content": None}, "UsageError", "nothing to send"),
        ({"content": {"subjekt": "x"}}, "UsageError", "email has no subjekt"),
        ({"content": [1]}, "UsageError", "content"),
        ({"content": {"text": "a\0b"}}, "UsageError", "NUL"),
        ({"content": {"text": "\ud800"}}, "UsageError", "UTF-8"),
        ({"content": {"text": {1}}}, "UsageError", "JSON"),
        ({"content": {"template_data": {"n": float("nan")}}}, "UsageError", "JSON"),
        ({"user": "an\0na"}, "UsageError", "NUL"),
        ({"provider": "nobody"}, "NotFound", "no provider"),
        ({"template": "nobody", "content": None}, "NotFound", "no template"),
        ({"category": "nobody"}, "NotFound", "no category"),
        ({"channel": "push", "content": {"body": "x"}}, "Conflict", "no active provider"),
        ({"key": " "}, "UsageError", "key"),
        ({"key": "used"}, "Conflict", "was used for notification"),
        ({"send_at": datetime(2030, 1, 1)}, "UsageError", "offset"),
        ({"send_at": datetime(2020, 1, 1, tzinfo=UTC)}, "UsageError", "^send_at: 2020-01-01T00:00:00Z is past"),
        ({"delay": timedelta(-1)}, "UsageError", "delay"),
        ({"delay": timedelta.max}, "UsageError", "^(delay: that is after the year 9999|interval field value)"),
        ({"content": {"text": "x", "v": 2}}, "UsageError", "^content: v is 1"),
        ({"content": {"x": 1}}, "UsageError", "^content: email has no x"),
        ({"expires_in": timedelta(0)}, "UsageError", "expires_in"),
        ({"max_retries": 1_001}, "UsageError", "max_retries"),
        ({"variables": {"a": 1}}, "UsageError", "variables"),
        ({"user": uuid.UUID(int=7)}, "UsageError", "user: must be text, not UUID"),
        ({"user": None}, "UsageError", "user: must be text"),
        ({"content": '{"text": "x"}'}, "UsageError", "content: must be an object"),
        ({"send_at": 1_893_553_445_678}, "UsageError", "send_at: must be a datetime"),
        ({"delay": 60}, "UsageError", "delay: must be a timedelta"),
        ({"max_retries": None}, "UsageError", "max_retries: must be a number"),
        ({"max_retries": True}, "UsageError", "max_retries: must be a number, not bool"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(common: str, given: dict[str, Any], error: str, said: str) -> None:
    """The same error of the package's on both databases, with what helps; nothing is written."""
    with by_driver(common) as conn, notifyctl.locked(conn):
        notifyctl.submit(conn, notifyctl.Submission("anna", "email", {"subject": "S", "text": "other"}, key="used"))
        conn.commit()
        wrong = notifyctl.Submission(**{"user": "anna", "channel": "email", "content": MAIL, **given})
        with pytest.raises(getattr(notifyctl, error), match=said):
            notifyctl.submit(conn, wrong)
        conn.commit()  # what is refused is not half there
        assert conn.execute("SELECT count(*) FROM notifications").fetchone() == (1,)
        conn.rollback()


def test_an_offset_of_seconds(common: str) -> None:
    """A moment is one with any offset that Python has."""
    at = datetime(2040, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=8)))
    with by_driver(common) as conn, notifyctl.locked(conn):
        made = notifyctl.submit(conn, notifyctl.Submission("anna", "email", MAIL, send_at=at))
        found = conn.execute(f"SELECT send_at FROM notifications WHERE id = '{made.id}'").fetchone()
        assert found == (int(at.timestamp()) * 1_000,)
        conn.rollback()


@pytest.mark.parametrize("what", [None, "sqlite:///x", object()])
def test_what_is_no_connection(what: object) -> None:
    """A TypeError says what it may be."""
    with pytest.raises(TypeError, match="psycopg, SQLAlchemy or sqlite3"):
        notifyctl.submit(what, ONE)  # type: ignore[call-overload]


@pytest.mark.parametrize("what", [{"user": "anna"}, ["anna"], [ONE, None, {}]])
def test_what_is_no_submission(lite: Database, what: Any) -> None:
    """A TypeError shows it."""
    conn = sqlite3.connect(path_of(lite))
    with closing(conn), notifyctl.locked(conn), pytest.raises(TypeError, match="is no notifyctl"):
        notifyctl.submit(conn, what)


def test_a_session_is_no_connection(people: Database, database_url: str) -> None:
    """The error says where it is to be had."""
    engine = sqlalchemy.create_engine(database_url, poolclass=NullPool)
    with Session(engine) as session, pytest.raises(TypeError, match=r"session\.connection\(\)"):
        notifyctl.submit(session, ONE)  # type: ignore[call-overload]


def test_asyncio_has_a_way_of_its_own() -> None:
    """The error names it."""
    with pytest.raises(TypeError, match="in asyncio call notifyctl_submit in SQL"):
        notifyctl.submit(psycopg.AsyncConnection.__new__(psycopg.AsyncConnection), ONE)  # type: ignore[call-overload]


# What a connection of psycopg's makes of values


class Shouting(Loader):
    """Makes another text of each."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


class Silent(Dumper):
    """Sends nothing."""

    def dump(self, _: Any) -> bytes:
        return b"nothing"


@pytest.fixture
def pg(postgresql_url: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with people and providers."""
    db = Database(postgresql_url)
    seed.user(db)
    seed.provider(db)
    yield postgresql_url
    db.close()


@pytest.mark.parametrize("factory", [dict_row, namedtuple_row, lambda _: lambda values: 1 / 0])
def test_row_factories_and_adapters_do_not_matter(pg: str, factory: Any) -> None:
    """A cursor of its own has none of them; what the application's cursors do stays as it is."""
    with psycopg.connect(pg, row_factory=factory) as conn:
        conn.adapters.register_loader("text", Shouting)
        conn.adapters.register_loader("varchar", Shouting)
        conn.adapters.register_dumper(str, Silent)
        done = notifyctl.submit(conn, [ONE, ONE])
        assert done[0].id == done[1].id == done[0].id.lower()
        assert [each.deduplicated for each in done] == [False, True]
        assert conn.row_factory is factory
        assert conn.adapters.get_loader(25, psycopg.pq.Format.TEXT) is Shouting


def test_a_pipeline_and_autocommit_do_not_matter(pg: str) -> None:
    """In a pipeline, and on a connection that commits each statement by itself, within a transaction block."""
    with psycopg.connect(pg) as conn, conn.pipeline():
        first = notifyctl.submit(conn, ONE)
        assert notifyctl.submit(conn, [ONE]) == [notifyctl.Accepted(first.id, True)]
    with psycopg.connect(pg, autocommit=True) as conn, conn.transaction(force_rollback=True):
        assert notifyctl.submit(conn, ONE).deduplicated
        assert not notifyctl.submit(conn, notifyctl.Submission("anna", "email", MAIL)).deduplicated
    with psycopg.connect(pg) as conn:
        assert conn.execute("SELECT count(*) FROM notifications").fetchone() == (1,)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "UTF8"])
def test_the_encoding_of_the_client_does_not_matter(pg: str, encoding: str) -> None:
    """What is sent is ASCII."""
    with psycopg.connect(pg, client_encoding=encoding) as conn:
        id_ = notifyctl.submit(conn, notifyctl.Submission("anna", "email", {"text": "Grüße 😀"})).id
        conn.execute("SET client_encoding = 'UTF8'")
        found = conn.execute("SELECT payload FROM notifications WHERE id = %s", [id_]).fetchone()
        assert found == ('{"text":"Grüße 😀","v":1}',)


def test_a_schema_that_the_path_does_not_name(pg: str) -> None:
    """The error names the remedy, and that helps."""
    with psycopg.connect(pg) as conn:
        conn.execute("SET search_path = pg_catalog")
        with pytest.raises(SchemaMismatch, match="search path") as caught, conn.transaction():
            notifyctl.submit(conn, ONE)
        assert "schema=" in (caught.value.hint or "")
        assert not notifyctl.submit(conn, ONE, schema="public").deduplicated


def test_a_role_that_may_only_execute(pg: str) -> None:
    """It needs nothing else; without that, the error says what grants it."""
    with role(pg, *SUBMITS) as url, psycopg.connect(url) as conn:
        assert not notifyctl.submit(conn, ONE).deduplicated
    with role(pg, suffix="nobody") as url, psycopg.connect(url) as conn:
        with pytest.raises(NotAllowed) as caught:
            notifyctl.submit(conn, ONE)
        assert "GRANT EXECUTE" in (caught.value.hint or "")
    with psycopg.connect(pg, autocommit=True) as owner:
        owner.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with role(pg, suffix="nobody") as url, psycopg.connect(url) as conn:
        with pytest.raises(NotAllowed) as caught:
            notifyctl.submit(conn, ONE, schema="public")
        assert caught.value.hint == "GRANT USAGE ON SCHEMA public TO the role"


def test_an_error_of_the_drivers_is_raised_as_it_is(pg: str) -> None:
    """A transaction that is to be repeated is known by its SQLSTATE."""
    with psycopg.connect(pg) as one, psycopg.connect(pg) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1 FROM users")
        notifyctl.submit(one, ONE)
        one.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            notifyctl.submit(other, ONE)
    engine = sqlalchemy.create_engine(pg, poolclass=NullPool)
    with engine.connect() as conn:
        conn.execute(sqlalchemy.text("SET TRANSACTION READ ONLY"))
        with pytest.raises(sqlalchemy.exc.DBAPIError) as caught:
            notifyctl.submit(conn, notifyctl.Submission("anna", "email", MAIL))
        assert getattr(caught.value.orig, "sqlstate", None) == "25006"


# What a connection of sqlite3's makes of values, and of transactions


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Database]:
    """A SQLite database with people and providers."""
    db = Database(sqlite_url)
    seed.user(db)
    seed.provider(db, config_json='{"from":"alerts@example.com"}')
    yield db
    db.close()


def path_of(db: Database) -> str:
    """The file's path."""
    assert db.path is not None
    return str(db.path)


class Sealed(sqlite3.Connection):
    """A connection whose own cursors are of no use."""

    def cursor(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a cursor of the application's")


@pytest.mark.parametrize("level", [None, "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_every_way_to_begin(lite: Database, level: Any) -> None:
    """Where transactions begin with the first change, and where BEGIN is the application's."""
    with closing(sqlite3.connect(path_of(lite), isolation_level=level)) as conn:
        with notifyctl.locked(conn):
            if level is None:
                conn.execute("BEGIN IMMEDIATE")
            notifyctl.submit(conn, ONE)
            assert conn.in_transaction
            conn.rollback()
        assert stored(lite) == []
        with notifyctl.locked(conn):
            if level is None:
                conn.execute("BEGIN")
            notifyctl.submit(conn, ONE)
            conn.commit()
    assert len(stored(lite)) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`autocommit` is new in Python 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_every_way_to_begin_of_python_3_12(lite: Database, autocommit: bool) -> None:
    """PEP 249's, and none."""
    with closing(sqlite3.connect(path_of(lite), autocommit=autocommit)) as conn, notifyctl.locked(conn):  # type: ignore[call-overload]
        if autocommit:
            with pytest.raises(notifyctl.UsageError, match="commits each statement"):
                notifyctl.submit(conn, ONE)
            conn.execute("BEGIN")
        notifyctl.submit(conn, ONE)
        assert stored(lite) == []
        conn.execute("COMMIT") if autocommit else conn.commit()
    assert len(stored(lite)) == 1


def test_factories_do_not_matter(lite: Database) -> None:
    """Neither of rows, nor of texts, nor of cursors; they are as they were afterwards, also after an error."""
    factories: list[Any] = [bytes, lambda text: text.decode().upper()]
    for factory in factories:
        with closing(sqlite3.connect(path_of(lite), factory=Sealed)) as conn, notifyctl.locked(conn):
            conn.row_factory, conn.text_factory = sqlite3.Row, factory
            notifyctl.submit(conn, ONE)
            with pytest.raises(notifyctl.NotFound):
                notifyctl.submit(conn, notifyctl.Submission("nobody", "email", MAIL))
            assert (conn.row_factory, conn.text_factory) == (sqlite3.Row, factory)
            conn.commit()
    assert len(stored(lite)) == 1


def test_functions_of_the_application_stay(lite: Database) -> None:
    """SQLAlchemy puts one of its own on each connection that it opens: not on a lent one."""
    with closing(sqlite3.connect(path_of(lite))) as conn, notifyctl.locked(conn):
        conn.create_function("regexp", 2, lambda *_: 42)
        notifyctl.submit(conn, ONE)
        assert conn.execute("SELECT 'a' REGEXP 'b'").fetchone() == (42,)
        conn.rollback()


def test_outside_of_the_lock_it_is_refused(lite: Database) -> None:
    """With the remedy, and nothing written."""
    with closing(sqlite3.connect(path_of(lite))) as conn:
        with pytest.raises(notifyctl.UsageError) as caught:
            notifyctl.submit(conn, ONE)
        assert "notifyctl.locked" in (caught.value.hint or "")
        with notifyctl.locked(conn):
            pass
        with pytest.raises(notifyctl.UsageError, match="on SQLite"):
            notifyctl.submit(conn, ONE)


def test_each_statement_by_itself_is_refused(lite: Database) -> None:
    """Half of a submission would be stored when the process dies."""
    with closing(sqlite3.connect(path_of(lite), isolation_level=None)) as conn, notifyctl.locked(conn):
        with pytest.raises(notifyctl.UsageError, match="commits each statement") as caught:
            notifyctl.submit(conn, ONE)
        assert "BEGIN IMMEDIATE" in (caught.value.hint or "")


def test_the_lock_stands_around_the_transaction(lite: Database) -> None:
    """Begun before it, the transaction sees what was; open after it, it would keep everybody else waiting."""
    with closing(sqlite3.connect(path_of(lite))) as conn:
        conn.execute("BEGIN")
        with pytest.raises(notifyctl.UsageError, match="began before the lock"), notifyctl.locked(conn):
            pass
        conn.rollback()
        with pytest.raises(notifyctl.UsageError, match="still open"), notifyctl.locked(conn):
            notifyctl.submit(conn, ONE)
        conn.rollback()
        with pytest.raises(ZeroDivisionError), notifyctl.locked(conn):
            notifyctl.submit(conn, ONE)
            raise ZeroDivisionError
        conn.rollback()
        with notifyctl.locked(conn), notifyctl.locked(conn):
            notifyctl.submit(conn, ONE)
            conn.commit()
    assert len(stored(lite)) == 1


def test_others_wait_while_it_is_held(lite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one that dispatchers and commands take: nobody meets a locked database."""
    monkeypatch.setattr(database_module, "WRITE_LOCK_TIMEOUT_S", 0.2)
    with closing(sqlite3.connect(path_of(lite))) as conn:
        with notifyctl.locked(conn):
            notifyctl.submit(conn, ONE)
            with pytest.raises(DatabaseUnavailable, match="another process has been writing"):
                lite.write(lambda tx: None)
            conn.commit()
        lite.write(lambda tx: None)


def test_submitters_and_writers_take_turns(lite: Database) -> None:
    """Threads with connections of their own beside the program's: all of it is stored, no lock error."""
    failures: list[BaseException] = []

    def submitting(name: str) -> None:
        try:
            with closing(sqlite3.connect(path_of(lite))) as conn:
                for number in range(10):
                    with notifyctl.locked(conn), conn:
                        notifyctl.submit(conn, notifyctl.Submission("anna", "email", MAIL, key=f"{name}{number}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=submitting, args=(name,)) for name in "abc"]
    for each in threads:
        each.start()
    for number in range(10):
        sending.submit(lite, Draft("anna", Channel.EMAIL, content.build(Channel.EMAIL, data=MAIL), f"s{number}"), {})
    for each in threads:
        each.join(60)
    assert failures == []
    assert len(stored(lite)) == 40


def test_no_database_of_ours(tmp_path: Path) -> None:
    """A file without our tables, and none at all."""
    other = sqlite3.connect(tmp_path / "other.db")
    with closing(other), notifyctl.locked(other), pytest.raises(SchemaMismatch):
        notifyctl.submit(other, ONE)
    none = sqlite3.connect(":memory:")
    with closing(none), pytest.raises(notifyctl.UsageError, match="no file"), notifyctl.locked(none):
        pass


# The import


def test_the_import_is_light(people: Database, database_url: str) -> None:
    """The package loads nothing; submitting on PostgreSQL loads neither SQLAlchemy nor the program."""
    heavy = "typing", "sqlalchemy", "psycopg", "typer", "asyncio", "alembic", "orjson", "httpx"
    loaded = "import sys; before = set(sys.modules); import notifyctl; print(*(set(sys.modules) - before))"
    names = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert set(names) == {"notifyctl"}
    asked = (
        "import sys; import notifyctl; notifyctl.submit, notifyctl.Submission, notifyctl.Conflict;"
        f"print(*[name for name in {heavy[1:]!r} if name in sys.modules and name != 'orjson'])"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "\n"
    if database_url.startswith("postgresql"):
        script = (
            f"import sys, psycopg, notifyctl; conn = psycopg.connect({database_url!r});"
            "notifyctl.submit(conn, notifyctl.Submission('anna', 'email', {'text': 'x'}));"
            "print('sqlalchemy' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


def test_what_the_package_does_not_have() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        _ = notifyctl.sumbit  # type: ignore[attr-defined]
    assert all(getattr(notifyctl, name) for name in notifyctl.__all__)
