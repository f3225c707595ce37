"""A provider's rate limit, in requests a minute, shared by all dispatchers through one stored number."""

from __future__ import annotations

MINUTE_US = 60_000_000
BURST_US = 1_000_000


def take(next_permit_us: int, now_ms: int, per_minute: int, wanted: int) -> tuple[int, int]:
    """Return how many of `wanted` requests may begin now, and the new `next_permit_us`.

    The generic cell rate algorithm: permits are spaced a minute / `per_minute` apart, and at most one second's worth
    and one more may go at once, so that asking a little late loses nothing. The stored moment is in microseconds since
    the epoch: in whole milliseconds the rounding of each permit would cost a tenth of a rate of some thousands.
    Source: ITU-T I.371, virtual scheduling.
    """
    now = now_ms * 1_000
    burst = 1 + -(-per_minute * BURST_US // MINUTE_US)
    start = max(next_permit_us, now - (burst - 1) * MINUTE_US // per_minute)
    if start > now:
        return 0, next_permit_us
    room = 1 + (now - start) * per_minute // MINUTE_US
    taken = min(wanted, room, burst)
    return taken, start + -(-taken * MINUTE_US // per_minute)
