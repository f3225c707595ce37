"""Roles of PostgreSQL's for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from notifyctl.store.rights import SUBMITTING
from notifyctl.store.roles import ROLES
from notifyctl.store.roles import sql as roles_sql

SUBMITS = (
    "GRANT USAGE ON SCHEMA public TO {}",
    *(f"GRANT {', '.join(rights)} ON FUNCTION public.{name} TO {{}}" for name, rights in SUBMITTING.items()),
)
"""What lets a role submit, and nothing else."""


@contextmanager
def role(url: str, *grants: str, suffix: str = "app") -> Iterator[str]:
    """Yield the URL for a role that may do what `grants` say, `{}` being its name, and nothing else."""
    name = f"{suffix}_{make_url(url).database}"
    quoted = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(quoted))
        try:
            for grant in grants:
                conn.execute(sql.SQL(grant).format(quoted))
            yield make_url(url).set(username=name).render_as_string(hide_password=False)
        finally:
            conn.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(quoted))


@contextmanager
def least_privileged(url: str) -> Iterator[dict[str, str]]:
    """Give a migrated database the roles of `migrate roles --print`; yield the URL of somebody in each, by its kind."""
    prefix = str(make_url(url).database)[-30:].strip("_")
    names = {role.kind: f"{prefix}_{role.kind}" for role in ROLES}
    every = sql.SQL(", ").join(sql.Identifier(f"{name}{end}") for name in names.values() for end in ("", "_login"))
    with psycopg.connect(url, autocommit=True) as conn:
        try:
            conn.execute(roles_sql(prefix).encode())
            for name in names.values():
                login, group = sql.Identifier(f"{name}_login"), sql.Identifier(name)
                conn.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(login, group))
            yield {
                kind: make_url(url).set(username=f"{name}_login").render_as_string(hide_password=False)
                for kind, name in names.items()
            }
        finally:
            conn.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(every))
