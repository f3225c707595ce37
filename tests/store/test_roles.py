"""PostgreSQL's roles with the least rights: what each may do with each table, tried and not looked up."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from notifyctl.store.db.database import Database
from notifyctl.store.rights import DISPATCHING, OPERATING, READING, SUBMITTING
from notifyctl.store.roles import OWNER, ROLES, TABLES
from notifyctl.store.schema.columns import metadata
from tests.support import roles, seed
from tests.support.command import Cli
from tests.support.databases import PostgreSQLMaker

RUN_TIME = tuple(role.kind for role in ROLES if role is not OWNER)
VERBS = {
    "SELECT": "SELECT FROM {table}",
    "INSERT": "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE": "UPDATE {table} SET {column} = DEFAULT",
    "DELETE": "DELETE FROM {table}",
    "TRUNCATE": "TRUNCATE {table}",
    "LOCK": "LOCK {table} IN ACCESS EXCLUSIVE MODE",
    "TRIGGER": "CREATE TRIGGER mine BEFORE INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER": "ALTER TABLE {table} ADD COLUMN mine text",
    "DROP": "DROP TABLE {table} CASCADE",
}
PERSONAL = {
    "users": {"email", "username"},
    "contact_points": {"address", "folded"},
    "suppressions": {"address", "written", "reason"},
    "notifications": {"payload", "sent_to", "provider_response", "error_message", "retry_history", "receipt"},
    "notification_dlq": {"retry_history", "note"},
    "audit_logs": {"actor", "ip_address", "user_agent", "changes", "reason"},
    "provider_configs": {"api_key", "api_secret", "config_json"},
    "provider_states": {"held_senders", "pause_reason", "doubt"},
    "notification_webhooks": {"url", "secret_key", "previous_secret"},
    "webhook_deliveries": {"payload", "response_body"},
    "signing_keys": {"secret"},
    "api_keys": {"key_hash", "name"},
    "early_receipts": {"receipt"},
    "attachment_pieces": {"content"},
    "notification_templates": {"body"},
    "template_versions": {"body", "html"},
}
"""Columns in which people, what they are written, secrets and the words of providers are."""


@pytest.fixture
def urls(postgresql_url: str) -> Iterator[dict[str, str]]:
    """Somebody in each role of a migrated database."""
    with roles.least_privileged(postgresql_url) as made:
        yield made


@pytest.fixture
def owner_cli(bare_cli: Cli, urls: dict[str, str]) -> Cli:
    """The command line of who migrates."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = urls["owner"]
    return bare_cli


