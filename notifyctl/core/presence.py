"""What a dispatcher says of itself, and what others read of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a dispatcher says of itself: `per_minute` is how many attempts it recorded a minute, of late."""

    id: str
    host: str
    pid: int
    in_flight: int
    per_minute: int


@dataclass(frozen=True, slots=True)
class Alive:
    """A dispatcher whose heartbeat is recent, with what that said. Times are milliseconds since the epoch."""

    id: str
    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    in_flight: int
    per_minute: int
