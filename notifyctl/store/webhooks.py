"""Webhooks: how they are set up, and how their receivers have behaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Row, Select, delete, select, update

from notifyctl.core.json_codec import encode, stored
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notification_webhooks

w = notification_webhooks.c
_COLUMNS = tuple(each.name for each in fields(Webhook))


def create(tx: Tx, webhook: Webhook) -> bool:
    """Store a new webhook; return False where its user has one of that name."""
    statement = tx.dialect.insert(notification_webhooks).values(_stored(asdict(webhook)))
    made = statement.on_conflict_do_nothing(index_elements=["user_id", "name"]).returning(w.id)
    return tx.execute(made).first() is not None


def get(tx: Tx, webhook_id: str) -> Webhook | None:
    """Return the webhook of that id."""
    found = tx.execute(_select().where(w.id == webhook_id)).first()
    return None if found is None else of_row(found)


def lock(tx: Tx, webhook_id: str) -> Webhook | None:
    """Return the webhook of that id, locked until the transaction ends; deliveries may be added meanwhile."""
    found = tx.execute(tx.dialect.lock_gently(_select().where(w.id == webhook_id))).first()
    return None if found is None else of_row(found)


def change(tx: Tx, webhook_id: str, values: Mapping[str, Any]) -> None:
    """Write columns of a webhook."""
    tx.execute(update(notification_webhooks).where(w.id == webhook_id).values(_stored(values)))


def remove(tx: Tx, webhook_id: str) -> None:
    """Delete a webhook with its deliveries."""
    tx.execute(delete(notification_webhooks).where(w.id == webhook_id))


def of_row(row: Row[Any]) -> Webhook:
    """Return the webhook of a row with all its columns."""
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Webhook(
        **{**values, "events": tuple(each for each in stored(row.events, list[str]()) if isinstance(each, str))}
    )


def _select() -> Select[Any]:
    return select(*(w[name] for name in _COLUMNS))


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    if "events" not in values:
        return dict(values)
    return {**values, "events": encode(list(values["events"])).decode()}
