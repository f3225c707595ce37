"""The way in: inserting notifications, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter

from sqlalchemy.sql.dml import ReturningInsert

from notifyctl.core.submission import New
from notifyctl.store import attachments
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.follow import follow_new
from notifyctl.store.schema.tables import notifications

_COLUMNS = tuple(field.name for field in fields(New) if field.name not in New.ASIDE)
_VALUES = attrgetter(*_COLUMNS)


def submit(tx: Tx, rows: Sequence[New], files: Mapping[str, str] | None = None) -> set[str]:
    """Insert those whose idempotency key is new and return their ids; the others change nothing.

    `files` are the contents, by digest, that their payloads refer to and that may not be stored yet.

    Waits for another transaction that inserts the same key until that one has ended.
    """
    if not rows:
        return set()
    # In the order of the key, so that two that insert the same keys wait for each other one way only.
    ordered = sorted(rows, key=lambda row: row.idempotency_key)
    values = [dict(zip(_COLUMNS, _VALUES(row), strict=True)) for row in ordered]
    inserted = set(tx.execute(_inserting(tx.dialect), values).scalars())
    _attach(tx, [row for row in rows if row.id in inserted and row.files], files or {})
    follow_new(tx, [row for row in rows if row.id in inserted])
    return inserted


def _attach(tx: Tx, rows: Sequence[New], files: Mapping[str, str]) -> None:
    if rows:
        needed = {digest for row in rows for digest in row.files}
        attachments.keep(tx, {digest: content for digest, content in files.items() if digest in needed})
        attachments.link(tx, [(row.id, digest) for row in rows for digest in row.files])


@cache
def _inserting(dialect: Dialect) -> ReturningInsert[str]:
    statement = dialect.insert(notifications)
    return statement.on_conflict_do_nothing(index_elements=["idempotency_key"]).returning(notifications.c.id)
