"""What was done to a thing lately: entries of the audit trail, in its `show` and in the JSON of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from notifyctl.cli.invocation import Invocation
from notifyctl.cli.output import iso
from notifyctl.core.audit.entry import AuditEntry

_ABOUT = ("provider", "user_id")
"""What a change says of whom it is about, and not of what became of it."""


def entry(event: AuditEntry) -> dict[str, Any]:
    """Return one event as JSON has it."""
    said = {name: getattr(event, name) for name in ("action", "actor", "user_agent", "reason", "changes")}
    username = event.actor if event.actor_id else None
    return {"created_at": iso(event.created_at), "username": username, **said, "audit_id": event.id}


def write(run: Invocation, events: Sequence[AuditEntry]) -> None:
    """Write a line an event: when, what, why, who."""
    for event in events:
        given = event.reason or event.changes.get("reason")
        why = given or ", ".join(name for name in event.changes if name not in _ABOUT) or "-"
        who = event.actor or event.user_agent or "-"
        run.out.hanging(f"{run.out.time(event.created_at)}  {event.action:<9}  ", f"{why}  ({who})")
