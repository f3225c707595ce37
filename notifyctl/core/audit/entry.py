"""What is read of a row of the audit trail, and which of them are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.audit.words import ACTIONS, RESOURCES
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What was done to a resource, when (milliseconds since the epoch) and by whom.

    `user_id` is the user who acted, and None once that one is deleted; `actor_id` and `actor` stay. `position` is the
    row's place in the chain, None as long as it is not sealed.
    """

    id: str
    created_at: int
    action: str
    resource_type: str
    resource_id: str | None
    user_id: str | None
    actor_id: str | None
    actor: str | None
    key_id: str | None
    ip_address: str | None
    user_agent: str | None
    reason: str | None
    changes: Mapping[str, Any]
    mac: str | None
    position: int | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: those of an actor and a key, of one action, on a resource, `since` and before `until`.

    The actor is a user (`user_id`, found by an index), one who was deleted (`actor_id`), or anybody by name (`actor`).
    """

    user_id: str | None = None
    actor_id: str | None = None
    actor: str | None = None
    key_id: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    since: int | None = None
    until: int | None = None


def checked_action(text: str) -> str:
    """Return an action of the vocabulary. Raises UsageError for another word."""
    if text not in ACTIONS:
        raise UsageError(f"--action: {text!r} is no action of the audit trail", "notifyctl audit actions lists them")
    return text


def checked_resource(text: str) -> tuple[str, str | None]:
    """Return type and id of TYPE[/ID]. Raises UsageError for a type that there is not, and an empty id."""
    kind, slash, id_ = text.partition("/")
    if kind not in RESOURCES:
        raise UsageError(f"--resource: {kind!r} is none of {', '.join(RESOURCES)}", "--resource TYPE or TYPE/ID")
    if slash and not id_:
        raise UsageError(f"--resource: there is no id after {kind}/", "--resource TYPE or TYPE/ID")
    return kind, id_ or None
