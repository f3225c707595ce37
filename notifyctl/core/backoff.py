"""How long to wait before the next attempt."""

from __future__ import annotations

BASE_MS = 2_000
CEILING_MS = 15 * 60_000
RETRY_AFTER_MIN_MS = 1_000
RETRY_AFTER_MAX_MS = 3_600_000


def growing_ms(times: int, chance: float) -> int:
    """Return the wait after being told off `times` in a row (1 for the first), in milliseconds.

    2 s * 2^(times-1), at most 15 min, and up to as long again: whoever was told to slow down does not come back sooner.
    """
    wait = min(CEILING_MS, BASE_MS << min(max(times, 1) - 1, 20))
    return wait + int(chance * wait)


def backoff_ms(attempt: int, chance: float, retry_after_ms: int | None = None) -> int:
    """Return the wait in milliseconds after attempt number `attempt` (1 for the first).

    Exponential with full jitter: uniform between 0 and min(15 min, 2 s * 2^(attempt-1)), `chance` being the uniform
    draw from [0, 1). The provider's own wish, clamped to 1 s .. 1 h, is a minimum: those whom it told the same come
    back spread over as long again.
    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(CEILING_MS, BASE_MS << min(max(attempt, 1) - 1, 20))
    if retry_after_ms is None:
        return int(chance * ceiling)
    wish = min(max(retry_after_ms, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS)
    return wish + int(chance * max(ceiling, wish))
