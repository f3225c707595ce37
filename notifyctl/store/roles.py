"""Roles of PostgreSQL with the least rights: the SQL that makes them, and what they lack or have too much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from sqlalchemy import Connection, text

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.store.db.dialect import POSTGRESQL
from notifyctl.store.db.literals import array_literal
from notifyctl.store.db.tx import Tx
from notifyctl.store.rights import ADMITTED, DISPATCHING, LOCKING, NOTING, OPERATING, READING, SUBMITTING
from notifyctl.store.schema import functions
from notifyctl.store.schema.columns import metadata

PREFIX = "notifyctl"
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Role:
    """A role: what it is for and what it may.

    `columns` are those that it may read of a table that it may not read, `changing` those that it may change.
    """

    kind: str
    about: str
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: Iterable[str] = ()

    @property
    def marker(self) -> str:
        """What its comment begins with: by that it is known, whatever it is called."""
        return f"notifyctl {self.kind}:"


OWNER = Role("owner", "owns the tables and migrates them; nothing that runs has it")
ROLES = (
    OWNER,
    Role("dispatch", "runs dispatchers", {**DISPATCHING, **ADMITTED}, changing={**NOTING, **LOCKING}),
    Role("submit", "submits by the functions, and can do nothing else", functions=SUBMITTING),
    Role("operate", "runs the commands but for migrate and dispatch", OPERATING),
    Role("read", "reads what tells nothing of people, messages and secrets", columns=READING),
)
TABLES = (*sorted(metadata.tables), "alembic_version")


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role of a database, and in what its rights differ from what they should be."""

    name: str
    kind: str
    about: str
    problems: tuple[str, ...]

    @property
    def state(self) -> str:
        """In a word."""
        return "out of date" if self.problems else "as it should be"


def sql(prefix: str = PREFIX) -> str:
    """Return the SQL that makes the roles and gives them their rights, no more and no less; it can be repeated.

    Raises UsageError for a prefix that needs quotes.
    """
    if not _NAME.fullmatch(prefix):
        raise UsageError(f"{prefix!r} is no beginning of a role's name", "a letter, then letters, digits and _")
    tables = [*_owned(prefix), *_granted(prefix)]
    return "\n".join([*_head(prefix), *_schema(prefix), *_where_there_are_tables(prefix, tables), "", "COMMIT;"])


def _head(prefix: str) -> list[str]:
    own = [f"--   {prefix + '_' + role.kind:<{len(prefix) + 9}} {role.about}" for role in ROLES]
    lines = [
        "-- Roles for notifyctl with the least rights. For PostgreSQL, after `migrate up`, by a superuser or the owner",
        "-- of the database; again whenever `migrate up` says so. A login gets one: GRANT "
        + prefix
        + "_operate TO anna;",
        *own,
        "",
        "BEGIN;",
        "",
    ]
    for role in ROLES:
        name = f"{prefix}_{role.kind}"
        lines += [
            f"DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
            f"COMMENT ON ROLE {name} IS '{role.marker} {role.about}';",
        ]
    return lines


def _schema(prefix: str) -> list[str]:
    names = ", ".join(f"{prefix}_{role.kind}" for role in ROLES)
    return [
        "",
        f"DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {names}', current_database());",
        f"  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, {names}', current_schema());",
        f"  EXECUTE format('GRANT USAGE ON SCHEMA %I TO {names}', current_schema());",
        f"  EXECUTE format('GRANT CREATE ON SCHEMA %I TO {prefix}_owner', current_schema());",
        f"  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {prefix}_operate', current_database());  -- for COPY",
        "  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN",
        f"    EXECUTE format('GRANT {prefix}_owner TO %I', current_user);  -- others may give to their own only",
        "  END IF; END $$;",
    ]


def _where_there_are_tables(prefix: str, lines: list[str]) -> list[str]:
    later = f"there are no tables yet: migrate up as a member of {prefix}_owner, then run this again"
    return [
        "",
        "DO $$ BEGIN IF to_regclass('alembic_version') IS NULL THEN",
        f"  RAISE NOTICE '{later}';",
        "ELSE",
        *(f"  {line}" if line else "" for line in lines),
        "END IF; END $$;",
    ]


