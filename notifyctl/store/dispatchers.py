"""Which dispatchers are alive."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete

from notifyctl.store.dialect import Dialect
from notifyctl.store.tables import dispatchers

HEARTBEAT_MS = 5_000
ALIVE_MS = 30_000
FORGOTTEN_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a dispatcher says of itself: `per_minute` is how many attempts it recorded a minute, of late."""

    id: str
    host: str
    pid: int
    in_flight: int
    per_minute: int


def beat(conn: Connection, dialect: Dialect, heart: Heartbeat, now: int) -> None:
    """Say that the dispatcher lives; the first beat enters it."""
    changing = {"heartbeat_at": now, "in_flight": heart.in_flight, "per_minute": heart.per_minute}
    entry = {"id": heart.id, "host": heart.host[:255], "pid": heart.pid, "started_at": now, **changing}
    statement = dialect.insert(dispatchers).values(entry)
    conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changing))


def leave(conn: Connection, id_: str, now: int) -> None:
    """Forget this dispatcher, and those that died so long ago that nobody asks any more."""
    d = dispatchers.c
    conn.execute(delete(dispatchers).where((d.id == id_) | (d.heartbeat_at < now - FORGOTTEN_MS)))
