"""`notifyctl_submit` in an application's transactions: what waits for whom, what is left, and who may call it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, RaiseException, SerializationFailure
from psycopg.types.json import Jsonb
from sqlalchemy.engine import make_url

from notifyctl.core.model import Channel
from notifyctl.services import preferences
from notifyctl.services.preferences import Wish
from notifyctl.store import hints, standings
from notifyctl.store.db.database import Database
from tests.reliability.bouncer import Bouncer
from tests.reliability.stub import Stub
from tests.support import seed
from tests.support.command import Cli
from tests.support.roles import SUBMITS, role
from tests.support.threefold import add_providers
from tests.support.world import KEYS

CALL = 'SELECT id FROM notifyctl_submit(%s, \'email\', \'{"subject": "Hi", "text": "Hi"}\', key => %s)'
MANY = """
    SELECT count(*) FROM (
        SELECT (notifyctl_submit('anna', 'email', jsonb_build_object('subject', 'Hi', 'text', n::text))).id
        FROM generate_series(1, %s) AS n OFFSET 0
    ) AS made
"""
COUNTS = (
    "SELECT (SELECT count(*) FROM notifications), (SELECT count(*) FROM audit_logs), (SELECT count(*) FROM batches)"
)

Conn = psycopg.Connection[Any]


@pytest.fixture
def db(postgresql_url: str) -> Iterator[Database]:
    """A database with two people and a provider."""
    opened = Database(postgresql_url)
    for name in ("anna", "omar"):
        seed.user(opened, name)
    seed.provider(opened, "sendgrid", config_json='{"from":"alerts@example.com"}')
    yield opened
    opened.close()


@contextmanager
def connected(db: Database, count: int = 2, **options: Any) -> Iterator[list[Conn]]:
    """Yield connections of applications."""
    url = db.url.render_as_string(hide_password=False)
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(url, **options)) for _ in range(count)]


def until_waiting(db: Database, conn: Conn) -> None:
    """Return when the connection waits for a lock of another's."""
    end = time.monotonic() + 30
    asked = f"SELECT cardinality(pg_blocking_pids({conn.info.backend_pid})) > 0"
    while time.monotonic() < end:
        with db.read() as tx:
            if tx.conn.exec_driver_sql(asked).scalar():
                return
        time.sleep(0.02)
    pytest.fail("it waits for nothing")


@contextmanager
def beside() -> Iterator[ThreadPoolExecutor]:
    """Yield what runs a call in another thread."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def call(conn: Conn, user: str, key: str | None = None) -> str:
    """Submit."""
    row = conn.execute(CALL, [user, key]).fetchone()
    assert row is not None
    return str(row[0])


# What waits for whom


def test_two_users_the_other_way_round_do_not_deadlock(db: Database) -> None:
    """A then B, against B then A: nobody even waits."""
    with connected(db, options="-c lock_timeout=2s") as (one, other):
        call(one, "anna")
        call(other, "omar")
        call(one, "omar")
        call(other, "anna")
        one.commit()
        other.commit()


def test_nor_beside_a_dispatcher_that_counts_for_them(db: Database) -> None:
    """A claim holds users FOR NO KEY UPDATE, in its own order; a submission passes it, and it passes a submission."""
    with db.read() as tx:
        ids = dict(tx.conn.exec_driver_sql("SELECT username, id FROM users").fetchall())
    with connected(db, 1, options="-c lock_timeout=2s") as (conn,):
        call(conn, "anna")

        def counting(tx: Any) -> None:
            standings.lock(tx, ids.values())
            call(conn, "omar")
            call(conn, "anna")

        db.write(counting)
        conn.commit()


def test_what_people_want_is_changed_beside_an_open_transaction(db: Database) -> None:
    """An application that thinks long keeps nobody from changing the preferences of whom it wrote to."""
    with connected(db, 1) as (conn,):
        call(conn, "anna")
        preferences.change(db.answering_within(5), "anna", Channel.EMAIL, Wish(enabled=False))
        conn.commit()


def test_providers_and_templates_are_not_locked(db: Database) -> None:
    """Whoever changes them does not wait for an application's commit."""
    with connected(db, options="-c lock_timeout=2s") as (one, other):
        call(one, "anna")
        other.execute("UPDATE provider_configs SET priority = 7")
        other.execute("UPDATE provider_states SET probes = 7")
        other.execute("SELECT * FROM users FOR NO KEY UPDATE")
        other.commit()


