"""Providers: their configuration and their health.

`provider_configs` holds what was configured; beside it, in `provider_states`, stands what nobody configured: the
channel, as the adapter has it, pauses, the breaker and the rate limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, delete, func, select, update

from notifyctl.core import clockstep, json_codec
from notifyctl.core.health import Cause, Health
from notifyctl.core.model import Channel
from notifyctl.core.provider import SERVICE_ACCOUNT, ProviderConfig
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import PENDING
from notifyctl.store.schema.tables import notifications, provider_configs, provider_states

_CONFIG = provider_configs.c
_STATE = provider_states.c
_CAUSES = {cause.value: cause for cause in Cause}
_COUNTERS = ("next_permit_us", "next_question_us", "receipts_unmatched", "health_at")
_HEALTH = tuple(each.name for each in fields(Health))


def by_preference(tx: Tx) -> list[ProviderConfig]:
    """Return all providers, the preferred first."""
    return tx.rows(_BY_PREFERENCE, {})


def load_active(tx: Tx) -> list[ProviderConfig]:
    """Return the active providers, paused ones too, the preferred first."""
    return [config for config in by_preference(tx) if config.is_active]


def listed(tx: Tx) -> list[ProviderConfig]:
    """Return all providers, newest first."""
    return _many(tx, _everything().order_by(_CONFIG.created_at.desc(), _CONFIG.id.desc()))


def with_unread_settings(tx: Tx) -> list[str]:
    """Return the names of those whose stored settings are none; they count as having none."""
    found = tx.execute(select(_CONFIG.provider_name, _CONFIG.config_json).order_by(_CONFIG.provider_name))
    return [name for name, text in found if json_codec.is_amiss(text, dict)]


def get(tx: Tx, provider_name: str) -> ProviderConfig | None:
    """Return the provider of that name."""
    found = _many(tx, _everything().where(_CONFIG.provider_name == provider_name))
    return found[0] if found else None


def lock(tx: Tx, provider_name: str) -> ProviderConfig | None:
    """Return the provider of that name; one transaction at a time has it so.

    What lies farther ahead than it can is moved: the clock was put back since it was written.
    """
    serialize(tx, provider_name)
    found = get(tx, provider_name)
    if found is None or (moved := clockstep.in_step(found, tx.now)) is found:
        return found
    set_health(tx, moved.id, moved.health)
    set_next_permit(tx, moved.id, moved.next_permit_us)
    return moved


def serialize(tx: Tx, provider_name: str) -> None:
    """Let one transaction at a time read and write a provider."""
    tx.serialize(f"provider {provider_name}")


def create(tx: Tx, config: ProviderConfig) -> bool:
    """Store a new provider; return False when there is one of that name."""
    statement = tx.dialect.insert(provider_configs).values(
        id=config.id, created_at=config.created_at, **_stored(config)
    )
    created = tx.execute(statement.on_conflict_do_nothing().returning(_CONFIG.id)).first() is not None
    if created and config.channel is not None:
        set_channel(tx, config.id, config.channel)
    return created


def replace(tx: Tx, config: ProviderConfig) -> None:
    """Store all of a provider's settings anew."""
    tx.execute(update(provider_configs).where(_CONFIG.id == config.id).values(**_stored(config)))
    if config.channel is not None:
        set_channel(tx, config.id, config.channel)


def remove(tx: Tx, provider_id: str) -> None:
    """Delete a provider and its pause."""
    tx.execute(delete(provider_configs).where(_CONFIG.id == provider_id))


def pending(tx: Tx, provider_name: str) -> int:
    """Return how many unfinished notifications wait for this provider."""
    return tx.execute(select(func.count()).where(notifications.c.provider == provider_name, PENDING)).scalar_one()


def set_channel(tx: Tx, provider_id: str, channel: Channel) -> None:
    """Write which channel a provider is of, as its adapter has it."""
    _set_state(tx, provider_id, {"channel": channel.value})


def set_health(tx: Tx, provider_id: str, health: Health) -> None:
    """Write how a provider is; to be called in the transaction that locked it (`lock`)."""
    cause = health.pause_cause
    values = {**asdict(health), "pause_cause": None if cause is None else cause.value}
    _set_state(tx, provider_id, {**values, "health_at": tx.now})


