"""What becomes of an accepted message as time passes, and where it is remembered."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Generic, TypeVar

KEPT = 20_000
"""How many messages a provider remembers; asked for an older one, it knows nothing of it."""

T = TypeVar("T")


class Stage(Enum):
    """How far a message is."""

    ACCEPTED = 0
    SENT = 1
    FINAL = 2


def stage(age_s: float, final_s: float) -> Stage:
    """Return how far a message is at this age, where it takes `final_s` to the end and half of it to be sent."""
    if age_s < final_s / 2:
        return Stage.ACCEPTED
    return Stage.SENT if age_s < final_s else Stage.FINAL


class Shelf(Generic[T]):
    """The `KEPT` things that were put there last, by their ids."""

    def __init__(self) -> None:
        self._things: OrderedDict[str, T] = OrderedDict()

    def put(self, key: str, thing: T) -> None:
        """Keep a thing; the oldest leaves when there are too many."""
        self._things[key] = thing
        if len(self._things) > KEPT:
            self._things.popitem(last=False)

    def get(self, key: str) -> T | None:
        """Return the thing of that id, None when it is not there."""
        return self._things.get(key)

    def newest(self) -> Iterator[T]:
        """Return all of them, the newest first."""
        return reversed(self._things.values())

    def __len__(self) -> int:
        return len(self._things)


class Allowance:
    """So many requests in any `per_s` seconds."""

    def __init__(self, count: int, per_s: float) -> None:
        self._count, self._per_s = count, per_s
        self._taken: list[float] = []

    def take(self, now: float) -> int | None:
        """Take one; where none is left, return the moment of the next in whole seconds since the epoch."""
        self._taken = [moment for moment in self._taken if moment > now - self._per_s]
        if len(self._taken) >= self._count:
            return math.ceil(self._taken[0] + self._per_s)
        self._taken.append(now)
        return None
