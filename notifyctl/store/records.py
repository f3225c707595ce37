"""Recording what attempts came to: one transaction for whatever has gathered, fenced by each row's lease id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from notifyctl.core import history
from notifyctl.core.decide import Bury, Retry, Sent, Transition
from notifyctl.core.model import Actor, Claim
from notifyctl.core.outcome import Outcome
from notifyctl.core.receipt import FIRST_QUESTION_MS
from notifyctl.store import audit, flow, metrics, suppressions, transitions
from notifyctl.store.dialect import Dialect
from notifyctl.store.transitions import Acceptance, Burial, Return


@dataclass(frozen=True, slots=True)
class Release:
    """No call was begun: the attempt and the place in the queue are given back."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one claim came to. `outcome` is what the provider had to say, None where it had no say."""

    claim: Claim
    transition: Transition | Release
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a batch changed beside its rows: ids whose lease was lost meanwhile, and what became of providers."""

    stale: frozenset[str]
    changes: tuple[flow.Change, ...] = ()


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
    # Last: of all that is written here, only this do other dispatchers wait for.
    changes = flow.note(conn, dialect, [(r.claim, r.outcome) for r in held], actor, now)
    return Report(frozenset(r.claim.id for r in results) - changed, tuple(changes))


def _acceptance(claim: Claim, sent: Sent) -> Acceptance:
    asked = claim.traced and sent.provider_message_id is not None
    due = sent.at + FIRST_QUESTION_MS if asked else None
    return Acceptance(claim.id, claim.lease_id, sent.at, sent.provider_message_id, sent.response, due)


def _return(claim: Claim, transition: Retry | Release) -> Return:
    if isinstance(transition, Release):
        return Return(claim.id, claim.lease_id, claim.due_at, claim.attempt - 1)
    past, move = history.append(claim.retry_history, transition.entry), transition.move
    if move is not None and move.entry is not None:
        past = history.append(past, move.entry)
    return Return(
        claim.id,
        claim.lease_id,
        transition.due_at,
        transition.attempts,
        transition.error,
        transition.response,
        past,
        transition.fails_over,
        None if move is None else move.to,
    )


def _burial(claim: Claim, bury: Bury) -> Burial:
    past = history.append(claim.retry_history, bury.entry)
    return Burial(claim.id, claim.lease_id, bury.at, bury.category, bury.error, bury.response, past, bury.fails_over)


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
