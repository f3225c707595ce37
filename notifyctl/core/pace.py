"""Spreading what is submitted together over time, and how long it takes at a provider's limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

MINUTE_MS = 60_000


def moments(begin: int, interval_ms: float) -> Iterator[int]:
    """Yield moments (milliseconds since the epoch) from `begin` on, that far from each other; never ends."""
    return (begin + round(number * interval_ms) for number in count())


class Outflow:
    """When the last of very many would go out, each not before it is due, at most `limit` a minute (None: no limit).

    Counts by minutes: memory grows with the days, not with the number.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._due: Counter[int] = Counter()
        self._last = 0

    def add(self, due_at: int, number: int = 1) -> None:
        """Count some that are due at that moment (milliseconds since the epoch)."""
        self._due[due_at // MINUTE_MS] += number
        self._last = max(self._last, due_at)

    def ends_at(self, now: int) -> int:
        """Return when the last one would go out, from now on."""
        if not self._limit:
            return max(now, self._last)
        at = float(now)
        for minute, number in sorted(self._due.items()):
            at = max(at, minute * MINUTE_MS) + number * MINUTE_MS / self._limit
        return max(round(at), self._last)
