"""What a database really holds, in its own words, so that two databases can be compared to the letter."""

from __future__ import annotations

from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

_POSTGRESQL = {
    "columns": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
    " pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "relations": "SELECT relname, relkind, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace",
}
_VERSION = "alembic_version"


def contents(database: Database) -> list[str]:
    """Return one line for everything in the database but Alembic's own table."""
    with database.read() as tx:
        lines = _sqlite(tx) if database.path else _postgresql(tx)
    return sorted(line for line in lines if _VERSION not in line)


def _postgresql(tx: Tx) -> list[str]:
    return [f"{kind}: {tuple(row)}" for kind, query in _POSTGRESQL.items() for row in tx.conn.exec_driver_sql(query)]


def _sqlite(tx: Tx) -> list[str]:
    # SQLAlchemy writes a column or constraint a line, and constraints in no certain order.
    rows = tx.conn.exec_driver_sql("SELECT type, tbl_name, name, sql FROM sqlite_master")
    return [
        f"{kind} {table}.{name}: {line.strip().rstrip(',')}"
        for kind, table, name, sql in rows
        for line in (sql or "").splitlines()
    ]
