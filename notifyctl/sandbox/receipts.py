"""How far an accepted message is as time passes, the store of recent messages, and a limit of requests."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from enum import Enum
from typing import Generic, TypeVar

KEPT = 20_000
"""How many messages a provider remembers; older ones are unknown to it."""

T = TypeVar("T")


class Progress(Enum):
    """How far a message is."""

    ACCEPTED = 0
    SENT = 1
    FINAL = 2


def progress(age_s: float, final_s: float) -> Progress:
    """Return how far a message is at this age, where it takes `final_s` to the end and half of it to be sent."""
    if age_s < final_s / 2:
        return Progress.ACCEPTED
    return Progress.SENT if age_s < final_s else Progress.FINAL


class RecentMessages(Generic[T]):
    """The last `KEPT` messages, by id."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, T] = OrderedDict()

    def put(self, key: str, message: T) -> None:
        """Keep a message; the oldest is dropped when there are too many."""
        self._messages[key] = message
        if len(self._messages) > KEPT:
            self._messages.popitem(last=False)

    def get(self, key: str) -> T | None:
        """Return the message of that id, None when it is not kept (any more)."""
        return self._messages.get(key)

    def newest(self) -> Iterator[T]:
        """Return all of them, the newest first."""
        return reversed(self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)


class RequestLimit:
    """At most `count` requests in any `per_s` seconds."""

    def __init__(self, count: int, per_s: float) -> None:
        self._count, self._per_s = count, per_s
        self._taken: list[float] = []

    def take(self, now: float) -> int | None:
        """Count a request and return None; at the limit return when the next may come, in seconds since the epoch."""
        self._taken = [moment for moment in self._taken if moment > now - self._per_s]
        if len(self._taken) >= self._count:
            return math.ceil(self._taken[0] + self._per_s)
        self._taken.append(now)
        return None
