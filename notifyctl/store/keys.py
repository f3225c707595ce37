"""API keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    inspect,
    literal,
    or_,
    select,
    update,
)

from notifyctl.core import grant as grants
from notifyctl.core import scope
from notifyctl.core.apikey import ApiKey
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import Grant, KeyTerms
from notifyctl.core.userlimit import LimitType
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import api_keys, audit_logs, user_limits, users

ACTIVE = "active"
EXPIRED = "expired"
REVOKED = "revoked"
EXPIRING_MS = 14 * 86_400_000
UNUSED_MS = 90 * 86_400_000


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without the key: `prefix` is its readable beginning. Times are milliseconds since the epoch.

    `state` is `active`, `expired` or `revoked`; `scopes` NULL is every scope, `restrictions` NULL none. An active one
    is `expiring` where it ends within 14 days, and `unused` where it was not used for 90 days, or never.
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
    restrictions: str | None
    expiring: bool
    unused: bool

    @property
    def terms(self) -> KeyTerms:
        """What it is good for."""
        return KeyTerms(scope.stored(self.scopes), grants.stored(self.restrictions), self.expires_at)


@dataclass(frozen=True, slots=True)
class Credential:
    """What decides whether a key is good; in every revision of the schema the columns have these names.

    `per_minute` is its user's own limit of calls, `username` who that is.
    """

    id: str
    user_id: str
    name: str
    is_active: bool
    expires_at: int | None
    last_used_at: int | None
    scopes: str | None
    restrictions: str | None
    username: str
    per_minute: int | None

    @property
    def grant(self) -> Grant:
        """What it lets its holder do."""
        terms = scope.stored(self.scopes), grants.stored(self.restrictions), self.expires_at
        return Grant(*terms, key_id=self.id, name=self.name)


_C = api_keys.c


def credential(tx: Tx, key_hash: str) -> Credential | None:
    """Return the key with this hash, at whatever revision the schema is."""
    own = _C.id, _C.user_id, _C.name, _C.is_active, _C.expires_at, _C.last_used_at, _C.scopes, _C.restrictions
    limit = user_limits.c.per_minute
    limited = and_(user_limits.c.user_id == _C.user_id, user_limits.c.limit_type == LimitType.API.value)
    joined = api_keys.join(users, users.c.id == _C.user_id).outerjoin(user_limits, limited)
    statement: Select[Any] = select(*own, users.c.username, limit).select_from(joined).where(_C.key_hash == key_hash)
    return next((Credential(*row) for row in tx.execute(statement)), None)


def ever_made(tx: Tx) -> bool:
    """Return whether a key was ever made, one that is gone with its user as well."""
    # Where the trail does not go back that far, it was purged: then the system is old enough.
    made = audit_logs.c.resource_type.in_(("api_key", "audit"))
    return bool(tx.execute(select(or_(exists(select(_C.id)), exists(select(audit_logs.c.id).where(made))))).scalar())


def any_user(tx: Tx) -> bool:
    """Return whether there is a user."""
    return bool(tx.execute(select(exists(select(users.c.id)))).scalar())


def has_table(tx: Tx) -> bool:
    """Return whether keys can be stored here at all."""
    return bool(inspect(tx.conn).has_table(api_keys.name))


def by_hash(tx: Tx, key_hash: str) -> Key | None:
    """Return the key with this hash."""
    found = _many(tx, _select(tx.now).where(_C.key_hash == key_hash))
    return found[0] if found else None


def by_hashes(tx: Tx, hashes: Sequence[str]) -> dict[str, Key]:
    """Return the keys with these hashes, by hash; those without a key are missing."""
    if not hashes:
        return {}
    asked = tx.dialect.rowset("asked", {"key_hash": String(64)}, [(each,) for each in hashes])
    matching = select(asked.c.key_hash, _C.id).join_from(asked, api_keys, _C.key_hash == asked.c.key_hash)
    ids = {row.id: row.key_hash for row in tx.execute(matching)}
    return {ids[key.id]: key for key in by_ids(tx, list(ids))}


def by_ids(tx: Tx, ids: Sequence[str]) -> list[Key]:
    """Return the keys with these ids."""
    return _many(tx, _select(tx.now).where(tx.dialect.is_any(_C.id, ids)))


def lock(tx: Tx, key_id: str) -> Key:
    """Return the key, locked until the transaction ends."""
    tx.execute(tx.dialect.lock_row(select(_C.id).where(_C.id == key_id)))
    return _many(tx, _select(tx.now).where(_C.id == key_id))[0]


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys: of one user, those that end soon, those that nobody uses."""

    user_id: str | None = None
    expiring: bool = False
    unused: bool = False


def page(tx: Tx, wanted: KeyFilter, after: Cursor | None, limit: int) -> list[Key]:
    """Return at most `limit` keys that match, after the cursor, newest first."""
    return _many(tx, newest_first(_select(tx.now).where(*_matching(tx, wanted)), _C.created_at, _C.id, after, limit))


