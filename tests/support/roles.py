"""Roles of PostgreSQL's for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from notifyctl.store.rights import SUBMITTING

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
