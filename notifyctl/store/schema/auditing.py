"""The tables of the audit trail; `tables` has them too. Rows are only ever inserted into them."""

from __future__ import annotations

from sqlalchemy import CHAR, BigInteger, Column, Index, String, Table, Text

from notifyctl.store.db.dialect import ID
from notifyctl.store.schema.columns import metadata, now_by_default, reference, row_id

audit_logs = Table(
    "audit_logs",
    metadata,
    row_id(),
    reference("user_id", "users.id", nullable=True, ondelete="SET NULL"),
    Column("action", String(100), nullable=False),
    Column("resource_type", String(50), nullable=False),
    Column("resource_id", ID),
    Column("ip_address", String(45)),
    Column("user_agent", Text),
    Column("changes", Text),
    now_by_default("created_at"),
    Column("actor_id", ID),  # added: the user who acted, and stays so when that one is deleted
    Column("actor", String(400)),  # added: that user's name, or person@host of an operator
    Column("key_id", ID),  # added: the API key that was used
    Column("reason", Text),  # added: what the operator gave as the reason
    Column("mac", String(64)),  # added: see `core.audit.sealing`; NULL: written without a key
    Index("idx_audit_user", "user_id"),
    Index("idx_audit_action", "action"),
    Index("idx_audit_resource", "resource_type", "resource_id"),
    Index("idx_audit_created", "created_at"),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("audit_id", ID, nullable=False),  # no foreign key: a seal must outlive a row that somebody removes
    Column("key_id", String(6)),  # NULL: a plain digest
    Column("seal", CHAR(64), nullable=False),
    Column("sealed_at", BigInteger, nullable=False),
    Index("idx_audit_seal_row", "audit_id", unique=True),
)

audit_anchors = Table(
    "audit_anchors",
    metadata,
    row_id(),
    Column("position", BigInteger, nullable=False),
    Column("seal", CHAR(64), nullable=False),
    Column("kept_in", String(20), nullable=False),  # where it went: stdout, file, command, syslog
    Column("host", String(255)),  # whose file it is: each host may have its own
    now_by_default("created_at"),
    Index("idx_audit_anchor_created", "created_at"),
)
