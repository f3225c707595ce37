"""Recording the results of attempts: one transaction for whatever has gathered, fenced by each row's lease."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from notifyctl.core import senders
from notifyctl.core.change import Bury, Change, Retry, Sent
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Answer, News
from notifyctl.core.model import Claim
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store import early, providers, receipts
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.take import renew

HELD_MS = 60_000
"""How long a lease is renewed for: many times as long as until it is renewed again."""

_IN_DOUBT = frozenset({Kind.UNKNOWN, Kind.TRANSIENT})


class AttemptResult(NamedTuple):
    """The result of one claim; `outcome` is None where it says nothing of the provider. A tuple: one per attempt."""

    claim: Claim
    change: Change
    outcome: Outcome | None = None

    @property
    def is_in_doubt(self) -> bool:
        """Whether the provider may have taken it, although it did not say so: also where the call was broken off."""
        return type(self.change) in (Retry, Bury) and (self.outcome is None or self.outcome.kind in _IN_DOUBT)

    @property
    def matters_to_health(self) -> bool:
        """Whether it tells something new of the provider: all but what works where nothing failed."""
        said = self.outcome
        return self.claim.probe or self.claim.watched or (said is not None and said.kind is not Kind.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Told:
    """That this batch changed a provider's health, such as pausing it: `text` says it to people, `good` to rejoice."""

    provider: str
    text: str
    good: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch changed beside its rows: ids whose lease was lost meanwhile, and changes of providers' health.

    `heard_at` is its moment, in milliseconds since the epoch, where there are webhooks that may be told of it.
    """

    stale: frozenset[str]
    told: tuple[Told, ...] = ()
    heard_at: int | None = None


def record(tx: Tx, results: Sequence[AttemptResult]) -> Recorded:
    """Write a batch. Nothing is changed for a row that no longer carries the claim's lease.

    Of several dispatchers only the one whose write changed a provider returns that.
    """
    applied = apply(tx, [result.change for result in results])
    held = applied.changes
    _ask_receipts(tx, results)
    if len(held) == len(results):
        stale, counting = frozenset[str](), results
    else:
        ids = {change.of.id for change in held}
        stale = frozenset(result.claim.id for result in results) - ids
        counting = [result for result in results if result.claim.id in ids]
    # Last: of all that is written here, only this do other dispatchers wait for.
    names = {result.claim.provider for result in counting if result.matters_to_health}
    # In the order of their names: two dispatchers wait for each other one way only.
    told = tuple(told for name in sorted(names) for told in _note(tx, name, counting))
    return Recorded(stale, told, tx.now if applied.is_heard else None)


def _ask_receipts(tx: Tx, results: Sequence[AttemptResult]) -> None:
    """Let receipts that came during a call answer what it came to, where that is not known."""
    doubtful = [result.claim.id for result in results if type(result.change) is not Sent and result.is_in_doubt]
    if doubtful:
        receipts.record_kept(tx, early.about(tx, doubtful))


def hold(tx: Tx, results: Sequence[AttemptResult]) -> None:
    """Keep the claims whose results could not be recorded: another dispatcher would make their attempts once more."""
    renew(tx, [(result.claim.id, result.claim.lease_id) for result in results], tx.now + HELD_MS)


def _note(tx: Tx, provider: str, results: Sequence[AttemptResult]) -> list[Told]:
    """Write what the answers make of a provider's health."""
    config = providers.lock(tx, provider)
    if config is None:
        return []
    answers = [_answer(result) for result in results if result.claim.provider == provider]
    chance = random.random()  # noqa: S311
    health, news = config.health.after(answers, config.updated_at, tx.now, chance)
    heard = [(each.sender, each.outcome) for each in answers]
    held = senders.after(senders.parse(config.health.held_senders), heard, tx.now, chance)
    health = replace(health, held_senders=senders.text(held))
    if health != config.health:
        providers.set_health(tx, config.id, health)
    _account(tx, config.id, provider, news)
    return [Told(provider, each.text, each.is_good) for each in news]


def _answer(result: AttemptResult) -> Answer:
    claim = result.claim
    return Answer(result.outcome, claim.message.to, claim.version, claim.probe, senders.sender_of(claim.message))


def _account(tx: Tx, provider_id: str, provider: str, news: Sequence[News]) -> None:
    for each in news:
        tx.audit(each.action, "provider", [(provider_id, {"provider": provider, "reason": each.reason})])
