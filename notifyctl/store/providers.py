"""Providers' configurations and their temporary pauses.

`provider_configs` holds what was configured; a pause stands beside it, in `provider_states`, because it is nobody's
configuration: it ends by itself or when somebody resumes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from notifyctl.core import flow
from notifyctl.core.errors import NotAllowed
from notifyctl.core.flow import Cause
from notifyctl.core.sealing import Keyring, Place
from notifyctl.providers.contract import Credentials
from notifyctl.store.dialect import Dialect
from notifyctl.store.states import QUEUED
from notifyctl.store.tables import notifications, provider_configs, provider_states

SERVICE_ACCOUNT = "service_account"
SECRET_WIDTH = 255

_CONFIG = provider_configs.c
_STATE = provider_states.c


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider as it is configured; the secrets are sealed.

    `config` is the plain part of `config_json`, `service_account` the sealed one (fcm). `rate_limit` is in requests a
    minute. `paused_at` without `paused_until` is a pause until somebody resumes, or until a probe at `probe_at` or
    later works. Times are milliseconds.
    """

    id: str
    provider_name: str
    api_key: str = field(repr=False)
    api_secret: str | None = field(repr=False)
    config: Mapping[str, Any]
    service_account: str | None = field(repr=False)
    is_active: bool
    rate_limit: int | None
    timeout_seconds: int
    priority: int
    created_at: int
    updated_at: int
    paused_at: int | None = None
    paused_until: int | None = None
    pause_reason: str | None = None
    pause_cause: str | None = None
    probe_at: int | None = None

    def state(self, now: int) -> str:
        """Return `disabled`, `active`, or what its pause is called at that moment."""
        if not self.is_active:
            return "disabled"
        return flow.word(self.pause_cause) if self.paused(now) else "active"

    def fails(self, now: int) -> bool:
        """Return whether others may stand in for it: it is in use, and paused for more than a moment."""
        return self.is_active and self.paused(now) and self.pause_cause != Cause.THROTTLED

    @property
    def polled(self) -> bool:
        """Whether it is asked what became of messages that it took."""
        return self.config.get("receipts") == "poll"

    def paused(self, now: int) -> bool:
        """Return whether it is paused at that moment."""
        return self.paused_at is not None and (self.paused_until is None or self.paused_until > now)


def load_active(conn: Connection) -> list[ProviderConfig]:
    """Return the active providers, paused ones too, the preferred first."""
    return _many(conn, _everything().where(_CONFIG.is_active).order_by(_CONFIG.priority.desc(), _CONFIG.provider_name))


def listed(conn: Connection) -> list[ProviderConfig]:
    """Return all providers, newest first."""
    return _many(conn, _everything().order_by(_CONFIG.created_at.desc(), _CONFIG.id.desc()))


def get(conn: Connection, provider_name: str) -> ProviderConfig | None:
    """Return the provider of that name."""
    found = _many(conn, _everything().where(_CONFIG.provider_name == provider_name))
    return found[0] if found else None


def lock(conn: Connection, dialect: Dialect, provider_name: str) -> ProviderConfig | None:
    """Return the provider of that name, its configuration locked until the transaction ends."""
    conn.execute(dialect.lock_row(select(_CONFIG.id).where(_CONFIG.provider_name == provider_name)))
    return get(conn, provider_name)


def create(conn: Connection, dialect: Dialect, config: ProviderConfig) -> bool:
    """Store a new provider; return False when there is one of that name."""
    statement = dialect.insert(provider_configs).values(id=config.id, created_at=config.created_at, **_stored(config))
    return conn.execute(statement.on_conflict_do_nothing().returning(_CONFIG.id)).first() is not None


def replace(conn: Connection, config: ProviderConfig) -> None:
    """Store all of a provider's settings anew."""
    conn.execute(update(provider_configs).where(_CONFIG.id == config.id).values(**_stored(config)))


def remove(conn: Connection, provider_id: str) -> None:
    """Delete a provider and its pause."""
    conn.execute(delete(provider_configs).where(_CONFIG.id == provider_id))


def pending(conn: Connection, provider_name: str) -> int:
    """Return how many unfinished notifications wait for this provider."""
    return conn.execute(select(func.count()).where(notifications.c.provider == provider_name, QUEUED)).scalar_one()


