"""The table of what API keys were refused; `tables` has it too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from notifyctl.store.schema.columns import metadata, now_by_default, number, reference, row_id

key_refusals = Table(
    "key_refusals",
    metadata,
    row_id(),
    reference("key_id", "api_keys.id", nullable=True),  # NULL: a key that is not known here
    Column("reason", String(20), nullable=False),  # a `core.refusal.RefusedFor`
    Column("wanted", String(40)),  # the scope of the command that was asked for last
    Column("agent", Text),  # which program that was, by whom and where
    number("noted", 1),  # in how many minutes it was refused
    now_by_default("first_at"),
    Column("last_at", BigInteger, nullable=False),
    Index("idx_key_refusal", "key_id", "reason"),
)
