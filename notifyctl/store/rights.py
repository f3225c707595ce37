"""What a dispatcher has to be allowed: looked at once when it enters, and not found out with a result in its hands."""

from __future__ import annotations

from notifyctl.core.errors import NotAllowed
from notifyctl.store.db.tx import Tx

DISPATCHING = {
    "adopted_policy": ("SELECT", "INSERT", "UPDATE"),
    "alembic_version": ("SELECT",),
    "attachment_pieces": ("SELECT",),
    "attachments": ("SELECT", "UPDATE", "DELETE"),
    "audit_logs": ("INSERT",),
    "batches": ("SELECT",),
    "cap_usage": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "categories": ("SELECT",),
    "category_opt_outs": ("SELECT",),
    "contact_points": ("SELECT",),
    "dispatchers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "early_receipts": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "metrics_dirty_hours": ("SELECT", "INSERT", "DELETE"),
    "notification_dlq": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "notification_metrics": ("SELECT", "INSERT", "UPDATE"),
    "notification_preferences": ("SELECT", "UPDATE"),
    "notification_attachments": ("SELECT",),
    "notification_templates": ("SELECT",),
    "notification_webhooks": ("SELECT", "UPDATE"),
    "notifications": ("SELECT", "UPDATE"),
    "provider_configs": ("SELECT", "UPDATE"),
    "provider_states": ("SELECT", "INSERT", "UPDATE"),
    "rate_limits": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "signing_keys": ("SELECT", "INSERT"),
    "suppressions": ("SELECT", "INSERT", "UPDATE"),
    "template_versions": ("SELECT",),
    "user_limits": ("SELECT",),
    "users": ("SELECT", "UPDATE"),
    "webhook_deliveries": ("SELECT", "INSERT", "UPDATE"),
}
"""What dispatching does with each table. Some of its UPDATEs are what locking rows takes."""

SUBMITTING = {"notifyctl_submit": ("EXECUTE",), "notifyctl_submit_many": ("EXECUTE",)}
"""What submitting in SQL does with each function; beside USAGE of their schema nothing else is needed."""


def require_dispatching(tx: Tx) -> None:
    """Raise NotAllowed naming what a dispatcher would lack, and what grants it."""
    lacking = tx.dialect.lacking(tx.conn, DISPATCHING)
    if lacking:
        raise NotAllowed(
            f"a dispatcher also needs {', '.join(lacking)}",
            f"{'; '.join(f'GRANT {each} TO its role' for each in lacking)}",
        )
