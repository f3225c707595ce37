"""The twelve tables of the schema document, and what the system needs beside them."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.CHAR(36)

# Milliseconds since the epoch, by the database's own clock.
NOW_MS = {
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    "sqlite": "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER))",
}

TABLES = (
    "users",
    "notifications",
    "notification_dlq",
    "notification_templates",
    "template_versions",
    "notification_webhooks",
    "webhook_deliveries",
    "notification_preferences",
    "provider_configs",
    "notification_metrics",
    "api_keys",
    "key_refusals",
    "rate_limits",
    "audit_logs",
    "audit_seals",
    "audit_anchors",
    "contact_points",
    "suppressions",
    "address_lookups",
    "attachments",
    "attachment_pieces",
    "notification_attachments",
    "provider_states",
    "dispatchers",
    "early_receipts",
    "metrics_dirty_hours",
    "categories",
    "category_opt_outs",
    "cap_usage",
    "user_limits",
    "signing_keys",
    "adopted_policy",
    "conditions",
    "condition_looks",
    "batches",
    "fixture_labels",
)

FUNCTIONS = (
    "notifyctl_refuse",
    "notifyctl_trimmed",
    "notifyctl_canonical",
    "notifyctl_id_bounds",
    "notifyctl_user",
    "notifyctl_template",
    "notifyctl_provider",
    "notifyctl_addressed",
    "notifyctl_payload",
    "notifyctl_apart",
    "notifyctl_references",
    "notifyctl_attach",
    "notifyctl_tell_created",
    "notifyctl_store",
    "notifyctl_moment",
    "notifyctl_after",
    "notifyctl_submit",
    "notifyctl_submit_many",
    "notifyctl_require_arguments",
    "notifyctl_account",
)


def upgrade() -> None:
    _users()
    _notifications()
    _notification_dlq()
    _notification_templates()
    _template_versions()
    _notification_webhooks()
    _webhook_deliveries()
    _notification_preferences()
    _provider_configs()
    _notification_metrics()
    _api_keys()
    _key_refusals()
    _rate_limits()
    _audit_logs()
    _audit_seals()
    _audit_anchors()
    _contact_points()
    _suppressions()
    _address_lookups()
    _attachments()
    _attachment_pieces()
    _notification_attachments()
    _provider_states()
    _dispatchers()
    _early_receipts()
    _metrics_dirty_hours()
    _categories()
    _category_opt_outs()
    _cap_usage()
    _user_limits()
    _signing_keys()
    _adopted_policy()
    _conditions()
    _batches()
    _fixture_labels()
    _submission_in_sql()


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION IF EXISTS {', '.join(FUNCTIONS)}")
    for name in reversed(TABLES):
        op.drop_table(name)


def _users() -> None:
    _create(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("language", sa.String(35)),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
    )
    op.create_index("idx_users_email", "users", ["email"], unique=True)
    op.create_index("idx_users_username", "users", ["username"], unique=True)


def _notifications() -> None:
    _create(
        "notifications",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("message_type", sa.String(20), nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("attempt_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("max_retries", sa.Integer, nullable=False, server_default=sa.text("5")),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("last_attempted", sa.BigInteger),
        sa.Column("send_at", sa.BigInteger),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("error_message", sa.Text),
        sa.Column("provider_response", sa.Text),
        sa.Column("due_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("lease_id", ID),
        sa.Column("leased_by", ID),
        sa.Column("leased_until", sa.BigInteger),
        sa.Column("is_critical", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("content_hash", sa.CHAR(64), nullable=False),
        sa.Column("resent_from", ID),
        sa.Column("provider_message_id", sa.String(255)),
        sa.Column("retry_history", sa.Text),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("bounced_at", sa.BigInteger),
        sa.Column("receipt", sa.Text),
        sa.Column("receipt_due_at", sa.BigInteger),
        sa.Column("fails_over", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("attached_bytes", sa.Integer),
        sa.Column("sent_to", sa.String(1500)),
        sa.Column("parked_at", sa.BigInteger),
        sa.Column("template_id", ID),
        sa.Column("template_version", sa.Integer),
        sa.Column("category", sa.String(50)),
        sa.Column("deferred_by", sa.String(20)),
        sa.Column("counted_at", sa.BigInteger),
        sa.Column("batch_id", ID),
        _foreign_key("notifications", "user_id", "users.id"),
        _one_of("notifications", "status", "pending", "sent", "failed", "cancelled"),
        _one_of("notifications", "message_type", "email", "sms", "push"),
    )
    op.create_index("idx_user_type", "notifications", ["user_id", "message_type"])
    op.create_index("idx_user_status", "notifications", ["user_id", "status"])
    op.create_index("idx_status_created", "notifications", ["status", "created_at"])
    op.create_index("idx_idempotency", "notifications", ["idempotency_key"], unique=True)
    op.create_index("idx_send_at", "notifications", ["send_at"])
    _create_partial_index(
        "idx_notifications_due",
        "notifications",
        ["provider", sa.text("is_critical DESC"), "due_at"],
        where="status || '' = 'pending' AND parked_at IS NULL",
    )
    _create_partial_index(
        "idx_notifications_provider_message",
        "notifications",
        ["provider_message_id"],
        where="provider_message_id IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_receipt_due",
        "notifications",
        ["provider", "receipt_due_at"],
        where="receipt_due_at IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_bounced",
        "notifications",
        ["created_at"],
        where="bounced_at IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_parked",
        "notifications",
        ["template_id", "due_at"],
        where="parked_at IS NOT NULL AND batch_id IS NULL",
    )
    _create_partial_index(
        "idx_notifications_batch_parked",
        "notifications",
        ["batch_id", "template_id", "due_at"],
        where="parked_at IS NOT NULL AND batch_id IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_batch",
        "notifications",
        ["batch_id", "created_at"],
        where="batch_id IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_template",
        "notifications",
        ["template_id", "created_at"],
        where="template_id IS NOT NULL",
    )
    _create_partial_index(
        "idx_notifications_deferred",
        "notifications",
        ["id"],
        where="deferred_by IS NOT NULL",
    )
    if op.get_context().dialect.name == "postgresql":
        # Over half of each page stays free for the versions that claims write, which then touch no index. And what is
        # rewritten this often is cleaned up before a fifth of a long history is dead.
        op.execute(
            "ALTER TABLE notifications SET (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.01,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02)"
        )


def _notification_dlq() -> None:
    _create(
        "notification_dlq",
        sa.Column("id", ID, nullable=False),
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=False),
        sa.Column("retry_history", sa.Text),
        sa.Column("moved_to_dlq_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("resolved", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("resolved_at", sa.BigInteger),
        sa.Column("resolved_by", ID),
        sa.Column("note", sa.Text),
        _foreign_key("notification_dlq", "notification_id", "notifications.id"),
        _foreign_key("notification_dlq", "resolved_by", "users.id", ondelete="SET NULL"),
    )
    op.create_index("idx_notification_dlq", "notification_dlq", ["notification_id"], unique=True)
    op.create_index("idx_moved_at", "notification_dlq", ["moved_to_dlq_at"])
    op.create_index("idx_resolved", "notification_dlq", ["resolved"])
    op.create_index("idx_dlq_resolved_by", "notification_dlq", ["resolved_by"])


def _notification_templates() -> None:
    _create(
        "notification_templates",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("message_type", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(255)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("variables", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("created_by", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("kind", sa.String(20), nullable=False, server_default="message"),
        sa.Column("category", sa.String(100)),
        sa.Column("published_version", sa.Integer, nullable=False, server_default=sa.text("1")),
        _foreign_key("notification_templates", "created_by", "users.id", ondelete="SET NULL"),
        _one_of("notification_templates", "message_type", "email", "sms", "push"),
        _one_of("notification_templates", "kind", "message", "layout", "partial"),
    )
    op.create_index("idx_template_name", "notification_templates", ["name"], unique=True)
    op.create_index("idx_template_type", "notification_templates", ["message_type"])
    op.create_index("idx_template_active", "notification_templates", ["is_active"])
    op.create_index("idx_template_created_by", "notification_templates", ["created_by"])


def _template_versions() -> None:
    _create(
        "template_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("template_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False, server_default="draft"),
        sa.Column("subject", sa.String(255)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("html", sa.Text),
        sa.Column("title", sa.Text),
        sa.Column("image", sa.Text),
        sa.Column("data", sa.Text),
        sa.Column("variables", sa.Text),
        sa.Column("language", sa.String(35)),
        sa.Column("variants", sa.Text),
        sa.Column("includes", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("created_by", ID),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("published_at", sa.BigInteger),
        _foreign_key("template_versions", "template_id", "notification_templates.id"),
        _foreign_key("template_versions", "created_by", "users.id", ondelete="SET NULL"),
        _one_of("template_versions", "state", "draft", "published"),
    )
    op.create_index("idx_template_version", "template_versions", ["template_id", "number"], unique=True)
    op.create_index("idx_template_version_created_by", "template_versions", ["created_by"])


def _notification_webhooks() -> None:
    _create(
        "notification_webhooks",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("secret_key", sa.String(64), nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("retry_count", sa.Integer, nullable=False, server_default=sa.text("3")),
        sa.Column("timeout_seconds", sa.Integer, nullable=False, server_default=sa.text("10")),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("all_users", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("previous_secret", sa.String(64)),
        sa.Column("previous_secret_ends", sa.BigInteger),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("failures_apart", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failure_counted_at", sa.BigInteger),
        sa.Column("slowed", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("rests_until", sa.BigInteger),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("disabled_because", sa.Text),
        _foreign_key("notification_webhooks", "user_id", "users.id"),
    )
    op.create_index("idx_webhook_name", "notification_webhooks", ["user_id", "name"], unique=True)
    _create_partial_index("idx_webhook_all_users", "notification_webhooks", ["all_users"], "all_users")
    op.create_index("idx_webhook_user", "notification_webhooks", ["user_id"])
    op.create_index("idx_webhook_active", "notification_webhooks", ["is_active"])


def _webhook_deliveries() -> None:
    _create(
        "webhook_deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("event_type", sa.String(50), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("response_status", sa.Integer),
        sa.Column("response_body", sa.Text),
        sa.Column("attempt_count", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("delivered", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("next_retry_at", sa.BigInteger),
        sa.Column("lease_id", ID),
        sa.Column("leased_by", ID),
        sa.Column("ended", sa.String(20)),
        sa.Column("attempts", sa.Text),
        sa.Column("is_replay", sa.Boolean, nullable=False, server_default=sa.false()),
        _foreign_key("webhook_deliveries", "webhook_id", "notification_webhooks.id"),
        _foreign_key("webhook_deliveries", "notification_id", "notifications.id"),
        _one_of("webhook_deliveries", "ended", "given_up", "disabled"),
    )
    columns = ["webhook_id", "is_replay", "next_retry_at"]
    _create_partial_index("idx_delivery_due", "webhook_deliveries", columns, "next_retry_at IS NOT NULL")
    op.create_index("idx_webhook_delivery", "webhook_deliveries", ["webhook_id", "notification_id"])
    op.create_index("idx_delivery_status", "webhook_deliveries", ["delivered"])
    op.create_index("idx_next_retry", "webhook_deliveries", ["next_retry_at"])
    op.create_index("idx_delivery_notification", "webhook_deliveries", ["notification_id"])
    if op.get_context().dialect.name == "postgresql":
        # Each is rewritten twice at least, and never in place.
        op.execute(
            "ALTER TABLE webhook_deliveries SET (autovacuum_vacuum_scale_factor = 0.01,"
            " autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02)"
        )


def _notification_preferences() -> None:
    _create(
        "notification_preferences",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("frequency_cap", sa.Integer),
        sa.Column("quiet_hours_start", sa.Time),
        sa.Column("quiet_hours_end", sa.Time),
        sa.Column("timezone", sa.String(50), nullable=False, server_default="UTC"),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _foreign_key("notification_preferences", "user_id", "users.id"),
    )
    op.create_index("idx_user_channel", "notification_preferences", ["user_id", "channel"], unique=True)
    op.create_index("idx_preference_enabled", "notification_preferences", ["enabled"])


def _provider_configs() -> None:
    _create(
        "provider_configs",
        sa.Column("id", ID, nullable=False),
        sa.Column("provider_name", sa.String(50), nullable=False),
        sa.Column("api_key", sa.String(255), nullable=False),
        sa.Column("api_secret", sa.String(255)),
        sa.Column("config_json", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("rate_limit", sa.Integer),
        sa.Column("timeout_seconds", sa.Integer, nullable=False, server_default=sa.text("30")),
        sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
    )
    op.create_index("idx_provider_name", "provider_configs", ["provider_name"], unique=True)
    op.create_index("idx_provider_active", "provider_configs", ["is_active"])
    op.create_index("idx_provider_priority", "provider_configs", ["priority"])


def _notification_metrics() -> None:
    _create(
        "notification_metrics",
        sa.Column("id", ID, nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("hour", sa.Integer),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("message_type", sa.String(20), nullable=False),
        sa.Column("total_sent", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("total_failed", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("total_pending", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("avg_delivery_ms", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("rolled_at", sa.BigInteger),
        sa.Column("erased_sent", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("erased_failed", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("total_delivered", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("total_bounced", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("erased_delivered", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("erased_bounced", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("erased_delivery_ms", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.create_index("idx_metrics_date", "notification_metrics", ["date", "hour"])
    op.create_index("idx_metrics_provider", "notification_metrics", ["provider"])
    op.create_index("idx_metrics_type", "notification_metrics", ["message_type"])
    op.create_index(
        "idx_metrics_bucket",
        "notification_metrics",
        ["date", sa.text("coalesce(hour, -1)"), "provider", "message_type"],
        unique=True,
    )


def _api_keys() -> None:
    _create(
        "api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("last_four", sa.CHAR(4), nullable=False),
        sa.Column("restrictions", sa.Text()),
        _foreign_key("api_keys", "user_id", "users.id"),
    )
    op.create_index("idx_api_key_hash", "api_keys", ["key_hash"], unique=True)
    op.create_index("idx_api_key_user", "api_keys", ["user_id"])
    op.create_index("idx_api_key_active", "api_keys", ["is_active"])


def _key_refusals() -> None:
    _create(
        "key_refusals",
        sa.Column("id", ID, nullable=False),
        sa.Column("key_id", ID),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("wanted", sa.String(40)),
        sa.Column("agent", sa.Text),
        sa.Column("noted", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("first_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        _foreign_key("key_refusals", "key_id", "api_keys.id"),
    )
    op.create_index("idx_key_refusal", "key_refusals", ["key_id", "reason"])


def _rate_limits() -> None:
    _create(
        "rate_limits",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("window_start", sa.BigInteger, nullable=False),
        sa.Column("request_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("limit_type", sa.String(20), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _foreign_key("rate_limits", "user_id", "users.id"),
    )
    op.create_index("idx_rate_limit_user_window", "rate_limits", ["user_id", "window_start", "limit_type"], unique=True)


def _audit_logs() -> None:
    _create(
        "audit_logs",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("resource_type", sa.String(50), nullable=False),
        sa.Column("resource_id", ID),
        sa.Column("ip_address", sa.String(45)),
        sa.Column("user_agent", sa.Text),
        sa.Column("changes", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("actor_id", ID),
        sa.Column("actor", sa.String(400)),
        sa.Column("key_id", ID),
        sa.Column("reason", sa.Text),
        sa.Column("mac", sa.String(64)),
        _foreign_key("audit_logs", "user_id", "users.id", ondelete="SET NULL"),
    )
    op.create_index("idx_audit_user", "audit_logs", ["user_id"])
    op.create_index("idx_audit_action", "audit_logs", ["action"])
    op.create_index("idx_audit_resource", "audit_logs", ["resource_type", "resource_id"])
    op.create_index("idx_audit_created", "audit_logs", ["created_at"])


def _audit_seals() -> None:
    _create(
        "audit_seals",
        sa.Column("position", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("audit_id", ID, nullable=False),
        sa.Column("key_id", sa.String(6)),
        sa.Column("seal", sa.CHAR(64), nullable=False),
        sa.Column("sealed_at", sa.BigInteger, nullable=False),
        key=("position",),
    )
    op.create_index("idx_audit_seal_row", "audit_seals", ["audit_id"], unique=True)


def _audit_anchors() -> None:
    _create(
        "audit_anchors",
        sa.Column("id", ID, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("seal", sa.CHAR(64), nullable=False),
        sa.Column("kept_in", sa.String(20), nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
    )
    op.create_index("idx_audit_anchor_created", "audit_anchors", ["created_at"])


def _contact_points() -> None:
    _create(
        "contact_points",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("address", sa.String(1500), nullable=False),
        sa.Column("folded", sa.String(1024)),
        sa.Column("folded_before", sa.String(1024)),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _foreign_key("contact_points", "user_id", "users.id"),
        _one_of("contact_points", "channel", "email", "sms", "push"),
    )
    op.create_index("idx_contact_user_channel", "contact_points", ["user_id", "channel", "address"], unique=True)
    op.create_index("idx_contact_folded", "contact_points", ["folded"])
    before = sa.text("folded_before IS NOT NULL")
    op.create_index("idx_contact_before", "contact_points", ["id"], postgresql_where=before, sqlite_where=before)


def _suppressions() -> None:
    _create(
        "suppressions",
        sa.Column("id", ID, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("address", sa.String(1500), nullable=False),
        sa.Column("address_before", sa.String(1024)),
        sa.Column("written", sa.String(1500)),
        sa.Column("cause", sa.String(20), nullable=False, server_default="operator"),
        sa.Column("group_id", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("notification_id", ID),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("lifted_at", sa.BigInteger),
        _one_of("suppressions", "channel", "email", "sms", "push"),
        _one_of("suppressions", "cause", "bounce", "opt_out", "complaint", "operator"),
    )
    op.create_index("idx_suppression_address", "suppressions", ["channel", "address", "cause", "group_id"], unique=True)
    op.create_index("idx_suppression_created", "suppressions", ["created_at", "id"])
    before = sa.text("address_before IS NOT NULL")
    op.create_index(
        "idx_suppression_before",
        "suppressions",
        ["channel", "address_before"],
        postgresql_where=before,
        sqlite_where=before,
    )


def _address_lookups() -> None:
    _create(
        "address_lookups",
        sa.Column("id", ID, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
    )
    op.create_index("idx_address_lookup_generation", "address_lookups", ["generation"], unique=True)


def _attachments() -> None:
    _create(
        "attachments",
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        key=("digest",),
    )


def _attachment_pieces() -> None:
    _create(
        "attachment_pieces",
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        _foreign_key("attachment_pieces", "digest", "attachments.digest"),
        key=("digest", "number"),
    )


def _notification_attachments() -> None:
    _create(
        "notification_attachments",
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("digest", sa.CHAR(64), nullable=False),
        _foreign_key("notification_attachments", "notification_id", "notifications.id"),
        _foreign_key("notification_attachments", "digest", "attachments.digest", ondelete="RESTRICT"),
        key=("notification_id", "digest"),
    )
    op.create_index("idx_attachment_digest", "notification_attachments", ["digest"])


def _provider_states() -> None:
    _create(
        "provider_states",
        sa.Column("provider_id", ID, nullable=False),
        sa.Column("channel", sa.String(20)),
        sa.Column("paused_at", sa.BigInteger),
        sa.Column("paused_until", sa.BigInteger),
        sa.Column("pause_reason", sa.Text),
        sa.Column("pause_cause", sa.String(20)),
        sa.Column("probe_at", sa.BigInteger),
        sa.Column("probes", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("window_started_at", sa.BigInteger),
        sa.Column("window_attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("window_failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("ceiling", sa.Integer),
        sa.Column("probe_of", ID),
        sa.Column("doubt", sa.String(60)),
        sa.Column("doubt_about", sa.CHAR(16)),
        sa.Column("doubt_at", sa.BigInteger),
        sa.Column("held_senders", sa.Text),
        sa.Column("health_at", sa.BigInteger),
        sa.Column("next_permit_us", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("next_question_us", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("receipts_unmatched", sa.Integer, nullable=False, server_default=sa.text("0")),
        _foreign_key("provider_states", "provider_id", "provider_configs.id"),
        key=("provider_id",),
    )


def _dispatchers() -> None:
    _create(
        "dispatchers",
        sa.Column("id", ID, nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("in_flight", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("per_minute", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("beats", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("machine", sa.String(80)),
        sa.Column("policy_digest", sa.CHAR(64)),
        sa.Column("key_ids", sa.Text),
    )


def _early_receipts() -> None:
    _create(
        "early_receipts",
        sa.Column("id", ID, nullable=False),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("notification_id", ID),
        sa.Column("provider_message_id", sa.String(255)),
        sa.Column("attempt", sa.Integer),
        sa.Column("receipt", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("look_at", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_early_receipt_notification", "early_receipts", ["notification_id"])
    op.create_index("idx_early_receipt_look", "early_receipts", ["look_at"])
    op.create_index("idx_early_receipt_received", "early_receipts", ["received_at"])


def _metrics_dirty_hours() -> None:
    _create(
        "metrics_dirty_hours",
        sa.Column("id", ID, nullable=False),
        sa.Column("hour_start", sa.BigInteger, nullable=False),
    )


def _batches() -> None:
    _create(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("hold", sa.String(20)),
        sa.Column("held_at", sa.BigInteger),
        sa.Column("cancelled_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _one_of("batches", "source", "file", "fixtures", "application"),
        _one_of("batches", "hold", "paused", "canary"),
    )
    op.create_index("idx_batch_name", "batches", ["name"], unique=True)


def _categories() -> None:
    _create(
        "categories",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False, server_default="transactional"),
        sa.Column("description", sa.Text),
        sa.Column("provider_group", sa.String(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _one_of("categories", "kind", "transactional", "marketing"),
    )
    op.create_index("idx_category_name", "categories", ["name"], unique=True)


def _category_opt_outs() -> None:
    _create(
        "category_opt_outs",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("category", sa.String(50), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _foreign_key("category_opt_outs", "user_id", "users.id"),
    )
    op.create_index("idx_opt_out_user_category", "category_opt_outs", ["user_id", "category"], unique=True)
    op.create_index("idx_opt_out_category", "category_opt_outs", ["category"])


def _cap_usage() -> None:
    _create(
        "cap_usage",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("day_began", sa.BigInteger, nullable=False),
        sa.Column("used", sa.Integer, nullable=False, server_default=sa.text("0")),
        _foreign_key("cap_usage", "user_id", "users.id"),
        key=("user_id", "channel"),
    )


def _user_limits() -> None:
    _create(
        "user_limits",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("limit_type", sa.String(20), nullable=False),
        sa.Column("per_minute", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("updated_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        _foreign_key("user_limits", "user_id", "users.id"),
    )
    op.create_index("idx_user_limit", "user_limits", ["user_id", "limit_type"], unique=True)


def _fixture_labels() -> None:
    _create(
        "fixture_labels",
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        key=("kind", "resource_id"),
    )
    op.create_index("idx_fixture_label", "fixture_labels", ["label"])


def _signing_keys() -> None:
    _create(
        "signing_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("purpose", sa.String(30), nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
    )
    op.create_index("idx_signing_key_purpose", "signing_keys", ["purpose"], unique=True)


def _submission_in_sql() -> None:
    """On PostgreSQL: what other languages submit by, and nobody may call before somebody grants it."""
    if op.get_context().dialect.name == "postgresql":
        made = (Path(__file__).parents[1] / "functions" / "0001_submit.sql").read_text(encoding="utf-8")
        where = "replace($functions$\n" + made + "$functions$, '{schema}', quote_ident(current_schema()))"
        statement = f"DO $migration$ BEGIN EXECUTE {where}; END $migration$"
        op.execute(sa.text(statement.replace(":", "\\:")))


def _now_ms() -> sa.TextClause:
    return sa.text(NOW_MS[op.get_context().dialect.name])


def _adopted_policy() -> None:
    _create(
        "adopted_policy",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("adopted_at", sa.BigInteger, nullable=False, server_default=_now_ms()),
        sa.Column("woken_to", ID),
    )


def _conditions() -> None:
    _create(
        "conditions",
        sa.Column("condition", sa.String(30), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("mark", sa.Text, nullable=False, server_default=""),
        sa.Column("has_begun", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("absent_since", sa.BigInteger),
        key=("condition", "subject"),
    )
    _create(
        "condition_looks",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("looked_at", sa.BigInteger, nullable=False),
    )


def _create(name: str, *items: sa.schema.SchemaItem, key: tuple[str, ...] = ("id",)) -> None:
    """Create a table with its primary key; SQLite's CHECKs keep types and lengths, as PostgreSQL does by itself."""
    columns = [item for item in items if isinstance(item, sa.Column)]
    rules = {
        f"{name}_{item.name}_length_check": f"length({item.name}) <= {length}"
        for item in columns
        if (length := getattr(item.type, "length", None)) is not None
    }
    rules |= {
        f"{name}_{item.name}_kind_check": f"typeof({item.name}) IN ('{_kept(item.type)}', 'null')" for item in columns
    }
    checks = (
        sa.CheckConstraint(rule, name=op.f(rule_name)).ddl_if(dialect="sqlite") for rule_name, rule in rules.items()
    )
    op.create_table(name, *items, sa.PrimaryKeyConstraint(*key, name=op.f(f"{name}_pkey")), *checks)


def _kept(type_: sa.types.TypeEngine[Any]) -> str:
    return "integer" if isinstance(type_, sa.Integer | sa.Boolean) else "text"


def _create_partial_index(name: str, table: str, columns: list[str | sa.TextClause], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def _foreign_key(table: str, column: str, target: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [target], name=op.f(f"{table}_{column}_fkey"), onupdate="CASCADE", ondelete=ondelete
    )


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=op.f(f"{table}_{column}_check"))