def count(tx: Tx, wanted: KeyFilter) -> int:
    """Return how many keys match."""
    return tx.execute(select(func.count()).select_from(api_keys).where(*_matching(tx, wanted))).scalar_one()


def expiring(tx: Tx) -> list[Key]:
    """Return the keys that end soon, the first of them first."""
    return _many(tx, _select(tx.now).where(_expiring(tx.now)).order_by(_C.expires_at, _C.id))


def named(tx: Tx, user_id: str, name: str) -> Key | None:
    """Return the user's newest active key of that name."""
    active = _state(tx.now) == ACTIVE
    statement = _select(tx.now).where(_C.user_id == user_id, _C.name == name, active)
    found = _many(tx, newest_first(statement, _C.created_at, _C.id, None, 1))
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A new key as it is to be stored."""

    id: str
    user_id: str
    key: ApiKey
    name: str
    scopes: str | None
    expires_at: int | None
    restrictions: str | None = None


def create_all(tx: Tx, rows: Sequence[KeyRow]) -> None:
    """Store new keys. Raises IntegrityError for one that is there."""
    if rows:
        tx.execute(insert(api_keys), [_row(tx, each) for each in rows])


def _row(tx: Tx, new: KeyRow) -> dict[str, Any]:
    return {
        "id": new.id,
        "user_id": new.user_id,
        "key_hash": new.key.hash,
        "name": new.name,
        "scopes": new.scopes,
        "expires_at": new.expires_at,
        "created_at": tx.now,
        "prefix": new.key.prefix,
        "last_four": new.key.last_four,
        "restrictions": new.restrictions,
    }


def amend(tx: Tx, rows: Sequence[tuple[str, str | None, int | None, str | None]]) -> None:
    """Give keys, by id, other scopes, another end and other restrictions."""
    names = {"scopes": "new_scopes", "expires_at": "new_end", "restrictions": "new_restrictions"}
    values: dict[str, Any] = {column: bindparam(name) for column, name in names.items()}
    given = [dict(zip(("row", *names.values()), row, strict=True)) for row in rows]
    if given:
        tx.execute(update(api_keys).where(_C.id == bindparam("row")).values(values), given)


@dataclass(frozen=True, slots=True)
class HashedKey(Key):
    """A key with its hash."""

    key_hash: str


def unrevoked(tx: Tx, user_ids: Iterable[str] | None) -> list[HashedKey]:
    """Return the keys of these users, or of all, that are not revoked, newest first."""
    found = _select(tx.now).add_columns(_C.key_hash).where(_C.is_active)
    if user_ids is not None:
        found = found.where(tx.dialect.is_any(_C.user_id, list(user_ids)))
    return [HashedKey(*row) for row in tx.execute(found.order_by(_C.created_at.desc(), _C.id.desc()))]


def revoke(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Revoke keys and return the ids of those that were not revoked before."""
    if not ids:
        return set()
    statement = update(api_keys).where(tx.dialect.is_any(_C.id, ids), _C.is_active).values(is_active=False)
    return set(tx.execute(statement.returning(_C.id)).scalars())


def expire(tx: Tx, key_id: str, at: int) -> None:
    """Let a key end at a moment, if it does not end before."""
    sooner = or_(_C.expires_at.is_(None), _C.expires_at > at)
    tx.execute(update(api_keys).where(_C.id == key_id, sooner).values(expires_at=at))


def touch(tx: Tx, key_id: str, at_most_every_ms: int) -> None:
    """Remember that a key was used, if that was not noted just now."""
    stale = or_(_C.last_used_at.is_(None), _C.last_used_at <= tx.now - at_most_every_ms)
    tx.execute(update(api_keys).where(_C.id == key_id, stale).values(last_used_at=tx.now))


def _matching(tx: Tx, wanted: KeyFilter) -> list[ColumnElement[bool]]:
    return [
        *([] if wanted.user_id is None else [_C.user_id == wanted.user_id]),
        *([_expiring(tx.now)] if wanted.expiring else []),
        *([_unused(tx.now)] if wanted.unused else []),
    ]


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
        _C.restrictions,
        _expiring(now).label("expiring"),
        _unused(now).label("unused"),
    ).join_from(api_keys, users, users.c.id == _C.user_id)


def _expiring(now: int) -> ColumnElement[bool]:
    return and_(_C.is_active, _C.expires_at.is_not(None), _C.expires_at.between(now + 1, now + EXPIRING_MS))


def _unused(now: int) -> ColumnElement[bool]:
    lately = and_(_C.last_used_at.is_not(None), _C.last_used_at > now - UNUSED_MS)
    return and_(_C.is_active, or_(_C.expires_at.is_(None), _C.expires_at > now), ~lately)


def _many(tx: Tx, statement: Select[Any]) -> list[Key]:
    return [Key(*row) for row in tx.execute(statement)]
