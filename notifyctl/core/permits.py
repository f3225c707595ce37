"""A provider's rate limit, in requests a minute, shared by all dispatchers through one stored number."""

from __future__ import annotations

MINUTE_MS = 60_000
BURST_MS = 1_000


def take(next_permit_at: int, now: int, per_minute: int, wanted: int) -> tuple[int, int]:
    """Return how many of `wanted` requests may begin now, and the new `next_permit_at`.

    The generic cell rate algorithm: permits are spaced `MINUTE_MS / per_minute` apart, and at most one second's worth
    (at least one) may go at once. Times are milliseconds since the epoch; spacing is kept in whole milliseconds of
    the sum, so that rates above 60,000 a minute hold too.
    Source: ITU-T I.371, virtual scheduling.
    """
    burst = max(1, per_minute * BURST_MS // MINUTE_MS)
    start = max(next_permit_at, now - (burst - 1) * MINUTE_MS // per_minute)
    if start > now:
        return 0, next_permit_at
    room = 1 + (now - start) * per_minute // MINUTE_MS
    taken = min(wanted, room, burst)
    return taken, start + -(-taken * MINUTE_MS // per_minute)
