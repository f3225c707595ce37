"""A user's limits of notifications and of calls with API keys a minute, counted in slots of one second."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

SLOTS = 60
"""How many slots before the current one decide as well: sixty in all would let twice the limit through a minute."""

AHEAD = 2 * (SLOTS + 1)
"""How far in the future a slot counts: of a clock that was put back a little. By more, and it would shut for hours."""


class LimitType(StrEnum):
    """Of what so many a minute are let through."""

    NOTIFICATION = "notification"
    API = "api"


Slot = tuple[int, int]
"""A second since the epoch, and how many went in it."""


def used(slots: Iterable[Slot], now: int) -> int:
    """Return how many of those in the slots still count at `now` (milliseconds)."""
    return sum(count for _, count in _counted(slots, now))


def free_at(slots: Iterable[Slot], limit: int, now: int) -> int | None:
    """Return when, in milliseconds, the next one may go; None where that is now.

    A limit below 1 lets nothing through: then it is always a window's length later.
    """
    second = now // 1_000
    counted = sorted(_counted(slots, now))
    left = sum(count for _, count in counted)
    if left < limit:
        return None
    for at, count in counted:
        left -= count
        if left < limit:
            return (at + SLOTS + 1) * 1_000
    return (second + SLOTS + 1) * 1_000


def _counted(slots: Iterable[Slot], now: int) -> list[Slot]:
    second = now // 1_000
    return [(at, count) for at, count in slots if second - SLOTS <= at <= second + AHEAD]
