"""The database's time between two looks at it, and how long a lease still holds."""

from __future__ import annotations

import time

from notifyctl.core.frozen import dataclass

MARGIN_MS = 1_000


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim's times: `now` was the database's moment when the monotonic clock stood at `began`, or a little later.

    `deadline_ms` is how long a call may take. Counting from before the claim makes every error of measurement shorten
    the lease, never lengthen it. The host's wall clock plays no part.
    """

    now: int
    began: float
    length_ms: int
    deadline_ms: int = 0

    def moment(self) -> int:
        """Return the database's time, in milliseconds since the epoch."""
        return self.now + int((time.monotonic() - self.began) * 1_000)

    def left_ms(self) -> int:
        """Return how long the lease holds from now, in milliseconds; negative when it ended."""
        return self.length_ms - int((time.monotonic() - self.began) * 1_000)

    def call_ends_by(self) -> float:
        """Return the monotonic moment by which every call has to have ended."""
        return self.began + (self.length_ms - MARGIN_MS) / 1_000

    def allows_a_call(self) -> bool:
        """Return whether a call that is begun now will have ended before the lease has."""
        return self.left_ms() >= self.deadline_ms + MARGIN_MS
