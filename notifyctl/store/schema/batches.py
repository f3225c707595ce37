"""The table of what was submitted together; `tables` has it too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from notifyctl.store.schema.columns import metadata, now_by_default, one_of, row_id

batches = Table(
    "batches",
    metadata,
    row_id(),
    Column("name", String(100)),  # what makes it repeatable; NULL: it can only be found by its id
    Column("source", String(20), nullable=False),  # a file, a fixture, an application
    Column("hold", String(20)),  # paused: nothing of it goes; canary: nothing beyond its first; NULL: all of it goes
    Column("held_at", BigInteger),
    Column("cancelled_at", BigInteger),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    one_of("source", "source", "file", "fixtures", "application"),
    one_of("hold", "hold", "paused", "canary"),
    Index("idx_batch_name", "name", unique=True),
)
