"""Receipts: what providers say later, written to the notifications that it is of, and what follows from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, String, Text, Update, case, null, or_, select, update
from sqlalchemy.types import TypeEngine

from notifyctl.core import address as addresses
from notifyctl.core import receipt as receipts
from notifyctl.core.audience import own_address
from notifyctl.core.errors import UsageError
from notifyctl.core.flow import Cause
from notifyctl.core.model import Actor, Channel, Status
from notifyctl.core.receipt import Arrival, Known, Receipt, Stage
from notifyctl.store import audit, metrics, providers, suppressions
from notifyctl.store.addresses import best_address
from notifyctl.store.dialect import ID, Dialect
from notifyctl.store.tables import notifications, users

n = notifications.c

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class Counts:
    """What receipts came to; each counts once, `suppressed` counts addresses.

    `underway` says only that it is on its way, `ignored` nothing new of how far it is, `unknown` is of no notification
    that is here.
    """

    delivered: int = 0
    bounced: int = 0
    underway: int = 0
    ignored: int = 0
    unknown: int = 0
    suppressed: int = 0

    def add(self, more: Counts) -> None:
        """Add others to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


@dataclass(frozen=True, slots=True)
class Report:
    """What a batch of receipts changed; `paused` is why its provider was paused just now."""

    counts: Counts
    paused: str | None = None


def record(
    conn: Connection, dialect: Dialect, provider: str, arrivals: Sequence[Arrival], actor: Actor, now: int
) -> Report:
    """Write what receipts of one provider say, and what follows for addresses, metrics and the provider itself.

    A notification that is not `sent`, or went by another provider in the end, is left as it is.
    """
    weighing = _Weighing(provider, now)
    found = _found(conn, dialect, provider, arrivals)
    for arrival, row in found:
        weighing.weigh(arrival, row)
    if weighing.changed:
        values = [
            (id_, known.delivered_at, known.bounced_at, known.receipt)
            for id_, known in sorted(weighing.changed.items(), key=lambda each: each[0])
        ]
        conn.execute(_writing(dialect), dialect.bind("v", _KNOWN, values))
    metrics.mark_dirty(conn, weighing.metric_ats, now)
    weighing.counts.suppressed = _suppress(conn, dialect, weighing.dead, actor, now)
    return Report(weighing.counts, _pause(conn, dialect, provider, weighing.complaints, actor, now))


@dataclass(frozen=True, slots=True)
class _Row:
    """A notification as receipts see it. `own` is its address, `copies` are those who got one, in lower case."""

    id: str
    channel: Channel
    provider: str
    status: str
    sent_at: int
    metric_at: int
    known: Known
    own: str | None
    copies: frozenset[str]

    def is_copy(self, address: str | None) -> bool:
        """Return whether that is somebody else than whom the notification is for."""
        lowered = (address or "").casefold()
        return lowered in self.copies and lowered != (self.own or "").casefold()

    def stored_address(self, given: str | None) -> str | None:
        """Return the address that a receipt is about, in the form in which it is compared; None for no address."""
        if given is None or given.casefold() == (self.own or "").casefold():
            return self.own
        try:
            return addresses.normalised(self.channel, given)
        except UsageError:
            return None


class _Weighing:
    """Weighs receipts in their order, and gathers what is to be written."""

    def __init__(self, provider: str, now: int) -> None:
        self._provider, self._now = provider, now
        self.counts = Counts()
        self.changed: dict[str, Known] = {}
        self.metric_ats: list[int] = []
        self.dead: list[suppressions.Entry] = []
        self.complaints: list[tuple[Receipt, int]] = []

    def weigh(self, arrival: Arrival, row: _Row | None) -> None:
        """Take note of one receipt; `row` is the notification that it is of."""
        receipt = arrival.receipt
        if row is None:
            self.counts.unknown += 1
            return
        if receipt is None or row.status != Status.SENT or row.provider != self._provider:
            self.counts.ignored += 1
            return
        known = self.changed.get(row.id, row.known)
        settled = known if row.is_copy(receipt.address) else receipts.settle(known, receipt, self._now)
        if settled == known:
            self.counts.ignored += 1
            return
        self.changed[row.id] = settled
        self._take(receipt, row, known)

    def _take(self, receipt: Receipt, row: _Row, known: Known) -> None:
        match receipt.stage:
            case Stage.UNDERWAY:
                self.counts.underway += 1
                return
            case Stage.DELIVERED:
                self.counts.delivered += 1
            case Stage.BOUNCED if known.bounced_at is not None:  # only why is new, and what follows from it
                self.counts.ignored += 1
            case Stage.BOUNCED:
                self.counts.bounced += 1
        self.metric_ats.append(row.metric_at)
        if receipt.dead and (address := row.stored_address(receipt.address)):
            self.dead.append((row.channel.value, address, receipt.text, row.id))
        if receipt.pause:
            self.complaints.append((receipt, row.sent_at))


