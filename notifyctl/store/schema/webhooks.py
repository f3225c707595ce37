"""The tables of webhooks and their deliveries; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from notifyctl.store.db.dialect import ID
from notifyctl.store.schema.columns import flag, metadata, now_by_default, number, one_of, reference, row_id

notification_webhooks = Table(
    "notification_webhooks",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("url", String(500), nullable=False),
    Column("secret_key", String(64), nullable=False),
    Column("events", Text, nullable=False),
    flag("is_active", default=True),
    number("retry_count", 3),
    number("timeout_seconds", 10),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Column("name", String(100), nullable=False),  # added: how people call it, once for each user
    flag("all_users", default=False),  # added: told of everybody's notifications, not only of its user's
    Column("previous_secret", String(64)),  # added: the secret before the last rotation, encrypted
    Column("previous_secret_ends", BigInteger),  # added: until when that signs as well
    Column("failing_since", BigInteger),  # added: the first failure after which nothing succeeded
    number("failures_apart", 0),  # added: how many failures since then, each well after the one before
    Column("failure_counted_at", BigInteger),  # added: the last of those
    number("slowed", 0),  # added: how often in a row it asked for less
    Column("rests_until", BigInteger),  # added: until when it is left alone for that
    Column("disabled_at", BigInteger),  # added
    Column("disabled_because", Text),  # added: NULL where an operator did
    Index("idx_webhook_user", "user_id"),
    Index("idx_webhook_active", "is_active"),
    Index("idx_webhook_name", "user_id", "name", unique=True),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    row_id(),
    reference("webhook_id", "notification_webhooks.id"),
    reference("notification_id", "notifications.id"),
    Column("event_type", String(50), nullable=False),
    Column("payload", Text, nullable=False),
    Column("response_status", Integer),
    Column("response_body", Text),
    number("attempt_count", 1),
    flag("delivered", default=False),
    Column("delivered_at", BigInteger),
    now_by_default("created_at"),
    Column("next_retry_at", BigInteger),
    Column("lease_id", ID),  # added: of the attempt under way, until `next_retry_at`
    Column("leased_by", ID),  # added: the dispatcher that makes it
    Column("ended", String(20)),  # added: why it is not tried any more, where it was not delivered
    Column("attempts", Text),  # added: the last 20, as JSON
    flag("is_replay", default=False),  # added: it was queued again, and stands behind what is new
    one_of("ended", "ended", "given_up", "disabled"),
    Index("idx_webhook_delivery", "webhook_id", "notification_id"),
    Index("idx_delivery_status", "delivered"),
    Index("idx_next_retry", "next_retry_at"),
    Index("idx_delivery_notification", "notification_id"),
)
