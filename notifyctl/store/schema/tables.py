"""The tables, as SQLAlchemy Core sees them.

The twelve of the schema document, with its names, types, defaults, indexes and foreign keys, and what the system
needs beside them: added columns are marked `# added`, added tables stand at the end.
"""

from __future__ import annotations

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    Date,
    Index,
    Integer,
    String,
    Table,
    Text,
    Time,
    func,
    text,
)

from notifyctl.store.db.dialect import ID
from notifyctl.store.db.functions import epoch_ms
from notifyctl.store.schema.addresses import address_lookups as address_lookups
from notifyctl.store.schema.addresses import contact_points as contact_points
from notifyctl.store.schema.addresses import suppressions as suppressions
from notifyctl.store.schema.auditing import audit_anchors as audit_anchors
from notifyctl.store.schema.auditing import audit_logs as audit_logs
from notifyctl.store.schema.auditing import audit_seals as audit_seals
from notifyctl.store.schema.batches import batches as batches
from notifyctl.store.schema.columns import flag, now_by_default, number, one_of, reference, row_id
from notifyctl.store.schema.columns import metadata as metadata
from notifyctl.store.schema.files import attachment_pieces as attachment_pieces
from notifyctl.store.schema.files import attachments as attachments
from notifyctl.store.schema.files import notification_attachments as notification_attachments
from notifyctl.store.schema.policy import adopted_policy as adopted_policy
from notifyctl.store.schema.policy import cap_usage as cap_usage
from notifyctl.store.schema.policy import categories as categories
from notifyctl.store.schema.policy import category_opt_outs as category_opt_outs
from notifyctl.store.schema.policy import fixture_labels as fixture_labels
from notifyctl.store.schema.policy import user_limits as user_limits
from notifyctl.store.schema.refusals import key_refusals as key_refusals
from notifyctl.store.schema.signing import signing_keys as signing_keys
from notifyctl.store.schema.templates import notification_templates as notification_templates
from notifyctl.store.schema.templates import template_versions as template_versions
from notifyctl.store.schema.watching import condition_looks as condition_looks
from notifyctl.store.schema.watching import conditions as conditions
from notifyctl.store.schema.webhooks import notification_webhooks as notification_webhooks
from notifyctl.store.schema.webhooks import webhook_deliveries as webhook_deliveries

users = Table(
    "users",
    metadata,
    row_id(),
    Column("email", String(255), nullable=False),
    Column("username", String(100), nullable=False),
    Column("language", String(35)),  # added: a BCP 47 tag
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Index("idx_users_email", "email", unique=True),
    Index("idx_users_username", "username", unique=True),
)

