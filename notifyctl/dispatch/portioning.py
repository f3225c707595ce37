"""How many items a look may take."""

from __future__ import annotations

SLOW = 0.1
"""A look that took more than this part of its lease was slow: what it took may not all be begun in time."""


class Portioning:
    """At most `portion`: half as many after a slow look, twice as many after each that was not."""

    def __init__(self, portion: int) -> None:
        self.most = portion
        self._portion = portion

    def looked(self, seconds: float, items: int, lease_ms: int) -> None:
        """Take note of a look that took so long, and so many items under a lease of that length."""
        if not items:
            return
        if seconds * 1_000 > lease_ms * SLOW:
            self.most = max(1, items // 2)
        else:
            self.most = min(self._portion, self.most * 2)
