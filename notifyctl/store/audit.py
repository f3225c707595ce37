"""What the audit trail says. `Tx.audit` writes it, in the transaction that makes the change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update

from notifyctl.core.json_codec import stored
from notifyctl.core.model import AuditEntry
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_logs, users

FORGOTTEN = "(deleted)"
_WITH_ADDRESSES = ("user", "contact_point", "suppression", "provider")
"""Resources in whose rows addresses can stand; a suppression's and a provider's in the words of a refusal."""


def forget_addresses(tx: Tx, user_id: str, addresses: Iterable[str]) -> None:
    """Take a user's addresses out of all that the trail says: those given, and those that it names as the user's."""
    a = audit_logs.c
    theirs = or_((a.resource_type == "user") & (a.resource_id == user_id), _names(user_id))
    gone = set(addresses)
    for _, changes in _rows(tx, theirs):
        gone.update(_addresses(changes))
    mentioned = or_(*(_names(address) for address in gone), (a.resource_type == "user") & (a.resource_id == user_id))
    for id_, changes in _rows(tx, mentioned):
        if changes.get("user_id") in (None, user_id):
            kept = json.dumps(_without(changes, gone), ensure_ascii=False, separators=(",", ":"))
            tx.execute(update(audit_logs).where(a.id == id_).values(changes=kept))


def _names(text: str) -> ColumnElement[bool]:
    # As JSON has it, between its quotes: what is escaped there is escaped here.
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    return func.lower(audit_logs.c.changes).contains(written.lower(), autoescape=True)


def _rows(tx: Tx, condition: ColumnElement[bool]) -> list[tuple[str, dict[str, Any]]]:
    a = audit_logs.c
    statement = select(a.id, a.changes).where(a.resource_type.in_(_WITH_ADDRESSES), condition)
    found: list[tuple[str, Any]] = [(row.id, stored(row.changes, {})) for row in tx.execute(statement)]
    return [(id_, changes) for id_, changes in found if isinstance(changes, dict)]


def _addresses(changes: dict[str, Any]) -> Iterator[str]:
    for name in ("email", "address"):
        value = changes.get(name)
        yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each)


def _without(value: Any, gone: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(each, gone) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(each, gone) for each in value]
    if isinstance(value, str):
        for address in sorted(gone, key=len, reverse=True):
            value = re.sub(re.escape(address), FORGOTTEN, value, flags=re.IGNORECASE)
    return value


def newest(tx: Tx, resource_type: str, resource_id: str, limit: int) -> list[AuditEntry]:
    """Return what was done to a resource last, the newest first."""
    a = audit_logs.c
    rows = tx.execute(
        select(a.created_at, a.action, users.c.username, a.user_agent, a.changes)
        .select_from(audit_logs.outerjoin(users, users.c.id == a.user_id))
        .where(a.resource_type == resource_type, a.resource_id == resource_id)
        .order_by(a.created_at.desc(), a.id)
        .limit(limit)
    )
    return [
        AuditEntry(row.created_at, row.action, row.username, row.user_agent, stored(row.changes, {})) for row in rows
    ]
