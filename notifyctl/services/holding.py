"""What keeps notifications back that somebody has just let go, and the command that ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from notifyctl.core import failover
from notifyctl.core.batch import BatchState
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Hold
from notifyctl.core.model import Channel
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.text import word
from notifyctl.store import batches, grounds, providers, templates
from notifyctl.store.batches import BatchRow
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.grounds import Ground

HELD_AS: Mapping[BatchState, str] = {
    BatchState.PAUSED: "paused",
    BatchState.CANARY: "a canary: only its first are let go",
    BatchState.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class KeptBack:
    """So many wait, and why; `remedy` is the command that lets them go."""

    count: int
    why: str
    remedy: str


def holding(db: Database, ids: Sequence[str]) -> list[KeptBack]:
    """Return what holds those of these notifications back that were not sent, the most frequent first.

    Only what somebody has to end: what is over in a moment, or by itself, holds nobody up.
    """
    with db.read() as tx:
        found = grounds.of(tx, ids)
        known = _Known(tx, found) if found else None
        counts = Counter[tuple[str, str]]()
        for each in found:
            if known is not None and (why := known.hold(each)) is not None:
                counts[why] += each.number
    return [KeptBack(count, *why) for why, count in counts.most_common()]


def of_template(name: str) -> tuple[str, str]:
    """Return that a template is disabled, and the command that ends it."""
    return f"template {name} is disabled", f"notifyctl templates enable {word(name)}"


def of_batch(batch: BatchRow) -> tuple[str, str]:
    """Return how a batch is held, and the command that ends it."""
    return f"batch {batch.shown} is {HELD_AS[batch.state]}", f"notifyctl batches resume {word(batch.shown)}"


def of_provider(name: str, hold: Hold) -> tuple[str, str] | None:
    """Return how a provider is held, and the command that ends it; None where it ends by itself."""
    verb = {Hold.UNKNOWN: "add", Hold.DISABLED: "enable", Hold.PAUSED: "resume"}.get(hold)
    return None if verb is None else (f"{name} is {hold}", f"notifyctl providers {verb} {name}")


class _Known:
    """What holds templates, batches and providers, read once for all."""

    def __init__(self, tx: Tx, found: Sequence[Ground]) -> None:
        self._now = tx.now
        self._templates = templates.held(tx, {each.template_id for each in found if each.template_id})
        self._batches = batches.held(tx, {each.batch_id for each in found if each.batch_id})
        self._providers = providers.by_preference(tx)

    def hold(self, each: Ground) -> tuple[str, str] | None:
        """Return what holds these, by the order of the claim: template, batch, provider."""
        if each.template_id in self._templates:
            return of_template(each.template or "")
        batch = self._batches.get(each.batch_id or "")
        if batch is not None and (each.is_parked or batch.state is not BatchState.CANARY):
            return of_batch(batch)
        config = next((one for one in self._providers if one.provider_name == each.provider), None)
        hold = Hold.UNKNOWN if config is None else config.hold(self._now)
        if hold is None or (each.fails_over and self._is_stood_in_for(each)):
            return None
        return of_provider(each.provider, hold)

    def _is_stood_in_for(self, each: Ground) -> bool:
        preferred = [
            (one.provider_name, one.fails(self._now)) for one in self._providers if _delivers(one, each.message_type)
        ]
        return any(each.provider in failing for failing in failover.stand_ins(preferred).values())


def _delivers(provider: ProviderConfig, channel: str) -> bool:
    return provider.is_active and provider.channel is Channel(channel)
