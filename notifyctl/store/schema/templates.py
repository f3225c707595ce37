"""The tables of templates and their versions; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from notifyctl.store.schema.columns import flag, metadata, now_by_default, number, one_of, reference, row_id

notification_templates = Table(
    "notification_templates",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False),
    Column("message_type", String(20), nullable=False),
    Column("subject", String(255)),
    Column("body", Text, nullable=False),
    Column("variables", Text),
    flag("is_active", default=True),
    reference("created_by", "users.id", ondelete="SET NULL"),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Column("kind", String(20), nullable=False, server_default="message"),  # added: a `core.template` kind
    Column("category", String(100)),  # added: of what is sent by it, where nothing else is said
    number("published_version", 1),  # added: which version the row holds; 0: none was published yet
    one_of("message_type", "message_type", "email", "sms", "push"),
    one_of("kind", "kind", "message", "layout", "partial"),
    Index("idx_template_name", "name", unique=True),
    Index("idx_template_type", "message_type"),
    Index("idx_template_active", "is_active"),
    Index("idx_template_created_by", "created_by"),
)

template_versions = Table(
    "template_versions",
    metadata,
    row_id(),
    reference("template_id", "notification_templates.id"),
    Column("number", Integer, nullable=False),
    Column("state", String(20), nullable=False, server_default="draft"),
    Column("subject", String(255)),
    Column("body", Text, nullable=False),
    Column("html", Text),  # of a mail
    Column("title", Text),  # of a push, as are image and data
    Column("image", Text),
    Column("data", Text),  # JSON object of templates
    Column("variables", Text),  # JSON array: names, or objects with name, type, default, example
    Column("language", String(35)),  # of the parts above: a BCP 47 tag
    Column("variants", Text),  # JSON object: a language's parts by its tag
    Column("includes", Text),  # JSON object: by the name of each that it includes its id and version
    Column("note", Text),
    reference("created_by", "users.id", nullable=True, ondelete="SET NULL"),
    now_by_default("created_at"),
    Column("published_at", BigInteger),
    one_of("state", "state", "draft", "published"),
    Index("idx_template_version", "template_id", "number", unique=True),
    Index("idx_template_version_created_by", "created_by"),
)
