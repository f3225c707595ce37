"""The way in: inserting notifications, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.sql.dml import ReturningInsert

from notifyctl.core.submission import NO_COLUMNS, New
from notifyctl.store import attachments
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import only
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.follow import follow_new
from notifyctl.store.queue.outbox import anybody, is_anybody
from notifyctl.store.schema.tables import notifications

_COLUMNS = tuple(name for name in New._fields if name not in NO_COLUMNS)
_VALUES = itemgetter(*(place for place, name in enumerate(New._fields) if name not in NO_COLUMNS))
_KEY = attrgetter(notifications.c.idempotency_key.name)

n = notifications.c

MANY = 100
"""From so many on, rows go in by the way that has a price of its own, and costs little for each."""


def submit(tx: Tx, rows: Sequence[New], files: Mapping[str, str] | None = None) -> set[str]:
    """Insert those whose idempotency key is new and return their ids; the others change nothing.

    `files` are the contents, by digest, that their payloads refer to and that may not be stored yet.

    Waits for another transaction that inserts the same key until that one has ended.
    """
    if not rows:
        return set()
    # In the order of the key, so that two that insert the same keys wait for each other one way only.
    ordered = sorted(rows, key=_KEY)
    inserted, is_heard = _insert_few(tx, ordered) if len(rows) < MANY else _insert_many(tx, ordered)
    new = rows if len(inserted) == len(rows) else [row for row in rows if row.id in inserted]
    _attach(tx, [row for row in new if row.files], files or {})
    follow_new(tx, new, is_heard=is_heard)
    return inserted


def _insert_few(tx: Tx, rows: Sequence[New]) -> tuple[set[str], bool]:
    """Return the ids of those that were inserted, and whether there are webhooks that may be told."""
    values = [dict(zip(_COLUMNS, _VALUES(row), strict=True)) for row in rows]
    made = tx.execute(_inserting(tx.dialect), values).all()
    return {row[0] for row in made}, bool(made and made[0][1])


def _insert_many(tx: Tx, rows: Sequence[New]) -> tuple[set[str], bool]:
    count = tx.insert_many(notifications, _COLUMNS, [*map(_VALUES, rows)], n.idempotency_key.name)
    ids = [row.id for row in rows]
    # Mostly all are new, and nobody has to be asked which.
    new = set(ids) if count == len(ids) else set(tx.rows(_THERE, tx.dialect.bind("v", _ID, [(id_,) for id_ in ids])))
    return new, is_anybody(tx)


def _attach(tx: Tx, rows: Sequence[New], files: Mapping[str, str]) -> None:
    if rows:
        needed = {digest for row in rows for digest in row.files}
        attachments.keep(tx, {digest: content for digest, content in files.items() if digest in needed})
        attachments.link(tx, [(row.id, digest) for row in rows for digest in row.files])


@cache
def _inserting(dialect: Dialect) -> ReturningInsert[Any]:
    statement = dialect.insert(notifications)
    return statement.on_conflict_do_nothing(index_elements=["idempotency_key"]).returning(notifications.c.id, anybody())


def _there(dialect: Dialect) -> Select[tuple[str]]:
    v = dialect.rowset("v", _ID)
    return select(n.id).where(n.id == v.c.id)


_ID = {"id": ID}
_THERE = only(_there)
