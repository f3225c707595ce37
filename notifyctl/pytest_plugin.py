"""The pytest plugin: `notifyctl_db`, a database of the test's own, migrated and filled by the project's fixtures.

It is made once for a run and copied for each test, so that a test waits for no migration. Options of pytest's
configuration::

    notifyctl_fixtures      a fixture's file or folder; several, one a line (relative to the configuration's folder)
    notifyctl_database_url  a PostgreSQL server on which databases may be made; without it they are SQLite files

While a test has it, `NOTIFYCTL_DATABASE_URL` names the database, and nothing else configures notifyctl.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

URL = "NOTIFYCTL_DATABASE_URL"
_FIXTURES, _SERVER = "notifyctl_fixtures", "notifyctl_database_url"
_CONFIGURE = (URL, "NOTIFYCTL_CONFIG", "NOTIFYCTL_PROFILE", "NOTIFYCTL_API_KEY")


@dataclass(frozen=True)
class NotifyctlRun:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Return what it printed with `-o json`."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class NotifyctlDatabase:
    """A database of a test's own. `url` is what the application under test connects to."""

    url: str
    env: Mapping[str, str]

    def run(self, *args: str, input: str | None = None, check: bool = True) -> NotifyctlRun:
        """Run a command of notifyctl's on it: `run("send", "anna", ...)`; unless it exits with 0 the test fails.

        With `check=False` whoever asks looks at the exit code.
        """
        done = _run(args, self.env, input)
        if check and done.exit_code:
            pytest.fail(f"notifyctl {' '.join(args)}: exit code {done.exit_code}\n{done.stderr}", pytrace=False)
        return done

    def apply(self, fixture: str | Path | Mapping[str, Any]) -> NotifyctlRun:
        """Apply a fixture: a file or folder, or what one says."""
        if isinstance(fixture, Mapping):
            return self.run("fixtures", "apply", "-f", "-", input=json.dumps(fixture))
        return self.run("fixtures", "apply", "-f", str(fixture))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the configuration."""
    parser.addini(_FIXTURES, "fixtures that fill the database of each test", type="paths", default=[])
    parser.addini(_SERVER, "a PostgreSQL server on which databases may be made; without it they are SQLite files")


@pytest.fixture(scope="session")
def _notifyctl_maker(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_SQLiteCopies | _PostgreSQLCopies]:
    """Makes copies of a database that was migrated and filled once."""
    folder = tmp_path_factory.mktemp("notifyctl")
    (folder / "config.toml").touch()
    server = str(pytestconfig.getini(_SERVER) or "")
    with _postgresql(server, folder) if server else _sqlite(folder) as maker:
        database = NotifyctlDatabase(maker.template, environment(maker.template, folder))
        database.run("migrate", "up")
        for path in pytestconfig.getini(_FIXTURES):
            database.apply(path)
        yield maker


@pytest.fixture
def notifyctl_db(
    _notifyctl_maker: _SQLiteCopies | _PostgreSQLCopies, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NotifyctlDatabase]:
    """A database of the test's own, migrated and filled by the project's fixtures."""
    with _notifyctl_maker.copy() as url:
        env = environment(url, _notifyctl_maker.folder)
        for name in _CONFIGURE:
            if name in env:
                monkeypatch.setenv(name, env[name])
            else:
                monkeypatch.delenv(name, raising=False)
        yield NotifyctlDatabase(url, env)


def environment(url: str, folder: Path) -> dict[str, str]:
    """Return the environment of commands on a database: the present one, but what configures another one."""
    kept = {name: value for name, value in os.environ.items() if name not in _CONFIGURE}
    return {**kept, URL: url, "NOTIFYCTL_CONFIG": str(folder / "config.toml")}


@dataclass(frozen=True)
class _SQLiteCopies:
    folder: Path

    @property
    def template(self) -> str:
        return f"sqlite:///{self.folder / 'template.db'}"

    @contextmanager
    def copy(self) -> Iterator[str]:
        path = self.folder / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(self.folder / "template.db", path)
        path.chmod(0o600)
        try:
            yield f"sqlite:///{path}"
        finally:
            for each in self.folder.glob(f"{path.name}*"):
                each.unlink(missing_ok=True)


@dataclass(frozen=True)
class _PostgreSQLCopies:
    folder: Path
    server: str
    name: str

    @property
    def template(self) -> str:
        return _named(self.server, self.name)

    @contextmanager
    def copy(self) -> Iterator[str]:
        name = f"notifyctl_{uuid.uuid4().hex}"
        with _made(self.server, name, template=self.name) as url:
            yield url


@contextmanager
def _sqlite(folder: Path) -> Iterator[_SQLiteCopies]:
    yield _SQLiteCopies(folder)


@contextmanager
def _postgresql(server: str, folder: Path) -> Iterator[_PostgreSQLCopies]:
    name = f"notifyctl_{uuid.uuid4().hex}"
    with _made(server, name, template="template0"):
        yield _PostgreSQLCopies(folder, server, name)


@contextmanager
def _made(server: str, name: str, *, template: str) -> Iterator[str]:
    _execute(server, "CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'", name, template)
    try:
        yield _named(server, name)
    finally:
        _execute(server, "DROP DATABASE {} WITH (FORCE)", name)


def _execute(server: str, statement: str, *names: str) -> None:
    import psycopg
    from psycopg import sql
    from sqlalchemy import make_url

    url = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _named(server: str, database: str) -> str:
    from sqlalchemy import make_url

    return make_url(server).set(database=database).render_as_string(hide_password=False)


def _run(args: tuple[str, ...], env: Mapping[str, str], input: str | None) -> NotifyctlRun:
    command = [sys.executable, "-m", "notifyctl", *args]
    done = subprocess.run(  # noqa: S603 - this program, by this interpreter
        command, env=dict(env), input=input or "", capture_output=True, text=True, encoding="utf-8", check=False
    )
    return NotifyctlRun(done.returncode, done.stdout, done.stderr)
