"""The tables of conditions that people are told of; `tables` has them too."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from notifyctl.store.schema.columns import flag, metadata, number

conditions = Table(
    "conditions",
    metadata,
    Column("condition", String(30), primary_key=True),
    Column("subject", String(255), primary_key=True),  # a provider, a webhook as USER/NAME; empty: the whole system
    Column("since", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    number("level", 0),  # how bad it was when that was told last
    Column("mark", Text, nullable=False, server_default=""),  # of another mark it is another one
    flag("has_begun", default=False),  # that was told
    Column("absent_since", BigInteger),  # not seen any more since then
)

condition_looks = Table(
    "condition_looks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("number", BigInteger, nullable=False),  # of the last look: what came of an older one is not written
    Column("looked_at", BigInteger, nullable=False),
)
