"""Submitting a notification: the provider is chosen, the content checked, and the same submission stored once."""

from __future__ import annotations

import re
import shlex
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, literal, select

from notifyctl.core import content, when
from notifyctl.core.audience import needs_address, own_address
from notifyctl.core.errors import (
    AnswerIsNo,
    CommitUnknown,
    Conflict,
    DatabaseUnavailable,
    NotFound,
    TimedOut,
    UsageError,
)
from notifyctl.core.model import Actor, Channel, Message, Status
from notifyctl.core.sealing import Keyring
from notifyctl.providers import registry
from notifyctl.providers.contract import Adapter, Credentials, InvalidMessage, Request
from notifyctl.store import audit, providers, users
from notifyctl.store import notifications as store
from notifyctl.store.addresses import best_address
from notifyctl.store.engine import Database
from notifyctl.store.notifications import New, Notification
from notifyctl.store.providers import ProviderConfig
from notifyctl.store.tables import users as users_table
from notifyctl.store.users import User

MAX_RETRIES = 5
FIRST_POLL_S = 0.05
LONGEST_POLL_S = 1.0
HIDDEN = "***"

_SERVER = re.compile(r"[^:/?#]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be submitted. `user` is an id, username or e-mail address, `payload` a payload (`core.content`).

    `send_at` is a moment in milliseconds since the epoch, `delay_ms` counts from now; at most one of them is given.
    `key` makes a repeated submission the same submission. `expires_in_ms` counts from the moment it is for.
    """

    user: str
    channel: Channel
    payload: Mapping[str, Any] = field(hash=False)
    key: str
    provider: str | None = None
    send_at: int | None = None
    delay_ms: int | None = None
    expires_in_ms: int | None = None
    max_retries: int = MAX_RETRIES


@dataclass(frozen=True, slots=True)
class Submitted:
    """A stored notification. `deduplicated`: an earlier submission with the same key stored it. `remark`: a warning."""

    notification: Notification
    deduplicated: bool
    remark: str | None = None


def submit(db: Database, actor: Actor, draft: Draft, urls: Mapping[str, str]) -> Submitted:
    """Store the notification, or return the one that the same submission stored before.

    Raises Conflict for a key that was used with other content and where no provider can take it, NotFound for an
    unknown user or provider, UsageError for content the provider would refuse and a time that is past, CommitUnknown
    (with the key to repeat it with) when nobody knows whether it was stored.
    """
    # Made before the transaction: run again, it recognises its own row.
    new_id = str(uuid.uuid4())

    def work(conn: Connection) -> Submitted:
        now = db.now(conn)
        user = users.find(conn, db.dialect, draft.user)
        digest = content.content_hash(user.id, draft.channel, draft.payload, draft.provider)
        identity = _Identity(new_id, content.idempotency_key(user.id, draft.key), digest)
        before = _stored(conn, db, identity, draft)
        remark = None
        if before is None:
            config = _provider(conn, draft)
            remark = _checked(conn, user, draft, new_id, config, urls)
            before = _insert(conn, db, actor, _row(draft, user, config, identity, now), draft, now)
        return _result(conn, db, before or new_id, identity, remark, now)

    try:
        return db.write(work)
    except CommitUnknown as error:
        raise CommitUnknown(
            error.message,
            f"repeat it with --idempotency-key {shlex.quote(draft.key)}: it is stored once, whatever happened",
        ) from error


def preview(db: Database, keyring: Keyring, draft: Draft, urls: Mapping[str, str]) -> Request:
    """Return the request that would deliver it, with the secrets hidden; write nothing.

    Raises as `submit` does, and Conflict when the user has no address.
    """
    with db.read() as conn:
        now = db.now(conn)
        user = users.find(conn, db.dialect, draft.user)
        _times(draft, now)
        config = _provider(conn, draft)
        to = _address(conn, user, draft)
    if to is None and needs_address(draft.channel, draft.payload):
        raise Conflict(f"{user.username} has no {draft.channel} address", _address_hint(user, draft))
    credentials = providers.open_credentials(config, keyring, urls)
    if credentials.service_account is not None:
        credentials = replace(credentials, access_token=HIDDEN)
    request = _built(registry.get(config.provider_name), _message(str(uuid.uuid4()), draft, to), credentials)
    return _hidden(request, credentials)


def wait(
    db: Database, notification: Notification, timeout_ms: int, sleep: Callable[[float], None] = time.sleep
) -> Notification:
    """Return the notification as it is when it has ended, or when `timeout_ms` are over.

    A database that goes away meanwhile is asked again: the notification is stored.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    pause = FIRST_POLL_S
    while notification.status == Status.PENDING and (left := deadline - time.monotonic()) > 0:
        sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_POLL_S)
        notification = _latest(db, notification)
    return notification


