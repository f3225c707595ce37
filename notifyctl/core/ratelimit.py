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
    interval = _interval(per_minute)
    start = max(next_permit_us, now - (at_once - 1) * interval)
    if start > now:
        return 0, next_permit_us
    taken = min(wanted, 1 + (now - start) // interval, at_once)
    return taken, start + taken * interval


def next_at(next_permit_us: int, now_ms: int, per_minute: int | None) -> int | None:
    """Return when, in milliseconds, the next request may begin; None where one may now, or there is no limit."""
    if not per_minute or take(next_permit_us, now_ms, per_minute, 1)[0]:
        return None
    return -(-next_permit_us // 1_000)


def bounded(next_permit_us: int, now_ms: int, per_minute: int) -> int:
    """Return the stored moment, or the farthest possible one where it lies a minute beyond that.

    Then a clock was put back since it was written. Less may be a transaction that began before the one that wrote it.
    """
    farthest = now_ms * 1_000 + _interval(per_minute)
    return next_permit_us if next_permit_us <= farthest + MINUTE_US else farthest


def _interval(per_minute: int) -> int:
    # Any `MINUTE_US + SLACK_US` hold at most a burst less one, and as many intervals as fit in or begin.
    return -(-(MINUTE_US + SLACK_US) // (per_minute - burst(per_minute) + 1))


def burst(per_minute: int) -> int:
    """Return how many requests may begin at once: a second's worth, one at the least."""
    return max(1, per_minute // 60)
