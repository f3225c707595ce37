"""API keys: who is acting."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from typing import Any

from notifyctl.core import apikey, json_codec, names, scope
from notifyctl.core.apikey import ApiKey
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, NotFound, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import UNRESTRICTED, KeyTerms, Restrictions, require_within, stored
from notifyctl.core.scope import Scopes
from notifyctl.core.text import word
from notifyctl.services.admission import unknown
from notifyctl.store import ids, refusals, users
from notifyctl.store import keys as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.keys import ACTIVE, REVOKED, Key, KeyFilter, KeyRow
from notifyctl.store.refusals import NotedRefusal
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new key is asked to be good for. What is not said (None, False) is as with the key that makes it.

    An operator without a key makes keys for everything, for everybody and for ever. `recipients` name users.
    """

    scopes: Scopes = None
    recipients: Sequence[str] | None = None
    dry_run: bool = False
    expires_in_ms: int | None = None


def create(db: Database, ref: str, key: ApiKey, name: str, wanted: Wanted) -> NewKey:
    """Store a new key for a user.

    Raises UsageError for the name, NotFound for the user or a recipient, NotAllowed for a key that would be good for
    more than the one that makes it.
    """
    label = names.label(name, "key's name")

    def work(tx: Tx) -> NewKey:
        user = users.lock(tx, users.find(tx, ref).id)
        return _create(tx, user.id, key, label, _terms(tx, wanted))

    return db.write(work)


def _alike(one: KeyTerms, other: KeyTerms) -> bool:
    """Return whether both are good for the same, whenever they end."""
    scopes = [None if each.scopes is None else frozenset(each.scopes) for each in (one, other)]
    return scopes[0] == scopes[1] and one.restrictions == other.restrictions


def _terms(tx: Tx, wanted: Wanted) -> KeyTerms:
    maker = tx.actor.grant
    own = maker or KeyTerms(None, UNRESTRICTED, None)
    recipients = own.restrictions.recipients
    if wanted.recipients is not None:
        recipients = frozenset(users.find(tx, each).id for each in wanted.recipients)
    return KeyTerms(
        own.scopes if wanted.scopes is None else wanted.scopes,
        Restrictions(recipients, wanted.dry_run or own.restrictions.dry_run),
        own.expires_at if wanted.expires_in_ms is None else tx.now + wanted.expires_in_ms,
    )


def active(db: Database, ref: str, name: str, wanted: Wanted) -> ReadyKey | None:
    """Return the user's newest active key of that name.

    Raises UsageError for the name, NotFound for the user or a recipient, Conflict where it is good for something else.
    """
    label = names.label(name, "key's name")
    with db.read() as tx:
        user = users.find(tx, ref)
        present = store.named(tx, user.id, label)
        if present is not None and not _alike(present.terms, _terms(tx, wanted)):
            hint = f"notifyctl keys show {present.id} says for what"
            raise Conflict(f"the key {label} of {user.username} is good for something else", hint)
    return None if present is None else ReadyKey(**asdict(present), created=False)


def rotate(db: Database, text: str, key: ApiKey, expires_in_ms: int | None, overlap_ms: int | None) -> NewKey:
    """Put a new key in the place of an active one: same user, name and scopes.

    Without `expires_in_ms` it lives as long as the old one was to live, or until the key that asks for it ends. The old
    one ends now, or after `overlap_ms`. Raises UsageError and NotFound for the id, Conflict when the old key is not
    active, NotAllowed where the new one would be good for more than the key that asks for it.
    """

    def work(tx: Tx) -> NewKey:
        key_id = ids.resolve(tx, api_keys, text, "API key")
        old = store.lock(tx, key_id)
        if old.state != ACTIVE:
            raise Conflict(
                f"key {old.name} ({old.prefix}…) is {old.state}", f"notifyctl keys create {word(old.username)}"
            )
        new = _create(tx, old.user_id, key, old.name, _successor(tx, old, expires_in_ms))
        if overlap_ms is None:
            store.revoke(tx, [old.id])
        else:
            store.expire(tx, old.id, tx.now + overlap_ms)
        tx.audit("rotate", "api_key", [(old.id, {"replaced_by": new.id, "overlap_ms": overlap_ms})])
        return new

    return db.write(work)