def require_sent(notification: Notification) -> None:
    """Raise TimedOut for a notification that is still pending, AnswerIsNo for one that ended otherwise than sent."""
    hint = f"notifyctl notifications show {notification.id}"
    if notification.status == Status.PENDING:
        raise TimedOut(f"notification {notification.id} is still pending ({notification.state})", hint)
    if notification.status != Status.SENT:
        why = f": {notification.error_message}" if notification.error_message else ""
        raise AnswerIsNo(f"notification {notification.id} ended as {notification.status}{why}", hint)


# Helpers


@dataclass(frozen=True, slots=True)
class _Identity:
    """The id for a new row, and what tells whether the submission was stored before."""

    new_id: str
    key: str
    digest: str


def _stored(conn: Connection, db: Database, identity: _Identity, draft: Draft) -> str | None:
    """Return the id of the notification that the same submission stored before."""
    found = store.ids_by_key(conn, db.dialect, [identity.key]).get(identity.key)
    if found is None:
        return None
    before, digest = found
    if digest != identity.digest:
        raise Conflict(
            f"the idempotency key {draft.key!r} was used for notification {before}, with other content",
            f"notifyctl notifications show {before}, or choose another key",
        )
    return before


def _insert(conn: Connection, db: Database, actor: Actor, row: New, draft: Draft, now: int) -> str | None:
    """Store it; return the id of another one that stored the same submission at this moment."""
    if store.insert(conn, db.dialect, [row]):
        audit.record(conn, actor, "create", "notification", [(row.id, _facts(row))], now)
        return None
    return _stored(conn, db, _Identity(row.id, row.idempotency_key, row.content_hash), draft)


def _result(conn: Connection, db: Database, id_: str, identity: _Identity, remark: str | None, now: int) -> Submitted:
    found = store.get(conn, db.dialect, [id_], now)
    if id_ not in found:
        raise Conflict(f"notification {id_} was deleted at this moment", "repeat the command")
    return Submitted(found[id_], deduplicated=id_ != identity.new_id, remark=remark)


def _checked(
    conn: Connection, user: User, draft: Draft, id_: str, config: ProviderConfig, urls: Mapping[str, str]
) -> str | None:
    """Return what to warn of. Raises UsageError for content the provider's API would refuse.

    No secret is needed to know that: a host that only submits has no keys.
    """
    to = _address(conn, user, draft)
    if to is None and needs_address(draft.channel, draft.payload):
        return (
            f"{user.username} has no {draft.channel} address: without one it becomes a dead letter (no_address)\n"
            f"hint: {_address_hint(user, draft)}"
        )
    settings = dict(config.config)
    if config.provider_name in urls:
        settings["base_url"] = urls[config.provider_name]
    _built(registry.get(config.provider_name), _message(id_, draft, to), Credentials(api_key="", config=settings))
    return None


def _provider(conn: Connection, draft: Draft) -> ProviderConfig:
    if draft.provider is not None:
        return _given_provider(conn, draft.provider, draft.channel)
    ours = {adapter.name for adapter in registry.for_channel(draft.channel)}
    best = next((config for config in providers.load_active(conn) if config.provider_name in ours), None)
    if best is None:
        names = " or ".join(sorted(ours)) or "NAME"
        raise Conflict(f"no active provider delivers {draft.channel}", f"notifyctl providers add {names}")
    return best


