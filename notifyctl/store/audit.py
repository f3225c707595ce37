"""The one writer of the audit trail. Call it in the transaction that makes the change."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from notifyctl.core.model import Actor
from notifyctl.store.tables import audit_logs


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
