"""The tables of the files of mails; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import CHAR, Column, ForeignKey, Index, Integer, Table, Text

from notifyctl.store.schema.columns import metadata, reference

attachments = Table(
    "attachments",
    metadata,
    Column("digest", CHAR(64), primary_key=True),  # SHA-256 of the content, in hexadecimal
    Column("size", Integer, nullable=False),  # of the content, in characters
)

attachment_pieces = Table(
    "attachment_pieces",
    metadata,
    Column(
        "digest", CHAR(64), ForeignKey("attachments.digest", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 0 on
    Column("content", Text, nullable=False),  # a part of the base64, as it goes to the provider
)

notification_attachments = Table(
    "notification_attachments",
    metadata,
    reference("notification_id", "notifications.id", primary_key=True),
    Column(
        "digest", CHAR(64), ForeignKey("attachments.digest", onupdate="CASCADE", ondelete="RESTRICT"), primary_key=True
    ),
    Index("idx_attachment_digest", "digest"),
)