def _given_provider(conn: Connection, name: str, channel: Channel) -> ProviderConfig:
    config = providers.get(conn, name)
    if config is None:
        raise NotFound(f"there is no provider {name!r}", "notifyctl providers list")
    if (delivers := registry.get(name).channel) is not channel:
        raise UsageError(f"--provider: {name} delivers {delivers}, not {channel}", "notifyctl providers list")
    if not config.is_active:
        raise Conflict(f"provider {name} is disabled", f"notifyctl providers enable {name}")
    return config


def _address(conn: Connection, user: User, draft: Draft) -> str | None:
    own = own_address(draft.channel, draft.payload)
    if own is not None or not needs_address(draft.channel, draft.payload):
        return own
    # The user's columns as the claim has them, so that both choose the same address.
    best = best_address(users_table.c.id, literal(draft.channel.value), users_table.c.email)
    return conn.execute(select(best).where(users_table.c.id == user.id)).scalar()


def _message(id_: str, draft: Draft, to: str | None) -> Message:
    return Message(id_, draft.channel, to if needs_address(draft.channel, draft.payload) else None, draft.payload)


def _built(adapter: Adapter, message: Message, credentials: Credentials) -> Request:
    try:
        return adapter.build(message, credentials)
    except InvalidMessage as error:
        raise UsageError(f"{adapter.name} would refuse it: {error}") from error


def _hidden(request: Request, credentials: Credentials) -> Request:
    """Return the request with its secrets replaced; the scheme of an Authorization header stays."""
    headers = {
        name: f"{value.partition(' ')[0]} {HIDDEN}" if name.casefold() == "authorization" else value
        for name, value in request.headers.items()
    }
    # A user's name may well be in the host's: it is no secret there.
    where = _SERVER.match(request.url)
    end = where.end() if where else 0
    rest = request.url[end:]
    for secret in (credentials.api_key, credentials.api_secret):
        rest = rest.replace(secret, HIDDEN) if secret else rest
    return replace(request, url=request.url[:end] + rest, headers=headers)


def _times(draft: Draft, now: int) -> tuple[int | None, int | None]:
    """Return `send_at` and `expires_at`."""
    send_at = None
    if draft.send_at is not None:
        send_at = when.not_past(draft.send_at, now, "--at")
    elif draft.delay_ms is not None:
        send_at = when.after(now, draft.delay_ms, "--in")
    if draft.expires_in_ms is None:
        return send_at, None
    return send_at, when.after(now if send_at is None else send_at, draft.expires_in_ms, "--expires-in")


def _row(draft: Draft, user: User, config: ProviderConfig, identity: _Identity, now: int) -> New:
    send_at, expires_at = _times(draft, now)
    return New(
        id=identity.new_id,
        user_id=user.id,
        idempotency_key=identity.key,
        message_type=draft.channel.value,
        provider=config.provider_name,
        payload=content.canonical(draft.payload),
        max_retries=draft.max_retries,
        created_at=now,
        send_at=send_at,
        due_at=now if send_at is None else send_at,
        expires_at=expires_at,
        content_hash=identity.digest,
        fails_over=draft.provider is None,
    )


def _facts(row: New) -> dict[str, Any]:
    return {"user_id": row.user_id, "message_type": row.message_type, "provider": row.provider, "send_at": row.send_at}


def _address_hint(user: User, draft: Draft) -> str:
    return f"notifyctl users contacts add {user.username} {draft.channel} ADDRESS, or send --to ADDRESS"


def _latest(db: Database, notification: Notification) -> Notification:
    try:
        with db.read() as conn:
            found = store.get(conn, db.dialect, [notification.id], db.now(conn))
    except DatabaseUnavailable:
        return notification
    if notification.id not in found:
        raise NotFound(f"notification {notification.id} was deleted")
    return found[notification.id]
