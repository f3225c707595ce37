"""What a claim may take of a provider: what holds it, its permits and probes, and those for whom it stands in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from notifyctl.core import flow
from notifyctl.core.flow import Cause
from notifyctl.core.permits import take
from notifyctl.store import providers
from notifyctl.store.dialect import Dialect
from notifyctl.store.tables import provider_configs, provider_states


@dataclass(frozen=True, slots=True)
class StandIn:
    """A provider that another one stands in for while it fails.

    `spares_probes`: somebody here works for it as well, and what is due when a probe is due is left to that one.
    """

    provider: str
    spares_probes: bool = False


class Others:
    """The providers that this claim stands in for. `reasons` says of those that fail why; `spared` as in `Batch`."""

    def __init__(self, conn: Connection, stand_ins: Sequence[StandIn], now: int) -> None:
        self.reasons: dict[str, str] = {}
        self.spared = False
        for each in stand_ins:  # one or two: the providers of one channel
            self._look(conn, each, now)

    def _look(self, conn: Connection, other: StandIn, now: int) -> None:
        row = conn.execute(_provider_by_name(), {"name": other.provider}).one_or_none()
        held = hold(row, now)
        if row is None or held not in flow.OTHERS_STAND_IN:
            return
        if other.spares_probes and probe_is_due(row, now):
            self.spared = True
        else:
            self.reasons[other.provider] = f"{other.provider} is {held}: {row.pause_reason}"


def row(conn: Connection, dialect: Dialect, name: str, now: int) -> Any:
    """Return what a claim has to know of a provider; None where there is none.

    Permits and probes are shared by all dispatchers: where it may take some, one transaction at a time has the row.
    """
    statement = _provider_by_name()
    found = conn.execute(statement, {"name": name}).one_or_none()
    if found is not None and (found.rate_limit or probe_is_due(found, now)):
        dialect.serialize(conn, f"permits of {name}")
        found = conn.execute(statement, {"name": name}).one_or_none()
    return found


@cache
def _provider_by_name() -> Select[Any]:
    return (
        select(
            provider_configs.c.id,
            provider_configs.c.is_active,
            provider_configs.c.rate_limit,
            provider_configs.c.timeout_seconds,
            provider_configs.c.updated_at,
            provider_configs.c.config_json,
            provider_states.c.paused_at,
            provider_states.c.paused_until,
            provider_states.c.pause_cause,
            provider_states.c.pause_reason,
            provider_states.c.probe_at,
            provider_states.c.probes,
            provider_states.c.window_started_at,
            provider_states.c.window_failures,
            func.coalesce(provider_states.c.next_permit_us, 0).label("next_permit_us"),
        )
        .select_from(provider_configs.outerjoin(provider_states))
        .where(provider_configs.c.provider_name == bindparam("name"))
    )


def hold(provider: Any, now: int) -> str | None:
    """Return why nothing may be sent by it now; None where something may."""
    if provider is None:
        return "not configured"
    if not provider.is_active:
        return "disabled"
    if provider.paused_at is not None and (provider.paused_until is None or provider.paused_until > now):
        return flow.word(provider.pause_cause)
    return None


def probe_is_due(provider: Any, now: int) -> bool:
    """Return whether one notification may try whether a provider that is held works again."""
    return provider is not None and provider.is_active and provider.probe_at is not None and provider.probe_at <= now


def sure_wait(provider: Any, held: str | None, now: int) -> int | None:
    """Return for how many milliseconds it is sure to be held; None where that is not known."""
    if provider is None or held != flow.word(Cause.THROTTLED):
        return None
    return max(1, int(provider.paused_until) - now)


def allowed(provider: Any, now: int, limit: int) -> int:
    """Return how many may be sent now, of `limit`."""
    if not provider.rate_limit:
        return limit
    return take(provider.next_permit_us, now, provider.rate_limit, limit)[0]


def take_permits(conn: Connection, dialect: Dialect, provider: Any, now: int, count: int) -> None:
    """Take note that so many are sent."""
    _, next_permit_us = take(provider.next_permit_us, now, provider.rate_limit, count)
    state = dialect.insert(provider_states).values(provider_id=provider.id, next_permit_us=next_permit_us)
    conn.execute(state.on_conflict_do_update(index_elements=["provider_id"], set_={"next_permit_us": next_permit_us}))


def take_probe(conn: Connection, provider: Any, now: int, lease_ms: int) -> None:
    """Take note that a probe is made with a lease of that length.

    There is no other before that has ended: whoever makes it may be lost, and then it is simply made again.
    """
    wait = flow.probe_wait_ms(Cause(provider.pause_cause), provider.probes + 1) or 0
    providers.probed(conn, provider.id, now + max(lease_ms, wait))
