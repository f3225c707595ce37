"""What an operator can do to one notification: the changes behind `cancel`, `reschedule` and `dlq retry`."""

from __future__ import annotations

from typing import Protocol

from notifyctl.core import history
from notifyctl.core.change import Cancel, Requeue, Reschedule, Restore, Subject
from notifyctl.core.deadletter import DeadLetter
from notifyctl.core.decide import entry_of_lost

BY_OPERATOR = "cancelled by an operator"
_TAKEN_OVER = "the dispatcher was lost in the call; an operator took it over"


class Pending(Subject, Protocol):
    """A pending notification without a running lease, as an operator's command reads it."""

    # ruff: noqa: D102
    @property
    def attempt_count(self) -> int: ...
    @property
    def last_attempted(self) -> int | None: ...
    @property
    def due_at(self) -> int: ...
    @property
    def send_at(self) -> int | None: ...
    @property
    def retry_history(self) -> str | None: ...
    @property
    def fails_over(self) -> bool: ...
    @property
    def sent_to(self) -> str | None: ...


def cancel(row: Pending, now: int) -> Cancel:
    """Return that it is cancelled."""
    past, clear = _past(row, now), row.lease_id is None
    fails_over = row.fails_over and clear
    return Cancel(row, BY_OPERATOR, row.attempt_count, row.last_attempted, past, fails_over, by_operator=True)


def reschedule(row: Pending, send_at: int, now: int, *, critical: bool = False) -> Reschedule:
    """Return that it is for another moment (milliseconds since the epoch), `critical` as well where that is said."""
    past, clear = _past(row, now), row.lease_id is None
    fails_over = row.fails_over and clear
    return Reschedule(row, send_at, send_at, past, fails_over, before=row.send_at, is_critical=critical or None)


def restore(row: Pending) -> Restore:
    """Return that its cancellation is taken back: it is due when it was."""
    return Restore(row, row.due_at)


def requeue(letter: DeadLetter, due_at: int, retries: int, now: int) -> Requeue:
    """Return that it gets `retries` attempts after the next one, from `due_at` on.

    The count of attempts stays, and the dead letter becomes an event in the notification's history.
    """
    event = {
        "event": "dead_letter",
        "reason": letter.failure_reason,
        "message": letter.error_message,
        "moved_to_dlq_at": letter.moved_to_dlq_at,
        "retried_at": now,
    }
    past = history.append(letter.history or letter.retry_history, event)
    return Requeue(letter.subject, due_at, letter.attempt_count + retries, past, letter.failure_reason)


def _past(row: Pending, now: int) -> str | None:
    """Return the history after the lease, if there is one, is taken away: its attempt's outcome stays unknown."""
    if row.lease_id is None:
        return row.retry_history
    began_at = row.last_attempted or row.due_at
    lost = entry_of_lost(row.attempt_count, row.provider, began_at, now, _TAKEN_OVER, row.sent_to)
    return history.append(row.retry_history, lost)
