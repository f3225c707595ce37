"""What the tables are made with: where they are registered, and the kinds of columns that many have."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, MetaData, false, text, true

from notifyctl.store.db.dialect import ID
from notifyctl.store.db.functions import epoch_ms

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def row_id() -> Column[str]:
    """Return the primary key: a UUID."""
    return Column("id", ID, primary_key=True)


def now_by_default(name: str) -> Column[int]:
    """Return a moment in milliseconds since the epoch; when the row is made, where nothing is said."""
    return Column(name, BigInteger, nullable=False, server_default=epoch_ms())


def reference(
    name: str, target: str, *, nullable: bool = False, ondelete: str = "CASCADE", primary_key: bool = False
) -> Column[str]:
    """Return an id that is in another table, as `table.column`; `ondelete` says what a row does when that one goes."""
    action = ForeignKey(target, onupdate="CASCADE", ondelete=ondelete)
    return Column(name, ID, action, nullable=nullable, primary_key=primary_key)


def flag(name: str, *, default: bool) -> Column[bool]:
    """Return a boolean that is never NULL."""
    return Column(name, Boolean, nullable=False, server_default=true() if default else false())


def number(name: str, default: int) -> Column[int]:
    """Return an integer that is never NULL."""
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def one_of(name: str, column: str, *values: str) -> CheckConstraint:
    """Return the rule that a column holds one of these values."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=name)
