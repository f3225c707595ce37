"""A sandbox and three providers for every test here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.command import Cli
from tests.support.world import World, sandbox


@pytest.fixture
def make_world(cli: Cli, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes the world with a sandbox of these arguments."""
    with ExitStack() as stack:
        yield lambda *args: World(cli, stack.enter_context(sandbox(cli, tmp_path, *args)))


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """The world without faults."""
    return make_world()