def _allowed(conn: psycopg.Connection, statement: str) -> bool:
    """Run a statement and take it back; whatever else may be wrong with it, say whether it was allowed."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.Error:
        pass
    return True


def _executable(conn: psycopg.Connection, name: str) -> bool:
    right = "SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc WHERE proname = %s"
    found = conn.execute(right.encode(), [name]).fetchone()
    assert found is not None and found[0] is not None, name
    return bool(found[0])


def _columns(table: str) -> list[str]:
    return [column.name for column in metadata.tables[table].columns] if table in metadata.tables else ["version_num"]


def _probed(url: str) -> dict[str, set[str]]:
    """Return what somebody can do with each table, having tried."""
    with psycopg.connect(url, autocommit=True) as conn:
        return {
            table: {
                verb
                for verb, statement in VERBS.items()
                if _allowed(conn, statement.format(table=table, column=_columns(table)[-1]))
            }
            for table in TABLES
        }


@pytest.mark.parametrize("kind", RUN_TIME)
def test_each_role_may_do_what_it_needs_and_nothing_else(urls: dict[str, str], kind: str) -> None:
    """Each verb with each table, also those that no role of run time has: TRUNCATE, LOCK, ALTER, DROP."""
    role = next(each for each in ROLES if each.kind == kind)
    found = _probed(urls[kind])
    for table in TABLES:
        wanted = set(role.tables.get(table, ()))
        if READING.get(table) and kind == "read":
            wanted = {"SELECT"}  # of no column in particular; which ones it may read is another test
        if wanted & {"UPDATE", "DELETE"}:
            wanted |= {"LOCK"}
        assert found[table] == wanted, table


def test_what_operators_may_is_said_of_every_table() -> None:
    """Who adds a table says what the commands do with it, and what of it tells nothing of people."""
    assert set(OPERATING) == set(TABLES)
    assert set(DISPATCHING) | set(READING) <= set(TABLES)


@pytest.mark.parametrize("kind", RUN_TIME)
def test_the_audit_trail_is_insert_only(urls: dict[str, str], kind: str) -> None:
    """Nobody at run time changes, removes or truncates what was written."""
    found = _probed(urls[kind])
    for table in ("audit_logs", "audit_seals", "audit_anchors"):
        assert found[table] <= {"SELECT", "INSERT"}, table


def test_who_submits_has_the_functions_and_no_table(urls: dict[str, str], postgresql_url: str) -> None:
    """Not even to look; and the functions do it."""
    assert set().union(*_probed(urls["submit"]).values()) == set()
    with psycopg.connect(urls["submit"], autocommit=True) as conn:
        for name in SUBMITTING:
            assert _executable(conn, name)
        for name in ("notifyctl_store", "notifyctl_user"):
            assert not _executable(conn, name)


def test_who_submits_submits(urls: dict[str, str], owner_cli: Cli) -> None:
    """By the function, which acts with the rights of a role that nobody logs in with."""
    db = Database(urls["owner"])
    seed.user(db)
    seed.provider(db, config_json='{"from": "a@example.org"}')
    db.close()
    with psycopg.connect(urls["submit"]) as conn:
        row = conn.execute(
            'SELECT id FROM notifyctl_submit(\'anna\', \'email\', \'{"subject": "s", "text": "x"}\')'
        ).fetchone()
    assert row is not None
    (shown,) = owner_cli.call("notifications", "list", "-o", "json").ok().json()
    assert shown["id"] == row[0]


def test_an_owner_of_the_database_who_is_no_superuser_gives_the_roles(
    postgresql_maker: PostgreSQLMaker, bare_cli: Cli
) -> None:
    """As on a managed server: who owns the database and may create roles migrates it, then and later."""
    with postgresql_maker.empty() as url:
        name = str(make_url(url).database)
        landlord = make_url(url).set(username=f"{name}_lord").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(
                f"CREATE ROLE {name}_lord LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO {name}_lord".encode()
            )
            conn.execute(f"ALTER SCHEMA public OWNER TO {name}_lord".encode())
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = landlord
        try:
            bare_cli.call("migrate", "up").ok()
            printed = bare_cli.call("migrate", "roles", "--print", "--prefix", name[-30:].strip("_")).ok().stdout
            for _ in range(2):
                with psycopg.connect(landlord, autocommit=True) as conn:
                    conn.execute(printed.encode())
            assert len(bare_cli.call("migrate", "roles", "-o", "json").ok().json()) == len(ROLES)
            bare_cli.call("migrate", "down", "base", "--yes").ok()
            bare_cli.call("migrate", "up").ok()
        finally:
            every = ", ".join(f"{name[-30:].strip('_')}_{role.kind}" for role in ROLES)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER".encode())
                conn.execute(f"DROP OWNED BY {every}, {name}_lord CASCADE; DROP ROLE {every}, {name}_lord".encode())


def test_who_reads_sees_no_person_and_no_secret(urls: dict[str, str]) -> None:
    """Each column is tried: those with people, contents and secrets are refused, as is one that nobody has entered."""
    with psycopg.connect(urls["read"], autocommit=True) as conn:
        for table in metadata.tables:
            seen = {each for each in _columns(table) if _allowed(conn, f"SELECT {each} FROM {table}")}
            assert seen == set(READING.get(table, ())), table
            assert not seen & PERSONAL.get(table, set()), table
        assert _allowed(conn, "SELECT provider, sum(total_sent) FROM notification_metrics GROUP BY provider")
        assert not _allowed(conn, "INSERT INTO users DEFAULT VALUES")
    assert all(set(names) <= set(_columns(table)) for table, names in PERSONAL.items())


def test_no_role_of_run_time_owns_anything(urls: dict[str, str]) -> None:
    """Who owns a table can do anything with it: the owner has them all, and the functions that act in its name."""
    with psycopg.connect(urls["owner"]) as conn:
        rows = conn.execute(
            "SELECT DISTINCT rolname FROM pg_roles JOIN (SELECT relowner AS o FROM pg_class WHERE relnamespace ="
            " 'public'::regnamespace UNION SELECT proowner FROM pg_proc WHERE starts_with(proname, 'notifyctl_')) AS x"
            " ON x.o = pg_roles.oid"
        ).fetchall()
    name = make_url(urls["owner"]).username or ""
    assert rows == [(name.removesuffix("_login"),)]


def test_rights_that_are_out_of_date_are_said_by_migrate_up(
    owner_cli: Cli, urls: dict[str, str], postgresql_url: str
) -> None:
    """What a role lacks and what it has too much; `migrate roles` exits 8; the SQL puts it right again."""
    names = {kind: str(make_url(url).username).removesuffix("_login") for kind, url in urls.items()}
    fine = owner_cli.call("migrate", "up").ok()
    assert "out of date" not in fine.stderr
    owner_cli.call("migrate", "roles").ok()
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        for statement in (
            f"REVOKE INSERT ON audit_logs FROM {names['dispatch']}",
            f"GRANT TRUNCATE ON audit_logs TO {names['operate']}",
            f"GRANT SELECT (email) ON users TO {names['read']}",
            f"REVOKE EXECUTE ON FUNCTION notifyctl_submit FROM {names['submit']}",
            f"ALTER TABLE users OWNER TO {names['operate']}",
        ):
            conn.execute(statement.encode())
    told = owner_cli.call("migrate", "up").ok().stderr
    for each in ("lacks INSERT ON audit_logs", "owns users", "SELECT ON users.email", "does not own users"):
        assert each in told, told
    listed = owner_cli.call("migrate", "roles", "-o", "json")
    assert listed.exit_code == 8
    problems = {each["kind"]: " ".join(each["problems"]) for each in listed.json()}
    assert "has TRUNCATE ON audit_logs" in problems["operate"]
    assert "lacks EXECUTE ON notifyctl_submit" in problems["submit"]
    prefix = names["owner"].removesuffix("_owner")
    again = owner_cli.call("migrate", "roles", "--print", "--prefix", prefix).ok().stdout
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(again.encode())
    owner_cli.call("migrate", "roles").ok()


def test_what_a_migration_makes_is_the_owners(owner_cli: Cli, urls: dict[str, str], postgresql_url: str) -> None:
    """Whoever of its members runs it; what the roles then lack is said, and afterwards each is as it was."""
    owner_cli.call("migrate", "down", "base", "--yes").ok()
    told = owner_cli.call("migrate", "up").ok().stderr
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        name = str(make_url(urls["owner"]).username).removesuffix("_login")
        owners = conn.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [(name,)], told
        conn.execute(roles.roles_sql(name.removesuffix("_owner")).encode())
    test_each_role_may_do_what_it_needs_and_nothing_else(urls, "operate")


def test_roles_may_come_before_the_tables(postgresql_maker: PostgreSQLMaker, bare_cli: Cli) -> None:
    """Then who migrates first makes them the owner's, what the roles lack is said, and the same SQL gives it."""
    with postgresql_maker.empty() as url, roles.least_privileged(url) as urls:
        bare_cli.env["NOTIFYCTL_DATABASE_URL"] = urls["owner"]
        told = bare_cli.call("migrate", "up").ok().stderr
        name = str(make_url(urls["owner"]).username).removesuffix("_login")
        assert f"{name.removesuffix('_owner')}_dispatch (lacks" in told, told
        with psycopg.connect(url, autocommit=True) as conn:
            owners = conn.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert owners == [(name,)]
            conn.execute(roles.roles_sql(name.removesuffix("_owner")).encode())
        bare_cli.call("migrate", "roles").ok()
        test_the_audit_trail_is_insert_only(urls, "operate")


