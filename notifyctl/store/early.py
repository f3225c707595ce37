"""Receipts that came before anybody could say what they are about: kept until they match, at most three days.

A receipt may overtake the result of the very call that it tells of, or be of a message that nobody here has sent. Each
is looked at again after as long as it waits already.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, fields
from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, delete, func, select, update

from notifyctl.core.address import fold
from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import stored
from notifyctl.core.model import Channel
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.store import providers
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import early_receipts, notifications

FIRST_LOOK_MS = 1_000
KEPT_MS = 72 * 3_600_000
MOST = 100_000
BATCH = 500

e = early_receipts.c


@dataclass(frozen=True, slots=True)
class EarlyReceipt:
    """A receipt that waits; `received_at` is in milliseconds since the epoch."""

    id: str
    provider: str
    received_at: int
    arrival: Arrival


def keep(tx: Tx, provider: str, arrivals: Sequence[Arrival]) -> None:
    """Keep receipts of one provider; where that makes too many, the oldest are forgotten and counted."""
    if not arrivals:
        return
    tx.execute(early_receipts.insert(), [_row(tx, provider, each) for each in arrivals])
    surplus = tx.execute(select(func.count()).select_from(early_receipts)).scalar_one() - MOST
    if surplus > 0:
        _give_up(tx, tx.execute(select(e.id).order_by(e.received_at).limit(surplus)).scalars().all())


def about(tx: Tx, notification_ids: Sequence[str]) -> list[EarlyReceipt]:
    """Return all that waits for these notifications, the oldest first."""
    return _some(tx, tx.dialect.is_any(e.notification_id, notification_ids)) if notification_ids else []


def is_due(tx: Tx) -> bool:
    """Return whether it is time to look at any."""
    return tx.execute(select(e.id).where(e.look_at <= tx.now).limit(1)).first() is not None


def due(tx: Tx) -> list[EarlyReceipt]:
    """Return those that it is time to look at, at most `BATCH`."""
    return _some(tx, e.look_at <= tx.now, BATCH)


def forget(tx: Tx, ids: Sequence[str]) -> None:
    """Forget those that found what they are about."""
    if ids:
        tx.execute(delete(early_receipts).where(tx.dialect.is_any(e.id, ids)))


def forget_person(tx: Tx, user_id: str, folded: Set[str]) -> None:
    """Forget what waits for a user's notifications, or tells of one of these addresses, as they are compared.

    What it says of an address was learned when it came: only what it says of a message is lost, and that goes as well.
    """
    theirs = select(notifications.c.id).where(notifications.c.user_id == user_id)
    tx.execute(delete(early_receipts).where(e.notification_id.in_(theirs)))
    rows = tx.execute(select(e.id, e.receipt)).all()
    forget(tx, [row.id for row in rows if folded & _folds(stored(row.receipt, {}))])


def _folds(said: Any) -> Set[str]:
    """Return the address that a kept receipt is about, as each channel would compare it."""
    address = said.get("address") if isinstance(said, dict) else None
    return {fold(channel, address) for channel in Channel} if isinstance(address, str) else set()


def put_off(tx: Tx, waiting: Iterable[EarlyReceipt]) -> None:
    """Let those wait on that matched nothing; what waited for three days is forgotten and counted."""
    over, rest = list[str](), list[tuple[str, int]]()
    for each in waiting:
        age = tx.now - each.received_at
        if age >= KEPT_MS:
            over.append(each.id)
        else:
            rest.append((each.id, min(tx.now + max(age, FIRST_LOOK_MS), each.received_at + KEPT_MS)))
    _give_up(tx, over)
    if rest:
        v = tx.dialect.rowset("v", {"id": ID, "look_at": BigInteger()}, rest)
        tx.execute(update(early_receipts).where(e.id == v.c.id).values(look_at=v.c.look_at))


def _give_up(tx: Tx, ids: Sequence[str]) -> None:
    """Forget receipts and count them; those that somebody else gave up meanwhile were counted there."""
    if not ids:
        return
    gone = delete(early_receipts).where(tx.dialect.is_any(e.id, ids)).returning(e.provider)
    for provider, count in sorted(Counter(tx.execute(gone).scalars()).items()):
        providers.count_unmatched(tx, provider, count)


def _some(tx: Tx, condition: ColumnElement[bool], most: int | None = None) -> list[EarlyReceipt]:
    rows = tx.execute(select(early_receipts).where(condition).order_by(e.received_at, e.id).limit(most))
    return [EarlyReceipt(row.id, row.provider, row.received_at, _arrival(row)) for row in rows]


def _row(tx: Tx, provider: str, arrival: Arrival) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "provider": provider,
        "notification_id": arrival.notification_id,
        "provider_message_id": arrival.provider_message_id,
        "attempt": arrival.attempt,
        "receipt": json.dumps(asdict(arrival.receipt) if arrival.receipt else {}, ensure_ascii=False),
        "received_at": tx.now,
        "look_at": tx.now + FIRST_LOOK_MS,
    }


def _arrival(row: Any) -> Arrival:
    return Arrival(_receipt(stored(row.receipt, {})), row.notification_id, row.provider_message_id, row.attempt)


def _receipt(said: dict[str, Any]) -> Receipt | None:
    """Return a receipt that was kept; None for one that this program cannot read."""
    try:
        values = {each.name: said[each.name] for each in fields(Receipt) if each.name in said}
        for each in fields(Receipt):
            if isinstance(each.default, Enum) and each.name in values:
                values[each.name] = type(each.default)(values[each.name])
        stage = values.pop("stage")
        return Receipt(stage=Stage(stage), **values)
    except (KeyError, TypeError, ValueError):
        return None
