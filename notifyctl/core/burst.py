"""Whether something happens far more often than usual."""

from __future__ import annotations

from notifyctl.core.frozen import dataclass

LEAST = 20
"""So few in an hour are never a burst."""
TIMES_USUAL = 4


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often something happened within the last hour, and within the 24 hours before that one."""

    last_hour: int = 0
    day_before: int = 0

    @property
    def usual(self) -> float:
        """How often it happened in an hour of the day before."""
        return self.day_before / 24

    @property
    def is_burst(self) -> bool:
        """Whether the last hour is not as usual."""
        return self.last_hour >= LEAST and self.last_hour > TIMES_USUAL * self.usual
