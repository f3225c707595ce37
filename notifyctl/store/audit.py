"""What the audit trail says. `Tx.audit` writes it, in the transaction that makes the change."""

from __future__ import annotations

from sqlalchemy import select

from notifyctl.core.json_codec import stored
from notifyctl.core.model import AuditEntry
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_logs, users


def newest(tx: Tx, resource_type: str, resource_id: str, limit: int) -> list[AuditEntry]:
    """Return what was done to a resource last, the newest first."""
    a = audit_logs.c
    rows = tx.execute(
        select(a.created_at, a.action, users.c.username, a.user_agent, a.changes)
        .select_from(audit_logs.outerjoin(users, users.c.id == a.user_id))
        .where(a.resource_type == resource_type, a.resource_id == resource_id)
        .order_by(a.created_at.desc(), a.id)
        .limit(limit)
    )
    return [
        AuditEntry(row.created_at, row.action, row.username, row.user_agent, stored(row.changes, {})) for row in rows
    ]
