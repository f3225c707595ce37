"""How many calls will end soon: for so many a look may take ahead of the places that are free, and none stays empty."""

from __future__ import annotations

AHEAD_S = 0.02
"""For how long, beside the look itself, what was taken ahead is to last: so many looks fewer."""


class Foresight:
    """Goes by the rate at which calls ended until the last look was over, and by how long that took.

    Where answers take long, next to nothing ends meanwhile, and nothing is taken that would only wait.
    """

    def __init__(self) -> None:
        self.during_look = 0
        self.ahead = 0
        self._ended = 0
        self._since: float | None = None

    def ended(self) -> None:
        """Take note that a call has ended."""
        self._ended += 1

    def looked(self, began: float, now: float) -> None:
        """Take note of a look, by monotonic moments in seconds: so many end `during_look`, so many until the next."""
        if self._since is not None and now > self._since:
            rate = self._ended / (now - self._since)
            self.during_look = int(rate * (now - began))
            self.ahead = int(rate * (now - began + AHEAD_S))
        self._ended, self._since = 0, now

    def erred(self) -> None:
        """Take note that what was taken ahead found no place in time."""
        self.during_look = self.ahead = 0
