"""The schema's versions: Alembic underneath, one transaction for all that a command changes.

Imported by the commands that change or examine the schema and by nothing else: Alembic takes half a second to load.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection

from notifyctl.core.errors import Conflict, DatabaseUnavailable, SchemaMismatch, UsageError
from notifyctl.core.migration import Difference, Revision, SchemaStatus
from notifyctl.store.db.database import WRITE_LOCK_TIMEOUT_S, Database, newer_schema
from notifyctl.store.db.dialect import UTF8
from notifyctl.store.db.failures import MAY_NOT, of_file
from notifyctl.store.db.filelock import exclusive, lock_of
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema import drift, functions
from notifyctl.store.schema.version import SCHEMA_VERSION

OPTIONS: dict[str, Any] = {**drift.OPTIONS, "transactional_ddl": True, "transaction_per_migration": False}
"""What migrations/env.py configures Alembic with."""

BASE = "base"
HEAD = "head"
_LOCK = "notifyctl.schema"
_HISTORY = "notifyctl migrate history"
_NAME = re.compile(r"\w+|[+-][0-9]+", re.ASCII)


def up(database: Database, revision: str = HEAD, lock_timeout_ms: int | None = None) -> tuple[Revision, ...]:
    """Migrate to `revision` and return what ran, oldest first. All of it happens or nothing.

    A SQLite file and its folder are created. Of several at once one works, the others wait for it and find nothing to
    do. `lock_timeout_ms` limits how long a table that is in use is waited for (PostgreSQL), and with it how long
    everybody else queues behind this command; the wait for another `up` is not limited.
    Raises DatabaseUnavailable when that time is over, SchemaMismatch for a database newer than this program or in which
    everybody may submit, Conflict for one of another encoding than UTF-8.
    """
    _require_name(revision)
    _create_file(database)
    now = database.moment()

    def work(conn: Connection) -> tuple[Revision, ...]:
        _require_utf8(database, conn)
        before = _begin(database, conn, lock_timeout_ms)
        command.upgrade(_config(connection=conn), revision)
        after = _current(conn)
        _require_closed(database, conn)
        _audit(Tx(conn, database.dialect, now, database.actor, database.mac_key), before, after)
        return tuple(reversed(_between(before, after)))

    return _run(database, work)


def down(database: Database, revision: str, lock_timeout_ms: int | None = None) -> tuple[Revision, ...]:
    """Take back the migrations after `revision` (`base`: all) and return them, newest first. All of it or nothing.

    Raises like `up`, and SchemaMismatch where there is no database.
    """
    now = database.moment()

    def work(conn: Connection) -> tuple[Revision, ...]:
        before = _begin(database, conn, lock_timeout_ms)
        command.downgrade(_config(connection=conn), revision)
        after = _current(conn)
        _audit(Tx(conn, database.dialect, now, database.actor, database.mac_key), before, after)
        return tuple(_between(after, before))

    return _run(database, work)


def taken_back(database: Database, revision: str) -> tuple[Revision, ...]:
    """Return what `down` would take back, newest first. Changes nothing; raises as `down` does."""
    _require_name(revision)
    with database.read() as tx:
        current = _known(database, tx.conn)
    if re.fullmatch(r"-\d+", revision):
        return tuple(_between(None, current))[: -int(revision)]
    with _understood():
        return tuple(_between(revision, current))


def status(database: Database) -> SchemaStatus:
    """Return where the database stands. Changes and creates nothing."""
    if database.path is not None and not database.path.exists():
        return SchemaStatus(database.label, None, SCHEMA_VERSION, tuple(reversed(_between(None, HEAD))), exists=False)
    with database.read() as tx:
        current = _current(tx.conn)
    known = _is_known(current)
    pending = tuple(reversed(_between(current, HEAD))) if known else ()
    return SchemaStatus(database.label, current, SCHEMA_VERSION, pending, known=known)


def history() -> tuple[Revision, ...]:
    """Return all migrations, newest first."""
    return tuple(_between(None, HEAD))


def sql(database: Database, revision: str = HEAD) -> str:
    """Return the SQL of `up` for somebody else to run. Does not connect.

    It starts from an empty database, or with `FROM:TO` from that revision.
    """
    text = StringIO()
    first, colon, last = revision.partition(":")
    for name in (first, last) if colon else (first,):
        _require_name(name)
    with _understood():
        command.upgrade(_config(text, dialect=database.dialect.name), revision, sql=True)
    creation = "" if ":" in revision else database.dialect.creation
    return "\n".join(line.rstrip() for line in f"{creation}\n\n{text.getvalue()}".strip().splitlines()) + "\n"


def check(database: Database) -> tuple[Difference, ...]:
    """Return in what the database differs from what this program knows: its version, then its tables. Reads only.

    Tables that are not this program's are passed over. Raises SchemaMismatch where there is no database.
    """
    with database.read() as tx:
        current = _current(tx.conn)
        tables = drift.differences(tx.conn, database.dialect)
    if current == SCHEMA_VERSION:
        return tables
    return (Difference("version", f"{current or 'none'} instead of {SCHEMA_VERSION}"), *tables)


def _audit(tx: Tx, before: str | None, after: str | None) -> None:
    # Before the first revision there is no trail to write into; and it says who did what, not that something was done.
    if after not in (None, before) and tx.actor.agent is not None:
        tx.audit("migrate", "schema", [(None, {"revision": [before, after]})])


def _run(database: Database, work: Any) -> tuple[Revision, ...]:
    with _understood():
        ran: tuple[Revision, ...] = database.alter(work)
    return ran


def _begin(database: Database, conn: Connection, lock_timeout_ms: int | None) -> str | None:
    """Wait for others that migrate; return the revision from which to go on."""
    database.dialect.serialize(conn, _LOCK)
    if lock_timeout_ms is not None:
        database.dialect.limit_lock_wait(conn, lock_timeout_ms)
    database.dialect.become_owner(conn)
    return _known(database, conn)


def _require_utf8(database: Database, conn: Connection) -> None:
    """Refuse a database that would lose or refuse what somebody writes, sooner or later."""
    encoding = database.dialect.encoding(conn)
    if encoding != UTF8:
        raise Conflict(
            f"{database.label}: its encoding is {encoding}, and texts of all languages need {UTF8}",
            f"createdb -E {UTF8} -T template0 NAME, and that one in the database URL",
        )


def _require_closed(database: Database, conn: Connection) -> None:
    """Refuse a database in which everybody may call what acts with its owner's rights."""
    if found := functions.open_to_all(functions.stored(conn, database.dialect)):
        names = ", ".join(found)
        raise SchemaMismatch(
            f"{database.label}: everybody (PUBLIC) may execute {names}",
            f"REVOKE EXECUTE ON FUNCTION {names} FROM PUBLIC",
        )


