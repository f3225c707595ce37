"""Databases for tests: each its own, copied from one that was migrated once."""

from __future__ import annotations

import itertools
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from notifyctl.store.db.database import Database
from notifyctl.store.schema import revisions as schema


class SQLiteMaker:
    """Copies of a migrated file."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        _migrate(f"sqlite:///{self._template}")

    def migrated(self, folder: Path) -> str:
        """Put a migrated database into `folder` and return its URL."""
        path = folder / "notifyctl.db"
        shutil.copyfile(self._template, path)
        path.chmod(0o600)
        return f"sqlite:///{path}"


class PostgreSQLMaker:
    """Clones of a migrated database."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._run = f"notifyctl_test_{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count(1)

    def __enter__(self) -> PostgreSQLMaker:
        """Make the template."""
        self._admin = psycopg.connect(_for_psycopg(self._server), autocommit=True)
        self._strategy = sql.SQL("STRATEGY FILE_COPY" if self._is_quick_to_copy() else "")
        self._create(self._run, template="template0")
        _migrate(self._url(self._run))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the template."""
        self._drop(self._run)
        self._admin.close()

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a migrated database."""
        with self._made(self._run) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a database without tables."""
        with self._made("template0") as url:
            yield url

    @contextmanager
    def _made(self, template: str) -> Iterator[str]:
        name = f"{self._run}_{next(self._numbers)}"
        self._create(name, template)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def _create(self, name: str, template: str) -> None:
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {} {}")
        self._admin.execute(command.format(sql.Identifier(name), sql.Identifier(template), self._strategy))

    def _is_quick_to_copy(self) -> bool:
        """Whether files are copied in half the time of pages: there is a checkpoint before, which costs if it syncs."""
        fsync = self._admin.execute("SHOW fsync").fetchone()
        return self._admin.info.server_version >= 150_000 and fsync == ("off",)

    def _drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _url(self, name: str) -> str:
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)


def _for_psycopg(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _migrate(url: str) -> None:
    database = Database(url)
    schema.up(database)
    database.close()
