"""What docs/submitting.md says of submitting inside one's own transaction, typed as it stands there."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, make_url, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import seed
from tests.support.prose import page

ORDERS = "CREATE TABLE orders (id INTEGER, customer TEXT)"


def examples(language: str) -> list[str]:
    """Return the blocks of the section in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page("submitting"), flags=re.MULTILINE | re.DOTALL)


def prepared(url: str) -> Database:
    """Open a database with the people and the providers of the examples."""
    db = Database(url)
    seed.user(db)
    seed.provider(db, config_json='{"from":"alerts@example.com"}')
    seed.provider(db, "fcm", api_secret="unused")
    return db


def stored(db: Database) -> int:
    """How many notifications there are."""
    with db.read() as tx:
        return tx.execute(select(func.count()).select_from(notifications)).scalar_one()


@pytest.fixture
def pg(postgresql_url: str) -> Iterator[Database]:
    """A PostgreSQL database with orders."""
    db = prepared(postgresql_url)
    db.write(lambda tx: tx.conn.exec_driver_sql(ORDERS))
    yield db
    db.close()


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Database]:
    """A SQLite database with orders."""
    db = prepared(sqlite_url)
    with closing(sqlite3.connect(str(db.path))) as conn:
        conn.execute(ORDERS)
    yield db
    db.close()


def test_the_sql(pg: Database, postgresql_url: str) -> None:
    """Each block runs; the refusal is the one that the savepoint is for."""
    submitting, granting, going_back = examples("sql")
    name = f"shop_{make_url(postgresql_url).database}"
    with psycopg.connect(postgresql_url, autocommit=True) as conn:
        conn.execute(submitting.encode())
        assert stored(pg) == 1
        conn.execute(f"CREATE ROLE {name}")
        try:
            conn.execute(granting.replace(" shop;", f" {name};").encode())
        finally:
            conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
        for statement in going_back.strip().split(";\n"):
            if "nobody" in statement:
                with pytest.raises(psycopg.Error) as caught:
                    conn.execute(statement.encode())
                assert caught.value.sqlstate == "NC003"
            else:
                conn.execute(statement.encode())
    assert stored(pg) == 1


def test_psycopg(pg: Database, postgresql_url: str) -> None:
    """The mail is there with the order."""
    run(examples("python")[0], POSTGRESQL_URL=postgresql_url)
    assert stored(pg) == 1


@pytest.mark.parametrize("kind", ["pg", "lite"])
def test_sqlalchemy(kind: str, request: pytest.FixtureRequest) -> None:
    """The same lines on either database."""
    db = request.getfixturevalue(kind)
    known = run(examples("python")[1], DATABASE_URL=db.url.render_as_string(hide_password=False))
    known["engine"].dispose()
    assert stored(db) == 2


def test_sqlite(lite: Database) -> None:
    """Under the lock, in the connection's own transaction."""
    run(examples("python")[2], SQLITE_PATH=str(lite.path))
    assert stored(lite) == 1


def run(text: str, **known: Any) -> dict[str, Any]:
    """Run a block in which these names are known, and return all that are known then."""
    exec(compile(text, "docs/submitting.md", "exec"), known)
    return known
