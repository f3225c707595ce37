"""Notifications that have ended, written straight into the tables."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import insert, update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_dlq, notifications
from tests.support import seed

ATTEMPT = {
    "attempt": 6,
    "provider": "sendgrid",
    "began_at": 1_500,
    "ended_at": 1_700,
    "outcome": "transient",
    "code": None,
    "http_status": 503,
    "message": "busy",
    "wait_ms": None,
}


def dead(
    db: Database,
    user_id: str,
    provider: str = "sendgrid",
    count: int = 1,
    reason: str = "retries_exhausted",
    at: int = 2_000,
    **values: Any,
) -> list[str]:
    """Write notifications that failed with their dead letters, buried at `at`, and return the notifications' ids."""
    history = json.dumps([ATTEMPT])
    failed = {
        "status": "failed",
        "attempt_count": 6,
        "last_attempted": 1_500,
        "failed_at": at,
        "error_message": "503 busy",
        "retry_history": history,
    }
    ids = seed.pending(db, user_id, provider, count, **{**failed, **values})
    rows = [
        {
            "id": str(uuid.uuid4()),
            "notification_id": id_,
            "failure_reason": reason,
            "retry_history": history,
            "moved_to_dlq_at": at,
        }
        for id_ in ids
    ]
    db.write(lambda tx: tx.execute(insert(notification_dlq), rows))
    return ids


def ended(db: Database, user_id: str, status: str, provider: str = "sendgrid", **values: Any) -> str:
    """Write one notification that was sent or cancelled and return its id."""
    [id_] = seed.pending(db, user_id, provider, status=status, **values)
    return id_


def change(db: Database, notification_id: str, **values: Any) -> None:
    """Change a notification's row behind everybody's back."""
    where = notifications.c.id == notification_id
    db.write(lambda tx: tx.execute(update(notifications).where(where).values(values)))
