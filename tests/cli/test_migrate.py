"""`migrate` on the command line, on both databases."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from notifyctl.store.schema.version import SCHEMA_VERSION
from tests.support.command import Cli


@pytest.fixture
def fresh(bare_cli: Cli, empty_database_url: str) -> Cli:
    """The command line on a database that was never migrated."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = empty_database_url
    return bare_cli


@pytest.fixture
def execute(database_url: str) -> Callable[[str], None]:
    """Changes the migrated database behind the program's back."""

    def run(statement: str) -> None:
        if database_url.startswith("sqlite"):
            with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as conn:
                conn.executescript(statement)
        else:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(statement.encode())

    return run


def test_the_whole_way(fresh: Cli) -> None:
    """Up, nothing more to do, checked, down again: each says what it did, as data and in words."""
    up = fresh.call("migrate", "up", "-o", "json").ok()
    assert [revision["id"] for revision in up.json()][-1] == SCHEMA_VERSION
    assert up.stderr.endswith(f"is at {SCHEMA_VERSION}\n")

    again = fresh.call("migrate", "up").ok()
    assert again.stdout == ""
    assert again.stderr.endswith(f"is at {SCHEMA_VERSION}; nothing to do\n")

    assert fresh.call("migrate", "check", "-o", "json").ok().json() == []
    assert fresh.call("users", "list", "-o", "json").ok().json() == []

    down = fresh.call("migrate", "down", "base", "--yes", "-o", "json").ok()
    assert down.json() == up.json()[::-1]
    assert down.stderr.endswith("is at no revision\n")
    assert fresh.call("migrate", "down", "base").ok().stderr.endswith("nothing to do\n")


def test_as_a_process(fresh: Cli) -> None:
    """The same through `python -m notifyctl`; -q says nothing beside the data."""
    done = fresh.run("migrate", "up", "-q").ok()
    assert done.stdout.split()[:4] == ["id", "previous", "summary", "0001"]
    assert done.stderr == ""


def test_several_at_once(fresh: Cli) -> None:
    """Machines that start together all end well; one of them did the work."""
    started = [fresh.start("migrate", "up", "-o", "id") for _ in range(3)]
    found = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], found
    assert sorted(stdout for stdout, _ in found) == ["", "", "0001\n"]


@pytest.mark.parametrize("form", ["table", "plain", "json", "ndjson", "csv", "markdown"])
def test_every_format(cli: Cli, form: str) -> None:
    """Each command that prints records knows all formats."""
    for command in (["history"], ["status"], ["check"]):
        assert "Traceback" not in cli.call("migrate", *command, "-o", form).ok().stderr
    assert SCHEMA_VERSION in cli.call("migrate", "history", "-o", form).stdout


def test_status(fresh: Cli, backend: str) -> None:
    """What stands where, before and after; it exits 0 either way and creates nothing."""
    before = fresh.call("migrate", "status", "-o", "json").ok().json()
    assert before["state"] == ("missing" if backend == "sqlite" else "empty")
    assert (before["current"], before["head"], before["pending"]) == (None, SCHEMA_VERSION, [SCHEMA_VERSION])
    if backend == "sqlite":
        assert not Path(before["database"].removeprefix("sqlite:///")).exists()
    fresh.call("migrate", "up").ok()
    after = fresh.call("migrate", "status", "-o", "json").ok().json()
    assert (after["state"], after["current"], after["pending"]) == ("current", SCHEMA_VERSION, [])


def test_commands_before_the_first_migration(fresh: Cli) -> None:
    """Exit 8 and the command that helps."""
    for command in (["users", "list"], ["migrate", "check"]):
        result = fresh.call(*command)
        assert result.exit_code == 8
        assert result.stderr.endswith("hint: notifyctl migrate up\n")


def test_check_says_no(cli: Cli, execute: Callable[[str], None]) -> None:
    """Exit 8, the differences as data, the error as JSON where JSON was asked for."""
    execute("DROP INDEX idx_users_email")
    result = cli.call("migrate", "check", "-o", "json")
    assert result.exit_code == 8
    assert result.json() == [{"what": "idx_users_email", "how": "missing: index"}]
    assert '"code": "schema"' in result.stderr
    assert "idx_users_email" in cli.call("migrate", "check").stdout


