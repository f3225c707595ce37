"""How much each user may have in a minute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, delete, func, select

from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import user_limits, users

_l = user_limits.c


@dataclass(frozen=True, slots=True)
class UserLimit:
    """A user's limit: so many of a kind (`notification`) in a minute. Times are milliseconds since the epoch."""

    id: str
    user_id: str
    limit_type: str
    per_minute: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class NamedLimit(UserLimit):
    """The same with whose it is."""

    username: str


def of_user(tx: Tx, user_id: str) -> list[NamedLimit]:
    """Return a user's limits, by kind."""
    return _many(tx, _named().where(_l.user_id == user_id).order_by(_l.limit_type))


def of_users(tx: Tx, user_ids: Iterable[str] | None) -> list[NamedLimit]:
    """Return the limits of these users, or of all."""
    theirs = [] if user_ids is None else [tx.dialect.is_any(_l.user_id, list(user_ids))]
    return _many(tx, _named().where(*theirs))


def by_ids(tx: Tx, ids: Iterable[str]) -> list[NamedLimit]:
    """Return the limits with these ids."""
    return _many(tx, _named().where(tx.dialect.is_any(_l.id, list(ids))))


def write(tx: Tx, rows: Sequence[UserLimit]) -> None:
    """Store limits, each in the place of the one there was."""
    if not rows:
        return
    made = tx.dialect.insert(user_limits)
    new = {"per_minute": made.excluded.per_minute, "updated_at": made.excluded.updated_at}
    made = made.on_conflict_do_update(index_elements=[_l.user_id, _l.limit_type], set_=new)
    tx.execute(made, [asdict(each) for each in rows])


def remove(tx: Tx, ids: Iterable[str]) -> None:
    """Forget limits."""
    tx.execute(delete(user_limits).where(tx.dialect.is_any(_l.id, list(ids))))


def page(tx: Tx, after: Cursor | None, limit: int) -> Sequence[NamedLimit]:
    """Return at most `limit` users' limits after the cursor, newest first."""
    return _many(tx, newest_first(_named(), _l.created_at, _l.id, after, limit))


def count(tx: Tx) -> int:
    """Return how many there are."""
    return tx.execute(select(func.count()).select_from(user_limits)).scalar_one()


def _named() -> Select[Any]:
    columns = (_l.id, _l.user_id, _l.limit_type, _l.per_minute, _l.created_at, _l.updated_at, users.c.username)
    return select(*columns).join_from(user_limits, users, users.c.id == _l.user_id)


def _many(tx: Tx, statement: Select[Any]) -> list[NamedLimit]:
    return [NamedLimit(*row) for row in tx.execute(statement)]