def test_the_same_key_waits_and_is_the_first_submission(db: Database) -> None:
    """At the unique index, until the first transaction has ended; then it is known."""
    with connected(db) as (one, other), beside() as pool:
        first = call(one, "anna", "k")
        second: Future[str] = pool.submit(call, other, "anna", "k")
        until_waiting(db, other)
        one.commit()
        assert second.result(30) == first
        assert call(other, "anna", "another") != first  # the transaction is usable
        other.commit()


def test_the_same_key_after_a_rollback_is_new(db: Database) -> None:
    """Who waited stores it."""
    with connected(db) as (one, other), beside() as pool:
        first = call(one, "anna", "k")
        second: Future[str] = pool.submit(call, other, "anna", "k")
        until_waiting(db, other)
        one.rollback()
        assert second.result(30) != first
        other.commit()


def test_the_same_key_with_other_content_waits_too(db: Database) -> None:
    """What the first one becomes decides whether the second is refused."""
    other_content = "SELECT notifyctl_submit('anna', 'email', '{\"text\": \"other\"}', key => 'k')"
    with connected(db) as (one, other), beside() as pool:
        call(one, "anna", "k")
        second = pool.submit(other.execute, other_content.encode())
        until_waiting(db, other)
        one.commit()
        with pytest.raises(psycopg.Error) as caught:
            second.result(30)
        assert caught.value.sqlstate == "NC005"


def test_keys_in_opposite_orders_end_one_caller(db: Database) -> None:
    """With 40P01, as docs/submitting.md says; the other one goes on."""
    with connected(db, options="-c deadlock_timeout=50ms") as (one, other), beside() as pool:
        call(one, "anna", "a")
        call(other, "anna", "b")
        second: Future[str] = pool.submit(call, other, "anna", "a")
        until_waiting(db, other)
        ended = 0
        for act in (lambda: call(one, "anna", "b"), lambda: second.result(30)):
            try:
                act()
            except DeadlockDetected:
                ended += 1
                one.rollback()
        assert ended == 1


def test_many_of_one_call_have_one_order(db: Database) -> None:
    """The same keys the other way round in one call each: nobody is ended, the second finds the first's."""
    given = [{"user": "anna", "channel": "email", "content": {"text": "x"}, "key": key} for key in "abcdefgh"]
    asked = "SELECT id FROM notifyctl_submit_many(%s)"
    with connected(db, options="-c deadlock_timeout=50ms") as (one, other), beside() as pool:
        first = one.execute(asked, [Jsonb(given)]).fetchall()
        second = pool.submit(lambda: other.execute(asked, [Jsonb(given[::-1])]).fetchall())
        until_waiting(db, other)
        one.commit()
        assert second.result(30) == first[::-1]
        other.commit()


def test_a_refusal_leaves_a_savepoint(db: Database) -> None:
    """READ COMMITTED: a repeated key needs none; a refusal ends the transaction, or goes back to the savepoint."""
    with connected(db, 1) as (conn,):
        first = call(conn, "anna", "k")
        assert call(conn, "anna", "k") == first
        with pytest.raises(psycopg.Error) as caught, conn.transaction():
            conn.execute("SELECT notifyctl_submit('anna', 'email', '{\"text\": \"other\"}', key => 'k')")
        assert caught.value.sqlstate == "NC005"
        assert call(conn, "anna", "k") == first
        conn.commit()


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_key_from_after_the_snapshot(db: Database, level: psycopg.IsolationLevel) -> None:
    """It is 40001, as for any row that the transaction cannot see; repeated, it finds the first."""
    with connected(db) as (one, other):
        other.isolation_level = level
        other.execute("SELECT 1 FROM users")
        first = call(one, "anna", "k")
        one.commit()
        with pytest.raises(SerializationFailure):
            call(other, "anna", "k")
        other.rollback()
        assert call(other, "anna", "k") == first


def test_the_user_may_be_of_the_same_transaction(db: Database) -> None:
    """Who is created, and written to, before anything is committed."""
    with connected(db, 1) as (conn,):
        conn.execute(
            "INSERT INTO users (id, username, email) VALUES (gen_random_uuid()::text, 'eve', 'eve@example.org')"
        )
        call(conn, "eve")
        conn.commit()


