"""Which dispatchers are alive."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from notifyctl.store.dialect import Dialect
from notifyctl.store.tables import dispatchers

HEARTBEAT_MS = 5_000
ALIVE_MS = 30_000
FORGOTTEN_MS = 24 * 3_600_000


def beat(conn: Connection, dialect: Dialect, id_: str, host: str, pid: int, in_flight: int, now: int) -> None:
    """Say that the dispatcher lives; the first beat enters it."""
    entry = {"id": id_, "host": host[:255], "pid": pid, "started_at": now, "heartbeat_at": now, "in_flight": in_flight}
    statement = dialect.insert(dispatchers).values(entry)
    conn.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={"heartbeat_at": now, "in_flight": in_flight})
    )


def leave(conn: Connection, id_: str, now: int) -> None:
    """Forget this dispatcher, and those that died so long ago that nobody asks any more."""
    d = dispatchers.c
    conn.execute(delete(dispatchers).where((d.id == id_) | (d.heartbeat_at < now - FORGOTTEN_MS)))