def test_a_newer_database(cli: Cli, execute: Callable[[str], None]) -> None:
    """An old program on a new database: exit 8, and not the hint to migrate."""
    execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (["migrate", "up"], ["migrate", "down", "base", "--yes"], ["users", "list"]):
        result = cli.call(*command)
        assert result.exit_code == 8
        assert "newer than this program" in result.stderr
        assert result.stderr.endswith("hint: upgrade notifyctl\n")
    assert cli.call("migrate", "status", "-o", "json").ok().json()["state"] == "newer"


def test_an_older_database(cli: Cli, execute: Callable[[str], None]) -> None:
    """Down by a step: the other commands refuse and say what to do."""
    cli.call("migrate", "down", "--yes", "--", "-1").ok()
    result = cli.call("users", "list")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (8, "hint: notifyctl migrate up")


def test_down_always_asks(cli: Cli) -> None:
    """Without a terminal and without --yes nothing is done."""
    result = cli.run("migrate", "down", "base")
    assert result.exit_code == 2
    assert "Take back 0001" in result.stderr
    assert result.stderr.endswith("hint: repeat it with --yes\n")
    assert cli.call("migrate", "status", "-o", "json").json()["state"] == "current"


@pytest.mark.parametrize(("keys", "exit_code", "state"), [("n\n", 2, "current"), ("y\n", 0, "empty")])
def test_down_at_a_terminal(cli: Cli, keys: str, exit_code: int, state: str) -> None:
    """A person is asked, and the answer counts."""
    result = cli.type("migrate", "down", "base", keys=keys)
    assert result.exit_code == exit_code, result
    assert "lose the data" in result.stderr
    assert cli.call("migrate", "status", "-o", "json").json()["state"] == state


def test_unknown_revisions(cli: Cli) -> None:
    """A revision that does not exist is a mistake in the command: exit 2."""
    for command in (["up", "nope"], ["down", "nope", "--yes"], ["sql", "nope"]):
        result = cli.call("migrate", *command)
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "hint: notifyctl migrate history")


def test_history(bare_cli: Cli) -> None:
    """It needs no database."""
    (first,) = bare_cli.call("migrate", "history", "-o", "json").ok().json()
    assert (first["id"], first["previous"]) == ("0001", None)


def test_sql(fresh: Cli, backend: str) -> None:
    """The SQL alone, whole, for that database; it connects to nothing."""
    script = fresh.call("migrate", "sql").ok()
    assert script.stdout.rstrip().endswith("COMMIT;")
    assert ("WAL" in script.stdout) is (backend == "sqlite")
    assert ("clock_timestamp" in script.stdout) is (backend == "postgresql")
    assert fresh.call("migrate", "status", "-o", "json").json()["current"] is None
    nothing = fresh.call("migrate", "sql", f"{SCHEMA_VERSION}:head").ok().stdout
    assert "CREATE" not in nothing


def test_a_lock_timeout(bare_cli: Cli, postgresql_url: str) -> None:
    """Somebody reads a table: exit 10 after the time given, and nothing changed."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = postgresql_url
    with psycopg.connect(postgresql_url) as other:
        other.execute("SELECT * FROM users")
        result = bare_cli.call("migrate", "down", "base", "--yes", "--lock-timeout", "100ms")
    assert result.exit_code == 10
    assert "its lock was not granted in time" in result.stderr
    assert bare_cli.call("migrate", "check").exit_code == 0


def test_a_lock_timeout_that_is_none(cli: Cli) -> None:
    """A duration is a duration."""
    assert cli.call("migrate", "up", "--lock-timeout", "soon").exit_code == 2


def test_a_database_that_cannot_be_reached(bare_cli: Cli) -> None:
    """Exit 10 for every command that connects."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = "postgresql://127.0.0.1:1/notify"
    for command in (["up"], ["status"], ["check"], ["down", "base", "--yes"]):
        result = bare_cli.call("migrate", *command)
        assert result.exit_code == 10, result
        assert "Connection refused" in result.stderr


def test_the_default_database(bare_cli: Cli) -> None:
    """Nothing configured: a file in the user's data folder, made by `up` and by nothing else."""
    assert bare_cli.call("users", "list").exit_code == 8
    assert not list(bare_cli.home.rglob("*.db"))
    bare_cli.call("migrate", "up").ok()
    (made,) = bare_cli.home.rglob("*.db")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    bare_cli.call("users", "list").ok()


def test_help_does_not_load_alembic(bare_cli: Cli) -> None:
    """Half a second that nobody should wait for who asks what there is."""
    code = (
        "import sys; from notifyctl.cli.app import main; main(['migrate', '--help']);"
        " sys.exit(any(name in sys.modules for name in ('alembic', 'sqlalchemy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=bare_cli.env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
