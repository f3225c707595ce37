"""Providers: credentials, settings, pause and resume."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection

from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.flow import Cause
from notifyctl.core.model import PROVIDER_NAME, Actor
from notifyctl.core.sealing import Keyring, holds_secret
from notifyctl.core.text import one_line
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Described
from notifyctl.services import credentials
from notifyctl.services.credentials import Given
from notifyctl.store import audit, hints, ids
from notifyctl.store import providers as store
from notifyctl.store.engine import Database
from notifyctl.store.providers import ProviderConfig
from notifyctl.store.tables import provider_configs

SET = "set"
TOLD = 10
_MAY_HELP = {"api_key", "api_secret", "service_account", "config"}
_LIST = "notifyctl providers list"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider without its secrets: they are `set` or None.

    `channel` is None where the adapter is not installed here; `state` is `active`, `paused`, `open` (the breaker),
    `throttled` or `disabled`. `pause_cause` is a `Cause`; from `probe_at` on one notification tries whether it works
    again. `rate_limit` is in requests a minute, times are milliseconds since the epoch.
    """

    id: str
    provider_name: str
    channel: str | None
    state: str
    is_active: bool
    api_key: str | None
    api_secret: str | None
    service_account: str | None
    config: Mapping[str, Any]
    rate_limit: int | None
    timeout_seconds: int
    priority: int
    paused_at: int | None
    paused_until: int | None
    pause_reason: str | None
    pause_cause: str | None
    probe_at: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class CreatedProvider(Provider):
    """A provider, and whether it is new."""

    created: bool


def known(name: str) -> str:
    """Return the name of an installed provider. Raises UsageError naming those there are."""
    if name not in registry.names():
        raise UsageError(f"no provider is called {name!r}", f"installed are: {', '.join(registry.names())}")
    return name


def settings() -> dict[str, Mapping[str, str]]:
    """Return what can be set for each installed provider that says so: names with a line of help."""
    return {adapter.name: adapter.settings for adapter in registry.loadable() if isinstance(adapter, Described)}


def exposed(provider: Provider, urls: Mapping[str, str]) -> str | None:
    """Return a warning where a provider's credentials go over a network unencrypted; `urls` stand above its own."""
    has = bool(provider.api_key or provider.api_secret or provider.service_account)
    return credentials.exposed(provider.provider_name, provider.config, urls, secrets=has)


