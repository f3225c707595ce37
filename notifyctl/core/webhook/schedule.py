"""When a delivery is tried again."""

from __future__ import annotations

RETRIES, MOST_RETRIES = 9, 50
TIMEOUT_S, LONGEST_TIMEOUT_S = 20, 60
_S, _MIN, _H = 1_000, 60_000, 3_600_000
DELAYS_MS = (5 * _S, 5 * _MIN, 30 * _MIN, 2 * _H, 5 * _H, 10 * _H, 10 * _H, 12 * _H, 12 * _H)
"""The waits after the first attempt, the second and so on; after the last of them always the same."""
SPREAD = 0.2
GRACE_MS, LONGEST_GRACE_MS = 24 * _H, 7 * 24 * _H
"""For how long a secret signs beside the one that stood in its place, where nothing is said, and at most."""
LONGEST_WISH_MS = 24 * _H
"""The longest wait that a receiver may ask for."""


def wait_ms(attempts: int, chance: float, wish_ms: int | None = None) -> int:
    """Return the wait after so many attempts (1 at least), spread by a fifth both ways by `chance` (0 to 1).

    `wish_ms` is the receiver's own: the longer of both holds, but no longer than a day.
    """
    delay = DELAYS_MS[min(attempts, len(DELAYS_MS)) - 1]
    ours = round(delay * (1 - SPREAD + 2 * SPREAD * chance))
    return ours if wish_ms is None else max(ours, min(wish_ms, LONGEST_WISH_MS))


def is_given_up(attempts: int, retries: int) -> bool:
    """Return whether nothing is tried any more after so many attempts: there is one, and its retries."""
    return attempts > retries
