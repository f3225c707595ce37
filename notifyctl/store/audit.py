"""What the audit trail says. `Tx.audit` writes it, in the transaction that makes the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from notifyctl.core.audit.entry import AuditEntry, AuditFilter
from notifyctl.core.cursor import Cursor
from notifyctl.core.json_codec import stored
from notifyctl.store.db.damaged import any_text
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import audit_logs, audit_seals
from notifyctl.store.streams import RowStream, streamed

a = audit_logs.c


def newest(tx: Tx, resource_type: str, resource_id: str, limit: int) -> list[AuditEntry]:
    """Return what was done to a resource last, the newest first."""
    return page(tx, AuditFilter(resource_type=resource_type, resource_id=resource_id), None, limit)


def page(tx: Tx, wanted: AuditFilter, after: Cursor | None, limit: int | None) -> list[AuditEntry]:
    """Return at most `limit` entries that match, after the cursor, the newest first."""
    statement = _select().where(*_conditions(wanted))
    return _many(tx, newest_first(statement, a.created_at, a.id, after, limit))


def count(tx: Tx, wanted: AuditFilter) -> int:
    """Return how many match."""
    return tx.execute(select(func.count()).select_from(audit_logs).where(*_conditions(wanted))).scalar_one()


def stream(tx: Tx, wanted: AuditFilter) -> RowStream[AuditEntry]:
    """Yield all that match, the newest first."""
    size = func.coalesce(func.length(a.changes), 0)
    ordered = select(a.id, size).where(*_conditions(wanted)).order_by(a.created_at.desc(), a.id.desc())
    return streamed(tx, ordered, lambda ids: by_ids(tx, ids))


def by_ids(tx: Tx, ids: Sequence[str]) -> list[AuditEntry]:
    """Return the entries with these ids, in their order; those that are not there are missing."""
    found = {each.id: each for each in _many(tx, _select().where(tx.dialect.is_any(a.id, ids)))} if ids else {}
    return [found[id_] for id_ in ids if id_ in found]


def has_acted(tx: Tx, **by: str) -> bool:
    """Return whether anything was done by somebody: `actor_id` or `actor`."""
    same = [a[name] == value for name, value in by.items()]
    return tx.execute(select(a.id).where(*same).limit(1)).first() is not None


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    names = ("user_id", "actor_id", "actor", "key_id", "action", "resource_type", "resource_id")
    same = [a[name] == value for name in names if (value := getattr(wanted, name)) is not None]
    since = [] if wanted.since is None else [a.created_at >= wanted.since]
    return [*same, *since, *([] if wanted.until is None else [a.created_at < wanted.until])]


def _select() -> Select[Any]:
    columns = (
        a.id,
        a.created_at,
        a.action,
        a.resource_type,
        a.resource_id,
        a.user_id,
        a.actor_id,
        a.actor,
        a.key_id,
        a.ip_address,
        a.user_agent,
        a.reason,
        a.changes,
        a.mac,
        audit_seals.c.position,
    )
    return select(*columns).select_from(audit_logs.outerjoin(audit_seals, audit_seals.c.audit_id == a.id))


def _many(tx: Tx, statement: Select[Any]) -> list[AuditEntry]:
    with any_text(tx):
        rows = tx.execute(statement).mappings().all()
    return [AuditEntry(**{**row, "changes": stored(row["changes"], {})}) for row in rows]