notifications = Table(
    "notifications",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("idempotency_key", String(64), nullable=False),
    Column("message_type", String(20), nullable=False),
    Column("provider", String(20), nullable=False),
    Column("status", String(20), nullable=False, server_default="pending"),
    Column("payload", Text, nullable=False),
    number("attempt_count", 0),
    number("max_retries", 5),
    now_by_default("created_at"),
    Column("last_attempted", BigInteger),
    Column("send_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("sent_at", BigInteger),
    Column("error_message", Text),
    Column("provider_response", Text),
    Column("due_at", BigInteger, nullable=False, server_default=epoch_ms()),  # added: when work may start next
    Column("lease_id", ID),  # added: the fence of the claim that works on it
    Column("leased_by", ID),  # added: the dispatcher that holds the lease
    Column("leased_until", BigInteger),  # added: when the lease ends; in no index, so that a claim touches none
    flag("is_critical", default=False),  # added: claimed before the others
    Column("expires_at", BigInteger),  # added: not sent from this moment on
    Column("content_hash", CHAR(64), nullable=False),  # added: tells a repeated submission from another
    Column("resent_from", ID),  # added: the notification this is a copy of
    Column("provider_message_id", String(255)),  # added: the provider's own id
    Column("retry_history", Text),  # added: JSON array of the attempts that did not succeed
    Column("delivered_at", BigInteger),  # added: when it reached its recipient, as the provider says
    Column("bounced_at", BigInteger),  # added: when the provider gave it up after taking it; never with delivered_at
    Column("receipt", Text),  # added: the provider's latest word on it
    Column("receipt_due_at", BigInteger),  # added: when to ask the provider what became of it; NULL: not at all
    flag("fails_over", default=True),  # added: another provider may take it
    Column("attached_bytes", Integer),  # added: how large its files are, together; NULL without any
    Column("sent_to", String(1500)),  # added: the user's address that the last claim took; in no index
    Column("parked_at", BigInteger),  # added: since when template or batch hold it back; then it is not in the queue
    Column("template_id", ID),  # added: what it is rendered from; no foreign key: history outlives a template
    Column(
        "template_version", Integer
    ),  # added: the version of it that holds for this one, whatever is published later
    Column("category", String(50)),  # added: what it is about, by name
    Column("deferred_by", String(20)),  # added: which rule put it off (a `core.gate.Wait`)
    Column("counted_at", BigInteger),  # added: when it was counted for its user's cap; NULL: it is not
    Column("batch_id", ID),  # added: what it was submitted with; no foreign key: none is deleted, each row would ask
    one_of("status", "status", "pending", "sent", "failed", "cancelled"),
    one_of("message_type", "message_type", "email", "sms", "push"),
    Index("idx_user_type", "user_id", "message_type"),
    Index("idx_user_status", "user_id", "status"),
    Index("idx_status_created", "status", "created_at"),
    Index("idx_idempotency", "idempotency_key", unique=True),
    Index("idx_send_at", "send_at"),
)

notification_dlq = Table(
    "notification_dlq",
    metadata,
    row_id(),
    reference("notification_id", "notifications.id"),
    Column("failure_reason", Text, nullable=False),
    Column("retry_history", Text),
    now_by_default("moved_to_dlq_at"),
    flag("resolved", default=False),
    Column("resolved_at", BigInteger),
    reference("resolved_by", "users.id", nullable=True, ondelete="SET NULL"),
    Column("note", Text),  # added: what the person who resolved it wrote
    Index("idx_notification_dlq", "notification_id", unique=True),
    Index("idx_moved_at", "moved_to_dlq_at"),
    Index("idx_resolved", "resolved"),
    Index("idx_dlq_resolved_by", "resolved_by"),
)

notification_preferences = Table(
    "notification_preferences",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("channel", String(20), nullable=False),
    flag("enabled", default=True),
    Column("frequency_cap", Integer),
    Column("quiet_hours_start", Time),
    Column("quiet_hours_end", Time),
    Column("timezone", String(50), nullable=False, server_default="UTC"),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Index("idx_user_channel", "user_id", "channel", unique=True),
    Index("idx_preference_enabled", "enabled"),
)

provider_configs = Table(
    "provider_configs",
    metadata,
    row_id(),
    Column("provider_name", String(50), nullable=False),
    Column("api_key", String(255), nullable=False),
    Column("api_secret", String(255)),
    Column("config_json", Text),
    flag("is_active", default=True),
    Column("rate_limit", Integer),
    number("timeout_seconds", 30),
    number("priority", 0),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Index("idx_provider_name", "provider_name", unique=True),
    Index("idx_provider_active", "is_active"),
    Index("idx_provider_priority", "priority"),
)

notification_metrics = Table(
    "notification_metrics",
    metadata,
    row_id(),
    Column("date", Date, nullable=False),
    Column("hour", Integer),
    Column("provider", String(20), nullable=False),
    Column("message_type", String(20), nullable=False),
    number("total_sent", 0),
    number("total_failed", 0),
    number("total_pending", 0),
    Column("avg_delivery_ms", BigInteger),
    now_by_default("created_at"),
    Column("rolled_at", BigInteger),  # added: when the hour was last counted; NULL: never yet
    number("erased_sent", 0),  # added: sent notifications of this hour that were deleted since
    number("erased_failed", 0),  # added: the same for failed ones
    number("total_delivered", 0),  # added: of those sent, how many arrived, as far as receipts say
    number("total_bounced", 0),  # added: of those sent, how many came back
    number("erased_delivered", 0),  # added: delivered ones of this hour that were deleted since
    number("erased_bounced", 0),  # added: the same for bounced ones
    Column("erased_delivery_ms", BigInteger, nullable=False, server_default=text("0")),  # added: sum over erased_sent
    Index("idx_metrics_date", "date", "hour"),
    Index("idx_metrics_provider", "provider"),
    Index("idx_metrics_type", "message_type"),
)
# NULLs are distinct in a unique index, so the day's row (hour NULL) needs a stand-in.
Index(
    "idx_metrics_bucket",
    notification_metrics.c.date,
    func.coalesce(notification_metrics.c.hour, text("-1")),
    notification_metrics.c.provider,
    notification_metrics.c.message_type,
    unique=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("key_hash", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", Text),
    flag("is_active", default=True),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    now_by_default("created_at"),
    Column("prefix", String(32), nullable=False),  # added: the key's readable beginning
    Column("last_four", CHAR(4), nullable=False),  # added: its last four characters
    Column("restrictions", Text),  # added: JSON of a `core.grant.Restrictions`; NULL: none
    Index("idx_api_key_hash", "key_hash", unique=True),
    Index("idx_api_key_user", "user_id"),
    Index("idx_api_key_active", "is_active"),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("window_start", BigInteger, nullable=False),
    number("request_count", 0),
    Column("limit_type", String(20), nullable=False),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Index("idx_rate_limit_user_window", "user_id", "window_start", "limit_type", unique=True),
)

# Added tables.

provider_states = Table(
    "provider_states",
    metadata,
    reference("provider_id", "provider_configs.id", primary_key=True),
    Column("channel", String(20)),  # what its adapter delivers; NULL until somebody who has the adapter says so
    Column("paused_at", BigInteger),
    Column("paused_until", BigInteger),
    Column("pause_reason", Text),
    Column("pause_cause", String(20)),  # a `core.health.Cause`
    Column("probe_at", BigInteger),  # when one notification may try whether it works again
    number("probes", 0),
    Column("window_started_at", BigInteger),  # the breaker's counts are from here on
    number("window_attempts", 0),
    number("window_failures", 0),
    Column("ceiling", Integer),  # calls in flight at most after it was throttled; NULL: as many as there are places
    Column("probe_of", ID),  # the notification that made the last probe, for the next one to be another
    Column("doubt", String(60)),  # a refusal that may be the configuration's fault
    Column("doubt_about", CHAR(16)),  # a digest of whom it was about
    Column("doubt_at", BigInteger),
    Column("held_senders", Text),  # senders whose queue at the provider is full, as `core.senders` writes them
    Column("health_at", BigInteger),  # when all of this was written: later than now, the clock was put back
    Column("next_permit_us", BigInteger, nullable=False, server_default=text("0")),  # when the next may go, in µs
    Column("next_question_us", BigInteger, nullable=False, server_default=text("0")),  # the same for questions
    number("receipts_unmatched", 0),
)

dispatchers = Table(
    "dispatchers",
    metadata,
    row_id(),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    now_by_default("started_at"),
    now_by_default("heartbeat_at"),
    number("in_flight", 0),
    number("per_minute", 0),
    number("beats", 0),  # grows with each heartbeat, whatever the clocks do
    Column("machine", String(80)),  # tells apart where a pid is a process; NULL: not known
    Column("policy_digest", CHAR(64)),  # by which policy it works
    Column("key_ids", Text),  # which encryption keys it has, the one that seals first
)

early_receipts = Table(
    "early_receipts",
    metadata,
    row_id(),
    Column("provider", String(20), nullable=False),
    Column("notification_id", ID),  # no foreign key: it may be anybody's
    Column("provider_message_id", String(255)),
    Column("attempt", Integer),
    Column("receipt", Text, nullable=False),  # JSON of a `core.receipt.Receipt`
    now_by_default("received_at"),
    Column("look_at", BigInteger, nullable=False),  # when to look again whether it matches
    Index("idx_early_receipt_notification", "notification_id"),
    Index("idx_early_receipt_look", "look_at"),
    Index("idx_early_receipt_received", "received_at"),
)

metrics_dirty_hours = Table(
    "metrics_dirty_hours",
    metadata,
    row_id(),
    Column("hour_start", BigInteger, nullable=False),
)
