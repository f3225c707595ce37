"""Deliveries to webhooks after their claim: what became of them, and how they are queued again.

What is written holds only under the lease of the claim, so that a dispatcher that lost it changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    String,
    Text,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.attempt import DISABLED, Delivery, HookReply, Settlement, settled
from notifyctl.core.webhook.health import HookHealth
from notifyctl.core.webhook.target import host_of
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.store import webhooks
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.hot import Hot, only
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notification_webhooks, webhook_deliveries

_NO_TEXT = "not recordable"
HELD_MS = 60_000
"""How long a lease is renewed for: many times as long as until it is renewed again."""

w, d = notification_webhooks.c, webhook_deliveries.c


class Attempted(NamedTuple):
    """The result of one claim; `reply` is None where nothing was begun. A tuple: one for each attempt."""

    delivery: Delivery
    reply: HookReply | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a batch changed: ids whose lease was lost meanwhile, and what people are to know of webhooks."""

    stale: frozenset[str] = frozenset()
    told: tuple[str, ...] = ()


def record(tx: Tx, results: Sequence[Attempted]) -> Delivered:
    """Write a batch, and what it makes of the webhooks. Nothing is changed for a row that carries another lease."""
    tried = [(each.delivery, each.reply) for each in results if each.reply is not None]
    chance = random.random
    rows = [settled(of, reply, tx.now, chance()) for of, reply in tried]
    held = dict[str, bool]()
    if rows:
        held |= tx.rows(_SETTLING, tx.dialect.bind("v", _SETTLED, rows))
    if unbegun := [each.delivery for each in results if each.reply is None]:
        released = [(each.id, each.lease_id, each.attempt - 1, each.due_at) for each in unbegun]
        held |= dict.fromkeys(tx.rows(_RELEASING, tx.dialect.bind("v", _RELEASED, released)), False)
    stale = frozenset(each.delivery.id for each in results if each.delivery.id not in held)
    counting = [each for each in results if each.delivery.id in held]
    noted = {each.delivery.webhook_id for each in counting if _matters(each) or held[each.delivery.id]}
    # Last, and in the order of their ids: two dispatchers wait for each other one way only.
    told = (_note(tx, id_, [each for each in counting if each.delivery.webhook_id == id_]) for id_ in sorted(noted))
    return Delivered(stale, tuple(text for text in told if text is not None))


def hold(tx: Tx, results: Sequence[Attempted]) -> None:
    """Keep the claims whose results could not be recorded: another dispatcher would make their attempts once more."""
    leases = [(each.delivery.id, each.delivery.lease_id, tx.now + HELD_MS) for each in results]
    tx.rows(_HOLDING, tx.dialect.bind("v", _HELD, leases))


def bare(result: Attempted) -> Attempted:
    """Return a result without what may keep it from being stored: what the receiver wrote, and past attempts."""
    if result.reply is None:
        return result
    said = result.reply
    plain = replace(said, body=None, problem=_NO_TEXT)
    return Attempted(result.delivery._replace(attempts=None), plain)


def disable(tx: Tx, webhook_id: str, because: str | None) -> int:
    """Disable a webhook, and end what waits for it; return how many deliveries that were.

    What is under way may still be recorded. `because` is None where an operator does.
    """
    values = {"is_active": False, "disabled_at": tx.now, "disabled_because": because, "updated_at": tx.now}
    webhooks.change(tx, webhook_id, {**values, "slowed": 0, "rests_until": None})
    return end_waiting(tx, webhook_id)


def end_waiting(tx: Tx, webhook_id: str) -> int:
    """End what waits for a webhook that is disabled; return how many deliveries that were.

    Who read that it was active may have committed after it was disabled: that is ended where it is enabled again.
    """
    values = {"next_retry_at": None, "ended": DISABLED, "lease_id": None, "leased_by": None}
    waiting = (d.webhook_id == webhook_id, d.next_retry_at.is_not(None), idle(d, tx.now))
    return len(tx.execute(update(webhook_deliveries).where(*waiting).values(values).returning(d.id)).all())


def idle(of: Any, now: int) -> ColumnElement[bool]:
    """Return whether nobody has a delivery under way."""
    return or_(of.lease_id.is_(None), of.next_retry_at <= now)


