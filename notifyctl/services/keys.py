"""API keys: who is acting."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from notifyctl.core import apikey, names
from notifyctl.core.apikey import ApiKey
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError
from notifyctl.services.admission import unknown
from notifyctl.store import ids, users
from notifyctl.store import keys as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.keys import ACTIVE, REVOKED, Key, KeyRow
from notifyctl.store.schema.tables import api_keys


@dataclass(frozen=True, slots=True)
class ReadyKey(Key):
    """A key, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class NewKey(ReadyKey):
    """A key that was just made: the only time it is known."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """Whether a key is valid; if not, `reason` says why. The rest is None for a key that is not known."""

    valid: bool
    reason: str | None
    id: str | None = None
    user_id: str | None = None
    username: str | None = None
    name: str | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """The result for one key that was to be revoked; `asked` names it without showing it.

    `result` is `revoked`, `was revoked` or `failed`; then `error` says why.
    """

    asked: str
    result: str
    id: str | None = None
    username: str | None = None
    name: str | None = None
    error: NotifyctlError | None = None

    @property
    def message(self) -> str | None:
        """Why it failed."""
        return self.error.message if self.error else None


def verify(db: Database, secret: str) -> KeyCheck:
    """Say whether a key is valid, without using it."""
    with db.read() as tx:
        key = store.by_hash(tx, apikey.hash_of(secret))
    if key is None:
        return KeyCheck(valid=False, reason=_objection(key, secret))
    valid = key.state == ACTIVE
    reason = None if valid else _objection(key, secret)
    return KeyCheck(valid, reason, key.id, key.user_id, key.username, key.name, key.expires_at)


def create(db: Database, ref: str, key: ApiKey, name: str, expires_in_ms: int | None) -> NewKey:
    """Store a new key for a user. Raises UsageError for the name, NotFound for the user."""
    label = names.label(name, "key's name")

    def work(tx: Tx) -> NewKey:
        user = users.lock(tx, users.find(tx, ref).id)
        return _create(tx, user.id, key, label, None, expires_in_ms)

    return db.write(work)


def active(db: Database, ref: str, name: str) -> ReadyKey | None:
    """Return the user's newest active key of that name. Raises UsageError for the name, NotFound for the user."""
    label = names.label(name, "key's name")
    with db.read() as tx:
        user = users.find(tx, ref)
        present = store.named(tx, user.id, label)
    return None if present is None else ReadyKey(**asdict(present), created=False)


def rotate(db: Database, text: str, key: ApiKey, expires_in_ms: int | None, overlap_ms: int | None) -> NewKey:
    """Put a new key in the place of an active one: same user, name and scopes.

    Without `expires_in_ms` it lives as long as the old one was to live. The old one ends now, or after `overlap_ms`.
    Raises UsageError and NotFound for the id, Conflict when the old key is not active.
    """

    def work(tx: Tx) -> NewKey:
        key_id = ids.resolve(tx, api_keys, text, "API key")
        old = store.lock(tx, key_id)
        if old.state != ACTIVE:
            raise Conflict(f"key {old.name} ({old.prefix}…) is {old.state}", f"notifyctl keys create {old.username}")
        lives = old.expires_at - old.created_at if old.expires_at is not None else None
        new = _create(tx, old.user_id, key, old.name, old.scopes, expires_in_ms or lives)
        if overlap_ms is None:
            store.revoke(tx, [old.id])
        else:
            store.expire(tx, old.id, tx.now + overlap_ms)
        tx.audit("rotate", "api_key", [(old.id, {"replaced_by": new.id, "overlap_ms": overlap_ms})])
        return new

    return db.write(work)


def get(db: Database, text: str) -> Key:
    """Return the key with this id. Raises NotFound, UsageError."""
    with db.read() as tx:
        return _get(tx, text)


def find_user(db: Database, ref: str) -> str:
    """Return the id of the user that a list is narrowed to. Raises NotFound."""
    with db.read() as tx:
        return users.find(tx, ref).id


def listed(db: Database, user_id: str | None, after: Cursor | None, limit: int) -> list[Key]:
    """Return at most `limit` keys after the cursor, newest first."""
    with db.read() as tx:
        return store.page(tx, user_id, after, limit)


def count(db: Database, user_id: str | None) -> int:
    """Return how many keys there are, of one user or of all."""
    with db.read() as tx:
        return store.count(tx, user_id)


