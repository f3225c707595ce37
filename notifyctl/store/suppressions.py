"""Addresses that must not be written to, by channel: they outlive the users' rows that hold them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from notifyctl.core.model import Channel
from notifyctl.store.dialect import Dialect
from notifyctl.store.tables import suppressions

Entry = tuple[str, str, str, str | None]
"""Channel, address, reason, and the notification whose answer said so."""


def add(conn: Connection, dialect: Dialect, entries: Sequence[Entry], now: int) -> list[tuple[str, str]]:
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
            "created_at": now,
        }
        for (channel, address), (_, _, reason, notification_id) in _first_of_each(entries).items()
    ]
    statement = dialect.insert(suppressions).values(rows).on_conflict_do_nothing()
    added = conn.execute(statement.returning(suppressions.c.channel, suppressions.c.address))
    return [(channel, address) for channel, address in added]


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address is suppressed, and since when (milliseconds)."""

    id: str
    reason: str
    created_at: int


def get(conn: Connection, channel: Channel, address: str) -> Suppression:
    """Return the suppression of an address that is suppressed."""
    c = suppressions.c
    same = (c.channel == channel.value) & (c.address == address)
    return Suppression(*conn.execute(select(c.id, c.reason, c.created_at).where(same)).one())


def remove(conn: Connection, channel: Channel, address: str) -> str | None:
    """Lift a suppression and return its reason; None when there was none."""
    same = (suppressions.c.channel == channel.value) & (suppressions.c.address == address)
    reason = conn.execute(select(suppressions.c.reason).where(same)).scalar()
    conn.execute(delete(suppressions).where(same))
    return reason


def _first_of_each(entries: Sequence[Entry]) -> dict[tuple[str, str], Entry]:
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        first.setdefault((entry[0], entry[1]), entry)
    return first
