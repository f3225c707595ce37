"""API keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, case, func, insert, literal, or_, select, update

from notifyctl.core.apikey import ApiKey
from notifyctl.store.dialect import Dialect
from notifyctl.store.page import Cursor, newest_first
from notifyctl.store.tables import api_keys, users

ACTIVE = "active"
EXPIRED = "expired"
REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without the key: `prefix` is its readable beginning. Times are milliseconds since the epoch.

    `state` is `active`, `expired` or `revoked`; `scopes` is stored for others and not looked at here.
    """

    id: str
    user_id: str
    username: str
    name: str
    prefix: str
    last_four: str
    scopes: str | None
    state: str
    expires_at: int | None
    last_used_at: int | None
    created_at: int


_C = api_keys.c


def by_hash(conn: Connection, key_hash: str, now: int) -> Key | None:
    """Return the key with this hash."""
    found = _many(conn, _select(now).where(_C.key_hash == key_hash))
    return found[0] if found else None


def by_hashes(conn: Connection, dialect: Dialect, hashes: Sequence[str], now: int) -> dict[str, Key]:
    """Return the keys with these hashes, by hash; those without a key are missing."""
    if not hashes:
        return {}
    asked = dialect.rowset("asked", {"key_hash": String(64)}, [(each,) for each in hashes])
    matching = select(asked.c.key_hash, _C.id).join_from(asked, api_keys, _C.key_hash == asked.c.key_hash)
    ids = {row.id: row.key_hash for row in conn.execute(matching)}
    return {ids[key.id]: key for key in by_ids(conn, dialect, list(ids), now)}


def by_ids(conn: Connection, dialect: Dialect, ids: Sequence[str], now: int) -> list[Key]:
    """Return the keys with these ids."""
    return _many(conn, _select(now).where(dialect.is_any(_C.id, ids)))


def lock(conn: Connection, dialect: Dialect, key_id: str, now: int) -> Key:
    """Return the key, locked until the transaction ends."""
    conn.execute(dialect.lock_row(select(_C.id).where(_C.id == key_id)))
    return _many(conn, _select(now).where(_C.id == key_id))[0]


def page(conn: Connection, now: int, user_id: str | None, after: Cursor | None, limit: int) -> list[Key]:
    """Return at most `limit` keys, of one user or of all, after the cursor, newest first."""
    return _many(conn, newest_first(_select(now).where(*_of(user_id)), _C.created_at, _C.id, after, limit))


def count(conn: Connection, user_id: str | None) -> int:
    """Return how many keys there are, of one user or of all."""
    return conn.execute(select(func.count()).select_from(api_keys).where(*_of(user_id))).scalar_one()


def named(conn: Connection, user_id: str, name: str, now: int) -> Key | None:
    """Return the user's newest active key of that name."""
    active = _state(now) == ACTIVE
    statement = _select(now).where(_C.user_id == user_id, _C.name == name, active)
    found = _many(conn, newest_first(statement, _C.created_at, _C.id, None, 1))
    return found[0] if found else None


def create(
    conn: Connection,
    row_id: str,
    user_id: str,
    key: ApiKey,
    name: str,
    scopes: str | None,
    expires_at: int | None,
    now: int,
) -> None:
    """Store a new key."""
    conn.execute(
        insert(api_keys).values(
            id=row_id,
            user_id=user_id,
            key_hash=key.hash,
            name=name,
            scopes=scopes,
            expires_at=expires_at,
            created_at=now,
            prefix=key.prefix,
            last_four=key.last_four,
        )
    )


def revoke(conn: Connection, dialect: Dialect, ids: Sequence[str]) -> set[str]:
    """Revoke keys and return the ids of those that were not revoked before."""
    if not ids:
        return set()
    statement = update(api_keys).where(dialect.is_any(_C.id, ids), _C.is_active).values(is_active=False)
    return set(conn.execute(statement.returning(_C.id)).scalars())


def expire(conn: Connection, key_id: str, at: int) -> None:
    """Let a key end at a moment, if it does not end before."""
    sooner = or_(_C.expires_at.is_(None), _C.expires_at > at)
    conn.execute(update(api_keys).where(_C.id == key_id, sooner).values(expires_at=at))


def touch(conn: Connection, key_id: str, now: int, at_most_every_ms: int) -> None:
    """Remember that a key was used, if that was not noted just now."""
    stale = or_(_C.last_used_at.is_(None), _C.last_used_at <= now - at_most_every_ms)
    conn.execute(update(api_keys).where(_C.id == key_id, stale).values(last_used_at=now))


def _of(user_id: str | None) -> list[ColumnElement[bool]]:
    return [] if user_id is None else [_C.user_id == user_id]


def _state(now: int) -> ColumnElement[str]:
    return case(
        (~_C.is_active, literal(REVOKED, String)),
        (_C.expires_at <= now, literal(EXPIRED, String)),
        else_=literal(ACTIVE, String),
    )


def _select(now: int) -> Select[Any]:
    return select(
        _C.id,
        _C.user_id,
        users.c.username,
        _C.name,
        _C.prefix,
        _C.last_four,
        _C.scopes,
        _state(now),
        _C.expires_at,
        _C.last_used_at,
        _C.created_at,
    ).join_from(api_keys, users, users.c.id == _C.user_id)


def _many(conn: Connection, statement: Select[Any]) -> list[Key]:
    return [Key(*row) for row in conn.execute(statement)]