def test_a_prefix_that_is_no_name_is_refused(bare_cli: Cli) -> None:
    """It goes into SQL without quotes."""
    for prefix in ("a b", "a;DROP ROLE x", "", "1a", 'a"', "É"):
        assert bare_cli.call("migrate", "roles", "--print", "--prefix", prefix).exit_code == 2
    printed = bare_cli.call("migrate", "roles", "--print", "--prefix", "staging").ok().stdout
    assert "CREATE ROLE staging_owner" in printed and "notifyctl_owner" not in printed


def test_sqlite_has_no_roles(bare_cli: Cli, sqlite_url: str) -> None:
    """Nothing is listed, and `migrate up` says nothing of them."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    assert bare_cli.call("migrate", "roles", "-o", "json").ok().json() == []
    assert "rights of roles" not in bare_cli.call("migrate", "up").ok().stderr


def test_what_a_member_has_beside_its_role_is_said(owner_cli: Cli, urls: dict[str, str], postgresql_url: str) -> None:
    """A role of the least rights is worth nothing where a login has more: the SQL takes nothing from logins, so that
    `migrate roles` says who has what."""
    login = make_url(urls["operate"]).username
    for change, back, said in (
        ("GRANT DELETE ON audit_logs TO {}", "REVOKE DELETE ON audit_logs FROM {}", "has DELETE ON audit_logs"),
        ("GRANT UPDATE (mac) ON audit_logs TO {}", "REVOKE ALL ON audit_logs FROM {}", "has UPDATE ON audit_logs.mac"),
        ("ALTER TABLE batches OWNER TO {}", "ALTER TABLE batches OWNER TO CURRENT_USER", "owns batches"),
    ):
        with psycopg.connect(postgresql_url, autocommit=True) as conn:
            conn.execute(change.format(login).encode())
        listed = owner_cli.call("migrate", "roles", "-o", "json")
        problems = {each["kind"]: each["problems"] for each in listed.json()}
        assert listed.exit_code == 8
        assert problems["operate"] == [f"its member {login} {said} of its own: REVOKE that"], problems
        assert problems["read"] == problems["dispatch"] == []
        with psycopg.connect(postgresql_url, autocommit=True) as conn:
            conn.execute(back.format(login).encode())
    assert owner_cli.call("migrate", "roles", "-o", "json").json()[1]["problems"] == []