def _successor(tx: Tx, old: Key, expires_in_ms: int | None) -> KeyTerms:
    if expires_in_ms is not None:
        return replace(old.terms, expires_at=tx.now + expires_in_ms)
    ends = None if old.expires_at is None else tx.now + old.expires_at - old.created_at
    last = None if tx.actor.grant is None else tx.actor.grant.expires_at
    return replace(old.terms, expires_at=min((each for each in (ends, last) if each is not None), default=None))


@dataclass(frozen=True, slots=True)
class WatchedKey(Key):
    """A key, and what it was refused."""

    refusals: Sequence[NotedRefusal]


def get(db: Database, text: str) -> WatchedKey:
    """Return the key with this id. Raises NotFound, UsageError."""
    with db.read() as tx:
        key = _get(tx, text)
        return WatchedKey(**asdict(key), refusals=refusals.latest(tx, 0, key.id))


def ask(db: Database, ref: str | None, *, expiring: bool, unused: bool) -> KeyFilter:
    """Return what a list is narrowed to. Raises NotFound for a user that is not there."""
    if ref is None:
        return KeyFilter(None, expiring, unused)
    with db.read() as tx:
        return KeyFilter(users.find(tx, ref).id, expiring, unused)


def listed(db: Database, wanted: KeyFilter, after: Cursor | None, limit: int) -> list[Key]:
    """Return at most `limit` keys that match, after the cursor, newest first."""
    with db.read() as tx:
        return store.page(tx, wanted, after, limit)


def count(db: Database, wanted: KeyFilter) -> int:
    """Return how many keys match."""
    with db.read() as tx:
        return store.count(tx, wanted)


def revoke(db: Database, asked: Sequence[str]) -> list[Revocation]:
    """Revoke keys by id, by a unique beginning of one, or by the leaked keys themselves; one result for each."""

    def work(tx: Tx) -> list[Revocation]:
        found = _asked_for(tx, list(dict.fromkeys(asked)))
        present = {each.id for each in found.values() if isinstance(each, Key)}
        changed = end(tx, sorted(present))
        return [_revocation(text, each, changed) for text, each in found.items()]

    return db.write(work)


def put(tx: Tx, rows: Sequence[KeyRow]) -> None:
    """Store new keys.

    Raises IntegrityError for one that is there, NotAllowed for one that may more than the key that makes it.
    """
    for each in rows:
        require_within(tx.actor.grant, KeyTerms(scope.stored(each.scopes), stored(each.restrictions), each.expires_at))
    store.create_all(tx, rows)
    tx.audit("create", "api_key", [_created(each) for each in rows])


Amendment = tuple[str, Mapping[str, Any], KeyTerms]
"""A key by its id, what the audit trail is told of it, and what it is good for from now on."""


def amend(tx: Tx, changes: Sequence[Amendment]) -> None:
    """Let keys be good for something else. Raises NotAllowed for more than the key has that does it."""
    rows = []
    for id_, _, terms in changes:
        require_within(tx.actor.grant, terms)
        rows.append((id_, scope.written(terms.scopes), terms.expires_at, terms.restrictions.written))
    store.amend(tx, rows)
    tx.audit("update", "api_key", [(id_, changed) for id_, changed, _ in changes])


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
    facts = {
        "user_id": row.user_id,
        "name": [None, row.name],
        "prefix": row.key.prefix,
        "expires_at": row.expires_at,
        "scopes": json_codec.lenient(row.scopes),
        "restrictions": json_codec.lenient(row.restrictions),
    }
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


def _create(tx: Tx, user_id: str, key: ApiKey, name: str, terms: KeyTerms) -> NewKey:
    row_id = str(uuid.uuid4())
    scopes, restrictions = scope.written(terms.scopes), terms.restrictions.written
    put(tx, [KeyRow(row_id, user_id, key, name, scopes, terms.expires_at, restrictions)])
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
