"""Connections that are not what they were: servers that became read-only or silent, poolers, encodings, roles."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import insert, make_url, select, text

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, UsageError
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.wakeup import hear
from notifyctl.store import hints
from notifyctl.store.db import database as databases
from notifyctl.store.db import limited
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import users
from tests.support.command import Cli
from tests.support.swallower import Swallower

QUICK_S = 2.0
MARGIN_S = 8.0
"""What a busy machine may add to a limit of half a second; without a limit the wait is for ever."""


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Database]:
    """A migrated PostgreSQL database."""
    with closing(Database(postgresql_url)) as opened:
        yield opened


@contextmanager
def _admin(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(make_url(url).render_as_string(hide_password=False), autocommit=True) as conn:
        yield conn


def _one(tx: Tx) -> int:
    return int(tx.execute(text("SELECT 1")).scalar_one())


def _add(name: str) -> Callable[[Tx], None]:
    def add(tx: Tx) -> None:
        tx.execute(insert(users).values(id=name, email=f"{name}@example.org", username=name))

    return add


def _names(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.execute(select(users.c.username).order_by(users.c.username)).scalars())


# Servers that became read-only


def _demote(db: Database) -> None:
    """Let the connections that there are lead to a server that takes no changes, as after a failover."""
    db.write(lambda tx: tx.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")))


def test_a_connection_to_a_server_that_became_read_only_is_given_up(postgresql: Database) -> None:
    """The old primary says 25006 on the pool's connections; a new connection finds the new one, and work goes on."""
    _demote(postgresql)
    postgresql.write(_add("a"))
    assert _names(postgresql) == ["a"]


def test_all_that_were_made_until_then_are_given_up(postgresql: Database) -> None:
    """What one connection found out counts for the others, also for those that only read: it would be old news."""
    with postgresql.read() as first, postgresql.read() as second:
        before = {each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (first, second)}
    _demote(postgresql)
    for name in "ab":  # one by each of the pool's
        postgresql.write(_add(name))
    with postgresql.read() as first, postgresql.read() as second:
        after = {each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (first, second)}
    assert before.isdisjoint(after)


