"""How a process that sends keeps its memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from notifyctl.dispatch.memory import YOUNG, look_for_garbage_less_often
from tests.support.command import Cli


class Knot:
    """Garbage that nobody but the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def threshold() -> Iterator[tuple[int, ...]]:
    """Yield how often garbage is looked for, and have it so again afterwards."""
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_what_is_in_flight_is_not_looked_through(threshold: tuple[int, ...]) -> None:
    """A few thousand objects that live are no sign of garbage; what is garbage is found all the same."""
    look_for_garbage_less_often()
    gc.collect()
    looks = gc.get_stats()[0]["collections"]
    alive = [[each] for each in range(YOUNG - 1_000)]
    assert gc.get_stats()[0]["collections"] == looks
    knots = [weakref.ref(Knot()) for _ in range(YOUNG)]
    assert any(each() is None for each in knots)
    assert len(alive) == YOUNG - 1_000


def test_a_dispatcher_looks_for_garbage_less_often(cli: Cli, threshold: tuple[int, ...]) -> None:
    """Whatever it sends; how often the old is looked through stays as it is."""
    cli.call("migrate", "up").ok()
    cli.call("dispatch", "--once").ok()
    assert gc.get_threshold() == (YOUNG, *threshold[1:])
