"""The audit trail: its one writer, to be called in the transaction that makes the change, and what it says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from notifyctl.core.model import Actor
from notifyctl.store.tables import audit_logs, users


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done to a resource, when (milliseconds since the epoch) and by whom: a user, else a program."""

    created_at: int
    action: str
    username: str | None
    user_agent: str | None
    changes: Mapping[str, Any]


def record(
    conn: Connection,
    actor: Actor,
    action: str,
    resource_type: str,
    changed: Sequence[tuple[str | None, Mapping[str, Any]]],
    now: int,
) -> None:
    """Write one row for each changed resource: its id and `{"field": [old, new]}` or other facts. Never a secret."""
    if not changed:
        return
    conn.execute(
        insert(audit_logs),
        [
            {
                "id": str(uuid.uuid4()),
                "user_id": actor.user_id,
                "action": action,
                "resource_type": resource_type,
                "resource_id": resource_id,
                "user_agent": actor.agent,
                "changes": json.dumps(changes, ensure_ascii=False, separators=(",", ":"), default=str),
                "created_at": now,
            }
            for resource_id, changes in changed
        ],
    )


def newest(conn: Connection, resource_type: str, resource_id: str, limit: int) -> list[Entry]:
    """Return what was done to a resource last, the newest first."""
    a = audit_logs.c
    rows = conn.execute(
        select(a.created_at, a.action, users.c.username, a.user_agent, a.changes)
        .select_from(audit_logs.outerjoin(users, users.c.id == a.user_id))
        .where(a.resource_type == resource_type, a.resource_id == resource_id)
        .order_by(a.created_at.desc(), a.id)
        .limit(limit)
    )
    return [Entry(*row[:4], _parsed(row.changes)) for row in rows]


def _parsed(changes: str | None) -> dict[str, Any]:
    try:
        found = json.loads(changes or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