def _owned(prefix: str) -> list[str]:
    owner, others = f"{prefix}_{OWNER.kind}", ", ".join(f"{prefix}_{role.kind}" for role in ROLES if role is not OWNER)
    tables, known = ",\n  ".join(TABLES), ", ".join(functions.expected())
    return [
        "",
        *(f"ALTER TABLE {table} OWNER TO {owner};" for table in TABLES),
        *(f"ALTER FUNCTION {name} OWNER TO {owner};" for name in functions.expected()),
        "",
        f"REVOKE ALL ON\n  {tables}\n  FROM PUBLIC, {others};",
        f"REVOKE ALL ON FUNCTION {known}\n  FROM PUBLIC, {others};",
    ]


def _granted(prefix: str) -> list[str]:
    lines: list[str] = []
    for role in ROLES:
        name = f"{prefix}_{role.kind}"
        lines += ["", f"-- {name}"] if role is not OWNER else []
        lines += [f"GRANT {', '.join(verbs)} ON {table} TO {name};" for table, verbs in sorted(role.tables.items())]
        lines += [f"GRANT SELECT ({', '.join(some)}) ON {table} TO {name};" for table, some in role.columns.items()]
        lines += [f"GRANT UPDATE ({', '.join(some)}) ON {table} TO {name};" for table, some in role.changing.items()]
        lines += [f"GRANT EXECUTE ON FUNCTION {function} TO {name};" for function in role.functions]
    return lines


# What there is


def states(tx: Tx) -> list[RoleState]:
    """Return the roles that have been given something in this database, with what is wrong with their rights.

    Others' are passed over: one is known by its comment, which the SQL gives it. SQLite has none.
    """
    if tx.dialect is not POSTGRESQL:
        return []
    here = tx.conn.execute(_HERE, {"tables": array_literal(TABLES)}).all()
    found = []
    for role in ROLES:
        for name, _ in (row for row in here if row[1].startswith(role.marker)):
            found.append(RoleState(name, role.kind, role.about, tuple(_problems(tx.conn, role, name))))
    return found


def _problems(conn: Connection, role: Role, name: str) -> list[str]:
    if role is OWNER:
        rows = conn.execute(_NOT_OWNED, {"tables": array_literal(TABLES), "name": name})
        return [f"does not own {row[0]}" for row in rows]
    table, column, function = _differing(conn, role, name)
    owned = conn.execute(_OWNED, {"tables": array_literal(TABLES), "name": name})
    whole = {f"{each}." for each in table}
    parts = [each for each in column if f"{each.rpartition('.')[0]}." not in whole]  # said of the table already
    members = conn.execute(_OF_MEMBERS, {"tables": array_literal(TABLES), "name": name})
    theirs = [f"its member {member} {has} of its own: REVOKE that" for member, has in members]
    return [*(f"owns {row[0]}" for row in owned), *table, *parts, *function, *theirs]


def _differing(conn: Connection, role: Role, name: str) -> tuple[list[str], list[str], list[str]]:
    pairs = [(table, verb) for table in TABLES for verb in VERBS]
    wanted = [verb in role.tables.get(table, ()) for table, verb in pairs]
    tables = _asked(conn, _TABLE_RIGHTS, name, [*zip(*pairs, strict=True)], wanted)
    places = [(each.name, column.name) for each in metadata.sorted_tables for column in each.columns]
    columns: list[str] = []
    for verb, some in (("SELECT", role.columns), ("UPDATE", role.changing)):
        whole = {table for table, verbs in role.tables.items() if verb in verbs}
        right = [column in some.get(table, ()) or table in whole for table, column in places]
        columns += _asked(conn, _COLUMN_RIGHTS.replace("{verb}", verb), name, [*zip(*places, strict=True)], right)
    known = list(functions.expected())
    may = [each in set(role.functions) for each in known]
    return tables, columns, _asked(conn, _FUNCTION_RIGHTS, name, [known], may)


