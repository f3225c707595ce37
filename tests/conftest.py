"""What every test may ask for: databases, the command line, the provider sandbox.

PostgreSQL comes from NOTIFYCTL_TEST_DATABASE_URL, else from a server that the run starts and removes. Where neither can
be had, the tests that need it fail.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notifyctl.store.db.database import Database
from tests.reliability import sizes
from tests.support import compiled, postgres, properties
from tests.support.command import Cli
from tests.support.databases import PostgreSQLMaker, SQLiteMaker
from tests.support.sandbox import Sandbox

_FOLDER = pytest.StashKey[Path]()
_OWNER = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose how properties run, and the folder of the run's own PostgreSQL, which starts when a test asks for it."""
    # A shell lets what it runs in the background ignore SIGINT, and so would every command that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    properties.configure()
    compiled.share()
    config.pluginmanager.set_blocked("pytest_alembic")  # not used here; where installed, 0.13 breaks pytest 9
    inherited = getattr(config, "workerinput", None)
    if inherited is None:
        config.stash[_FOLDER], config.stash[_OWNER] = postgres.folder(), os.getpid()
    else:
        config.stash[_FOLDER], config.stash[_OWNER] = Path(inherited["folder"]), inherited["owner"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist which folder that is."""
    config, given = node.config, node.workerinput  # type: ignore[attr-defined]
    given["folder"], given["owner"] = str(config.stash[_FOLDER]), config.stash[_OWNER]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop and remove the server, in the process that outlives the workers."""
    if not hasattr(config, "workerinput") and _FOLDER in config.stash:
        postgres.remove(config.stash[_FOLDER])


def pytest_collection_finish() -> None:
    """Keep what is made once out of the time of the first property, and the tests themselves from being garbage."""
    properties.warm_up()
    gc.collect()
    gc.freeze()  # eleven thousand tests would be looked through again and again


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the reliability runs counted."""
    sizes.summarize(terminalreporter)


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> str:
    """The URL of a PostgreSQL server, with a database from which others can be made."""
    given = os.environ.get("NOTIFYCTL_TEST_DATABASE_URL")
    return given or postgres.obtain(request.config.stash[_FOLDER], request.config.stash[_OWNER])


@pytest.fixture(scope="session")
def postgresql_maker(postgresql_server: str) -> Iterator[PostgreSQLMaker]:
    """Makes databases on the server, empty or migrated."""
    with PostgreSQLMaker(postgresql_server) as maker:
        yield maker


@pytest.fixture(scope="session")
def sqlite_maker(tmp_path_factory: pytest.TempPathFactory) -> SQLiteMaker:
    """Makes SQLite files, none or migrated."""
    return SQLiteMaker(tmp_path_factory.mktemp("template"))


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which of the two databases the test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    if backend == "sqlite":
        yield request.getfixturevalue("sqlite_maker").migrated(tmp_path)
        return
    with request.getfixturevalue("postgresql_maker").migrated() as url:
        yield url


@pytest.fixture
def empty_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that was never migrated; on SQLite there is no file yet."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with request.getfixturevalue("postgresql_maker").empty() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_maker: PostgreSQLMaker) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of the test's own, for what happens only there."""
    with postgresql_maker.migrated() as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_maker: SQLiteMaker, tmp_path: Path) -> str:
    """The URL of a migrated SQLite database of the test's own, for what happens only there."""
    return sqlite_maker.migrated(tmp_path)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of the test's own, opened."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Cli:
    """The command line on `database_url`, with a home of its own and nothing of the environment's."""
    return Cli(home=_home(tmp_path), database_url=database_url)


@pytest.fixture
def bare_cli(tmp_path: Path) -> Cli:
    """The command line of a person who has configured nothing."""
    return Cli(home=_home(tmp_path), database_url=None)


@pytest.fixture
def sandbox_with(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts provider sandboxes with the options given, each a process of its own."""
    started: list[Sandbox] = []

    def start(*options: str) -> Sandbox:
        folder = tmp_path / f"sandbox-{len(started)}"
        folder.mkdir()
        started.append(Sandbox(Cli(home=folder, database_url=None), *options))
        return started[-1]

    try:
        yield start
    finally:
        for sandbox in started:
            sandbox.stop()


@pytest.fixture
def sandbox(sandbox_with: Callable[..., Sandbox]) -> Sandbox:
    """A provider sandbox without faults."""
    return sandbox_with()


def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    return home
