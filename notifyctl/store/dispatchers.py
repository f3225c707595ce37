"""Which dispatchers are alive."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select

from notifyctl.core.presence import Heartbeat, Sign
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import dispatchers

HEARTBEAT_MS = 5_000
ALIVE_MS = 30_000
FORGOTTEN_MS = 24 * 3_600_000


def beat(tx: Tx, heart: Heartbeat) -> None:
    """Say that the dispatcher lives; the first beat enters it."""
    changing = {
        "heartbeat_at": tx.now,
        "in_flight": heart.in_flight,
        "per_minute": heart.per_minute,
        "beats": heart.beats,
        "policy_digest": heart.policy,
        "key_ids": ",".join(heart.keys),
    }
    place = {"host": heart.host[:255], "pid": heart.pid, "machine": heart.machine}
    entry = {"id": heart.id, **place, "started_at": tx.now, **changing}
    statement = tx.dialect.insert(dispatchers).values(entry)
    tx.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changing))


def signs(tx: Tx) -> list[Sign]:
    """Return what is there of every dispatcher that has not left."""
    d = dispatchers.c
    return [Sign(*row) for row in tx.execute(select(d.id, d.machine, d.pid, d.beats))]


def leave(tx: Tx, id_: str, lost: Collection[str] = ()) -> None:
    """Forget this dispatcher, and those known to be lost that died so long ago that nobody asks any more.

    By the clock alone they would be all, when somebody puts it forward; and then what they hold is anybody's.
    """
    d = dispatchers.c
    died_long_ago = tx.dialect.is_any(d.id, lost) & (d.heartbeat_at < tx.now - FORGOTTEN_MS)
    tx.execute(delete(dispatchers).where((d.id == id_) | died_long_ago))