def pause(
    conn: Connection,
    dialect: Dialect,
    provider_name: str,
    reason: str,
    now: int,
    until: int | None = None,
    cause: Cause = Cause.OPERATOR,
) -> bool:
    """Pause a provider until a moment, or until it is resumed; return whether it is this call that paused it.

    A pause that is in force stays as it is, but for a throttled one, which gives way to every other and to a longer
    one, and an open breaker where it turns out that the configuration is why: of several dispatchers one is told True.
    """
    over = or_(_STATE.paused_at.is_(None), _STATE.paused_until <= now)
    throttled = _STATE.pause_cause == Cause.THROTTLED.value
    if cause is Cause.THROTTLED:
        throttled = and_(throttled, _STATE.paused_until < until)
    if cause is Cause.CONFIG:
        over = or_(over, _STATE.pause_cause == Cause.BREAKER.value)
    pause_of = _Pause(now, until, reason, cause, flow.probe_wait_ms(cause, 0))
    return _set_pause(conn, dialect, provider_name, pause_of, only_if=or_(over, throttled))


def replace_pause(
    conn: Connection, dialect: Dialect, provider_name: str, reason: str, now: int, until: int | None
) -> bool:
    """Pause a provider, whatever pause is in force; return whether there is such a provider."""
    return _set_pause(conn, dialect, provider_name, _Pause(now, until, reason, Cause.OPERATOR), only_if=None)


def resume(conn: Connection, provider_name: str, causes: Collection[Cause] | None = None) -> bool:
    """End a provider's pause, if it has one of these causes; return whether it had one. The breaker counts anew."""
    ended = (
        update(provider_states)
        .where(_theirs(provider_name), _STATE.paused_at.is_not(None))
        .values(
            paused_at=None,
            paused_until=None,
            pause_reason=None,
            pause_cause=None,
            probe_at=None,
            probes=0,
            window_started_at=None,
        )
        .returning(_STATE.provider_id)
    )
    if causes is not None:
        ended = ended.where(_STATE.pause_cause.in_([cause.value for cause in causes]))
    return conn.execute(ended).first() is not None


def probed(conn: Connection, provider_id: str, probe_at: int) -> None:
    """Take note that a probe is under way, and that there is none before `probe_at`."""
    conn.execute(
        update(provider_states)
        .where(_STATE.provider_id == provider_id)
        .values(probe_at=probe_at, probes=_STATE.probes + 1)
    )


def probe_in_vain(conn: Connection, provider_name: str, now: int, wish_ms: int) -> None:
    """Let the next probe wait twice as long as the last, and as long as the provider wishes."""
    row = conn.execute(select(_STATE.pause_cause, _STATE.probes).where(_theirs(provider_name))).one_or_none()
    wait = None if row is None or row.pause_cause is None else flow.probe_wait_ms(Cause(row.pause_cause), row.probes)
    if wait is not None:
        when = now + max(wait, wish_ms)
        conn.execute(update(provider_states).where(_theirs(provider_name)).values(probe_at=when))


def count(
    conn: Connection, dialect: Dialect, provider_name: str, attempts: int, failures: int, now: int
) -> tuple[int, int]:
    """Add to what the breaker counts of a provider; return all attempts and failures of its window.

    A window begins with a failure and has its length: what comes later begins another.
    """
    s = _STATE
    over = or_(s.window_started_at.is_(None), s.window_started_at <= now - flow.WINDOW_MS)
    theirs = select(_CONFIG.id, literal(now, BigInteger), literal(attempts, Integer), literal(failures, Integer)).where(
        _CONFIG.provider_name == provider_name
    )
    columns = ["provider_id", "window_started_at", "window_attempts", "window_failures"]
    upsert = (
        dialect.insert(provider_states)
        .from_select(columns, theirs)
        .on_conflict_do_update(
            index_elements=[s.provider_id],
            set_={
                "window_started_at": case((over, now), else_=s.window_started_at),
                "window_attempts": case((over, attempts), else_=s.window_attempts + attempts),
                "window_failures": case((over, failures), else_=s.window_failures + failures),
            },
            where=None if failures else ~over,
        )
    )
    row = conn.execute(upsert.returning(s.window_attempts, s.window_failures)).first()
    return (0, 0) if row is None else (row[0], row[1])


