"""A provider's rate limit, in requests a minute, shared by all dispatchers through one stored number."""

from __future__ import annotations

MINUTE_US = 60_000_000
SLACK_US = 1_000_000
"""How much later than another a request may arrive that was permitted at the same moment."""


def take(next_permit_us: int, now_ms: int, per_minute: int, wanted: int) -> tuple[int, int]:
    """Return how many of `wanted` requests may begin now, and the new `next_permit_us`.

    The generic cell rate algorithm, so tuned that no minute ever has more than `per_minute`, wherever it begins: a
    second's worth may go at once, so that asking a little late loses nothing, and both that and the slack for requests
    that overtake each other on their way are taken off the rate. What is left is 96 % and more of the limit.

    The stored moment is in microseconds since the epoch: in whole milliseconds the rounding of each permit would cost a
    tenth of a rate of some thousands. Source: ITU-T I.371, virtual scheduling.
    """
    now = now_ms * 1_000
    at_once = burst(per_minute)
    # Any `MINUTE_US + SLACK_US` hold at most a burst less one, and as many intervals as fit in or begin.
    interval = -(-(MINUTE_US + SLACK_US) // (per_minute - at_once + 1))
    start = max(next_permit_us, now - (at_once - 1) * interval)
    if start > now:
        return 0, next_permit_us
    taken = min(wanted, 1 + (now - start) // interval, at_once)
    return taken, start + taken * interval


def burst(per_minute: int) -> int:
    """Return how many requests may begin at once: a second's worth, one at the least."""
    return max(1, per_minute // 60)
