"""Questions to PostgreSQL's own catalogue: what a role may do, and who owns the tables."""

from __future__ import annotations

from sqlalchemy import text

# A table that is not there is no matter of rights.
LACKING = text(
    "SELECT t, CASE WHEN c = '' THEN r ELSE r || ' (' || c || ')' END"
    " FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[]), CAST(:columns AS text[])) AS asked(t, r, c)"
    " WHERE NOT coalesce(CASE WHEN c = '' THEN has_table_privilege(to_regclass(t)::oid, r)"
    " ELSE has_column_privilege(to_regclass(t)::oid, c, r) END, true) ORDER BY t, r"
)

OWNER = text(
    "SELECT r.rolname FROM pg_roles r WHERE r.rolname <> current_user AND pg_has_role(r.oid, 'MEMBER')"
    " AND shobj_description(r.oid, 'pg_authid') LIKE 'notifyctl owner:%' AND CASE"
    " WHEN to_regclass('alembic_version') IS NOT NULL THEN EXISTS"
    " (SELECT FROM pg_class c WHERE c.oid = to_regclass('alembic_version') AND c.relowner = r.oid)"
    " ELSE EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = current_schema()"
    " AND a.grantee = r.oid AND a.privilege_type = 'CREATE') END LIMIT 1"
)

INDEXES = text(
    # Unqualified names are looked up in the search path, and so are these.
    "SELECT c.relname, i.relname, pg_get_indexdef(i.oid) FROM pg_index x"
    " JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid"
    " WHERE pg_table_is_visible(c.oid) AND NOT EXISTS"
    " (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))"
)
"""The indexes that are no constraint's: table, name, and the statement that makes it."""

WRITERS = text(
    # A statement that writes has this lock before it sees anything, and keeps it until its transaction ends.
    "SELECT l.virtualtransaction FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE d.datname = current_database() AND l.relation = to_regclass(:name)"
    " AND l.mode = 'RowExclusiveLock' AND l.pid <> pg_backend_pid()"
)
"""The other transactions that may have written a table of that name."""