def set_next_permit(tx: Tx, provider_id: str, next_permit_us: int) -> None:
    """Write the state of a provider's rate limit."""
    _set_state(tx, provider_id, {"next_permit_us": next_permit_us})


def set_next_question(tx: Tx, provider_id: str, next_question_us: int) -> None:
    """Write the state of the rate limit of questions after receipts."""
    _set_state(tx, provider_id, {"next_question_us": next_question_us})


def count_unmatched(tx: Tx, provider_name: str, count: int) -> None:
    """Count receipts of a provider that matched nothing for as long as such are kept."""
    theirs = select(_CONFIG.id).where(_CONFIG.provider_name == provider_name).scalar_subquery()
    more = _STATE.receipts_unmatched + count
    tx.execute(update(provider_states).where(_STATE.provider_id == theirs).values(receipts_unmatched=more))


def pause(
    tx: Tx, provider_name: str, reason: str, until: int | None = None, cause: Cause = Cause.OPERATOR
) -> ProviderConfig | None:
    """Pause a provider and return it; None where there is none or the pause in force stays (`Health.paused`)."""
    config = lock(tx, provider_name)
    if config is None:
        return None
    health = config.health.paused(cause, reason, tx.now, until)
    if health is config.health:
        return None
    set_health(tx, config.id, health)
    return config


@lru_cache(maxsize=64)
def is_polled(config_json: str | None) -> bool:
    """Return whether a provider with these settings is asked for receipts of messages that it took."""
    return _parsed(config_json).get("receipts") == "poll"


def _set_state(tx: Tx, provider_id: str, values: Mapping[str, Any]) -> None:
    statement = tx.dialect.insert(provider_states).values(provider_id=provider_id, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=[_STATE.provider_id], set_=dict(values)))


def _everything() -> Select[Any]:
    states = (_STATE[name] for name in ("channel", *_COUNTERS, *_HEALTH))
    return select(provider_configs, *states).outerjoin_from(
        provider_configs, provider_states, _STATE.provider_id == _CONFIG.id
    )


def _many(tx: Tx, statement: Select[Any]) -> list[ProviderConfig]:
    return [_of(row._mapping) for row in tx.execute(statement)]


def _of(row: Mapping[Any, Any]) -> ProviderConfig:
    values = dict(row)
    settings = _parsed(values.pop("config_json"))
    sealed = settings.pop(SERVICE_ACCOUNT, None)
    channel = values.pop("channel")
    counters: dict[str, Any] = {name: values.pop(name) or 0 for name in _COUNTERS}
    return ProviderConfig(
        config=settings,
        service_account=sealed if isinstance(sealed, str) else None,
        channel=None if channel is None else Channel(channel),
        health=_health({name: values.pop(name) for name in _HEALTH}),
        **counters,
        **values,
    )


def _health(row: Mapping[str, Any]) -> Health:
    """Return what a row of `provider_states` says; without a row all is well."""
    known = {name: value for name, value in row.items() if value is not None}
    if "pause_cause" in known:
        known["pause_cause"] = _CAUSES.get(known["pause_cause"], Cause.OPERATOR)
    return Health(**known)


def _parsed(config_json: str | None) -> dict[str, Any]:
    """Return the settings; damaged ones are empty, so that a list of providers can still be shown."""
    return json_codec.stored(config_json, {})


def _stored(config: ProviderConfig) -> dict[str, Any]:
    settings = dict(config.config)
    if config.service_account is not None:
        settings[SERVICE_ACCOUNT] = config.service_account
    return {
        "provider_name": config.provider_name,
        "api_key": config.api_key,
        "api_secret": config.api_secret,
        "config_json": json.dumps(settings, ensure_ascii=False, separators=(",", ":")) if settings else None,
        "is_active": config.is_active,
        "rate_limit": config.rate_limit,
        "timeout_seconds": config.timeout_seconds,
        "priority": config.priority,
        "updated_at": config.updated_at,
    }


_NAMES = tuple(column.key for column in _everything().selected_columns)
_BY_PREFERENCE = Hot(
    lambda _: _everything().order_by(_CONFIG.priority.desc(), _CONFIG.provider_name),
    lambda row: _of(dict(zip(_NAMES, row, strict=True))),
)
