"""A sandbox and three providers for every test here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.command import Cli
from tests.support.sandbox import Sandbox
from tests.support.world import World


@pytest.fixture
def make_world(cli: Cli, sandbox_with: Callable[..., Sandbox]) -> Callable[..., World]:
    """Makes the world with a sandbox of these options."""
    return lambda *options: World(cli, sandbox_with(*options))


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """The world without faults."""
    return make_world()