def test_a_listener_leaves_a_server_that_became_read_only(
    postgresql: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gives hints there any more: when a write has found out, the listener connects anew."""
    monkeypatch.setattr(hints, "LOOK_S", 0.1)

    async def story() -> int:
        heard = asyncio.Queue[str | None]()
        threads = StoreThreads(postgresql)
        hearing = asyncio.create_task(hear(threads, str(uuid.uuid4()), heard.put))
        async with asyncio.timeout(60):
            await heard.get()
            await asyncio.to_thread(_demote, postgresql)
            await asyncio.to_thread(postgresql.write, _add("a"))
            await heard.get()  # None again: it listens by another connection
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        threads.close()
        return heard.qsize()

    assert asyncio.run(story()) == 0


# Silence


@pytest.fixture
def network(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swallower]:
    """A network that can fall silent, and limits that a test can wait for."""
    monkeypatch.setattr(limited.LimitedConnection, "limit_s", QUICK_S)
    monkeypatch.setattr(limited, "ANSWER_S", QUICK_S)
    monkeypatch.setattr(databases, "COMMIT_S", QUICK_S)
    with Swallower(postgresql_url) as running:
        yield running


@pytest.fixture
def through(network: Swallower) -> Iterator[Database]:
    """The database through that network, with a connection in its pool."""
    with closing(Database(network.url).answering_within(QUICK_S)) as opened:
        opened.consult(_one)
        yield opened


@contextmanager
def _briefly() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < QUICK_S + MARGIN_S


def test_silence_before_a_transaction_ends(through: Database, network: Swallower) -> None:
    """BEGIN is acknowledged by the network and never answered: that the database is silent is said, once waited."""
    network.silent = True
    with _briefly(), pytest.raises(DatabaseUnavailable, match="silent: no answer within"):
        through.write(_one)


def test_silence_within_a_transaction_ends(through: Database, network: Swallower) -> None:
    """A statement has a limit of its own; nothing was stored."""

    def work(tx: Tx) -> None:
        network.silent = True
        _add("a")(tx)

    with _briefly(), pytest.raises(DatabaseUnavailable, match="silent"):
        through.write(work)
    network.silent = False
    assert _names(through) == []


def test_silence_after_commit_is_unknown(through: Database, network: Swallower) -> None:
    """COMMIT went out and nobody knows whether it arrived: that is what is said."""

    def work(tx: Tx) -> None:
        _add("a")(tx)
        network.silent = True

    with _briefly(), pytest.raises(CommitUnknown):
        through.write(work)


def test_silence_while_reading_ends(through: Database, network: Swallower) -> None:
    """Giving back a connection after reading asks the server as well; what was read is not lost by that."""
    with _briefly(), through.read() as tx:
        assert _one(tx) == 1
        network.silent = True
    with _briefly(), pytest.raises(DatabaseUnavailable):
        _names(through)


def test_a_database_that_speaks_again_is_used_again(through: Database, network: Swallower) -> None:
    """No connection from before the silence is used: on each the next would wait in vain again."""
    network.silent = True
    with pytest.raises(DatabaseUnavailable):
        through.write(_one)
    network.silent = False
    with _briefly():
        through.write(_add("a"))
    assert _names(through) == ["a"]


def test_a_silent_listener_gives_up(network: Swallower, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener hears nothing for long with all in order; it asks, and does not wait for ever."""
    monkeypatch.setattr(hints, "LOOK_S", 0.1)

    async def story(db: Database) -> None:
        async with hints.listener(db, "me") as listener:
            await asyncio.to_thread(db.write, lambda tx: hints.test(tx, "me"))
            await listener.prove()
            network.silent = True
            async for _ in listener.hints():
                pass

    with closing(Database(network.url)) as db, _briefly(), pytest.raises(DatabaseUnavailable, match="silent"):
        asyncio.run(story(db))


def test_a_command_on_a_silent_database_ends(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Exit 10 within the five seconds of the contract and a process's start, with the reason."""
    with Swallower(postgresql_url) as network:
        network.silent = True
        began = time.monotonic()
        result = Cli(tmp_path_factory.mktemp("home"), network.url).run("status")
        assert (result.exit_code, time.monotonic() - began < 40) == (10, True)  # five, and a slow machine's start
        assert "the database is silent" in result.stderr


# Encodings


@pytest.mark.parametrize("who", ["environment", "role", "database", "url"])
def test_the_encoding_is_utf8_whoever_says_otherwise(
    postgresql_url: str, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of all the world survive, though PGCLIENTENCODING, ALTER ROLE, ALTER DATABASE or the URL say LATIN1."""
    url, name = make_url(postgresql_url), sql.Identifier(str(make_url(postgresql_url).database))
    with _admin(postgresql_url) as admin:
        if who == "environment":
            monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
        elif who == "role":
            admin.execute(sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET client_encoding = 'LATIN1'").format(name))
        elif who == "database":
            admin.execute(sql.SQL("ALTER DATABASE {} SET client_encoding = 'LATIN1'").format(name))
        else:
            url = url.update_query_dict({"client_encoding": "latin1"})
    with closing(Database(url.render_as_string(hide_password=False))) as db:
        db.write(_add("Łódź 🎉"))
        assert _names(db) == ["Łódź 🎉"]
        driver = asyncio.run(_encoding_of_a_listener(db))
    assert driver == "UTF8"


async def _encoding_of_a_listener(db: Database) -> str | None:
    async with hints.listener(db, "me") as listener:
        return listener._conn.info.parameter_status("client_encoding")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_refused(
    postgresql_server: str, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It would lose or refuse what somebody writes, sooner or later: `migrate up` says so and makes nothing."""
    name = f"notifyctl_{encoding.lower()}_{uuid.uuid4().hex[:8]}"
    create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
    with _admin(postgresql_server) as admin:
        admin.execute(sql.SQL(create).format(sql.Identifier(name), sql.Literal(encoding)))
        try:
            url = make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
            result = Cli(tmp_path_factory.mktemp("home"), url).call("migrate", "up")
            with _admin(url) as conn:
                tables = conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    assert (result.exit_code, tables) == (5, (0,))
    assert f"encoding is {encoding}" in result.stderr
    assert "UTF8" in result.stderr


# What is known is no defect


def test_a_search_path_that_leads_nowhere(empty_postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing can be made there; that is a role's setting, and not a defect."""
    name = sql.Identifier(str(make_url(empty_postgresql_url).database))
    with _admin(empty_postgresql_url) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET search_path = ''").format(name))
    cli = Cli(tmp_path_factory.mktemp("home"), empty_postgresql_url)
    for command in (("migrate", "up"), ("migrate", "status"), ("status",)):
        result = cli.call(*command)
        assert "defect" not in result.stderr
        assert "should not happen" not in result.stderr
    result = cli.call("migrate", "up")
    assert (result.exit_code, "search_path" in result.stderr) == (10, True)


@pytest.fixture
def empty_postgresql_url(postgresql_maker: object) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables."""
    with postgresql_maker.empty() as url:  # type: ignore[attr-defined]
        yield url


def test_postgres_is_postgresql(postgresql_url: str) -> None:
    """libpq takes `postgres://` as well, and hosts hand such URLs out."""
    short = postgresql_url.replace("postgresql://", "postgres://", 1)
    assert short.startswith("postgres://")
    with closing(Database(short)) as db:
        assert db.consult(_one) == 1


def test_a_role_that_does_not_exist(postgresql_url: str) -> None:
    """To repeat it later is of no use: the hint says what is."""
    url = make_url(postgresql_url).set(username="nobody_of_that_name")
    with closing(Database(url.render_as_string())) as db, pytest.raises(DatabaseUnavailable) as caught:
        db.consult(_one)
    assert "nobody_of_that_name" in caught.value.message
    assert "repeat" not in (caught.value.hint or "")


def test_a_text_that_is_none_is_the_callers_mistake(database: Database) -> None:
    """Half a surrogate pair cannot be written in UTF-8; the driver raises what is none of its own errors."""
    with pytest.raises(UsageError, match="no character of Unicode"):
        database.write(_add("\ud800"))


def test_a_pool_that_is_empty_is_no_defect(postgresql_url: str) -> None:
    """SQLAlchemy's own error when all connections are in use leaves the store as one of ours."""
    with closing(Database(postgresql_url, pool_size=1)) as db:
        db._engine.pool._timeout = 0.1  # type: ignore[attr-defined]
        with db.read(), pytest.raises(DatabaseUnavailable, match="in use"):
            db.consult(_one)


# Poolers


def _prepare(tx: Tx) -> int:
    for number in range(5):
        tx.execute(text("SELECT CAST(:number AS int)"), {"number": number})
    return int(tx.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one())


@pytest.mark.parametrize("act", ["write", "consult"])
def test_lost_statements_end_preparing(postgresql: Database, act: str) -> None:
    """26000: a pooler that kept sessions does so no more. The work is done all the same, and nothing prepared again."""
    run: Callable[[Callable[[Tx], int]], int] = getattr(postgresql, act)
    postgresql.connections.proven(True)

    def work(tx: Tx) -> int:
        _prepare(tx)
        tx.execute(text("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"))  # unseen by the driver
        return _prepare(tx)

    assert run(work) == 0
    postgresql.connections.proven(True)
    assert run(_prepare) == 0


def test_somebody_elses_statement_ends_preparing(postgresql: Database) -> None:
    """42P05: the name is taken on the connection that the pooler gave."""
    postgresql.connections.proven(True)

    def take(tx: Tx) -> None:
        driver = tx.conn.connection.driver_connection
        assert driver is not None
        tx.conn.exec_driver_sql(f"PREPARE _pg3_{driver._prepared._prepared_idx} AS SELECT 1")

    postgresql.write(take)
    assert postgresql.write(_prepare) == 0


def test_no_two_connections_name_a_statement_alike(postgresql: Database) -> None:
    """Through a pooler the other's statement of the same name would be run, with these parameters."""
    postgresql.connections.proven(True)
    with postgresql.read() as first, postgresql.read() as second:
        names = "SELECT name FROM pg_prepared_statements"
        both = []
        for tx in (first, second):
            _prepare(tx)
            both.append(set(tx.execute(text(names)).scalars()))
    assert both[0]
    assert both[0].isdisjoint(both[1])


def test_null_that_would_be_stored_as_a_word_is_refused(
    postgresql_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With array_nulls off `{1,NULL}` holds a word: results were not recorded, and what was sent was sent again."""
    name = str(make_url(postgresql_url).database)
    cli = Cli(tmp_path_factory.mktemp("home"), postgresql_url)
    with _admin(postgresql_url) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET array_nulls = off").format(sql.Identifier(name)))
    for words in (("dispatch", "--once"), ("users", "list")):
        refused = cli.call(*words)
        assert (refused.exit_code, "array_nulls is off" in refused.stderr) == (1, True), refused
        assert f"ALTER DATABASE {name} SET array_nulls = on" in refused.stderr
