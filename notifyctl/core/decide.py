"""What to record after an attempt: one pure function from the outcome to the change of the notification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from notifyctl.core import history, spelling
from notifyctl.core.backoff import backoff_ms, growing_ms
from notifyctl.core.change import Bury, Change, Retry, Sent
from notifyctl.core.mailbox import bare_address
from notifyctl.core.model import Category, Claim, OnUnknown
from notifyctl.core.outcome import Blame, Kind, Outcome, describe
from notifyctl.core.receipt import FIRST_QUESTION_MS
from notifyctl.core.suppression import Refusal
from notifyctl.core.text import clean, one_line


class Attempt(NamedTuple):
    """An attempt that ended; times are milliseconds since the epoch. A tuple: there is one for every notification."""

    claim: Claim
    began_at: int
    ended_at: int

    @property
    def given_back(self) -> int:
        """The count of attempts without this one."""
        return self.claim.attempt - 1


def veiled(claim: Claim, outcome: Outcome) -> Outcome:
    """Return what a provider said without the claim's address, where that is sealed where it is stored.

    Of all that comes of an answer, as of a provider's pause, nothing is to know more than this.
    """
    if not claim.veiled:
        return outcome
    address = claim.message.to or ""

    def without(text: str) -> str:
        return spelling.without(address, text)

    return replace(
        outcome,
        message=without(outcome.message),
        code=outcome.code and without(outcome.code),
        response=outcome.response and without(outcome.response),
        refusals=tuple(replace(each, reason=without(each.reason)) for each in outcome.refusals),
    )


def decide(
    attempt: Attempt,
    outcome: Outcome,
    chance: float,
    on_unknown: OnUnknown = OnUnknown.RETRY,
    *,
    others_go: bool = False,
) -> Change:
    """Return what to record. `chance` is a uniform draw from [0, 1) for the jitter.

    `others_go`: the sender that is configured reaches others, so that a refusal of it is about this message.
    """
    if outcome.kind is Kind.ACCEPTED:
        return _sent(attempt, outcome)
    if outcome.kind in (Kind.PERMANENT, Kind.RECIPIENT):
        dead = outcome.kind is Kind.RECIPIENT
        return _bury(attempt, outcome, Category.INVALID_RECIPIENT if dead else outcome.category)
    if outcome.kind is Kind.CONFIG and (attempt.claim.probe or not outcome.is_doubtful):
        # Not the notification's fault: the attempt is given back, and the paused provider holds it.
        return _again(attempt, outcome, wait_ms=0, attempts=attempt.given_back)
    if outcome.kind is Kind.THROTTLED or not outcome.counts:
        return _again(attempt, outcome, _slower(attempt, outcome, chance), attempts=attempt.given_back)
    if others_go and outcome.is_doubtful and outcome.blames is not Blame.TARGET:
        return _bury(attempt, outcome, outcome.category)
    return _tried(attempt, outcome, chance, on_unknown)


def _tried(attempt: Attempt, outcome: Outcome, chance: float, on_unknown: OnUnknown) -> Change:
    """Return that it is tried once more, while there are attempts."""
    claim = attempt.claim
    if outcome.kind is Kind.UNKNOWN and on_unknown is OnUnknown.HOLD:
        return _bury(attempt, outcome, Category.OUTCOME_UNKNOWN)
    if claim.attempt > claim.max_retries:
        return _bury(attempt, outcome, _EXHAUSTED.get(outcome.kind, Category.RETRIES_EXHAUSTED))
    wait = backoff_ms(claim.attempt, chance, outcome.retry_after_ms)
    return _again(attempt, outcome, wait, attempts=claim.attempt)


_EXHAUSTED: Mapping[Kind, Category] = {
    Kind.UNKNOWN: Category.OUTCOME_UNKNOWN,
    Kind.CONFIG: Category.PROVIDER_REJECTED,
}


def _slower(attempt: Attempt, outcome: Outcome, chance: float) -> int:
    """Return the wait of what uses up no attempt: it grows with each time in a row, else nothing would slow it down."""
    times = history.in_a_row(attempt.claim.retry_history, outcome.kind.value) + 1
    if outcome.retry_after_ms is not None:
        return backoff_ms(times, chance, outcome.retry_after_ms)
    return growing_ms(times, chance)


def _sent(attempt: Attempt, outcome: Outcome) -> Sent:
    message_id = _short(outcome.provider_message_id, 255)
    asked = attempt.claim.polled and message_id is not None
    due = attempt.ended_at + FIRST_QUESTION_MS if asked else None
    return Sent(attempt.claim, attempt.ended_at, message_id, _response(outcome), due, outcome.refusals)


def _again(attempt: Attempt, outcome: Outcome, wait_ms: int, attempts: int) -> Retry:
    claim = attempt.claim
    return Retry(
        claim,
        due_at=attempt.ended_at + wait_ms,
        attempt_count=attempts,
        error_message=describe(outcome),
        provider_response=_response(outcome),
        retry_history=history.append(claim.retry_history, entry_of(attempt, outcome, wait_ms)),
        fails_over=_may_still_fail_over(claim, outcome),
        provider=claim.provider,
        in_doubt=outcome.kind is Kind.UNKNOWN,
    )


def _bury(attempt: Attempt, outcome: Outcome, category: Category) -> Bury:
    claim = attempt.claim
    return Bury(
        claim,
        failed_at=attempt.ended_at,
        attempt_count=claim.attempt if outcome.asked else claim.attempt - 1,  # an attempt is a call
        last_attempted=claim.claimed_at,
        error_message=describe(outcome),
        provider_response=_response(outcome),
        retry_history=history.append(claim.retry_history, entry_of(attempt, outcome, None)),
        fails_over=_may_still_fail_over(claim, outcome),
        category=category,
        refusals=_refusals(attempt, outcome),
    )


def _refusals(attempt: Attempt, outcome: Outcome) -> tuple[Refusal, ...]:
    to = attempt.claim.message.to
    if outcome.kind is not Kind.RECIPIENT or to is None:
        return outcome.refusals
    return Refusal(bare_address(to), outcome.cause, describe(outcome)), *outcome.refusals


def _may_still_fail_over(claim: Claim, outcome: Outcome) -> bool:
    return claim.fails_over and outcome.kind is not Kind.UNKNOWN  # else it may have gone out


def _response(outcome: Outcome) -> str | None:
    return clean(outcome.response) if outcome.response else None


def _short(text: str | None, limit: int) -> str | None:
    return one_line(text, limit) if text else None


def entry_of(attempt: Attempt, outcome: Outcome, wait_ms: int | None) -> dict[str, Any]:
    """Return the attempt as `retry_history` keeps it."""
    claim = attempt.claim
    address = None if claim.veiled else claim.message.to
    return _entry(claim.attempt, claim.provider, attempt.began_at, attempt.ended_at, outcome, wait_ms, address)


def entry_of_lost(
    number: int, provider: str, began_at: int, ended_at: int, why: str, address: str | None
) -> dict[str, Any]:
    """Return an attempt of which nobody knows what came, as `retry_history` keeps it."""
    return _entry(number, provider, began_at, ended_at, Outcome(Kind.UNKNOWN, why), None, address)


def _entry(
    number: int,
    provider: str,
    began_at: int,
    ended_at: int,
    outcome: Outcome,
    wait_ms: int | None,
    address: str | None,
) -> dict[str, Any]:
    return {
        "attempt": number,
        "provider": provider,
        "address": address,
        "began_at": began_at,
        "ended_at": ended_at,
        "outcome": outcome.kind.value,
        "code": _short(outcome.code, 60),
        "http_status": outcome.http_status,
        "message": one_line(outcome.message),
        "wait_ms": wait_ms,
    }