def _asked(
    conn: Connection, statement: str, name: str, asked: Sequence[Sequence[str]], wanted: Sequence[bool]
) -> list[str]:
    """Return which of the rights that are asked for differ from what is wanted."""
    given = {f"a{number}": array_literal(each) for number, each in enumerate(asked)}
    rows = conn.execute(text(statement), {**given, "wanted": array_literal(wanted), "name": name})
    return [f"{'lacks' if row[1] else 'has'} {row[0]}" for row in rows]


_HERE = text(
    "SELECT r.rolname, shobj_description(r.oid, 'pg_authid') FROM pg_roles r"
    " WHERE shobj_description(r.oid, 'pg_authid') LIKE 'notifyctl %:%' AND EXISTS ("
    " SELECT FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a"
    " WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) AS u(t)) AND a.grantee = r.oid"
    " UNION ALL SELECT FROM pg_attribute c, aclexplode(c.attacl) a WHERE a.grantee = r.oid"
    " AND c.attrelid = ANY (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) AS u(t))"
    " UNION ALL SELECT FROM pg_proc p, aclexplode(p.proacl) a WHERE a.grantee = r.oid"
    " AND p.pronamespace = CAST(current_schema() AS regnamespace) AND starts_with(p.proname, 'notifyctl_')"
    " UNION ALL SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE a.grantee = r.oid"
    " AND n.nspname = current_schema())"
    " ORDER BY r.rolname"
)
_NOT_OWNED = text(
    "SELECT c.relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
    " WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) AS u(t)) AND r.rolname <> :name"
    " ORDER BY 1"
)
_OWNED = text(
    "SELECT c.relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
    " WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) AS u(t)) AND r.rolname = :name"
    " ORDER BY 1"
)
_OF_MEMBERS = text(
    "WITH there AS (SELECT c.oid, c.relname, c.relowner, c.relacl FROM pg_class c"
    " WHERE c.oid = ANY (SELECT to_regclass(t) FROM unnest(CAST(:tables AS text[])) AS u(t))),"
    " given AS (SELECT a.grantee, 'has ' || a.privilege_type || ' ON ' || relname AS has"
    " FROM there, aclexplode(relacl) a WHERE a.grantee <> relowner UNION ALL"
    " SELECT a.grantee, 'has ' || a.privilege_type || ' ON ' || relname || '.' || c.attname"
    " FROM there JOIN pg_attribute c ON c.attrelid = there.oid, aclexplode(c.attacl) a WHERE a.grantee <> relowner"
    " UNION ALL SELECT relowner, 'owns ' || relname FROM there)"
    " SELECT m.rolname, has FROM given JOIN pg_roles m ON m.oid = grantee JOIN pg_roles r ON r.rolname = :name"
    " WHERE NOT m.rolsuper AND m.oid <> r.oid AND pg_has_role(m.oid, r.oid, 'MEMBER')"
    " AND coalesce(shobj_description(m.oid, 'pg_authid'), '') NOT LIKE 'notifyctl %:%' ORDER BY 1, 2"
)
"""What those who are in a role were given beside it."""
_TABLE_RIGHTS = (
    "SELECT v || ' ON ' || t, w FROM unnest(CAST(:a0 AS text[]), CAST(:a1 AS text[]), CAST(:wanted AS bool[]))"
    " AS u(t, v, w) WHERE coalesce(has_table_privilege(:name, to_regclass(t)::oid, v), w) <> w"
)
_COLUMN_RIGHTS = (
    "SELECT '{verb} ON ' || t || '.' || c, w"
    " FROM unnest(CAST(:a0 AS text[]), CAST(:a1 AS text[]), CAST(:wanted AS bool[])) AS u(t, c, w)"
    " JOIN pg_attribute a ON a.attrelid = to_regclass(t)::oid AND a.attname = c"
    " WHERE has_column_privilege(:name, a.attrelid, a.attnum, '{verb}') <> w"
)
_FUNCTION_RIGHTS = (
    "SELECT 'EXECUTE ON ' || f, w FROM unnest(CAST(:a0 AS text[]), CAST(:wanted AS bool[])) AS u(f, w)"
    " JOIN pg_proc p ON p.proname = f AND p.pronamespace = CAST(current_schema() AS regnamespace)"
    " WHERE has_function_privilege(:name, p.oid, 'EXECUTE') <> w"
)
