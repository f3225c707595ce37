"""Providers: credentials, settings, pause and resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from notifyctl.core import senders
from notifyctl.core.audit.entry import AuditEntry
from notifyctl.core.errors import NotFound, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_release
from notifyctl.core.health import Cause, Health, Hold
from notifyctl.core.model import PROVIDER_NAME
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring, holds_secret
from notifyctl.core.text import one_line
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Described
from notifyctl.providers.unseal import open_credentials
from notifyctl.services import configuring, credentials
from notifyctl.services.credentials import Given
from notifyctl.store import audit, hints, ids
from notifyctl.store import providers as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import provider_configs

SET = "set"
TOLD = 10
_LIST = "notifyctl providers list"
_HELD = {Hold.PAUSED: "a pause", Hold.OPEN: "an open breaker", Hold.THROTTLED: "a throttle"}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider without its secrets: they are `set` or None.

    `channel` is None where the adapter is not installed here; `state` is `active`, `paused`, `open` (the breaker),
    `throttled` or `disabled`. `pause_cause` is a `Cause`; from `probe_at` on one notification tries whether it works
    again, of one that is throttled at `throttled_until`. After that at most `ceiling` calls may be in flight for each
    dispatcher, None being no limit. `held_senders` are those whose queue is full, each with the moment until which it
    is left alone. `rate_limit` is in requests a minute, times are milliseconds since the epoch. `receipts_unmatched`
    of its receipts were given up, being of nothing that is here.
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
    throttled_until: int | None
    ceiling: int | None
    held_senders: Mapping[str, int]
    created_at: int
    updated_at: int
    receipts_unmatched: int


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


def add(db: Database, keyring: Keyring, name: str, given: Given) -> CreatedProvider:
    """Store a new provider. Raises UsageError for what its adapter refuses, Conflict when it is there."""
    return _add(db, keyring, name, given, keep=False)


def ensure(db: Database, keyring: Keyring, name: str, given: Given) -> CreatedProvider:
    """Store a new provider unless it is there with the same credentials and settings; else raises as `add`."""
    return _add(db, keyring, name, given, keep=True)


def listed(db: Database) -> list[Provider]:
    """Return all providers, newest first."""
    with db.read() as tx:
        return [_shown(config, tx.now) for config in store.listed(tx)]


def get(db: Database, ref: str) -> Provider:
    """Return a provider by name or id. Raises NotFound."""
    with db.read() as tx:
        return _shown(find(tx, ref), tx.now)


def timeline(db: Database, provider_id: str) -> list[AuditEntry]:
    """Return the latest audit entries of a provider, the newest first."""
    with db.read() as tx:
        return audit.newest(tx, "provider", provider_id, TOLD)


def update(db: Database, keyring: Keyring, ref: str, given: Given) -> Provider:
    """Change what is given. Raises NotFound, UsageError for what the adapter refuses, NotAllowed for the keys."""
    if given in (Given(), Given(keep_credentials=True)):
        raise UsageError("nothing to change was given", "notifyctl providers update --help")

    return db.write(lambda tx: _shown(configuring.change(tx, keyring, _locked(tx, ref), given), tx.now))


def enable(db: Database, ref: str) -> Provider:
    """Let a provider be used again. Raises NotFound."""
    return _switch(db, ref, active=True)


def disable(db: Database, ref: str) -> Provider:
    """Take a provider out of use: submissions do not choose it, what waits for it is held. Raises NotFound."""
    return _switch(db, ref, active=False)


def pause(db: Database, ref: str, reason: str, for_ms: int | None) -> Provider:
    """Hold what waits for a provider, for a time or until it is resumed; a pause in force is replaced.

    Raises UsageError for an empty reason, NotFound.
    """
    why = one_line(reason)
    if not why:
        raise UsageError("the reason is empty", "--reason says why")

    def work(tx: Tx) -> Provider:
        config = _locked(tx, ref)
        until = None if for_ms is None else tx.now + for_ms
        tx.audit("pause", "provider", [(config.id, {"reason": why, "until": until})])
        health = config.health.with_pause(Cause.OPERATOR, why, tx.now, until)
        return _shown(configuring.with_health(tx, config, health), tx.now)

    return db.write(work)


def resume(db: Database, ref: str) -> tuple[Provider, list[str]]:
    """End a provider's pause; return it and what was cleared: a pause, a breaker, a throttle. Raises NotFound.

    Raises NotAllowed for a restricted key that would let go what waits.
    """

    def work(tx: Tx) -> tuple[Provider, list[str]]:
        config = _locked(tx, ref)
        health = config.health
        cleared = list(_cleared(health, tx.now))
        resumed = configuring.with_health(tx, config, health.resumed()) if cleared else config
        if cleared:
            require_release(tx.actor.grant)
            hints.give(tx, [config.provider_name])
            why = health.pause_reason if health.is_paused(tx.now) else ", ".join(cleared)
            tx.audit("resume", "provider", [(config.id, {"reason": why, "cleared": cleared})])
        return _shown(resumed, tx.now), cleared

    return db.write(work)


def _cleared(health: Health, now: int) -> Iterator[str]:
    """Yield what resuming takes away, for people: a pause or what else it is, and what was counted."""
    if (hold := health.hold(now)) is not None:
        yield f"{_HELD[hold]} ({health.pause_reason})"
    if health.ceiling is not None:
        yield f"a limit of {health.ceiling:,} in flight after a throttle"
    if held := senders.parse(health.held_senders):
        yield f"what is known of senders whose queue was full: {len(held):,}"
    if health.window_failures:
        yield f"failures that the breaker had counted: {health.window_failures:,}"
    if health.doubt is not None:
        yield f"a doubt ({health.doubt})"


def refuse_removal(db: Database, ref: str) -> Provider:
    """Return the provider that may be deleted. Raises NotFound, Conflict when notifications wait for it."""
    with db.read() as tx:
        config = find(tx, ref)
        configuring.refuse_pending(tx, config)
        return _shown(config, tx.now)


def remove(db: Database, provider_id: str) -> Provider:
    """Delete a provider. Raises NotFound, Conflict when notifications wait for it."""

    return db.write(lambda tx: _shown(configuring.drop(tx, _locked(tx, provider_id)), tx.now))


def _add(db: Database, keyring: Keyring, name: str, given: Given, *, keep: bool) -> CreatedProvider:
    prepared = configuring.prepared(keyring, known(name), given)

    def work(tx: Tx) -> CreatedProvider:
        present = store.get(tx, name)
        if present is None:
            made = configuring.make(tx, prepared)
            return CreatedProvider(**asdict(_shown(made, tx.now)), created=True)
        if keep and _same(present, keyring, prepared.opened, given):
            return CreatedProvider(**asdict(_shown(present, tx.now)), created=False)
        raise configuring.taken(name, keep=keep)

    return db.write(work)


def _switch(db: Database, ref: str, *, active: bool) -> Provider:
    return db.write(lambda tx: _shown(configuring.switch(tx, _locked(tx, ref), active=active), tx.now))


def find(tx: Tx, ref: str) -> ProviderConfig:
    """Return a provider's row by its name or id. Raises NotFound."""
    config = store.get(tx, ref) if PROVIDER_NAME.fullmatch(ref) else None
    if config is None and ids.bounds(ref):
        found = ids.resolve(tx, provider_configs, ref, "provider")
        config = next((each for each in store.listed(tx) if each.id == found), None)
    if config is None:
        raise NotFound(f"there is no provider {ids.shown(ref)}", _LIST)
    return config


