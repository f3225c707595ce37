"""The tables of what decides whether somebody is written to; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import CHAR, BigInteger, Column, Index, Integer, String, Table, Text

from notifyctl.store.db.dialect import ID
from notifyctl.store.schema.columns import metadata, now_by_default, number, one_of, reference, row_id

categories = Table(
    "categories",
    metadata,
    row_id(),
    Column("name", String(50), nullable=False),
    Column("kind", String(20), nullable=False, server_default="transactional"),
    Column("description", Text),
    Column("provider_group", String(64)),  # the group of mails at SendGrid that is the same
    now_by_default("created_at"),
    now_by_default("updated_at"),
    one_of("kind", "kind", "transactional", "marketing"),
    Index("idx_category_name", "name", unique=True),
)

category_opt_outs = Table(
    "category_opt_outs",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("category", String(50), nullable=False),  # its name, and no foreign key: an opt-out outlives the category
    Column("source", String(20), nullable=False),  # who said so: an operator, one click
    now_by_default("created_at"),
    Index("idx_opt_out_user_category", "user_id", "category", unique=True),
    Index("idx_opt_out_category", "category"),
)

cap_usage = Table(
    "cap_usage",
    metadata,
    reference("user_id", "users.id", primary_key=True),
    Column("channel", String(20), primary_key=True),
    Column("day_began", BigInteger, nullable=False),  # the first moment of the user's day that was counted
    number("used", 0),
)

user_limits = Table(
    "user_limits",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("limit_type", String(20), nullable=False),
    Column("per_minute", Integer, nullable=False),
    now_by_default("created_at"),
    now_by_default("updated_at"),
    Index("idx_user_limit", "user_id", "limit_type", unique=True),
)

fixture_labels = Table(
    "fixture_labels",
    metadata,
    Column("kind", String(20), primary_key=True),  # a section of fixtures
    Column("resource_id", ID, primary_key=True),  # no foreign key: it is in the kind's table, or is gone from there
    Column("label", String(100), nullable=False),
    Index("idx_fixture_label", "label"),
)

adopted_policy = Table(
    "adopted_policy",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("digest", CHAR(64), nullable=False),  # of what the configuration says about when people may be reached
    now_by_default("adopted_at"),
    Column("woken_to", ID),  # up to which notification what an older one put off was woken; NULL: all of it was
)
