"""A claim that was slow makes the next one smaller."""

from __future__ import annotations

from notifyctl.dispatch.portioning import Portioning


def test_slow_looks_take_less_and_quick_ones_more_again() -> None:
    """Half as many after each slow look, down to one, so that what is taken can be begun before its lease ends."""
    portioning = Portioning(64)
    seen = []
    for _ in range(8):
        portioning.looked(7.0, min(portioning.most, 40), 65_000)
        seen.append(portioning.most)
    assert seen == [20, 10, 5, 2, 1, 1, 1, 1]
    for _ in range(8):
        portioning.looked(0.1, portioning.most, 65_000)
        seen.append(portioning.most)
    assert seen[8:] == [2, 4, 8, 16, 32, 64, 64, 64]


def test_what_took_nothing_changes_nothing() -> None:
    """A look in vain says nothing of how long it takes to take something."""
    portioning = Portioning(64)
    portioning.looked(30.0, 0, 65_000)
    assert portioning.most == 64
