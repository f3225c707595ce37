"""A time zone for a test of what holds for a day: none ends there soon, at whatever time the test runs."""

from __future__ import annotations

import time

AROUND = "06:00-18:00"
"""Quiet hours there that hold now, and for hours to come."""


def zone() -> str:
    """Return a zone in which it is about noon; POSIX signs: Etc/GMT-3 is three hours ahead of UTC."""
    hour = time.gmtime().tm_hour
    return f"Etc/GMT{hour - 12:+d}" if hour != 12 else "Etc/UTC"
