"""Recording what attempts came to: one transaction for whatever has gathered, fenced by each row's lease id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from notifyctl.core import history
from notifyctl.core.decide import Bury, Retry, Sent, Transition
from notifyctl.core.model import Actor, Claim
from notifyctl.store import audit, metrics, providers, suppressions, transitions
from notifyctl.store.dialect import Dialect
from notifyctl.store.transitions import Acceptance, Burial, Return


@dataclass(frozen=True, slots=True)
class Release:
    """No call was begun: the attempt and the place in the queue are given back."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one claim came to."""

    claim: Claim
    transition: Transition | Release


@dataclass(frozen=True, slots=True)
class Report:
    """What a batch changed beside its rows: ids whose lease was lost meanwhile, and providers paused just now."""

    stale: frozenset[str]
    paused: tuple[tuple[str, str], ...]


def record(conn: Connection, dialect: Dialect, results: Sequence[Result], actor: Actor, now: int) -> Report:
    """Write a batch. Nothing is changed for a row that no longer carries the claim's lease id."""
    accepted = [_acceptance(r.claim, r.transition) for r in results if isinstance(r.transition, Sent)]
    returned = [_return(r.claim, r.transition) for r in results if isinstance(r.transition, Retry | Release)]
    buried = [_burial(r.claim, r.transition) for r in results if isinstance(r.transition, Bury)]
    changed: set[str] = set()
    if accepted:
        changed |= transitions.accept(conn, dialect, accepted)
    if returned:
        changed |= transitions.give_back(conn, dialect, returned)
    if buried:
        changed |= transitions.bury(conn, dialect, buried)
    held = [result for result in results if result.claim.id in changed]
    metrics.mark_dirty(conn, [r.claim.metric_at for r in held if not isinstance(r.transition, Retry | Release)], now)
    _suppress(conn, dialect, held, actor, now)
    paused = tuple(_pause(conn, dialect, held, actor, now))
    return Report(frozenset(r.claim.id for r in results) - changed, paused)


def _acceptance(claim: Claim, sent: Sent) -> Acceptance:
    return Acceptance(claim.id, claim.lease_id, sent.at, sent.provider_message_id, sent.response)


def _return(claim: Claim, transition: Retry | Release) -> Return:
    if isinstance(transition, Release):
        return Return(claim.id, claim.lease_id, claim.due_at, claim.attempt - 1)
    past = history.append(claim.retry_history, transition.entry)
    return Return(
        claim.id,
        claim.lease_id,
        transition.due_at,
        transition.attempts,
        transition.error,
        transition.response,
        past,
    )


def _burial(claim: Claim, bury: Bury) -> Burial:
    past = history.append(claim.retry_history, bury.entry)
    return Burial(claim.id, claim.lease_id, bury.at, bury.category, bury.error, bury.response, past)


def _suppress(conn: Connection, dialect: Dialect, held: Sequence[Result], actor: Actor, now: int) -> None:
    dead = [
        (r.claim.message.channel.value, r.claim.message.to, r.transition.error, r.claim.id)
        for r in held
        if isinstance(r.transition, Bury) and r.transition.suppress and r.claim.message.to
    ]
    if dead:
        suppressions.add(conn, dialect, dead, now)
        changes = [(None, {"channel": channel, "reason": why, "notification": id_}) for channel, _, why, id_ in dead]
        audit.record(conn, actor, "suppress", "contact_point", changes, now)


def _pause(
    conn: Connection, dialect: Dialect, held: Sequence[Result], actor: Actor, now: int
) -> Iterable[tuple[str, str]]:
    """Pause the providers whose configuration failed; one that was changed since the attempt began is left alone."""
    reasons = {
        (r.claim.provider, r.claim.provider_version): r.transition.pause
        for r in held
        if isinstance(r.transition, Retry) and r.transition.pause
    }
    for (provider, version), reason in reasons.items():  # one or two: a batch is of few providers
        config = providers.get(conn, provider)
        if config is None or config.updated_at != version:
            continue
        if providers.pause(conn, dialect, provider, reason, now):
            changes = {"provider": provider, "reason": reason}
            audit.record(conn, actor, "pause", "provider", [(config.id, changes)], now)
            yield provider, reason
