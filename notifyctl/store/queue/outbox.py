"""The outbox: what webhooks are to be told of a change is written in the change's own transaction.

A row is one event for one webhook. Its id is what the receiver knows it by, and its body is not touched any more.
Whether there is any webhook at all, the statements of the changes themselves return, so that without one nothing is
asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    ScalarSelect,
    Select,
    String,
    Text,
    insert,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine

from notifyctl.core.json_codec import stored
from notifyctl.core.timeordered import ordered_ids
from notifyctl.core.webhook.event import is_subscribed
from notifyctl.core.webhook.telling import Telling, Tidings, body
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot, only
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.handing import NewDelivery, Subscriber, hand
from notifyctl.store.schema.tables import notification_webhooks, notifications, webhook_deliveries

DISABLED = "disabled"
MANY = 1_000
"""From so many on, rows go in by the way that has a price of its own, and costs little for each."""

UntoldEvent = tuple[Subscriber, str, str, str]
"""A webhook, the notification's id, the event's name and the body: a delivery without its id."""

n, w, d = notifications.c, notification_webhooks.c, webhook_deliveries.c


def anybody() -> ScalarSelect[int]:
    """Return the column that is 1 where there is any webhook; it is found once for a whole statement."""
    return select(literal_column("1", Integer)).select_from(notification_webhooks).limit(1).scalar_subquery()


def is_anybody(tx: Tx) -> bool:
    """Return whether there is any webhook."""
    return bool(tx.rows(_ANYBODY, {})[0])


def put(tx: Tx, said: Sequence[tuple[str, Telling]], known: Mapping[str, Tidings] | None = None) -> int:
    """Write what webhooks are told, in this order, of the notifications with these ids; return how many rows.

    `known` are some of them as they are now: they are not looked up.
    """
    told = dict(known or {})
    if unknown := {id_: None for id_, _ in said if id_ not in told}:
        told |= {each.id: each for each in tx.rows(_TOLD, tx.dialect.bind("v", _KEY, [(id_,) for id_ in unknown]))}
    users = {told[id_].user_id: None for id_, _ in said if id_ in told}
    listeners = tx.rows(_LISTENING, tx.dialect.bind("v", _KEY, [(id_,) for id_ in users])) if users else []
    if not listeners:
        return 0
    own, others = _sorted(listeners)
    events = list[UntoldEvent]()
    for id_, telling in said:
        if (tidings := told.get(id_)) is not None:
            whose = tidings.user_id
            hear = [*own.get(whose, ()), *[each for each in others if each.user_id != whose]]
            events += _of(tx.now, telling, tidings, hear)
    ids = ordered_ids(tx.now, len(events))
    _write(tx, _kept(tx, [NewDelivery(id_, *event) for id_, event in zip(ids, events, strict=True)]))
    return len(events)


def _sorted(listeners: Iterable[Subscriber]) -> tuple[dict[str, list[Subscriber]], list[Subscriber]]:
    """Return them by their users, and those that are told of everybody's; one that is both was found twice."""
    own: dict[str, list[Subscriber]] = {}
    once = list({each.id: each for each in listeners}.values())
    for each in once:
        own.setdefault(each.user_id, []).append(each)
    return own, [each for each in once if each.all_users]


def _of(now: int, telling: Telling, told: Tidings, listeners: Iterable[Subscriber]) -> Iterator[UntoldEvent]:
    written = None
    for each in listeners:
        if is_subscribed(_events(each.events), telling.event):
            # The notification is the same for all of them.
            written = written or body(telling, told, now)
            yield each, told.id, telling.event.value, written


def _kept(tx: Tx, events: Sequence[NewDelivery]) -> Sequence[NewDelivery]:
    """Let whoever made an offer have what it takes of these; return the others."""
    offer = tx.offer
    if offer is None:
        return events
    several = Counter((each.webhook.id, each.notification_id) for each in events)
    taken, kept = list[NewDelivery](), list[NewDelivery]()
    for each in events:
        # Of two that happen at once the second waits for the first.
        alone = several[each.webhook.id, each.notification_id] == 1
        fits = alone and each.webhook.may_be_called(tx.now) and offer.takes(each.webhook.id)
        (taken if fits else kept).append(each)
    if taken:
        hand(tx, offer, taken)
    offer.left = offer.left or any(each.webhook.is_active for each in kept)
    return kept


def _write(tx: Tx, events: Sequence[NewDelivery]) -> None:
    rows = [_row(each, tx.now) for each in events]
    if len(rows) >= MANY:
        tx.insert_many(webhook_deliveries, tuple(_ROW), rows, d.id.name)
    elif rows:
        tx.rows(_PUTTING, tx.dialect.bind("v", _ROW, rows))


def _row(event: NewDelivery, now: int) -> tuple[Any, ...]:
    due, ended = (now, None) if event.webhook.is_active else (None, DISABLED)
    return event.id, event.webhook.id, *event[2:], 0, now, due, ended


@lru_cache(maxsize=256)
def _events(text: str) -> tuple[str, ...]:
    return tuple(each for each in stored(text, list[str]()) if isinstance(each, str))


def _listening(dialect: Dialect) -> Select[Any]:
    v = dialect.rowset("v", _KEY)
    columns = select(*(w[name] for name in Subscriber._fields))
    own, others = columns.where(w.user_id.in_(select(v.c.id))), columns.where(w.all_users)
    # Who deletes one meanwhile is waited for, as inserting the rows would, which then would refer to what is gone.
    locked = (select(dialect.lock_key(each, notification_webhooks).subquery()) for each in (own, others))
    return select(union_all(*locked).subquery("listening"))


def _telling(dialect: Dialect) -> Select[Any]:
    v = dialect.rowset("v", _KEY)
    return select(*(n[name] for name in Tidings._fields)).select_from(v.join(notifications, n.id == v.c.id))


def _listener(row: Sequence[Any]) -> Subscriber:
    return Subscriber(row[0], row[1], bool(row[2]), row[3], bool(row[4]), *row[5:])


def _putting(dialect: Dialect) -> ReturningInsert[Any]:
    v = dialect.rowset("v", _ROW)
    return insert(webhook_deliveries).from_select(list(_ROW), select(*v.c)).returning(d.id)


_KEY: dict[str, TypeEngine[Any]] = {"id": ID}
_ROW: dict[str, TypeEngine[Any]] = {
    "id": ID,
    "webhook_id": ID,
    "notification_id": ID,
    "event_type": String(50),
    "payload": Text(),
    "attempt_count": Integer(),
    "created_at": BigInteger(),
    "next_retry_at": BigInteger(),
    "ended": String(20),
}
_LISTENING = Hot(_listening, _listener)
_TOLD: Hot[Tidings] = Hot(_telling, Tidings._make)
_PUTTING = only(_putting)
_ANYBODY = only(lambda _: select(anybody()))
