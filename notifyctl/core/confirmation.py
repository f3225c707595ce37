"""A receipt as the answer to an attempt of which nobody knew what came: the provider took it. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core import history
from notifyctl.core.change import Confirm, ConfirmCancelled, ConfirmFailed, Subject
from notifyctl.core.decide import entry_of_lost
from notifyctl.core.model import Status
from notifyctl.core.outcome import Kind
from notifyctl.core.receipt import Arrival
from notifyctl.core.weigh import Addressee

LOST = "the dispatcher was lost in the call; nobody knows what came of it"
# Of an attempt that ended so, the provider may have the message all the same; and if it speaks of it, it has.
_IN_DOUBT = frozenset({Kind.UNKNOWN.value, Kind.TRANSIENT.value})
_KINDS: Mapping[str, type[Confirm]] = {
    Status.PENDING: Confirm,
    Status.FAILED: ConfirmFailed,
    Status.CANCELLED: ConfirmCancelled,
}


def answer(row: Addressee, arrival: Arrival, provider: str, now: int) -> Confirm | None:
    """Return that a notification is sent after all, where a provider's receipt answers an attempt in doubt.

    So it is where no attempt is known at all: the provider has it from a dispatcher of whom the database tells nothing
    any more, since it was put back from a backup. None while a dispatcher works on it (its result is waited for), and
    where no attempt by that provider is in doubt.
    """
    if row.status == Status.PENDING and row.lease_id is not None:
        if row.provider != provider or (row.leased_until or 0) > now:
            return None
        past = with_lost(
            row.retry_history, row.attempt_count, provider, row.last_attempted or row.sent_at, now, row.noted
        )
        return confirmed(row, row.heard(arrival), provider, past, row.last_attempted, now)
    kind = _KINDS.get(row.status)
    if kind is None:
        return None
    attempts = history.parse(row.retry_history)
    doubtful = [each for each in attempts if _is_in_doubt(each, provider, arrival.attempt)]
    if not doubtful and not (row.status == Status.PENDING and _was_never_tried(row, attempts)):
        return None
    began = doubtful[-1].get("began_at") if doubtful else _told_at(arrival)
    at = began if isinstance(began, int) else row.last_attempted
    return confirmed(row, row.heard(arrival), provider, row.retry_history, at, now, kind=kind)


def with_lost(past: str | None, attempt: int, provider: str, began_at: int, now: int, address: str | None) -> str:
    """Return a history with the attempt that was in flight when its dispatcher was lost."""
    return history.append(past, entry_of_lost(attempt, provider, began_at, now, LOST, address))


def confirmed(
    of: Subject,
    arrival: Arrival,
    provider: str,
    past: str | None,
    began_at: int | None,
    now: int,
    *,
    kind: type[Confirm] = Confirm,
) -> Confirm:
    """Return the change; it is taken to have been sent when its attempt began (milliseconds), which is known."""
    said = "" if arrival.receipt is None else arrival.receipt.text
    return kind(
        of,
        provider=provider,
        sent_at=now if began_at is None else min(began_at, now),
        provider_message_id=arrival.provider_message_id,
        retry_history=history.append(past, {"event": "receipt", "at": now, "reason": said}),
        said=said,
    )


def _was_never_tried(row: Addressee, attempts: Sequence[Mapping[str, Any]]) -> bool:
    return not row.attempt_count and not any("attempt" in each for each in attempts)


def _told_at(arrival: Arrival) -> int | None:
    return None if arrival.receipt is None else arrival.receipt.at


def _is_in_doubt(entry: Mapping[str, Any], provider: str, attempt: int | None) -> bool:
    ours = entry.get("provider") == provider and entry.get("outcome") in _IN_DOUBT
    return ours and attempt in (None, entry.get("attempt"))
