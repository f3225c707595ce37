"""Who may open a database: asked before anything else is done with it, at whatever revision it is.

Whoever names an API key must name a good one. Where a key is demanded, only what founds a system goes without: its
schema, its first user and its first key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from notifyctl.core import apikey, userlimit
from notifyctl.core.errors import (
    DatabaseReadOnly,
    KeyNotAllowed,
    NotAllowed,
    NotifyctlError,
    RateLimited,
    SchemaMismatch,
)
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Actor
from notifyctl.core.refusal import KeyRefusal, RefusedFor
from notifyctl.core.scope import Scope
from notifyctl.store import calls, keys, refusals
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.keys import Credential

log = logging.getLogger(__name__)

USE_NOTED_EVERY_MS = 60_000

Founds = Callable[[Database], bool]
"""Whether an act would found a system in this database, as it is."""

_BY_OPERATOR = "notifyctl keys create, by an operator"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a key: its scope, and how many calls a minute are for a user without a limit of their own."""

    scope: Scope | None
    api_limit: int | None = None


def admit(
    db: Database,
    secret: str | None,
    operator: Actor,
    ask: Ask,
    *,
    demanded: bool,
    founds: Founds | None = None,
) -> Actor:
    """Return who acts: the user of the key `secret`, else the operator. `demanded`: a key has to be named.

    Raises NotAllowed for a key that is not good here or has not the scope, and where one is demanded and the act founds
    nothing; RateLimited where its user has called too often.
    """
    if secret is not None:
        return _user_of(db, secret, operator, ask)
    if not demanded:
        return operator
    if founds is not None and founds(db):
        return replace(operator, reason=operator.reason or "before there was any API key")
    raise KeyNotAllowed("an API key is demanded here", "set NOTIFYCTL_API_KEY", None, RefusedFor.MISSING)


def founds_schema(db: Database) -> bool:
    """Return whether there is no schema yet, or one in which no key was ever made."""
    if db.path is not None and not db.path.exists():
        return True
    try:
        return founds_key(db)
    except SchemaMismatch:
        with db.read() as tx:
            return not keys.has_table(tx)


def founds_user(db: Database) -> bool:
    """Return whether there is neither a user nor was ever a key."""
    return _asked(db, lambda tx: not keys.ever_made(tx) and not keys.any_user(tx))


def founds_key(db: Database) -> bool:
    """Return whether no key was ever made."""
    return _asked(db, lambda tx: not keys.ever_made(tx))


def _asked(db: Database, question: Callable[[Tx], bool]) -> bool:
    with db.read() as tx:
        return question(tx)


def judged(db: Database, secret: str, scope: Scope | None) -> tuple[Credential, int]:
    """Return the good key `secret`, which covers the scope, and the moment. It is only looked at.

    Raises NotAllowed for any other.
    """
    try:
        with db.read() as tx:
            now, key = tx.now, keys.credential(tx, apikey.hash_of(secret))
    except SchemaMismatch as error:  # it is good nowhere, as long as nobody can look
        raise NotAllowed(
            f"NOTIFYCTL_API_KEY: no key is known here: {error.message}",
            "without NOTIFYCTL_API_KEY an operator creates the schema, the first user and the first key",
        ) from error
    if key is None:
        raise KeyNotAllowed(f"NOTIFYCTL_API_KEY: {unknown(secret)}", _BY_OPERATOR, None, RefusedFor.UNKNOWN)
    if not key.is_active or (key.expires_at is not None and key.expires_at <= now):
        what, reason = ("has expired", RefusedFor.EXPIRED) if key.is_active else ("is revoked", RefusedFor.REVOKED)
        raise KeyNotAllowed(f"NOTIFYCTL_API_KEY: the key {key.name} {what}", _BY_OPERATOR, key.id, reason)
    key.grant.require(scope)
    return key, now


def _user_of(db: Database, secret: str, operator: Actor, ask: Ask) -> Actor:
    """Return the user of a good key, whose call is counted where calls are limited.

    That the key was used is noted at most once a minute. Where nothing can be written nothing is counted or noted.
    """
    key, now = judged(db, secret, ask.scope)
    limit = ask.api_limit if key.per_minute is None else key.per_minute
    stale = key.last_used_at is None or key.last_used_at <= now - USE_NOTED_EVERY_MS

    def work(tx: Tx) -> None:
        if limit is not None:
            _count(calls.lock(tx, key.user_id), key, limit)
        if stale:
            keys.touch(tx, key.id, USE_NOTED_EVERY_MS)

    with suppress(DatabaseReadOnly if limit is not None else NotifyctlError):
        if limit is not None or stale:
            db.write(work)
    return replace(operator, user_id=key.user_id, name=key.username, grant=key.grant)


def _count(tx: Tx, key: Credential, limit: int) -> None:
    """Count a call. Raises RateLimited where there were as many in the last minute; that one is not counted."""
    free_at = userlimit.free_at(calls.slots(tx, key.user_id), limit, tx.now)
    if free_at is not None:
        calls_ = "call" if limit == 1 else "calls"
        raise RateLimited(f"{key.username} may make {limit:,} {calls_} a minute, and has", free_at - tx.now, key.id)
    calls.count(tx, key.user_id)


def note_refusal(db: Database, refusal: KeyRefusal, wanted: Scope | None, agent: str | None) -> None:
    """Note what an API key was refused, once a minute at most; never at the cost of anything else."""
    log.info("API key %s refused: %s", refusal.key_id or "(unknown)", refusal.reason)
    with suppress(NotifyctlError, IntegrityError):  # the latter where the key is deleted at this moment
        with db.read() as tx:
            if refusals.is_noted(tx, refusal):
                return
        db.write(lambda tx: refusals.note(tx, refusal, wanted, agent))


def unknown(secret: str) -> str:
    """Say what is wrong with a key that is not stored, without showing it."""
    if not secret.strip():
        return "it is empty, which is no key"
    if apikey.parse(secret) is None:
        return "that is no API key of notifyctl, or it is mistyped: its checksum does not fit"
    return "the API key is not known here"
