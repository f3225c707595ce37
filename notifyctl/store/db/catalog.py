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
