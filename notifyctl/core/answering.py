"""How a provider answers questions after receipts, and when it is left alone: pure decisions."""

from __future__ import annotations

from dataclasses import replace

from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Kind

REST_MS = 60_000
SHORTEST_REST_MS = 1_000
LONGEST_REST_MS = 3_600_000

_ANSWERS = (Kind.ACCEPTED, Kind.PERMANENT)
_IN_VAIN = (Kind.THROTTLED, Kind.CONFIG)


@dataclass(frozen=True, slots=True)
class Answering:
    """How a provider answers, as far as it was asked. `problem` is why nothing is asked until `rests_until`.

    `refused`: that is for somebody to solve. `silent` counts questions in a row that were not answered. Times are
    milliseconds of one clock.
    """

    silent: int = 0
    problem: str | None = None
    refused: bool = False
    rest_ms: int = 0
    rests_until: int = 0

    def after(self, kind: Kind, message: str, retry_after_ms: int | None, *, together: int, now: int) -> Answering:
        """Return how it answers after one more question, of which `together` were put at once.

        It is left alone where it says that the next one would be in vain, and where none of so many is answered.
        """
        if self.problem is not None and not self.silent and now < self.rests_until:
            return self  # what was under way meanwhile makes it no better
        if is_answer(kind):
            return Answering()
        rest_ms = _rest_ms(retry_after_ms)
        if kind in _IN_VAIN:
            return Answering(0, message, kind is Kind.CONFIG, rest_ms, now + rest_ms)
        silent = self.silent + 1
        if silent < together:
            return replace(self, silent=silent)
        return Answering(silent, message, rest_ms=rest_ms, rests_until=now + rest_ms)


def is_answer(kind: Kind) -> bool:
    """Return whether something was said about the messages, be it that there are none."""
    return kind in _ANSWERS


def wait_ms(kind: Kind, retry_after_ms: int | None) -> int:
    """Return for how long at least a message is not to be asked about after such an answer, in milliseconds."""
    return _rest_ms(retry_after_ms) if kind in _IN_VAIN else 0


def _rest_ms(retry_after_ms: int | None) -> int:
    return min(max(retry_after_ms or REST_MS, SHORTEST_REST_MS), LONGEST_REST_MS)