def revoke(db: Database, asked: Sequence[str]) -> list[Revocation]:
    """Revoke keys by id, by a unique beginning of one, or by the leaked keys themselves; one result for each."""

    def work(tx: Tx) -> list[Revocation]:
        found = _asked_for(tx, list(dict.fromkeys(asked)))
        present = {each.id for each in found.values() if isinstance(each, Key)}
        changed = end(tx, sorted(present))
        return [_revocation(text, each, changed) for text, each in found.items()]

    return db.write(work)


def put(tx: Tx, rows: Sequence[KeyRow]) -> None:
    """Store new keys. Raises IntegrityError for one that is there."""
    store.create_all(tx, rows)
    tx.audit("create", "api_key", [_created(each) for each in rows])


def amend(tx: Tx, changes: Sequence[tuple[str, Mapping[str, Any], str | None, int | None]]) -> None:
    """Give keys, by id, other scopes and another end; the audit trail is told the given changes."""
    store.amend(tx, [(id_, scopes, expires_at) for id_, _, scopes, expires_at in changes])
    tx.audit("update", "api_key", [(id_, changed) for id_, changed, _, _ in changes])


def replace_all(tx: Tx, pairs: Sequence[tuple[str, KeyRow]]) -> None:
    """Put new keys in the place of others, which end now."""
    store.revoke(tx, [old for old, _ in pairs])
    put(tx, [new for _, new in pairs])
    tx.audit("rotate", "api_key", [(old, {"replaced_by": new.id, "overlap_ms": None}) for old, new in pairs])


def end(tx: Tx, ids: Sequence[str]) -> set[str]:
    """Revoke keys by their ids; return those that were not revoked before."""
    changed = store.revoke(tx, ids)
    tx.audit("revoke", "api_key", [(key_id, {"is_active": [True, False]}) for key_id in sorted(changed)])
    return changed


def _created(row: KeyRow) -> tuple[str, dict[str, Any]]:
    facts = {"user_id": row.user_id, "name": [None, row.name], "prefix": row.key.prefix, "expires_at": row.expires_at}
    return row.id, facts


def _asked_for(tx: Tx, asked: Sequence[str]) -> dict[str, Key | NotifyctlError]:
    hashes = {apikey.hash_of(text): text for text in asked if apikey.looks_like_one(text)}
    plain = [text for text in asked if not apikey.looks_like_one(text)]
    by_hash = store.by_hashes(tx, list(hashes))
    resolved = ids.resolve_many(tx, api_keys, plain, "API key")
    by_id = {key.id: key for key in store.by_ids(tx, [r for r in resolved.values() if isinstance(r, str)])}
    found: dict[str, Key | NotifyctlError] = {}
    for text in asked:
        if apikey.looks_like_one(text):
            found[text] = by_hash.get(apikey.hash_of(text)) or NotFound(_objection(None, text))
        else:
            meant = resolved[text]
            found[text] = by_id[meant] if isinstance(meant, str) else meant
    return found


def _revocation(text: str, found: Key | NotifyctlError, changed: set[str]) -> Revocation:
    asked = f"{text[:14]}…" if apikey.looks_like_one(text) else text
    if isinstance(found, NotifyctlError):
        return Revocation(asked, "failed", error=found)
    result = "revoked" if found.id in changed else "was revoked"
    return Revocation(asked, result, found.id, found.username, found.name)


def _create(tx: Tx, user_id: str, key: ApiKey, name: str, scopes: str | None, expires_in_ms: int | None) -> NewKey:
    row_id = str(uuid.uuid4())
    expires_at = None if expires_in_ms is None else tx.now + expires_in_ms
    put(tx, [KeyRow(row_id, user_id, key, name, scopes, expires_at)])
    (stored,) = store.by_ids(tx, [row_id])
    return NewKey(**asdict(stored), created=True, key=key.secret)


def _get(tx: Tx, text: str) -> Key:
    key_id = ids.resolve(tx, api_keys, text, "API key")
    (key,) = store.by_ids(tx, [key_id])
    return key


def _objection(key: Key | None, secret: str) -> str:
    """Say why a key is not valid, without showing it."""
    if key is not None:
        return f"the key {key.name} ({key.prefix}…) is revoked" if key.state == REVOKED else _expired(key)
    return unknown(secret)


def _expired(key: Key) -> str:
    return f"the key {key.name} ({key.prefix}…) has expired"
