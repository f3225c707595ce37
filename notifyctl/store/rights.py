"""Who may do what with each table: the one place from which the roles of PostgreSQL are made and checked.

A dispatcher looks at its own when it enters, and does not find out with a result in its hands.
"""

from __future__ import annotations

from notifyctl.core.errors import NotAllowed
from notifyctl.store.db.tx import Tx

_TOLD = 3

DISPATCHING = {
    "address_lookups": ("SELECT",),
    "adopted_policy": ("SELECT", "INSERT", "UPDATE"),
    "alembic_version": ("SELECT",),
    "attachment_pieces": ("SELECT",),
    "attachments": ("SELECT", "UPDATE", "DELETE"),
    "audit_anchors": ("SELECT", "INSERT"),
    "audit_logs": ("SELECT", "INSERT"),
    "audit_seals": ("SELECT", "INSERT"),
    "batches": ("SELECT",),
    "cap_usage": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "categories": ("SELECT",),
    "category_opt_outs": ("SELECT",),
    "condition_looks": ("SELECT", "INSERT", "UPDATE"),
    "conditions": ("SELECT", "INSERT", "UPDATE", "DELETE"),
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
    "provider_configs": ("SELECT",),
    "provider_states": ("SELECT", "INSERT", "UPDATE"),
    "rate_limits": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "signing_keys": ("SELECT", "INSERT"),
    "suppressions": ("SELECT", "INSERT", "UPDATE"),
    "template_versions": ("SELECT",),
    "user_limits": ("SELECT",),
    "users": ("SELECT",),
    "webhook_deliveries": ("SELECT", "INSERT", "UPDATE"),
}
"""What dispatching does with each table. Some of its UPDATEs are what locking rows takes."""

LOCKING = {"users": ("created_at",)}
"""Where locking rows is all that dispatching would change: what lets it do that, and reach nobody else's address."""

_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
ADMITTED = {"api_keys": ("SELECT",), "key_refusals": _ALL}
NOTING = {"api_keys": ("last_used_at",)}
"""What a dispatcher that acts for an API key needs besides: to look at it, to change that column, to note a refusal."""

OPERATING = {
    "address_lookups": _ALL,
    "adopted_policy": ("SELECT",),
    "alembic_version": ("SELECT",),
    "api_keys": _ALL,
    "attachment_pieces": ("SELECT", "INSERT", "DELETE"),
    "attachments": _ALL,
    "audit_anchors": ("SELECT", "INSERT"),
    "audit_logs": ("SELECT", "INSERT"),
    "audit_seals": ("SELECT", "INSERT"),
    "batches": ("SELECT", "INSERT", "UPDATE"),
    "cap_usage": _ALL,
    "categories": _ALL,
    "category_opt_outs": _ALL,
    "condition_looks": ("SELECT",),
    "conditions": ("SELECT",),
    "contact_points": _ALL,
    "dispatchers": ("SELECT",),
    "early_receipts": _ALL,
    "fixture_labels": _ALL,
    "key_refusals": _ALL,
    "metrics_dirty_hours": ("SELECT", "INSERT", "DELETE"),
    "notification_attachments": ("SELECT", "INSERT", "DELETE"),
    "notification_dlq": _ALL,
    "notification_metrics": ("SELECT", "INSERT", "UPDATE"),
    "notification_preferences": _ALL,
    "notification_templates": _ALL,
    "notification_webhooks": _ALL,
    "notifications": ("SELECT", "INSERT", "UPDATE"),
    "provider_configs": _ALL,
    "provider_states": _ALL,
    "rate_limits": _ALL,
    "signing_keys": ("SELECT", "INSERT", "UPDATE"),
    "suppressions": ("SELECT", "INSERT", "UPDATE"),
    "template_versions": _ALL,
    "user_limits": _ALL,
    "users": _ALL,
    "webhook_deliveries": _ALL,
}
"""What an operator's commands do with each table, but for migrating and dispatching."""