# What is left, and who is woken


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.full)])
def test_rolled_back_leaves_nothing_and_wakes_nobody(db: Database, count: int) -> None:
    """Neither rows nor audit rows; a listener hears what came after, and that alone."""
    with connected(db) as (conn, listening):
        listening.autocommit = True
        listening.execute(f"LISTEN {hints.CHANNEL}")
        before = conn.execute(COUNTS).fetchone()
        assert conn.execute(MANY, [count]).fetchone() == (count,)
        conn.rollback()
        assert conn.execute(COUNTS).fetchone() == before
        conn.execute(f"NOTIFY {hints.CHANNEL}, 'after'")
        conn.commit()
        assert [each.payload for each in listening.notifies(timeout=30, stop_after=1)] == ["after"]


def test_one_transaction_wakes_once(db: Database) -> None:
    """However many are due; not for what is for later, nor where nobody is to be woken."""
    with connected(db) as (conn, listening):
        listening.autocommit = True
        listening.execute(f"LISTEN {hints.CHANNEL}")
        conn.execute("SELECT notifyctl_submit('anna', 'email', '{\"text\": \"x\"}', delay => '1 hour')")
        conn.execute("SELECT notifyctl_submit('anna', 'email', '{\"text\": \"x\"}', wake => false)")
        conn.execute('SELECT notifyctl_submit_many(\'[{"user": "anna", "channel": "email", "content": {}}]\', false)')
        conn.commit()
        conn.execute(MANY, [50])
        conn.commit()
        conn.execute(f"NOTIFY {hints.CHANNEL}, 'after'")
        conn.commit()
        assert [each.payload for each in listening.notifies(timeout=30, stop_after=2)] == ["", "after"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A provider."""
    with Stub() as running:
        yield running


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.full)])
def test_committed_each_is_sent_once(tmp_path: Path, postgresql_url: str, stub: Stub, count: int) -> None:
    """Submitted by a role that may only execute, in one transaction."""
    cli = Cli(tmp_path, postgresql_url)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    add_providers(cli, stub.url, "sendgrid")
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    with role(postgresql_url, *SUBMITS) as url, psycopg.connect(url) as conn:
        assert conn.execute(MANY, [count]).fetchone() == (count,)
        conn.commit()
        with pytest.raises(InsufficientPrivilege):
            conn.execute("SELECT * FROM notifications")
    cli.call("dispatch", "--once").ok()
    listed = cli.call("notifications", "list", "--status", "sent", "--limit", str(count + 1), "-o", "id").ok().stdout
    assert dict(stub.deliveries()) == dict.fromkeys(listed.split(), 1)
    assert len(listed.split()) == count


def test_what_sql_cannot_check_becomes_a_dead_letter(tmp_path: Path, postgresql_url: str, stub: Stub) -> None:
    """What the provider's API would refuse, what cannot be rendered, whom nothing can be sent to: each its category."""
    cli = Cli(tmp_path, postgresql_url)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    add_providers(cli, stub.url, "sendgrid", "twilio")
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    cli.call(
        "templates", "create", "hi", "--channel", "email", "--by", "anna", "--subject", "Hi {{ name }}", "--body", "x"
    ).ok()
    wrong = {
        "invalid_payload": "'email', '{\"subject\": \"no text\"}'",
        "template_error": "'email', template => 'hi', variables => '{\"nane\": \"Anna\"}'",
        "no_address": "'sms', '{\"body\": \"x\"}'",
    }
    with psycopg.connect(postgresql_url) as conn:
        for arguments in wrong.values():
            conn.execute(f"SELECT notifyctl_submit('anna', {arguments})")
    cli.call("dispatch", "--once").ok()
    letters = cli.call("dlq", "list", "-o", "json").ok().json()
    assert sorted(each["failure_reason"].partition(":")[0] for each in letters) == sorted(wrong)
    assert stub.requests() == []


# Who may call it, and what they cannot do to it


def test_execute_is_all_it_needs(db: Database, postgresql_url: str) -> None:
    """The role may submit, one or many, and neither read nor write a table, nor call what works within.

    Webhooks are told of it all the same, whose URLs and secrets it does not see.
    """
    with db.read() as tx:
        anna = tx.conn.exec_driver_sql("SELECT id FROM users WHERE username = 'anna'").scalar_one()
    seed.webhook(db, anna)
    with role(postgresql_url, *SUBMITS) as url, psycopg.connect(url, autocommit=True) as conn:
        call(conn, "anna", "k")
        conn.execute(
            'SELECT notifyctl_submit_many(\'[{"user": "anna", "channel": "email", "content": {"text": "x"}}]\')'
        )
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert len(tables) > 20
        for (table,) in tables:
            for act in ("SELECT 1 FROM {}", "DELETE FROM {}"):
                with pytest.raises(InsufficientPrivilege):
                    conn.execute(sql.SQL(act).format(sql.Identifier(table)))
        with pytest.raises(InsufficientPrivilege):
            conn.execute("SELECT notifyctl_user('anna')")
        with pytest.raises(InsufficientPrivilege):
            conn.execute("SELECT notifyctl_tell_created('x')")
    assert [row.event_type for row in seed.deliveries(db)] == ["notification.created"] * 2
    with db.read() as tx:
        agents = set(tx.conn.exec_driver_sql("SELECT user_agent FROM audit_logs").scalars())
    assert agents == {f"notifyctl_submit {make_url(url).username}"}


ATTACKS = (
    "CREATE SCHEMA evil",
    "CREATE TEMP TABLE users (LIKE public.users)",
    "CREATE TEMP TABLE notifications (LIKE public.notifications)",
    "CREATE TEMP TABLE notification_webhooks (LIKE public.notification_webhooks)",
    "CREATE TEMP TABLE webhook_deliveries (LIKE public.webhook_deliveries)",
    "CREATE TEMP TABLE provider_configs (LIKE public.provider_configs)",
    "CREATE TABLE evil.users (LIKE public.users)",
    "CREATE TABLE evil.notifications (LIKE public.notifications)",
    "CREATE FUNCTION {where}.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE FUNCTION {where}.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE FUNCTION {where}.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE FUNCTION {where}.pg_notify(text, text) RETURNS void LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE FUNCTION {where}.notifyctl_user(text) RETURNS text LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE FUNCTION {where}.same(text, text) RETURNS boolean LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE OPERATOR {where}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = {where}.same)",
    "CREATE FUNCTION {where}.same(varchar, text) RETURNS boolean LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE OPERATOR {where}.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = {where}.same)",
    "CREATE FUNCTION {where}.joined(text, text) RETURNS text LANGUAGE plpgsql"
    " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$",
    "CREATE OPERATOR {where}.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = {where}.joined)",
    "CREATE DOMAIN pg_temp.jsonb AS text",
)


@pytest.mark.parametrize(
    "path", ["pg_temp, evil, pg_catalog, public", "evil, pg_catalog, public", "public, pg_catalog"]
)
@pytest.mark.parametrize("where", ["evil", "pg_temp"])
def test_a_search_path_leads_nowhere(db: Database, postgresql_url: str, path: str, where: str) -> None:
    """Whatever of the same name the caller puts before ours (temporary, too): it is ours that works, as ever."""
    grants = (*SUBMITS, f"GRANT CREATE, TEMPORARY ON DATABASE {db.url.database} TO {{}}")
    with db.read() as tx:
        anna = tx.conn.exec_driver_sql("SELECT id FROM users WHERE username = 'anna'").scalar_one()
    seed.webhook(db, anna)
    arguments = "'anna', 'email'::pg_catalog.text, '{\"text\": \"x\"}'::pg_catalog.jsonb"
    with role(postgresql_url, *grants) as url, psycopg.connect(url, autocommit=True) as conn:
        with psycopg.connect(postgresql_url, autocommit=True) as owner:
            owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {make_url(url).username}")
        for each in ATTACKS:
            conn.execute(each.format(where=where).encode())
        conn.execute(f"SET search_path = {path}")
        with pytest.raises(RaiseException, match="caught"):
            # They do work on who trusts the path.
            conn.execute(f"SELECT {where}.sha256('')")
        for setting in ("standard_conforming_strings = off", "check_function_bodies = off", "DateStyle = 'SQL, DMY'"):
            conn.execute(f"SET {setting}")
        (made,) = conn.execute(f"SELECT id FROM public.notifyctl_submit({arguments})").fetchone() or ("",)
    stored = seed.notification(db, made)
    assert stored.payload == '{"text":"x","v":1}' and stored.provider == "sendgrid"
    [told] = seed.deliveries(db)
    assert (told.notification_id, told.next_retry_at) == (made, stored.created_at)


@pytest.mark.full
def test_behind_pgbouncer(db: Database, postgresql_url: str) -> None:
    """In transaction mode: nothing of it outlives its transaction."""
    with Bouncer(postgresql_url) as bouncer, psycopg.connect(bouncer.url, prepare_threshold=None) as conn:
        for _ in range(10):
            first = call(conn, "anna", "k")
            conn.commit()
            assert call(conn, "anna", "k") == first
            conn.rollback()
        assert conn.execute("SHOW search_path").fetchone() != ("pg_catalog, pg_temp",)
