"""The stub, the scene, and the telling of what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.reliability.scene import Scene
from tests.reliability.server import Server
from tests.reliability.sizes import PROPERTY, Tell, written
from tests.reliability.stub import Stub


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
def tell(request: pytest.FixtureRequest) -> Tell:
    """Enters counts into the summary that ends the run. Told before they are asserted, they are there either way."""
    case = request.node.name.partition("[")[2].rstrip("]")

    def enter(invariant: str, counts: Mapping[str, object]) -> None:
        request.node.user_properties.append((PROPERTY, (invariant, case, written(counts))))

    return enter
