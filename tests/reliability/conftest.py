"""The stub, the scene, and the telling of what came out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.reliability.scene import Scene
from tests.reliability.server import Server
from tests.reliability.sizes import PROPERTY, Tell, written
from tests.reliability.stub import Stub


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is here as slow: processes that are killed, stalled and cut off, and take their time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A provider without faults."""
    with Stub() as running:
        yield running


@pytest.fixture
def scene(database_url: str, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene, on both databases."""
    with Scene(database_url, tmp_path, stub) as made:
        yield made


@pytest.fixture
def postgresql_scene(postgresql_url: str, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene, on PostgreSQL."""
    with Scene(postgresql_url, tmp_path, stub) as made:
        yield made


@pytest.fixture
def sqlite_scene(sqlite_url: str, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene, on SQLite."""
    with Scene(sqlite_url, tmp_path, stub) as made:
        yield made


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL server that may be stopped."""
    with Server() as running:
        yield running


@pytest.fixture
def room(request: pytest.FixtureRequest, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lets one test of the full size at a time have millions of rows on a database: they may be kept in memory."""
    if request.node.get_closest_marker("full") is None:
        yield
        return
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with (shared / f"{backend}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Enters counts into the summary that ends the run. Told before they are asserted, they are there either way."""
    case = request.node.name.partition("[")[2].rstrip("]")

    def enter(invariant: str, counts: Mapping[str, object]) -> None:
        request.node.user_properties.append((PROPERTY, (invariant, case, written(counts))))

    return enter
