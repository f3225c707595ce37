"""How much each user may have in a minute: set, shown, taken back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from notifyctl.core import userlimit
from notifyctl.core.amount import number_or_none
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.userlimit import LimitType
from notifyctl.store import calls, standings, users
from notifyctl.store import limits as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.limits import NamedLimit, UserLimit
from notifyctl.store.queue.wake import wake_all


@dataclass(frozen=True, slots=True)
class LimitInForce:
    """What limits a user: `per_minute` None is no limit. `source`: `user`, `profile`, or `none`.

    `used` is how many count in the minute that ends now; of a user's calls only while they are limited.
    """

    user_id: str
    username: str
    limit_type: str
    per_minute: int | None
    source: str
    used: int
    woken: int = 0


DefaultLimits = Mapping[LimitType, int | None]
"""What the profile says for who has no limit of their own."""


def in_force(db: Database, ref: str, defaults: DefaultLimits) -> list[LimitInForce]:
    """Return what limits a user, of each kind. Raises NotFound, UsageError."""
    with db.read() as tx:
        user = users.find(tx, ref)
        return [_in_force(tx, user, kind, defaults) for kind in LimitType]


def change(db: Database, ref: str, limit_type: LimitType, text: str, defaults: DefaultLimits) -> LimitInForce:
    """Set a user's limit, or take it back (`NONE`); what the old one put off is due again at once.

    Raises UsageError for what is no limit, NotFound.
    """
    what = "calls" if limit_type is LimitType.API else "notifications"
    per_minute = number_or_none(text, "--per-minute", "a minute", what=what)

    def work(tx: Tx) -> LimitInForce:
        user = users.lock(tx, users.find(tx, ref).id)
        old = next((each for each in store.of_user(tx, user.id) if each.limit_type == limit_type), None)
        if (None if old is None else old.per_minute) == per_minute:
            return _in_force(tx, user, limit_type, defaults)
        if per_minute is None:
            woken = forget(tx, [old] if old is not None else [])
        else:
            woken = put(
                tx, [(old, UserLimit(str(uuid.uuid4()), user.id, limit_type.value, per_minute, tx.now, tx.now))]
            )
        return _in_force(tx, user, limit_type, defaults, woken)

    return db.write(work)


def put(tx: Tx, said: Sequence[tuple[UserLimit | None, UserLimit]]) -> int:
    """Write limits, each in the place of the one there was; return how many notifications are due again.

    The users' rows are locked.
    """
    store.write(tx, [each for _, each in said])
    return _obey(tx, [(each, None if old is None else old.per_minute, each.per_minute) for old, each in said])


def forget(tx: Tx, gone: Sequence[UserLimit]) -> int:
    """Take limits back; return how many notifications are due again. The users' rows are locked."""
    store.remove(tx, [each.id for each in gone])
    return _obey(tx, [(each, each.per_minute, None) for each in gone])


def _obey(tx: Tx, done: Sequence[tuple[UserLimit, int | None, int | None]]) -> int:
    facts = [(row.user_id, {"limit_type": row.limit_type, "per_minute": [old, new]}) for row, old, new in done]
    tx.audit("update", "limit", facts)
    sent = [row.user_id for row, _, _ in done if row.limit_type == LimitType.NOTIFICATION]
    return wake_all(tx, [(user_id, channel.value) for user_id in sent for channel in Channel])


def page(db: Database, after: Cursor | None, limit: int) -> list[NamedLimit]:
    """Return at most `limit` users' limits after the cursor, newest first."""
    with db.read() as tx:
        return list(store.page(tx, after, limit))


def count(db: Database) -> int:
    """Return how many there are."""
    with db.read() as tx:
        return store.count(tx)


def _in_force(tx: Tx, user: users.User, kind: LimitType, defaults: DefaultLimits, woken: int = 0) -> LimitInForce:
    own = next((each for each in store.of_user(tx, user.id) if each.limit_type == kind), None)
    per_minute = defaults.get(kind) if own is None else own.per_minute
    source = "user" if own is not None else "none" if per_minute is None else "profile"
    slots = calls.slots(tx, user.id) if kind is LimitType.API else standings.slots(tx, {user.id}).get(user.id, ())
    used = userlimit.used(slots, tx.now)
    return LimitInForce(user.id, user.username, kind.value, per_minute, source, used, woken)