def _known(database: Database, conn: Connection) -> str | None:
    current = _current(conn)
    if current is not None and not _is_known(current):
        raise newer_schema(database.label, current)
    return current


def _current(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _is_known(revision: str | None) -> bool:
    return revision is None or any(revision == known.id for known in history())


def _between(older: str | None, newer: str | None) -> list[Revision]:
    """Return the migrations after `older` up to `newer`, newest first."""
    if newer is None or newer == older:
        return []
    scripts = ScriptDirectory.from_config(_config())
    return [
        Revision(script.revision, previous if isinstance(previous := script.down_revision, str) else None, script.doc)
        for script in scripts.iterate_revisions(newer, older or BASE)
    ]


def _require_name(revision: str) -> None:
    # Alembic knows more ways to write one, and fails on some of them with an assertion of its own.
    if not _NAME.fullmatch(revision):
        raise UsageError(f"{revision[:80]!r} names no revision", _HISTORY)


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except (CommandError, RevisionError) as error:
        raise UsageError(str(error).rstrip("."), _HISTORY) from error


def _config(output: StringIO | None = None, **attributes: Any) -> Config:
    config = Config(output_buffer=output, stdout=StringIO(), attributes=attributes)
    config.set_main_option("script_location", str(functions.migrations()).replace("%", "%%"))
    return config


def _refuse_loose_end(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is a link to nothing: no database is created through it", "name the file itself")


def _create_file(database: Database) -> None:
    """Make an empty database in WAL mode, for its owner only. Leaves one that exists as it is, but for the mode."""
    path = database.path
    if path is None:
        return
    try:
        _refuse_loose_end(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(lock_of(path), WRITE_LOCK_TIMEOUT_S):
            # Never opened where it exists: to close it would take away the locks that this process's connections hold.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(path)) as conn:
                conn.execute(database.dialect.creation)
    except OSError as error:
        raise of_file(path, error) from error
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"{path}: {error}", MAY_NOT if "readonly" in str(error) else None) from error