def needs_key(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether the provider's adapter minds that there is no API key."""
    check = registry.get(name).check
    return check(Credentials("", config=settings)) != check(Credentials("-", config=settings))


def add(db: Database, actor: Actor, keyring: Keyring, name: str, given: Given) -> CreatedProvider:
    """Store a new provider. Raises UsageError for what its adapter refuses, Conflict when it is there."""
    return _add(db, actor, keyring, name, given, keep=False)


def ensure(db: Database, actor: Actor, keyring: Keyring, name: str, given: Given) -> CreatedProvider:
    """Store a new provider unless it is there with the same credentials and settings; else raises as `add`."""
    return _add(db, actor, keyring, name, given, keep=True)


def listed(db: Database) -> list[Provider]:
    """Return all providers, newest first."""
    with db.read() as conn:
        now = db.now(conn)
        return [_shown(config, now) for config in store.listed(conn)]


def get(db: Database, ref: str) -> Provider:
    """Return a provider by name or id. Raises NotFound."""
    with db.read() as conn:
        return _shown(find(conn, ref), db.now(conn))


def timeline(db: Database, provider_id: str) -> list[audit.Entry]:
    """Return what became of a provider lately, the newest first."""
    with db.read() as conn:
        return audit.newest(conn, "provider", provider_id, TOLD)


def update(db: Database, actor: Actor, keyring: Keyring, ref: str, given: Given) -> Provider:
    """Change what is given. Raises NotFound, UsageError for what the adapter refuses, NotAllowed for the keys."""
    if given == Given():
        raise UsageError("nothing to change was given", "notifyctl providers update --help")

    def work(conn: Connection) -> Provider:
        old, now = _locked(conn, db, ref), db.now(conn)
        new = replace(credentials.applied(old, given, keyring), updated_at=now)
        if given.touches_credentials:
            credentials.checked(new, keyring)
        changes = _changes(old, new)
        if not changes:
            return _shown(old, now)
        store.replace(conn, new)
        hints.give(conn, db.dialect, [new.provider_name])
        audit.record(conn, actor, "update", "provider", [(new.id, changes)], now)
        return _shown(_freed(conn, actor, new, now) if changes.keys() & _MAY_HELP else new, now)

    return db.write(work)


def _freed(conn: Connection, actor: Actor, config: ProviderConfig, now: int) -> ProviderConfig:
    """End a pause that the old credentials or settings may have caused: the new ones are to be tried at once."""
    if not config.paused(now) or not store.resume(conn, config.provider_name, [Cause.CONFIG, Cause.BREAKER]):
        return config
    action = "close" if config.pause_cause == Cause.BREAKER else "resume"
    audit.record(conn, actor, action, "provider", [(config.id, {"reason": "it was updated"})], now)
    return _unpaused(config)


def _unpaused(config: ProviderConfig) -> ProviderConfig:
    return replace(config, paused_at=None, paused_until=None, pause_reason=None, pause_cause=None, probe_at=None)


def enable(db: Database, actor: Actor, ref: str) -> Provider:
    """Let a provider be used again. Raises NotFound."""
    return _switch(db, actor, ref, active=True)


def disable(db: Database, actor: Actor, ref: str) -> Provider:
    """Take a provider out of use: submissions do not choose it, what waits for it is held. Raises NotFound."""
    return _switch(db, actor, ref, active=False)


def pause(db: Database, actor: Actor, ref: str, reason: str, for_ms: int | None) -> Provider:
    """Hold what waits for a provider, for a time or until it is resumed; a pause in force is replaced.

    Raises UsageError for an empty reason, NotFound.
    """
    why = one_line(reason)
    if not why:
        raise UsageError("the reason is empty", "--reason says why")

    def work(conn: Connection) -> Provider:
        config, now = _locked(conn, db, ref), db.now(conn)
        until = None if for_ms is None else now + for_ms
        store.replace_pause(conn, db.dialect, config.provider_name, why, now, until)
        audit.record(conn, actor, "pause", "provider", [(config.id, {"reason": why, "until": until})], now)
        paused = replace(config, paused_at=now, paused_until=until, pause_reason=why, probe_at=None)
        return _shown(replace(paused, pause_cause=Cause.OPERATOR.value), now)

    return db.write(work)


def resume(db: Database, actor: Actor, ref: str) -> tuple[Provider, bool]:
    """End a provider's pause; return it and whether it was paused. Raises NotFound."""

    def work(conn: Connection) -> tuple[Provider, bool]:
        config, now = _locked(conn, db, ref), db.now(conn)
        was_paused = config.paused(now)
        if store.resume(conn, config.provider_name) and was_paused:
            hints.give(conn, db.dialect, [config.provider_name])
            audit.record(conn, actor, "resume", "provider", [(config.id, {"reason": config.pause_reason})], now)
        return _shown(_unpaused(config), now), was_paused

    return db.write(work)


def refuse_removal(db: Database, ref: str) -> Provider:
    """Return the provider that may be deleted. Raises NotFound, Conflict when notifications wait for it."""
    with db.read() as conn:
        config = find(conn, ref)
        _refuse_pending(conn, config)
        return _shown(config, db.now(conn))


def remove(db: Database, actor: Actor, provider_id: str) -> Provider:
    """Delete a provider. Raises NotFound, Conflict when notifications wait for it."""

    def work(conn: Connection) -> Provider:
        config, now = _locked(conn, db, provider_id), db.now(conn)
        _refuse_pending(conn, config)
        store.remove(conn, config.id)
        changes = {"provider_name": [config.provider_name, None]}
        audit.record(conn, actor, "delete", "provider", [(config.id, changes)], now)
        return _shown(config, now)

    return db.write(work)


def _add(db: Database, actor: Actor, keyring: Keyring, name: str, given: Given, *, keep: bool) -> CreatedProvider:
    blank = _blank(known(name))
    wanted = credentials.applied(blank, replace(given, api_key=given.api_key or ""), keyring)
    opened = credentials.checked(wanted, keyring)

    def work(conn: Connection) -> CreatedProvider:
        now = db.now(conn)
        present = store.get(conn, name)
        if present is not None:
            if keep and _same(present, keyring, opened, given):
                return CreatedProvider(**asdict(_shown(present, now)), created=False)
            raise _taken(name, keep=keep)
        config = replace(wanted, created_at=now, updated_at=now)
        if not store.create(conn, db.dialect, config):
            raise _taken(name, keep=keep)
        hints.give(conn, db.dialect, [name])
        facts = {"provider_name": [None, name], **_changes(blank, config)}
        audit.record(conn, actor, "create", "provider", [(config.id, facts)], now)
        return CreatedProvider(**asdict(_shown(config, now)), created=True)

    return db.write(work)


def _switch(db: Database, actor: Actor, ref: str, *, active: bool) -> Provider:
    def work(conn: Connection) -> Provider:
        old, now = _locked(conn, db, ref), db.now(conn)
        if old.is_active == active:
            return _shown(old, now)
        new = replace(old, is_active=active, updated_at=now)
        store.replace(conn, new)
        if active:
            hints.give(conn, db.dialect, [new.provider_name])
        audit.record(
            conn,
            actor,
            "enable" if active else "disable",
            "provider",
            [(old.id, {"is_active": [not active, active]})],
            now,
        )
        return _shown(new, now)

    return db.write(work)


def find(conn: Connection, ref: str) -> ProviderConfig:
    """Return a provider's row by its name or id. Raises NotFound."""
    config = store.get(conn, ref) if PROVIDER_NAME.fullmatch(ref) else None
    if config is None and ids.bounds(ref):
        found = ids.resolve(conn, provider_configs, ref, "provider")
        config = next((each for each in store.listed(conn) if each.id == found), None)
    if config is None:
        raise NotFound(f"there is no provider {ids.shown(ref)}", _LIST)
    return config


def _locked(conn: Connection, db: Database, ref: str) -> ProviderConfig:
    config = store.lock(conn, db.dialect, find(conn, ref).provider_name)
    if config is None:
        raise NotFound(f"there is no provider {ids.shown(ref)}", _LIST)
    return config


def _refuse_pending(conn: Connection, config: ProviderConfig) -> None:
    waiting = store.pending(conn, config.provider_name)
    if waiting:
        raise Conflict(
            f"{waiting:,} pending notifications wait for {config.provider_name}",
            f"notifyctl notifications cancel --provider {config.provider_name}, or notifyctl providers disable",
        )


def _blank(name: str) -> ProviderConfig:
    return ProviderConfig(
        id=str(uuid.uuid4()),
        provider_name=name,
        api_key="",
        api_secret=None,
        config={},
        service_account=None,
        is_active=True,
        rate_limit=None,
        timeout_seconds=30,
        priority=0,
        created_at=0,
        updated_at=0,
    )


def _same(present: ProviderConfig, keyring: Keyring, opened: Credentials, given: Given) -> bool:
    stored = store.open_credentials(present, keyring, {})
    return stored == opened and all(getattr(present, key) == value for key, value in given.plain().items())


def _taken(name: str, *, keep: bool) -> Conflict:
    other = ", with other credentials or settings" if keep else ""
    return Conflict(f"there is a provider {name} already{other}", f"notifyctl providers update {name}")


def _changes(old: ProviderConfig, new: ProviderConfig) -> dict[str, Any]:
    """Return what the audit trail may know: settings with both values, of secrets only that they changed."""
    plain = ("config", "rate_limit", "timeout_seconds", "priority")
    changes: dict[str, Any] = {
        name: [getattr(old, name), getattr(new, name)] for name in plain if getattr(old, name) != getattr(new, name)
    }
    secret = ("api_key", "api_secret", "service_account")
    return changes | {name: "changed" for name in secret if getattr(old, name) != getattr(new, name)}


def _shown(config: ProviderConfig, now: int) -> Provider:
    paused = config.paused(now)
    return Provider(
        id=config.id,
        provider_name=config.provider_name,
        channel=_channel(config.provider_name),
        state=config.state(now),
        is_active=config.is_active,
        api_key=SET if holds_secret(config.api_key) else None,
        api_secret=SET if holds_secret(config.api_secret) else None,
        service_account=SET if config.service_account else None,
        config=dict(config.config),
        rate_limit=config.rate_limit,
        timeout_seconds=config.timeout_seconds,
        priority=config.priority,
        paused_at=config.paused_at if paused else None,
        paused_until=config.paused_until if paused else None,
        pause_reason=config.pause_reason if paused else None,
        pause_cause=config.pause_cause if paused else None,
        probe_at=config.probe_at if paused else None,
        created_at=config.created_at,
        updated_at=config.updated_at,
    )


def _channel(name: str) -> str | None:
    try:
        return registry.get(name).channel.value
    except NotifyctlError:
        return None
