"""A dispatcher's rights are looked at when it enters: with a result in its hands it is too late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from notifyctl.store import rights
from notifyctl.store.db.database import Database
from tests.reliability.stub import Stub
from tests.support import seed
from tests.support.command import Cli
from tests.support.threefold import add_providers
from tests.support.world import KEYS


@pytest.fixture
def role(postgresql_url: str) -> Iterator[str]:
    """A role of PostgreSQL's with what a dispatcher needs and nothing else."""
    name = f"role_{make_url(postgresql_url).database}"
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        for table, needed in rights.DISPATCHING.items():
            conn.execute(f"GRANT {', '.join(needed)} ON {table} TO {name}")
        for table, columns in rights.LOCKING.items():
            conn.execute(f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {name}")
        yield name
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A provider."""
    with Stub() as running:
        yield running


def _as(cli: Cli, url: str, role: str) -> Cli:
    other = Cli(cli.home, make_url(url).set(username=role).render_as_string(hide_password=False))
    other.env = {**cli.env, "NOTIFYCTL_DATABASE_URL": other.env["NOTIFYCTL_DATABASE_URL"]}
    return other


@pytest.fixture
def owner(tmp_path: Path, postgresql_url: str, stub: Stub) -> Cli:
    """The command line of who owns the tables, with a provider and a user."""
    cli = Cli(tmp_path, postgresql_url)
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    add_providers(cli, stub.url, "sendgrid")
    cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    return cli


def test_what_is_asked_for_is_enough(owner: Cli, postgresql_url: str, role: str, stub: Stub) -> None:
    """Sent, refused, tried again, paused: whatever comes can be written."""
    answers = iter([None, "503", "400", "401"])
    stub.faults = lambda _, __: next(answers, None)
    db = Database(postgresql_url)
    anna = str(owner.call("users", "show", "anna", "-o", "json").ok().json()["id"])
    seed.pending(db, anna, count=8)
    done = _as(owner, postgresql_url, role).call("dispatch", "--once", "--concurrency", "1", "-o", "json")
    db.close()
    assert done.exit_code == 0, done.stderr
    assert "could not" not in done.stderr
    (counts,) = done.json()["providers"]
    assert (counts["dead"], counts["accepted"] > 0) == (1, True)
    assert "paused" in done.stderr


def test_what_is_missing_is_named_before_anything_is_sent(
    owner: Cli, postgresql_url: str, role: str, stub: Stub
) -> None:
    """Each right that a dispatcher needs and lacks: exit 4, the remedy, and no request."""
    owner.call("send", "anna", "--channel", "email", "--subject", "s", "--body", "b").ok()
    restricted = _as(owner, postgresql_url, role)
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        for table, needed in rights.DISPATCHING.items():
            for right in needed:
                if table == "alembic_version":  # asked before, by every command
                    continue
                conn.execute(f"REVOKE {right} ON {table} FROM {role}")
                done = restricted.call("dispatch", "--once")
                conn.execute(f"GRANT {right} ON {table} TO {role}")
                assert done.exit_code == 4, (table, right, done.stderr)
                assert f"{right} ON {table}" in done.stderr or f"table {table}" in done.stderr
        for table, columns in rights.LOCKING.items():
            conn.execute(f"REVOKE UPDATE ({columns[0]}) ON {table} FROM {role}")
            done = restricted.call("dispatch", "--once")
            conn.execute(f"GRANT UPDATE ({columns[0]}) ON {table} TO {role}")
            assert (done.exit_code, f"UPDATE ({columns[0]}) ON {table}" in done.stderr) == (4, True), done
    assert stub.requests() == []
    restricted.call("dispatch", "--once").ok()
    assert len(stub.requests()) == 1


def test_who_lacks_much_is_told_of_the_role(owner: Cli, postgresql_url: str, stub: Stub) -> None:
    """Not each right, which fills screens, but some, how many more, and whom to connect as."""
    name = f"bare_{make_url(postgresql_url).database}"
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        quoted = sql.Identifier(name)
        conn.execute(sql.SQL("CREATE ROLE {0} LOGIN; GRANT SELECT ON alembic_version TO {0}").format(quoted))
        done = _as(owner, postgresql_url, name).call("dispatch", "--once")
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(quoted))
    assert done.exit_code == 4
    assert "notifyctl_dispatch" in done.stderr and "migrate roles --print" in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 160
    assert stub.requests() == []
