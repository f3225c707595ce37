"""Handing deliveries to the dispatcher whose transaction makes them: they are written as claimed.

So a row is written twice, and not three times. What its lease is for holds all the same: where that dispatcher dies
before it has sent them, they are due again when the lease ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Integer, String, Text, bindparam, case, func, insert, literal_column, null, select
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine

from notifyctl.core.webhook.attempt import Delivery
from notifyctl.core.webhook.offer import Offer
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.take import LEASE_MARGIN_MS
from notifyctl.store.schema.tables import webhook_deliveries

d = webhook_deliveries.c


class Subscriber(NamedTuple):
    """A webhook that is told of its user's notifications, or of everybody's, and of the events in `events`."""

    id: str
    user_id: str
    all_users: bool
    events: str
    is_active: bool
    url: str
    secret_key: str
    previous_secret: str | None
    previous_secret_ends: int | None
    retry_count: int
    timeout_seconds: int
    slowed: int
    rests_until: int | None

    def may_be_called(self, now: int) -> bool:
        """Return whether it is called as usual: what is no more than tried is a matter of a claim."""
        return self.is_active and self.slowed == 0 and (self.rests_until is None or self.rests_until <= now)


class NewDelivery(NamedTuple):
    """What one webhook is told: a new delivery."""

    id: str
    webhook: Subscriber
    notification_id: str
    event_type: str
    payload: str


def hand(tx: Tx, offer: Offer, events: Sequence[NewDelivery]) -> None:
    """Write deliveries, and let the offer have them; but those of whose notification the receiver is owed something.

    What happened earlier is told first, and that may be in other hands.
    """
    lease_ms = {each.webhook.id: _lease_ms(offer, each.webhook) for each in events}
    rows = [(each.id, each.webhook.id, *each[2:], tx.now, tx.now + lease_ms[each.webhook.id]) for each in events]
    given = {**tx.dialect.bind("v", _NEW, rows), "new_lease": offer.lease_id, "holder": offer.holder}
    leased = dict(tx.rows(_HANDING, given))
    offer.taken += [_delivery(each, offer, tx.now, lease_ms[each.webhook.id]) for each in events if leased[each.id]]
    offer.left = offer.left or not all(leased.values())


def _lease_ms(offer: Offer, webhook: Subscriber) -> int:
    return max(offer.least_ms, 2_000 * webhook.timeout_seconds + LEASE_MARGIN_MS)


def _delivery(event: NewDelivery, offer: Offer, now: int, lease_ms: int) -> Delivery:
    w = event.webhook
    return Delivery(
        id=event.id,
        webhook_id=w.id,
        notification_id=event.notification_id,
        payload=event.payload,
        attempts=None,
        attempt=1,
        due_at=now,
        created_at=now,
        url=w.url,
        secret_key=w.secret_key,
        previous_secret=w.previous_secret,
        previous_secret_ends=w.previous_secret_ends,
        retry_count=w.retry_count,
        timeout_seconds=w.timeout_seconds,
        slowed=0,
        lease_id=offer.lease_id,
        lease_ms=lease_ms,
        more=0,
    )


_NEW: dict[str, TypeEngine[Any]] = {
    "id": ID,
    "webhook_id": ID,
    "notification_id": ID,
    "event_type": String(50),
    "payload": Text(),
    "created_at": BigInteger(),
    "until": BigInteger(),
}


def _handing(dialect: Dialect) -> ReturningInsert[Any]:
    v = dialect.rowset("v", _NEW)
    e = webhook_deliveries.alias("earlier")
    same = (
        e.c.webhook_id == v.c.webhook_id,
        e.c.notification_id == v.c.notification_id,
        func.coalesce(e.c.next_retry_at, 0) != 0,
    )
    # Looked up for each row by its notification, once: an EXISTS would become a join with all that is owed, and by
    # IS NOT NULL the index of what is owed would do, which where a receiver was away is all that it missed.
    owed = select(literal_column("1", Integer)).select_from(e).where(*same).limit(1).correlate(v).scalar_subquery()
    those = select(v, func.coalesce(owed, 0).label("waits")).cte("those").prefix_with("MATERIALIZED").c
    is_free = those.waits == 0
    values = {
        **{name: those[name] for name in _NEW if name != "until"},
        "attempt_count": case((is_free, 1), else_=0),
        "next_retry_at": case((is_free, those.until), else_=those.created_at),
        "lease_id": case((is_free, bindparam("new_lease", type_=ID)), else_=null()),
        "leased_by": case((is_free, bindparam("holder", type_=ID)), else_=null()),
    }
    put = insert(webhook_deliveries).from_select(list(values), select(*values.values()))
    # Not whether it is NULL: of that SQLite 3.40 returns something else than what it has written.
    return put.returning(d.id, d.lease_id)


_HANDING: Hot[tuple[str, bool]] = Hot(_handing, lambda row: (row[0], row[1] is not None))
