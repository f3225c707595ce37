"""The tables of where people are reached, and where they must not be; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from notifyctl.store.db.dialect import ID
from notifyctl.store.schema.columns import metadata, now_by_default, one_of, reference, row_id

contact_points = Table(
    "contact_points",
    metadata,
    row_id(),
    reference("user_id", "users.id"),
    Column("channel", String(20), nullable=False),
    Column("address", String(1500), nullable=False),
    Column("folded", String(1024)),  # as it is compared; NULL where that is the address in lower case
    Column("folded_before", String(1024)),  # the same in the way before, while that changes (`core.atrest`)
    now_by_default("created_at"),
    one_of("channel", "channel", "email", "sms", "push"),
    Index("idx_contact_user_channel", "user_id", "channel", "address", unique=True),
    Index("idx_contact_folded", "folded"),
)

suppressions = Table(
    "suppressions",
    metadata,
    row_id(),
    Column("channel", String(20), nullable=False),
    Column("address", String(1500), nullable=False),  # as it is compared (`core.address.fold`)
    Column("address_before", String(1024)),  # the same in the way before, while that changes (`core.atrest`)
    Column("written", String(1500)),  # as it was given; NULL where that is the same
    Column("cause", String(20), nullable=False, server_default="operator"),  # a `core.suppression.SuppressionCause`
    Column("group_id", String(64), nullable=False, server_default=text("''")),  # of which mails; empty: of all
    Column("reason", Text, nullable=False),
    Column("notification_id", ID),  # the one whose answer caused it; no foreign key: it outlives that row
    now_by_default("created_at"),
    Column("lifted_at", BigInteger),  # what was said before that moment suppresses it no more
    one_of("channel", "channel", "email", "sms", "push"),
    one_of("cause", "cause", "bounce", "opt_out", "complaint", "operator"),
    Index("idx_suppression_address", "channel", "address", "cause", "group_id", unique=True),
    Index("idx_suppression_created", "created_at", "id"),
)

# How addresses that are sealed are found: the one of the highest generation is written, the other one is replaced.
address_lookups = Table(
    "address_lookups",
    metadata,
    row_id(),
    Column("generation", Integer, nullable=False),
    Column("secret", Text),  # sealed: what hashes are made with; NULL: none are made, addresses are in clear
    now_by_default("created_at"),
    Index("idx_address_lookup_generation", "generation", unique=True),
)
