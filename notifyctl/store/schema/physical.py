"""The partial indexes, the types and lengths that SQLite checks, and how PostgreSQL stores what is rewritten often.

Declared when the schema is made or compared, apart from the tables: naming a database in a table's arguments imports
SQLAlchemy's whole dialect for it (PostgreSQL's would cost every command 20 to 40 ms), and the checks are 500 rules.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Date, Index, Integer, String, Time, text

from notifyctl.store.schema.tables import (
    contact_points,
    metadata,
    notification_webhooks,
    notifications,
    suppressions,
    webhook_deliveries,
)

_QUEUED = text("status || '' = 'pending' AND parked_at IS NULL")  # see states.IN_QUEUE
_KNOWN = text("provider_message_id IS NOT NULL")
_ASKED_FOR = text("receipt_due_at IS NOT NULL")
_BOUNCED = text("bounced_at IS NOT NULL")
_PARKED = text("parked_at IS NOT NULL AND batch_id IS NULL")
_PARKED_OF_BATCH = text("parked_at IS NOT NULL AND batch_id IS NOT NULL")
_OF_BATCH = text("batch_id IS NOT NULL")
_TEMPLATED = text("template_id IS NOT NULL")
_DEFERRED = text("deferred_by IS NOT NULL")
_QUEUED_DELIVERY = text("next_retry_at IS NOT NULL")
_OF_EVERYBODY = text("all_users")
_POINT_BEFORE = text("folded_before IS NOT NULL")
_FOUND_BEFORE = text("address_before IS NOT NULL")

DUE = Index(
    "idx_notifications_due",
    notifications.c.provider,
    text("is_critical DESC"),
    notifications.c.due_at,
    postgresql_where=_QUEUED,
    sqlite_where=_QUEUED,
)
PROVIDER_MESSAGE = Index(
    "idx_notifications_provider_message",
    notifications.c.provider_message_id,
    postgresql_where=_KNOWN,
    sqlite_where=_KNOWN,
)
RECEIPT_DUE = Index(
    "idx_notifications_receipt_due",
    notifications.c.provider,
    notifications.c.receipt_due_at,
    postgresql_where=_ASKED_FOR,
    sqlite_where=_ASKED_FOR,
)
BOUNCED = Index(
    "idx_notifications_bounced",
    notifications.c.created_at,
    postgresql_where=_BOUNCED,
    sqlite_where=_BOUNCED,
)
PARKED = Index(
    "idx_notifications_parked",
    notifications.c.template_id,
    notifications.c.due_at,
    postgresql_where=_PARKED,
    sqlite_where=_PARKED,
)
PARKED_OF_BATCH = Index(
    "idx_notifications_batch_parked",
    notifications.c.batch_id,
    notifications.c.template_id,
    notifications.c.due_at,
    postgresql_where=_PARKED_OF_BATCH,
    sqlite_where=_PARKED_OF_BATCH,
)
BATCH = Index(
    "idx_notifications_batch",
    notifications.c.batch_id,
    notifications.c.created_at,
    postgresql_where=_OF_BATCH,
    sqlite_where=_OF_BATCH,
)
TEMPLATE = Index(
    "idx_notifications_template",
    notifications.c.template_id,
    notifications.c.created_at,
    postgresql_where=_TEMPLATED,
    sqlite_where=_TEMPLATED,
)
DEFERRED = Index(
    "idx_notifications_deferred",
    notifications.c.id,
    postgresql_where=_DEFERRED,
    sqlite_where=_DEFERRED,
)
DELIVERY_DUE = Index(
    "idx_delivery_due",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.is_replay,
    webhook_deliveries.c.next_retry_at,
    postgresql_where=_QUEUED_DELIVERY,
    sqlite_where=_QUEUED_DELIVERY,
)
ALL_USERS = Index(
    "idx_webhook_all_users",
    notification_webhooks.c.all_users,
    postgresql_where=_OF_EVERYBODY,
    sqlite_where=_OF_EVERYBODY,
)
# By their ids, which are short: nobody looks for a contact point by what it was found by before.
POINT_FOUND_BEFORE = Index(
    "idx_contact_before",
    contact_points.c.id,
    postgresql_where=_POINT_BEFORE,
    sqlite_where=_POINT_BEFORE,
)
FOUND_BEFORE = Index(
    "idx_suppression_before",
    suppressions.c.channel,
    suppressions.c.address_before,
    postgresql_where=_FOUND_BEFORE,
    sqlite_where=_FOUND_BEFORE,
)

# Over half of each page stays free for the versions that claims write, which then touch no index. And what is rewritten
# this often is cleaned up before a fifth of a long history is dead.
_CLEANED_OFTEN = {
    "autovacuum_vacuum_scale_factor": 0.01,
    "autovacuum_vacuum_threshold": 1_000,
    "autovacuum_analyze_scale_factor": 0.02,
}
notifications.dialect_kwargs["postgresql_with"] = {"fillfactor": 45, **_CLEANED_OFTEN}
# Each delivery is rewritten twice at least, and never in place: its moment stands in indexes.
webhook_deliveries.dialect_kwargs["postgresql_with"] = _CLEANED_OFTEN


_KEPT_AS = {String: "text", Time: "text", Date: "text", Integer: "integer", Boolean: "integer"}
"""How SQLite keeps values of a type."""


def _check_values_on_sqlite() -> None:
    """SQLite ignores types and their lengths; CHECKs keep what PostgreSQL would keep."""
    for table in metadata.tables.values():
        for col in table.columns:
            length: Any = getattr(col.type, "length", None)
            if isinstance(length, int):
                rule = CheckConstraint(f"length({col.name}) <= {length}", name=f"{col.name}_length")
                table.append_constraint(rule.ddl_if(dialect="sqlite"))
            kept = next(kept for kind, kept in _KEPT_AS.items() if isinstance(col.type, kind))
            rule = CheckConstraint(f"typeof({col.name}) IN ('{kept}', 'null')", name=f"{col.name}_kind")
            table.append_constraint(rule.ddl_if(dialect="sqlite"))


_check_values_on_sqlite()
