"""The attempts of one notification, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.output import iso
from notifyctl.core import history, json_codec
from notifyctl.core.audience import needs_address, own_address
from notifyctl.core.duration import show_ms
from notifyctl.core.model import Channel
from notifyctl.core.notification import Notification, State
from notifyctl.core.outcome import Kind as OutcomeKind
from notifyctl.core.text import one_line

AttemptEntry = dict[str, Any]
LAST_MOMENT_MS = 253_402_300_799_000
"""The year 9999 ends, and with it what can be written as ISO 8601."""


def of(row: Notification) -> list[AttemptEntry]:
    """Return every attempt and event, oldest first: the history, and the attempt that ended well or still runs."""
    began = None if row.last_attempted is None else iso(row.last_attempted)
    last = {
        "attempt": row.attempt_count,
        "provider": row.provider,
        "address": address_of(row),
        "began_at": began,
    }
    if row.sent_at is not None and not _is_known_by_receipt(row):
        return [*past(row.retry_history), {**last, "ended_at": iso(row.sent_at), "outcome": OutcomeKind.ACCEPTED.value}]
    if row.state in (State.IN_FLIGHT, State.UNKNOWN):
        return [*past(row.retry_history), {**last, "ended_at": None, "outcome": row.state}]
    return past(row.retry_history)


def address_of(row: Notification) -> str | None:
    """Return where the last attempt went, or where the content says that it goes; None before it is known."""
    channel = Channel(row.message_type)
    content: dict[str, Any] = json_codec.stored(row.payload, {})
    if not needs_address(channel, content):
        return None
    own = own_address(channel, content)
    return own or (row.sent_to if row.attempt_count else None)


def _is_known_by_receipt(row: Notification) -> bool:
    """Return whether the attempt that ended well is one of which nobody knew it at first."""
    entries = history.parse(row.retry_history)
    return bool(entries) and entries[-1].get("event") == "receipt"


def past(retry_history: str | None) -> list[AttemptEntry]:
    """Return the entries of a stored history, their times as ISO 8601."""
    return [{key: _shown(key, value) for key, value in entry.items()} for entry in history.parse(retry_history)]


def write(run: Invocation, entries: Sequence[AttemptEntry]) -> None:
    """Write the attempts for a person, each with its message on a line of its own."""
    for entry in entries:
        _write_one(run, entry)


def _write_one(run: Invocation, entry: AttemptEntry) -> None:
    began, ended = _ms(entry.get("began_at")), _ms(entry.get("ended_at"))
    at = began if began is not None else _ms(entry.get("retried_at") or entry.get("at"))
    took = show_ms(ended - began) if began is not None and ended is not None else "-"
    outcome = entry.get("outcome") or entry.get("event") or "-"
    why = entry.get("code") or entry.get("http_status") or entry.get("reason") or ""
    if entry.get("event") == "failover":
        why = f"to {entry.get('to')}: {why}"
    if entry.get("times"):
        why = f"{why} ({entry['times']} times)".lstrip()
    number = str(entry.get("attempt") or "-")
    run.out.hanging(f"{number:>3}  {run.out.time(at)}  {took:>6}  {f'{outcome!s:<12}  ' if why else outcome}", str(why))
    where = f"to {entry['address']}" if entry.get("address") else None
    if more := ": ".join(one_line(str(each)) for each in (where, entry.get("message")) if each):
        run.out.hanging("     ", more)


def _ms(moment: Any) -> int | None:
    try:
        return round(datetime.fromisoformat(moment).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):  # whatever somebody else stored there
        return None


def _shown(key: str, value: Any) -> Any:
    is_moment = (key == "at" or key.endswith("_at")) and type(value) is int and 0 <= value <= LAST_MOMENT_MS
    return iso(value) if is_moment else value
