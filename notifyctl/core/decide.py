"""What becomes of a notification after an attempt: one pure function from outcome to transition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from notifyctl.core.backoff import backoff_ms
from notifyctl.core.model import Category, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.text import clean, one_line


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that ended. `number` is 1 for the first; times are milliseconds since the epoch."""

    number: int
    max_retries: int
    provider: str
    began_at: int
    ended_at: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A provider accepted it."""

    at: int
    provider_message_id: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """It goes to the provider `to`; `entry` is what the history says of that, unless it has it already."""

    to: str
    entry: dict[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """It is pending again and due at `due_at`. `attempts` is what the row counts from now on.

    Without `fails_over` no other provider may take it from now on: it may have gone out.
    """

    due_at: int
    attempts: int
    error: str
    response: str | None
    entry: dict[str, Any] = field(hash=False)
    fails_over: bool = True
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """It will not be tried again by itself. `suppress`: the address is dead as well. `fails_over` as of `Retry`."""

    at: int
    category: Category
    error: str
    response: str | None
    entry: dict[str, Any] = field(hash=False)
    suppress: bool = False
    fails_over: bool = True


Transition = Sent | Retry | Bury


def decide(attempt: Attempt, outcome: Outcome, chance: float, on_unknown: OnUnknown = OnUnknown.RETRY) -> Transition:
    """Return what to record. `chance` is a uniform draw from [0, 1) for the jitter."""
    response = clean(outcome.response) if outcome.response else None
    if outcome.kind is Kind.ACCEPTED:
        return Sent(attempt.ended_at, _short(outcome.provider_message_id, 255), response)
    if outcome.kind in (Kind.PERMANENT, Kind.RECIPIENT):
        dead = outcome.kind is Kind.RECIPIENT
        category = Category.INVALID_RECIPIENT if dead else outcome.category
        return _bury(attempt, outcome, response, category, suppress=dead)
    if outcome.kind is Kind.CONFIG:
        # Not the notification's fault: the attempt is given back, and the paused provider holds it.
        return _again(attempt, outcome, response, wait_ms=0, attempts=attempt.number - 1)
    wait = backoff_ms(attempt.number, chance, outcome.retry_after_ms)
    if outcome.kind is Kind.THROTTLED:
        return _again(attempt, outcome, response, wait, attempts=attempt.number - 1)
    if outcome.kind is Kind.UNKNOWN and on_unknown is OnUnknown.HOLD:
        return _bury(attempt, outcome, response, Category.OUTCOME_UNKNOWN)
    if attempt.number > attempt.max_retries:
        unknown = outcome.kind is Kind.UNKNOWN
        return _bury(attempt, outcome, response, Category.OUTCOME_UNKNOWN if unknown else Category.RETRIES_EXHAUSTED)
    return _again(attempt, outcome, response, wait, attempts=attempt.number)


def _again(attempt: Attempt, outcome: Outcome, response: str | None, wait_ms: int, attempts: int) -> Retry:
    return Retry(
        due_at=attempt.ended_at + wait_ms,
        attempts=attempts,
        error=describe(outcome),
        response=response,
        entry=entry_of(attempt, outcome, wait_ms),
        fails_over=outcome.kind is not Kind.UNKNOWN,
    )


def _bury(
    attempt: Attempt, outcome: Outcome, response: str | None, category: Category, *, suppress: bool = False
) -> Bury:
    return Bury(
        at=attempt.ended_at,
        category=category,
        error=describe(outcome),
        response=response,
        entry=entry_of(attempt, outcome, None),
        suppress=suppress,
        fails_over=outcome.kind is not Kind.UNKNOWN,
    )


def _short(text: str | None, limit: int) -> str | None:
    return one_line(text, limit) if text else None


def describe(outcome: Outcome) -> str:
    """Return the outcome on one line: the code, if any, and the message."""
    words, code = one_line(outcome.message) or outcome.kind.value, _short(outcome.code, 60)
    return words if not code or code in words else f"{code} {words}"


def entry_of(attempt: Attempt, outcome: Outcome, wait_ms: int | None) -> dict[str, Any]:
    """Return the attempt as `retry_history` keeps it."""
    return {
        "attempt": attempt.number,
        "provider": attempt.provider,
        "began_at": attempt.began_at,
        "ended_at": attempt.ended_at,
        "outcome": outcome.kind.value,
        "code": _short(outcome.code, 60),
        "http_status": outcome.http_status,
        "message": one_line(outcome.message),
        "wait_ms": wait_ms,
    }
