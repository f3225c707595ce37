"""What submits in SQL is examined like the tables: made and taken back by migrations, compared, closed to all."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from notifyctl.core.errors import SchemaMismatch
from notifyctl.core.migration import Difference
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema import functions
from notifyctl.store.schema import revisions as schema
from tests.support import seed
from tests.support.command import Cli
from tests.support.databases import PostgreSQLMaker
from tests.support.roles import role

OURS = "SELECT count(*) FROM pg_proc WHERE starts_with(proname, 'notifyctl_')"


@pytest.fixture
def db(postgresql_url: str) -> Iterator[Database]:
    """A migrated database."""
    opened = Database(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def common(postgresql_maker: PostgreSQLMaker) -> Iterator[Database]:
    """A migrated database of many tests', in which none leaves anything."""
    with postgresql_maker.migrated() as url:
        opened = Database(url)
        yield opened
        opened.close()


def run(db: Database, statement: str) -> None:
    """Change it by hand."""
    db.write(lambda tx: tx.conn.exec_driver_sql(statement))


@pytest.mark.parametrize(
    ("statement", "what", "how"),
    [
        ("DROP FUNCTION notifyctl_submit", "notifyctl_submit", "missing: function"),
        ("ALTER FUNCTION notifyctl_submit SECURITY INVOKER", "notifyctl_submit", "another function"),
        ("ALTER FUNCTION notifyctl_submit RESET search_path", "notifyctl_submit", "another function"),
        ("ALTER FUNCTION notifyctl_submit SET search_path = public", "notifyctl_submit", "another function"),
        ("ALTER FUNCTION notifyctl_canonical IMMUTABLE", "notifyctl_canonical", "another function"),
        (
            "CREATE OR REPLACE FUNCTION notifyctl_trimmed(said text) RETURNS text LANGUAGE sql AS 'SELECT said'",
            "notifyctl_trimmed",
            "another function",
        ),
        (
            "GRANT EXECUTE ON FUNCTION notifyctl_submit_many TO PUBLIC",
            "notifyctl_submit_many",
            "unexpected: everybody (PUBLIC) may execute it",
        ),
        (
            "CREATE FUNCTION notifyctl_submit(a text) RETURNS text LANGUAGE sql AS 'SELECT a'",
            "notifyctl_submit",
            "another function",
        ),
    ],
)
def test_what_differs_is_reported(common: Database, statement: str, what: str, how: str) -> None:
    """Missing, changed in its text or in how it runs, of another kind under the same name, open to everybody."""

    def work(tx: Tx) -> None:
        assert list(functions.differences(functions.stored(tx.conn, tx.dialect))) == []
        tx.conn.exec_driver_sql(statement)
        assert Difference(what, how) in functions.differences(functions.stored(tx.conn, tx.dialect))

    common.rehearsal().write(work)


def test_migrate_check_says_so(db: Database, postgresql_url: str, bare_cli: Cli) -> None:
    """With the tables' differences, exit 8."""
    run(db, "DROP FUNCTION notifyctl_submit")
    run(db, "GRANT EXECUTE ON FUNCTION notifyctl_submit_many TO PUBLIC")
    done = bare_cli.call("migrate", "check", "-o", "json", env={"NOTIFYCTL_DATABASE_URL": postgresql_url})
    assert done.exit_code == 8
    assert done.json() == [
        {"what": "notifyctl_submit", "how": "missing: function"},
        {"what": "notifyctl_submit_many", "how": "unexpected: everybody (PUBLIC) may execute it"},
    ]


def test_somebodys_own_function_is_left_alone(db: Database) -> None:
    """Only ours are compared."""
    run(db, "CREATE FUNCTION notifyctl_report() RETURNS text LANGUAGE sql AS 'SELECT 1::text'")
    assert schema.check(db) == ()


def test_nobody_may_call_any_of_them(db: Database, postgresql_url: str) -> None:
    """EXECUTE is taken from PUBLIC where they are made: a role without a grant is refused."""
    assert len(functions.expected()) > 10
    with role(postgresql_url, suffix="nobody") as url, psycopg.connect(url, autocommit=True) as conn:
        for name in functions.expected():
            right = "has_function_privilege(p.oid, 'EXECUTE')"
            assert conn.execute(f"SELECT {right} FROM pg_proc p WHERE proname = %s", [name]).fetchall() == [(False,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT notifyctl_submit('anna', 'email', '{}')")


def test_up_refuses_a_database_open_to_everybody(db: Database, postgresql_url: str, bare_cli: Cli) -> None:
    """After each migration it is looked at again, also where nothing was to be done; exit 8 with the remedy."""
    run(db, "GRANT EXECUTE ON FUNCTION notifyctl_submit TO PUBLIC")
    with pytest.raises(SchemaMismatch, match="PUBLIC") as caught:
        schema.up(db)
    assert caught.value.hint == "REVOKE EXECUTE ON FUNCTION notifyctl_submit FROM PUBLIC"
    done = bare_cli.call("migrate", "up", env={"NOTIFYCTL_DATABASE_URL": postgresql_url})
    assert done.exit_code == 8 and "REVOKE EXECUTE" in done.stderr
    run(db, caught.value.hint or "")
    assert schema.up(db) == ()


def test_migrations_make_them_and_take_them_back(db: Database) -> None:
    """Down leaves nothing behind, and up makes all of it again."""
    schema.down(db, "base")
    with db.read() as tx:
        assert tx.conn.exec_driver_sql(OURS).scalar_one() == 0
    schema.up(db)
    assert schema.check(db) == ()


def test_the_printed_sql_makes_them(postgresql_maker: PostgreSQLMaker) -> None:
    """What `migrate sql` prints, run by somebody else in a schema of another name, is as `migrate up` makes it."""
    with postgresql_maker.empty() as url:
        empty = Database(url)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier('odd "Name')))
            conn.execute("ALTER DATABASE " + str(empty.url.database) + ' SET search_path = "odd ""Name"')
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(schema.sql(empty).encode())
        assert schema.check(empty) == ()
        seed.user(empty)
        seed.provider(empty)
        with psycopg.connect(url) as conn:
            made = conn.execute("SELECT deduplicated FROM notifyctl_submit('anna', 'email', '{\"text\": \"x\"}')")
            assert made.fetchall() == [(False,)]
        empty.close()
