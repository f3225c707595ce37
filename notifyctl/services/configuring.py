"""What is written when a provider is made, changed, switched on or off, or deleted."""

from __future__ import annotations

import uuid
from dataclasses import field, replace
from typing import Any

from notifyctl.core.errors import Conflict
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_release
from notifyctl.core.health import Cause, Health
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials
from notifyctl.services import credentials
from notifyctl.services.credentials import Given
from notifyctl.store import hints
from notifyctl.store import providers as store
from notifyctl.store.db.tx import Tx

_MAY_HELP = {"api_key", "api_secret", "service_account", "config"}


@dataclass(frozen=True, slots=True)
class PreparedProvider:
    """A provider that can be stored, made of what was given for it; `opened` are its secrets before they are sealed."""

    blank: ProviderConfig
    config: ProviderConfig
    opened: Credentials = field(repr=False)


def prepared(keyring: Keyring, name: str, given: Given) -> PreparedProvider:
    """Return a new provider. Raises UsageError for what its adapter refuses, NotAllowed without an encryption key."""
    blank = _blank(name)
    wanted = credentials.applied(blank, replace(given, api_key=given.api_key or ""), keyring)
    return PreparedProvider(blank, wanted, credentials.checked(wanted, keyring))


def make(tx: Tx, wanted: PreparedProvider) -> ProviderConfig:
    """Store a new provider. Raises Conflict when it is there."""
    config = replace(wanted.config, created_at=tx.now, updated_at=tx.now)
    if not store.create(tx, config):
        raise taken(config.provider_name, keep=False)
    hints.give(tx, [config.provider_name])
    facts = {"provider_name": [None, config.provider_name], **_changes(wanted.blank, config)}
    tx.audit("create", "provider", [(config.id, facts)])
    return config


def change(tx: Tx, keyring: Keyring, old: ProviderConfig, given: Given) -> ProviderConfig:
    """Change what is given of a provider that is locked. Raises UsageError and NotAllowed as `providers.update`."""
    new = replace(
        credentials.applied(old, given, keyring),
        updated_at=max(tx.now, old.updated_at + 1),  # it is the version
        channel=registry.get(old.provider_name).channel,
    )
    credentials.refuse_leaving(old, new, given, tx.actor)
    if given.touches_credentials:
        credentials.checked(new, keyring)
    changes = _changes(old, new)
    if not changes:
        return old
    store.replace(tx, new)
    hints.give(tx, [new.provider_name])
    tx.audit("update", "provider", [(new.id, changes)])
    return _freed(tx, new) if changes.keys() & _MAY_HELP else new


def with_health(tx: Tx, config: ProviderConfig, health: Health) -> ProviderConfig:
    """Write how a provider is."""
    store.set_health(tx, config.id, health)
    return replace(config, health=health)


def switch(tx: Tx, old: ProviderConfig, *, active: bool) -> ProviderConfig:
    """Let a provider that is locked be used again, or take it out of use.

    Raises NotAllowed for a restricted key that would let go what waits.
    """
    if old.is_active == active:
        return old
    if active:
        require_release(tx.actor.grant)
    new = replace(old, is_active=active, updated_at=tx.now)
    store.replace(tx, new)
    if active:
        hints.give(tx, [new.provider_name])
    tx.audit("enable" if active else "disable", "provider", [(old.id, {"is_active": [not active, active]})])
    return new


def drop(tx: Tx, config: ProviderConfig) -> ProviderConfig:
    """Delete a provider that is locked. Raises Conflict when notifications wait for it."""
    refuse_pending(tx, config)
    store.remove(tx, config.id)
    tx.audit("delete", "provider", [(config.id, {"provider_name": [config.provider_name, None]})])
    return config


def refuse_pending(tx: Tx, config: ProviderConfig) -> None:
    """Raise Conflict when notifications wait for a provider."""
    waiting, name = store.pending(tx, config.provider_name), config.provider_name
    if waiting:
        wait = "1 pending notification waits" if waiting == 1 else f"{waiting:,} pending notifications wait"
        hint = f"notifyctl notifications cancel --provider {name}, or notifyctl providers disable {name}"
        raise Conflict(f"{wait} for {name}", hint)


def taken(name: str, *, keep: bool) -> Conflict:
    """Return that there is such a provider already; with `keep`: which is another."""
    other = ", with other credentials or settings" if keep else ""
    return Conflict(f"there is a provider {name} already{other}", f"notifyctl providers update {name}")


def _freed(tx: Tx, config: ProviderConfig) -> ProviderConfig:
    """End a pause that the old credentials or settings may have caused: the new ones are to be tried at once.

    Raises NotAllowed for a restricted key, which would let go what waits.
    """
    cause = config.health.pause_cause
    if not config.health.is_paused(tx.now) or cause not in (Cause.CONFIG, Cause.BREAKER):
        return config
    require_release(tx.actor.grant)
    tx.audit("close" if cause is Cause.BREAKER else "resume", "provider", [(config.id, {"reason": "it was updated"})])
    return with_health(tx, config, config.health.resumed())


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
        channel=registry.get(name).channel,
    )


def _changes(old: ProviderConfig, new: ProviderConfig) -> dict[str, Any]:
    """Return what the audit trail may know: settings with both values, of secrets only that they changed."""
    plain = ("config", "rate_limit", "timeout_seconds", "priority")
    changes: dict[str, Any] = {
        name: [getattr(old, name), getattr(new, name)] for name in plain if getattr(old, name) != getattr(new, name)
    }
    secret = ("api_key", "api_secret", "service_account")
    return changes | {name: "changed" for name in secret if getattr(old, name) != getattr(new, name)}
