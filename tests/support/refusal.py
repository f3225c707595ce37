"""A database that refuses a change of one notification."""

from __future__ import annotations

from sqlalchemy import text

from notifyctl.store.db.database import Database
from notifyctl.store.db.dialect import SQLITE

_SQLITE = (
    "CREATE TRIGGER refusing BEFORE UPDATE ON notifications WHEN NEW.id = '{id}' AND {change}"
    " BEGIN SELECT RAISE(ABORT, 'this row is not for you'); END",
)
_POSTGRESQL = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'this row is not for you'; END $$",
    "CREATE TRIGGER refusing BEFORE UPDATE ON notifications FOR EACH ROW"
    " WHEN (NEW.id = '{id}' AND {change}) EXECUTE FUNCTION refuse()",
)


def refuse(db: Database, id_: str, change: str = "NEW.status <> OLD.status") -> None:
    """Make the database refuse such a change of this notification."""
    statements = _SQLITE if db.dialect is SQLITE else _POSTGRESQL
    db.write(lambda tx: [tx.execute(text(each.format(id=id_, change=change))) for each in statements])


def allow(db: Database) -> None:
    """Let it be changed again."""
    on = "" if db.dialect is SQLITE else " ON notifications"
    db.write(lambda tx: tx.execute(text(f"DROP TRIGGER refusing{on}")))