# Finding


def _found(
    conn: Connection, dialect: Dialect, provider: str, arrivals: Sequence[Arrival]
) -> list[tuple[Arrival, _Row | None]]:
    """Return each receipt with the notification that it is of, locked until the transaction ends."""
    named = {
        each.notification_id for each in arrivals if each.notification_id and _UUID.fullmatch(each.notification_id)
    }
    by_message = _ids_by_message(conn, dialect, provider, {each.provider_message_id for each in arrivals})
    rows = _rows(conn, dialect, sorted(named | set(by_message.values())))
    return [
        (each, rows.get(each.notification_id or "") or rows.get(by_message.get(each.provider_message_id or "", "")))
        for each in arrivals
    ]


def _ids_by_message(
    conn: Connection, dialect: Dialect, provider: str, message_ids: Iterable[str | None]
) -> dict[str, str]:
    wanted = [(each,) for each in sorted(each for each in message_ids if each)]
    if not wanted:
        return {}
    v = dialect.rowset("v", {"message_id": String(255)}, wanted)
    statement = select(n.provider_message_id, n.id).where(
        n.provider_message_id == v.c.message_id, n.provider == provider
    )
    return {row[0]: row[1] for row in conn.execute(statement)}


def _rows(conn: Connection, dialect: Dialect, ids: Sequence[str]) -> dict[str, _Row]:
    if not ids:
        return {}
    of_them = dialect.is_any(n.id, ids)
    contact = best_address(n.user_id, n.message_type, users.c.email)
    contacts = select(n.id, contact).join_from(notifications, users, users.c.id == n.user_id).where(of_them)
    own = {row[0]: row[1] for row in conn.execute(contacts)}
    # In the order of their ids: two that write the same ones wait for each other one way only.
    statement = select(notifications).where(of_them).order_by(n.id)
    return {row.id: _row(row, own.get(row.id)) for row in conn.execute(dialect.lock_row(statement))}


def _row(row: Any, contact: str | None) -> _Row:
    channel, content = Channel(row.message_type), _content(row.payload)
    return _Row(
        id=row.id,
        channel=channel,
        provider=row.provider,
        status=row.status,
        sent_at=row.created_at if row.sent_at is None else row.sent_at,
        metric_at=row.created_at if row.send_at is None else row.send_at,
        known=Known(row.delivered_at, row.bounced_at, row.receipt),
        own=own_address(channel, content) or contact,
        copies=frozenset(_copies(content)) if channel is Channel.EMAIL else frozenset(),
    )


def _content(payload: str) -> Mapping[str, Any]:
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _copies(content: Mapping[str, Any]) -> Iterable[str]:
    for field in ("cc", "bcc"):
        value = content.get(field)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each:
                yield parseaddr(each)[1].casefold()


# Writing

_KNOWN: dict[str, TypeEngine[Any]] = {
    "id": ID,
    "delivered_at": BigInteger(),
    "bounced_at": BigInteger(),
    "receipt": Text(),
}


@cache
def _writing(dialect: Dialect) -> Update:
    v = dialect.rowset("v", _KNOWN)
    final = or_(v.c.delivered_at.is_not(None), v.c.bounced_at.is_not(None))
    return (
        update(notifications)
        .values(
            delivered_at=v.c.delivered_at,
            bounced_at=v.c.bounced_at,
            receipt=v.c.receipt,
            receipt_due_at=case((final, null()), else_=n.receipt_due_at),
        )
        .where(n.id == v.c.id)
    )


def _suppress(conn: Connection, dialect: Dialect, dead: Sequence[suppressions.Entry], actor: Actor, now: int) -> int:
    added = set(suppressions.add(conn, dialect, dead, now))
    reasons = {(channel, address): (reason, id_) for channel, address, reason, id_ in reversed(dead)}
    changes = [
        (
            None,
            {"channel": channel, "reason": reasons[channel, address][0], "notification": reasons[channel, address][1]},
        )
        for channel, address in sorted(added)
    ]
    audit.record(conn, actor, "suppress", "contact_point", changes, now)
    return len(added)


def _pause(
    conn: Connection,
    dialect: Dialect,
    provider: str,
    complaints: Sequence[tuple[Receipt, int]],
    actor: Actor,
    now: int,
) -> str | None:
    """Pause the provider where a receipt says that its account cannot send; return why, if it is paused by this."""
    config = providers.lock(conn, dialect, provider) if complaints else None
    if config is None:
        return None
    reasons = [each.pause for each, sent_at in complaints if receipts.pauses(each, config.updated_at, sent_at, now)]
    if not reasons or not reasons[0]:
        return None
    if not providers.pause(conn, dialect, provider, reasons[0], now, cause=Cause.CONFIG):
        return None
    audit.record(conn, actor, "pause", "provider", [(config.id, {"provider": provider, "reason": reasons[0]})], now)
    return reasons[0]