READING = {
    "address_lookups": ("id", "generation", "created_at"),
    "adopted_policy": ("id", "digest", "adopted_at", "woken_to"),
    "alembic_version": ("version_num",),
    "api_keys": ("id", "user_id", "scopes", "is_active", "expires_at", "last_used_at", "created_at"),
    "attachments": ("digest", "size"),
    "audit_anchors": ("id", "position", "seal", "kept_in", "created_at"),
    "audit_logs": ("id", "user_id", "action", "resource_type", "resource_id", "actor_id", "key_id", "created_at"),
    "audit_seals": ("position", "audit_id", "key_id", "seal", "sealed_at"),
    "batches": ("id", "hold", "held_at", "cancelled_at", "created_at", "updated_at"),
    "cap_usage": ("user_id", "channel", "day_began", "used"),
    "categories": ("id", "name", "kind", "description", "provider_group", "created_at", "updated_at"),
    "category_opt_outs": ("id", "user_id", "category", "source", "created_at"),
    "condition_looks": ("id", "number", "looked_at"),
    "conditions": ("condition", "since", "level", "has_begun", "absent_since"),
    "contact_points": ("id", "user_id", "channel", "created_at"),
    "dispatchers": (
        *("id", "host", "pid", "started_at", "heartbeat_at", "in_flight", "per_minute"),
        *("beats", "machine", "policy_digest", "key_ids"),
    ),
    "key_refusals": ("id", "key_id", "reason", "wanted", "noted", "first_at", "last_at"),
    "metrics_dirty_hours": ("id", "hour_start"),
    "notification_attachments": ("notification_id", "digest"),
    "notification_dlq": (
        *("id", "notification_id", "failure_reason", "moved_to_dlq_at", "resolved", "resolved_at", "resolved_by"),
    ),
    "notification_metrics": (
        *("id", "date", "hour", "provider", "message_type", "total_sent", "total_failed", "total_pending"),
        *("avg_delivery_ms", "created_at", "rolled_at", "erased_sent", "erased_failed", "total_delivered"),
        *("total_bounced", "erased_delivered", "erased_bounced", "erased_delivery_ms"),
    ),
    "notification_preferences": (
        *("id", "user_id", "channel", "enabled", "frequency_cap", "quiet_hours_start", "quiet_hours_end"),
        *("timezone", "created_at", "updated_at"),
    ),
    "notification_templates": (
        *("id", "name", "message_type", "is_active", "created_by", "created_at", "updated_at", "kind", "category"),
        "published_version",
    ),
    "notification_webhooks": (
        *("id", "user_id", "events", "is_active", "retry_count", "timeout_seconds", "created_at", "updated_at"),
        *("all_users", "previous_secret_ends", "failing_since", "failures_apart", "failure_counted_at", "slowed"),
        *("rests_until", "disabled_at"),
    ),
    "notifications": (
        *("id", "user_id", "message_type", "provider", "status", "attempt_count", "max_retries", "created_at"),
        *("last_attempted", "send_at", "failed_at", "sent_at", "due_at", "lease_id", "leased_by", "leased_until"),
        *("is_critical", "expires_at", "resent_from", "delivered_at", "bounced_at", "receipt_due_at", "fails_over"),
        *("attached_bytes", "parked_at", "template_id", "template_version", "category", "deferred_by", "counted_at"),
        "batch_id",
    ),
    "provider_configs": (
        *("id", "provider_name", "is_active", "rate_limit", "timeout_seconds", "priority", "created_at", "updated_at"),
    ),
    "provider_states": (
        *("provider_id", "channel", "paused_at", "paused_until", "pause_cause", "probe_at", "probes"),
        *("window_started_at", "window_attempts", "window_failures", "ceiling", "health_at", "receipts_unmatched"),
    ),
    "rate_limits": ("id", "user_id", "window_start", "request_count", "limit_type", "created_at", "updated_at"),
    "suppressions": ("id", "channel", "cause", "group_id", "notification_id", "created_at", "lifted_at"),
    "template_versions": ("id", "template_id", "number", "state", "created_by", "created_at", "published_at"),
    "user_limits": ("id", "user_id", "limit_type", "per_minute", "created_at", "updated_at"),
    "users": ("id", "language", "created_at", "updated_at"),
    "webhook_deliveries": (
        *("id", "webhook_id", "notification_id", "event_type", "response_status", "attempt_count", "delivered"),
        *("delivered_at", "created_at", "next_retry_at", "ended", "is_replay"),
    ),
}
"""What may be read without seeing a person or a secret: no address, name, content or word of a provider's.

What is not named here is not read: a new column has to be entered by somebody who has thought about it.
"""

SUBMITTING = {"notifyctl_submit": ("EXECUTE",), "notifyctl_submit_many": ("EXECUTE",)}
"""What submitting in SQL does with each function; beside USAGE of their schema nothing else is needed."""


def require_dispatching(tx: Tx) -> None:
    """Raise NotAllowed naming what a dispatcher would lack, and what grants it."""
    lacking = tx.dialect.lacking(tx.conn, DISPATCHING, LOCKING)
    if lacking:
        some, more = ", ".join(lacking[:_TOLD]), len(lacking) - _TOLD
        raise NotAllowed(
            f"a dispatcher also needs {some}" + (f" and {more:,} more rights" if more > 0 else ""),
            "connect as a member of notifyctl_dispatch, as notifyctl migrate roles --print makes it"
            if more > 0
            else f"{'; '.join(f'GRANT {each} TO its role' for each in lacking)}",
        )
