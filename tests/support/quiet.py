"""Quiet hours for a test: at any time of the day they last for hours to come."""

from __future__ import annotations

HOUR_MS = 3_600_000


def around(now: int) -> tuple[str, int]:
    """Return quiet hours, in UTC, about the middle of which is this moment, and the moment at which they end."""
    hour = now // HOUR_MS
    return f"{(hour - 6) % 24:02}:00-{(hour + 6) % 24:02}:00", (hour + 6) * HOUR_MS
