"""Rows to start a test from, written straight into the tables."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import insert, select, update

from notifyctl.core.webhook.event import EVERYTHING
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.store import webhooks
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import (
    notification_dlq,
    notifications,
    provider_configs,
    provider_states,
    users,
    webhook_deliveries,
)

CHANNEL_OF = {"sendgrid": "email", "smtp": "email", "twilio": "sms", "fcm": "push"}
CONTENT = {
    "email": {"v": 1, "subject": "Hello", "text": "Hello there", "from": "alerts@example.com"},
    "sms": {"v": 1, "body": "Hello", "from": "+15005550006", "to": "+14155552345"},
    "push": {"v": 1, "title": "Hello", "body": "Hello there", "token": "device-1"},
}


def user(db: Database, name: str = "anna") -> str:
    """Write a user and return the id."""
    id_ = str(uuid.uuid4())
    db.write(lambda tx: tx.execute(insert(users).values(id=id_, username=name, email=f"{name}@example.org")))
    return id_


def provider(db: Database, name: str = "sendgrid", **values: Any) -> str:
    """Write a provider whose credentials nobody opens, and return the id."""
    row = {"id": str(uuid.uuid4()), "provider_name": name, "api_key": "unused", "updated_at": 1, **values}
    state = {"provider_id": row["id"], "channel": CHANNEL_OF.get(name)}
    db.write(
        lambda tx: (tx.execute(insert(provider_configs).values(row)), tx.execute(insert(provider_states), [state]))
    )
    return str(row["id"])


def health(db: Database, name: str, **values: Any) -> None:
    """Write what is known of a provider's health."""
    id_ = select(provider_configs.c.id).where(provider_configs.c.provider_name == name).scalar_subquery()
    c = provider_states.c
    db.write(lambda tx: tx.execute(update(provider_states).where(c.provider_id == id_).values(values)))


def pending(db: Database, user_id: str, provider: str = "sendgrid", count: int = 1, **values: Any) -> list[str]:
    """Write pending notifications, due at 1,000 unless said otherwise, and return their ids."""
    channel = CHANNEL_OF[provider]
    rows = [
        {
            "id": str(uuid.uuid4()),
            "user_id": user_id,
            "idempotency_key": uuid.uuid4().hex,
            "message_type": channel,
            "provider": provider,
            "payload": json.dumps(CONTENT[channel]),
            "content_hash": "0" * 64,
            "created_at": 1_000,
            "due_at": 1_000,
            **values,
        }
        for _ in range(count)
    ]
    db.write(lambda tx: tx.execute(insert(notifications), rows))
    return [row["id"] for row in rows]


def notification(db: Database, id_: str) -> Any:
    """Read a notification's row."""
    with db.read() as tx:
        return tx.execute(select(notifications).where(notifications.c.id == id_)).one()


def dead_letter(db: Database, notification_id: str) -> Any:
    """Read a notification's dead letter; None when there is none."""
    with db.read() as tx:
        where = notification_dlq.c.notification_id == notification_id
        return tx.execute(select(notification_dlq).where(where)).one_or_none()


def webhook(db: Database, user_id: str, url: str = "https://example.org/hook", **values: Any) -> str:
    """Write a webhook for all events whose secret nobody opens, and return the id."""
    plain = {"id": str(uuid.uuid4()), "user_id": user_id, "name": uuid.uuid4().hex, "url": url, "events": [EVERYTHING]}
    row = {**plain, "secret_key": "unused", "created_at": 1_000, "updated_at": 1_000, **values}
    assert db.write(lambda tx: webhooks.create(tx, Webhook(**row)))
    return str(row["id"])


def deliveries(db: Database, **wanted: Any) -> list[Any]:
    """Read the deliveries whose columns are so, in their order."""
    d = webhook_deliveries.c
    with db.read() as tx:
        where = [d[name] == value for name, value in wanted.items()]
        return list(tx.execute(select(webhook_deliveries).where(*where).order_by(d.created_at, d.id)))


def change_webhook(db: Database, id_: str, **values: Any) -> None:
    """Write columns of a webhook."""
    db.write(lambda tx: webhooks.change(tx, id_, values))


def get_webhook(db: Database, id_: str) -> Webhook:
    """Read a webhook."""
    with db.read() as tx:
        found = webhooks.get(tx, id_)
    assert found is not None
    return found


def owed(db: Database, webhook_id: str, notification_id: str, count: int = 1, **values: Any) -> list[str]:
    """Write deliveries that are due since 1,000, unless it is said otherwise, in this order; return their ids."""
    body = json.dumps({"type": "notification.sent", "data": {"notification_id": notification_id}})
    rows = [
        {
            "id": f"{number:08d}-{uuid.uuid4()}"[:36],
            "webhook_id": webhook_id,
            "notification_id": notification_id,
            "event_type": "notification.sent",
            "payload": body,
            "attempt_count": 0,
            "created_at": 1_000,
            "next_retry_at": 1_000,
            **values,
        }
        for number in range(count)
    ]
    db.write(lambda tx: tx.execute(insert(webhook_deliveries), rows))
    return [str(row["id"]) for row in rows]


def change_delivery(db: Database, id_: str, **values: Any) -> None:
    """Write columns of a delivery."""
    d = webhook_deliveries.c
    db.write(lambda tx: tx.execute(update(webhook_deliveries).where(d.id == id_).values(values)))