def _locked(tx: Tx, ref: str) -> ProviderConfig:
    config = store.lock(tx, find(tx, ref).provider_name)
    if config is None:
        raise NotFound(f"there is no provider {ids.shown(ref)}", _LIST)
    return config


def _same(present: ProviderConfig, keyring: Keyring, opened: Credentials, given: Given) -> bool:
    stored = open_credentials(present, keyring, {})
    return stored == opened and all(getattr(present, key) == value for key, value in given.plain().items())


def _shown(config: ProviderConfig, now: int) -> Provider:
    health = config.health if config.health.is_paused(now) else Health()
    return Provider(
        id=config.id,
        provider_name=config.provider_name,
        channel=_channel(config.provider_name),
        state=str(config.hold(now) or "active"),
        is_active=config.is_active,
        api_key=SET if holds_secret(config.api_key) else None,
        api_secret=SET if holds_secret(config.api_secret) else None,
        service_account=SET if config.service_account else None,
        config=dict(config.config),
        rate_limit=config.rate_limit,
        timeout_seconds=config.timeout_seconds,
        priority=config.priority,
        paused_at=health.paused_at,
        paused_until=health.paused_until,
        pause_reason=health.pause_reason,
        pause_cause=health.pause_cause,
        probe_at=health.probe_at,
        throttled_until=health.throttled_until(now),
        ceiling=config.health.ceiling,
        held_senders=config.held_senders(now),
        created_at=config.created_at,
        updated_at=config.updated_at,
        receipts_unmatched=config.receipts_unmatched,
    )


def _channel(name: str) -> str | None:
    try:
        return registry.get(name).channel.value
    except NotifyctlError:
        return None
