"""Which webhooks were told of notifications, and how far that came."""

from __future__ import annotations

from collections.abc import Sequence

from notifyctl.core.webhook.hearer import Hearer, hearer
from notifyctl.core.webhook.target import host_of
from notifyctl.store import delivery_lists as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.delivery_lists import DeliveryRow


def told(db: Database, notification_ids: Sequence[str]) -> dict[str, list[Hearer]]:
    """Return who was told of each notification, by its id."""
    with db.read() as tx:
        return hearers(tx, notification_ids)


def hearers(tx: Tx, notification_ids: Sequence[str]) -> dict[str, list[Hearer]]:
    """Return the same, as a transaction sees it."""
    by_hook: dict[tuple[str, str], list[DeliveryRow]] = {}
    for row in store.about(tx, notification_ids):
        by_hook.setdefault((row.notification_id, row.webhook_id), []).append(row)
    found: dict[str, list[Hearer]] = {}
    for (id_, _), rows in by_hook.items():
        first = rows[0]
        found.setdefault(id_, []).append(hearer(f"{first.owner}/{first.webhook}", host_of(first.url), rows))
    return {id_: sorted(each, key=lambda one: one.webhook) for id_, each in found.items()}
