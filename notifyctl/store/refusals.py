"""What API keys were refused: a row for each key and reason, written once a minute at most."""

from __future__ import annotations

import uuid

from sqlalchemy import ColumnElement, delete, insert, select, update

from notifyctl.core.frozen import dataclass
from notifyctl.core.refusal import KeyRefusal
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import api_keys, key_refusals, users

NOTED_EVERY_MS = 60_000
KEPT_MS = 90 * 86_400_000

_F = key_refusals.c


@dataclass(frozen=True, slots=True)
class NotedRefusal:
    """What a key was refused for, and when (milliseconds since the epoch); of an unknown one there is no name."""

    key_id: str | None
    key_name: str | None
    username: str | None
    reason: str
    wanted: str | None
    agent: str | None
    noted: int
    first_at: int
    last_at: int


def is_noted(tx: Tx, refusal: KeyRefusal) -> bool:
    """Return whether the same was noted within the minute: then it is not written again."""
    recent = _F.last_at > tx.now - NOTED_EVERY_MS
    return (
        tx.execute(select(_F.id).where(_same(refusal), _F.reason == refusal.reason.value, recent)).first() is not None
    )


def note(tx: Tx, refusal: KeyRefusal, wanted: str | None, agent: str | None) -> None:
    """Note it, unless somebody else has within the minute; forget what nobody has met for a quarter of a year."""
    tx.serialize("key_refusals")
    if is_noted(tx, refusal):
        return
    told = {"wanted": wanted, "agent": agent, "last_at": tx.now}
    again = update(key_refusals).where(_same(refusal), _F.reason == refusal.reason.value)
    if tx.execute(again.values(noted=_F.noted + 1, **told).returning(_F.id)).first() is None:
        row = {"id": str(uuid.uuid4()), "key_id": refusal.key_id, "reason": refusal.reason.value, "first_at": tx.now}
        tx.execute(insert(key_refusals).values({**row, **told}))
    tx.execute(delete(key_refusals).where(_F.last_at < tx.now - KEPT_MS))


def latest(tx: Tx, since: int, key_id: str | None = None) -> list[NotedRefusal]:
    """Return what was refused since then, of one key or of all, the latest first."""
    columns = (_F.key_id, api_keys.c.name, users.c.username, *(_F[name] for name in _NAMES))
    joined = key_refusals.outerjoin(api_keys, api_keys.c.id == _F.key_id).outerjoin(
        users, users.c.id == api_keys.c.user_id
    )
    mine = [] if key_id is None else [_F.key_id == key_id]
    found = select(*columns).select_from(joined).where(_F.last_at >= since, *mine).order_by(_F.last_at.desc(), _F.id)
    return [NotedRefusal(*row) for row in tx.execute(found)]


_NAMES = ("reason", "wanted", "agent", "noted", "first_at", "last_at")


def _same(refusal: KeyRefusal) -> ColumnElement[bool]:
    return _F.key_id.is_(None) if refusal.key_id is None else _F.key_id == refusal.key_id
