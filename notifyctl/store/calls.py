"""How many calls users made with their API keys, in slots of one second."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, or_, select

from notifyctl.core.userlimit import SLOTS, LimitType, Slot
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import rate_limits

_SECOND_MS = 1_000
_KEPT_MS = 2 * (SLOTS + 1) * _SECOND_MS
"""For how long a slot is kept: longer than it counts, so that none is lost to whoever looks a little later."""
_FORGOTTEN_MS = 600_000

_R = rate_limits.c
_OF_CALLS = _R.limit_type == LimitType.API.value


def lock(tx: Tx, user_id: str) -> Tx:
    """Let nobody else count for this user until the transaction ends; return it as of the moment when that is so."""
    tx.serialize(f"calls of {user_id}")
    return tx.as_of_now()


def slots(tx: Tx, user_id: str) -> list[Slot]:
    """Return how many calls a user made in which second, of those that may still count."""
    counting = _R.window_start >= tx.now - (SLOTS + 1) * _SECOND_MS
    found = tx.execute(select(_R.window_start, _R.request_count).where(_R.user_id == user_id, _OF_CALLS, counting))
    return [(at // _SECOND_MS, number) for at, number in found]


def count(tx: Tx, user_id: str) -> None:
    """Count one more in this second, and forget what counts no more; slots of a clock that ran ahead as well."""
    start = tx.now // _SECOND_MS * _SECOND_MS
    told = {"window_start": start, "request_count": 1, "created_at": tx.now, "updated_at": tx.now}
    made = tx.dialect.insert(rate_limits).values(
        id=str(uuid.uuid4()), user_id=user_id, limit_type=LimitType.API.value, **told
    )
    more = {"request_count": _R.request_count + 1, "updated_at": tx.now}
    tx.execute(made.on_conflict_do_update(index_elements=[_R.user_id, _R.window_start, _R.limit_type], set_=more))
    past = or_(_R.window_start < start - _KEPT_MS, _R.window_start > start + _KEPT_MS)
    tx.execute(delete(rate_limits).where(_R.user_id == user_id, _OF_CALLS, past))


def drop_forgotten(tx: Tx) -> None:
    """Remove old slots of all users and of both kinds: of those, too, who never come again."""
    tx.execute(delete(rate_limits).where(_R.window_start < tx.now - _FORGOTTEN_MS))
