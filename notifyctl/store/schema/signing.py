"""The table of the keys that sign; `tables` has it too."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, Text

from notifyctl.store.schema.columns import metadata, now_by_default, row_id

signing_keys = Table(
    "signing_keys",
    metadata,
    row_id(),
    Column("purpose", String(30), nullable=False),
    Column("secret", Text, nullable=False),  # sealed
    now_by_default("created_at"),
    Index("idx_signing_key_purpose", "purpose", unique=True),
)
