"""Which provider takes what another one cannot deliver now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from notifyctl.core import history
from notifyctl.core.change import Change, Retry
from notifyctl.core.decide import Attempt
from notifyctl.core.outcome import Kind, Outcome, describe

FAILURES = 2
"""So often a provider has to fail a notification, transiently, before another one gets it."""


def stand_ins(preferred: Sequence[tuple[str, bool]]) -> dict[str, tuple[str, ...]]:
    """Return for whom the best provider that works stands in, by its name.

    `preferred` has the providers of one channel, the preferred first, and whether each fails.
    """
    best = next((name for name, fails in preferred if not fails), None)
    failing = tuple(name for name, fails in preferred if fails)
    return {best: failing} if best is not None and failing else {}


def elsewhere(change: Change, attempt: Attempt, others: Sequence[str]) -> Change:
    """Return the change, with the first of `others` that has not tried it where its provider failed often enough.

    Never for one that may have gone out, nor for one that was submitted for its provider.
    """
    if not isinstance(change, Retry) or not change.fails_over:
        return change
    giver, past = attempt.claim.provider, history.parse(change.retry_history)
    failed = [each for each in past if each.get("provider") == giver and _is_transient(each)]
    tried = {each.get(key) for each in past for key in ("provider", "from", "to")}
    to = next((name for name in others if name not in tried), None)
    if not _is_transient(past[-1]) or len(failed) < FAILURES or to is None:
        return change
    reason = f"{giver} failed {len(failed)} times: {change.error_message}"
    moved = entry(giver, to, attempt.ended_at, reason)
    return replace(change, provider=to, retry_history=history.append(change.retry_history, moved))


def back(attempt: Attempt, outcome: Outcome) -> Retry | None:
    """Return that it goes back to whom it came from, and stays there, where no request could be made of it.

    None where it came from nobody or has been sent back before, or where that is not what went wrong. The attempt is
    given back.
    """
    claim = attempt.claim
    if outcome.asked or outcome.kind is not Kind.PERMANENT or not claim.fails_over:
        return None
    home = _came_from(claim.retry_history, claim.provider)
    if home is None:
        return None
    reason = f"{claim.provider} cannot deliver it: {describe(outcome)}"
    return Retry(
        claim,
        due_at=claim.due_at,
        attempt_count=attempt.given_back,
        error_message=reason,
        provider_response=None,
        retry_history=history.append(claim.retry_history, entry(claim.provider, home, attempt.ended_at, reason)),
        fails_over=False,
        provider=home,
    )


def entry(giver: str, taker: str, at: int, reason: str) -> dict[str, Any]:
    """Return what `retry_history` keeps of a change of the provider, at `at` (milliseconds since the epoch)."""
    return {"event": "failover", "from": giver, "to": taker, "at": at, "reason": reason}


def _came_from(retry_history: str | None, provider: str) -> str | None:
    moves = [each for each in history.parse(retry_history) if each.get("event") == "failover"]
    last: Mapping[str, Any] = moves[-1] if moves else {}
    return str(last["from"]) if last.get("to") == provider and last.get("from") else None


def _is_transient(past: Mapping[str, Any]) -> bool:
    return past.get("outcome") == Kind.TRANSIENT.value