def requeue(tx: Tx, webhook_id: str, since: int, interval_ms: float, also: Sequence[str] = ()) -> int:
    """Queue again what a webhook was not delivered of what happened since a moment, tried or not; return how many.

    `also` are the ids of some that happened before. They stand behind what is new, in the order in which they happened,
    each so long after the one before, and their retries begin anew. What is under way is left alone.
    """
    o = webhook_deliveries.alias("owed").c
    place, step_us = func.row_number().over(order_by=(o.created_at, o.id)) - 1, round(1_000 * interval_ms)
    owed = (
        select(o.id, place.label("place"))
        .where(o.webhook_id == webhook_id, ~o.delivered, or_(o.created_at >= since, tx.dialect.is_any(o.id, also)))
        .where(idle(o, tx.now))
        .subquery("those")
    )
    queued = {"is_replay": True, "ended": None, "attempt_count": 0, "lease_id": None, "leased_by": None}
    due = literal(tx.now, BigInteger) + owed.c.place * step_us // 1_000
    # Of a row that somebody changes meanwhile PostgreSQL looks at these conditions again, and not at those above.
    still = (d.id == owed.c.id, ~d.delivered, idle(d, tx.now))
    again = update(webhook_deliveries).where(*still).values(next_retry_at=due, **queued)
    return len(tx.execute(again.returning(d.id)).all())


def _matters(result: Attempted) -> bool:
    """Return whether a result tells something new of its webhook, whatever that is like by now."""
    return result.delivery.probe or (result.reply is not None and not result.reply.is_success)


def _note(tx: Tx, webhook_id: str, results: Sequence[Attempted]) -> str | None:
    """Write what answers make of a webhook; return what people are to know of it.

    Of the receiver at its URL an answer from another one, which it had before, says nothing.
    """
    webhook = webhooks.lock(tx, webhook_id)
    results = [] if webhook is None else [each for each in results if each.delivery.url == webhook.url]
    if webhook is None or not results:
        return None
    before = HookHealth.of(webhook)
    replies = [each.reply for each in results if each.reply is not None]
    health = before.after(replies, tx.now, random.random())  # noqa: S311
    if not replies:  # a probe that was not made
        health = before.without_probe()
    if health != before:
        webhooks.change(tx, webhook_id, asdict(health))
    why = health.why_disabled(replies, tx.now) if webhook.is_active else None
    return None if why is None else _disabled(tx, webhook, why)


def _disabled(tx: Tx, webhook: Webhook, why: str) -> str:
    waiting = disable(tx, webhook.id, why)
    host = host_of(webhook.url)
    facts = {"name": webhook.name, "host": host, "reason": why, "waiting": waiting}
    tx.audit("disable", "webhook", [(webhook.id, facts)])
    return f"webhook {webhook.name} ({host}) disabled: {why}"


def _is_active() -> ColumnElement[bool]:
    return select(w.is_active).where(w.id == d.webhook_id).scalar_subquery()


def _again(v: Any, ended: Any) -> dict[str, Any]:
    """Return when a delivery is tried again; never, where its webhook was disabled meanwhile."""
    never = and_(v.next_retry_at.is_not(None), ~_is_active())
    return {
        "next_retry_at": case((never, null()), else_=v.next_retry_at),
        "ended": case((never, DISABLED), else_=ended),
        "lease_id": null(),
        "leased_by": null(),
    }


_KEY: dict[str, TypeEngine[Any]] = {"id": ID, "fence": ID}
_SETTLED: dict[str, TypeEngine[Any]] = {
    **_KEY,
    "response_status": Integer(),
    "response_body": Text(),
    "attempts": Text(),
    "delivered": Boolean(),
    "delivered_at": BigInteger(),
    "next_retry_at": BigInteger(),
    "ended": String(20),
}
_RELEASED: dict[str, TypeEngine[Any]] = {**_KEY, "attempt_count": Integer(), "next_retry_at": BigInteger()}
_HELD: dict[str, TypeEngine[Any]] = {**_KEY, "until": BigInteger()}


def _settling(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _SETTLED).c
    values = {name: v[name] for name in Settlement._fields if name not in _KEY} | _again(v, v.ended)
    needs_care = select(or_(w.failing_since.is_not(None), w.slowed > 0)).where(w.id == d.webhook_id).scalar_subquery()
    ours = (d.id == v.id, d.lease_id == v.fence)
    return update(webhook_deliveries).values(values).where(*ours).returning(d.id, needs_care)


def _releasing(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _RELEASED).c
    values = {"attempt_count": v.attempt_count, **_again(v, null())}
    return update(webhook_deliveries).values(values).where(d.id == v.id, d.lease_id == v.fence).returning(d.id)


def _holding(dialect: Dialect) -> ReturningUpdate[Any]:
    v = dialect.rowset("v", _HELD).c
    ours = (d.id == v.id, d.lease_id == v.fence, d.next_retry_at < v.until)
    return update(webhook_deliveries).values(next_retry_at=v.until).where(*ours).returning(d.id)


_SETTLING: Hot[tuple[str, bool]] = Hot(_settling, lambda row: (row[0], bool(row[1])))
_RELEASING = only(_releasing)
_HOLDING = only(_holding)
