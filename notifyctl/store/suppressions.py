"""Addresses that must not be written to, by channel: they outlive the users' rows that hold them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select

from notifyctl.core.model import Channel
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import suppressions

NewSuppression = tuple[str, str, str, str | None]
"""Channel, address, reason, and the notification whose answer said so."""


def add(tx: Tx, entries: Sequence[NewSuppression]) -> list[tuple[str, str]]:
    """Suppress addresses and return those that were not suppressed before; the first reason stays."""
    if not entries:
        return []
    rows = [
        {
            "id": str(uuid.uuid4()),
            "channel": str(channel),
            "address": address,
            "reason": reason,
            "notification_id": notification_id,
            "created_at": tx.now,
        }
        for (channel, address), (_, _, reason, notification_id) in _first_of_each(entries).items()
    ]
    statement = tx.dialect.insert(suppressions).values(rows).on_conflict_do_nothing()
    added = tx.execute(statement.returning(suppressions.c.channel, suppressions.c.address))
    return [(channel, address) for channel, address in added]


def learn(tx: Tx, dead: Sequence[NewSuppression]) -> int:
    """Suppress addresses that providers said are dead, with audit rows; return how many were not suppressed before."""
    added = set(add(tx, dead))
    new = _first_of_each([entry for entry in dead if (entry[0], entry[1]) in added])
    facts = [{"channel": channel, "reason": reason, "notification": id_} for channel, _, reason, id_ in new.values()]
    tx.audit("suppress", "contact_point", [(None, each) for each in facts])
    return len(new)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address is suppressed, and since when (milliseconds)."""

    id: str
    reason: str
    created_at: int


def get(tx: Tx, channel: Channel, address: str) -> Suppression:
    """Return the suppression of an address that is suppressed."""
    c = suppressions.c
    same = (c.channel == channel.value) & (c.address == address)
    return Suppression(*tx.execute(select(c.id, c.reason, c.created_at).where(same)).one())


def remove(tx: Tx, channel: Channel, address: str) -> str | None:
    """Lift a suppression and return its reason; None when there was none."""
    same = (suppressions.c.channel == channel.value) & (suppressions.c.address == address)
    reason = tx.execute(select(suppressions.c.reason).where(same)).scalar()
    tx.execute(delete(suppressions).where(same))
    return reason


def _first_of_each(entries: Sequence[NewSuppression]) -> dict[tuple[str, str], NewSuppression]:
    first: dict[tuple[str, str], NewSuppression] = {}
    for entry in entries:
        first.setdefault((entry[0], entry[1]), entry)
    return first