def open_credentials(config: ProviderConfig, keyring: Keyring, urls: Mapping[str, str]) -> Credentials:
    """Return the decrypted credentials; `urls` holds base URLs by provider that stand above the configured ones.

    Raises NotAllowed for a secret that does not open.
    """
    settings = dict(config.config)
    if config.provider_name in urls:
        settings["base_url"] = urls[config.provider_name]
    sealed_secret, sealed_account = config.api_secret, config.service_account
    return Credentials(
        api_key=keyring.open(config.api_key, place(config.id, "api_key")),
        api_secret=None if sealed_secret is None else keyring.open(sealed_secret, place(config.id, "api_secret")),
        config=settings,
        service_account=None if sealed_account is None else _opened_account(config, sealed_account, keyring),
    )


def is_polled(config_json: str | None) -> bool:
    """Return whether a provider with these settings is asked what became of messages that it took."""
    return "receipts" in (config_json or "") and _parsed(config_json).get("receipts") == "poll"


def place(provider_id: str, column: str) -> Place:
    """Return where a provider's secret is sealed to."""
    return Place("provider_configs", provider_id, column)


def _opened_account(config: ProviderConfig, sealed: str, keyring: Keyring) -> dict[str, Any]:
    try:
        account = json.loads(keyring.open(sealed, place(config.id, "config_json")))
    except ValueError:
        account = None
    if not isinstance(account, dict):
        raise NotAllowed(f"the service account of {config.provider_name} is not JSON", "enter the credential again")
    return account


@dataclass(frozen=True, slots=True)
class _Pause:
    """A pause from `at` until `until` (None: no end of its own), with the wait for its first probe, if any."""

    at: int
    until: int | None
    reason: str
    cause: Cause
    probe_wait_ms: int | None = None

    def columns(self) -> dict[str, Any]:
        return {
            "paused_at": self.at,
            "paused_until": self.until,
            "pause_reason": self.reason,
            "pause_cause": self.cause.value,
            "probe_at": None if self.probe_wait_ms is None else self.at + self.probe_wait_ms,
            "probes": 0,
        }


def _set_pause(conn: Connection, dialect: Dialect, provider_name: str, pause: _Pause, *, only_if: Any) -> bool:
    values = pause.columns()
    # A cast: of a parameter alone PostgreSQL does not know the type.
    typed = [cast(literal(value, _STATE[name].type), _STATE[name].type) for name, value in values.items()]
    theirs = select(_CONFIG.id, *typed).where(_CONFIG.provider_name == provider_name)
    statement = dialect.insert(provider_states).from_select(["provider_id", *values], theirs)
    upsert = statement.on_conflict_do_update(index_elements=[_STATE.provider_id], set_=values, where=only_if)
    return conn.execute(upsert.returning(_STATE.provider_id)).first() is not None


def _theirs(provider_name: str) -> ColumnElement[bool]:
    return _STATE.provider_id == select(_CONFIG.id).where(_CONFIG.provider_name == provider_name).scalar_subquery()


def _everything() -> Select[Any]:
    return select(
        _CONFIG.id,
        _CONFIG.provider_name,
        _CONFIG.api_key,
        _CONFIG.api_secret,
        _CONFIG.config_json,
        _CONFIG.is_active,
        _CONFIG.rate_limit,
        _CONFIG.timeout_seconds,
        _CONFIG.priority,
        _CONFIG.created_at,
        _CONFIG.updated_at,
        _STATE.paused_at,
        _STATE.paused_until,
        _STATE.pause_reason,
        _STATE.pause_cause,
        _STATE.probe_at,
    ).outerjoin_from(provider_configs, provider_states, _STATE.provider_id == _CONFIG.id)


def _many(conn: Connection, statement: Select[Any]) -> list[ProviderConfig]:
    return [_of(row._mapping) for row in conn.execute(statement)]


def _of(row: Mapping[Any, Any]) -> ProviderConfig:
    values = dict(row)
    settings = _parsed(values.pop("config_json"))
    sealed = settings.pop(SERVICE_ACCOUNT, None)
    return ProviderConfig(config=settings, service_account=sealed if isinstance(sealed, str) else None, **values)


def _parsed(config_json: str | None) -> dict[str, Any]:
    """Return the settings; damaged ones are empty, so that a list of providers can still be shown."""
    try:
        settings = json.loads(config_json or "{}")
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


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
