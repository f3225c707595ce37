"""Writing the addresses that are stored anew: sealed or in clear, and found by another hash; in portions.

A row is only changed where it still holds what was read of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, Text, func, or_, select, update
from sqlalchemy.types import TypeEngine

from notifyctl.core.atrest import AddressLookups, went_to, without_those
from notifyctl.core.audience import own_address
from notifyctl.core.json_codec import stored
from notifyctl.core.model import Channel
from notifyctl.core.spelling import without
from notifyctl.store import lookups
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.lookups import SuppressedAs
from notifyctl.store.schema.tables import contact_points, notification_dlq, notifications, suppressions, users
from notifyctl.store.sealed import sealing_kid

_p, _s, _n, _d = contact_points.c, suppressions.c, notifications.c, notification_dlq.c


PORTION = 500


class Crossed(Exception):
    """Somebody wrote one of the notifications meanwhile, such as a receipt: what was read of it is to be read again."""


class PointAs(NamedTuple):
    """A contact point, with its address as it is stored."""

    id: str
    user_id: str
    channel: str
    address: str


class SentAs(NamedTuple):
    """A notification with the address of its last attempt as that is stored; None where the user had none by then."""

    id: str
    user_id: str
    channel: str
    sent_to: str | None
    email: str
    payload: str
    retry_history: str | None
    error_message: str | None
    provider_response: str | None
    receipt: str | None

    @property
    def said(self) -> dict[str, str | None]:
        """The columns that may name the address."""
        return {name: getattr(self, name) for name in _SAID}


_WORDS = ("error_message", "provider_response", "receipt")
_TOLD = ("retry_history", *_WORDS)
_SAID = ("sent_to", *_TOLD)
_POINT: dict[str, TypeEngine[Any]] = {
    "id": ID,
    "was": String(1500),
    "address": String(1500),
    "folded": String(1024),
    "folded_before": String(1024),
}
_SENT: dict[str, TypeEngine[Any]] = {
    "id": ID,
    **{f"{name}_was": Text() for name in _SAID},
    **{name: Text() for name in _SAID},
}


_WENT_OUT = or_(_n.sent_to.is_not(None), _n.retry_history.is_not(None))
_SENT_AS: Select[Any] = select(
    _n.id, _n.user_id, _n.message_type, _n.sent_to, users.c.email, _n.payload, *(_n[name] for name in _TOLD)
).join_from(notifications, users, users.c.id == _n.user_id)


def points(tx: Tx, known: AddressLookups, after: str, limit: int) -> list[PointAs]:
    """Return contact points that are not found in the way of now, of ids after that one, by their ids."""
    found = select(_p.id, _p.user_id, _p.channel, _p.address).where(_is_old_point(known), _p.id > after)
    return [PointAs(*row) for row in tx.execute(found.order_by(_p.id).limit(limit))]


def write_points(tx: Tx, known: AddressLookups, rows: Sequence[PointAs]) -> int:
    """Write contact points as they are found now, but for those that were damaged; return how many."""
    written = []
    for row in sorted(rows):
        address = lookups.shown(tx, row.user_id, row.channel, row.address)
        if address != lookups.CLOSED:
            found_by = lookups.folded(known, Channel(row.channel), address)
            stored_as = lookups.stored(tx, known, row.user_id, row.channel, address)
            written.append((row.id, row.address, stored_as, *found_by.values()))
    v = tx.dialect.rowset("v", _POINT, written)
    new = {name: v.c[name] for name in _POINT if name not in ("id", "was")}
    unchanged = (_p.id == v.c.id, _p.address == v.c.was)
    return tx.execute(update(contact_points).where(*unchanged).values(new)).rowcount if written else 0


def refusals(tx: Tx, known: AddressLookups, after: str, limit: int) -> list[SuppressedAs]:
    """Return suppressions that are not found in the way of now, of ids after that one, by their ids."""
    found = lookups.SUPPRESSED_AS.where(_is_old_suppression(known), _s.id > after)
    return lookups.suppressed_as(tx, found.order_by(_s.id).limit(limit))


def damaged(tx: Tx, known: AddressLookups, limit: int) -> list[tuple[str, str]]:
    """Return rows whose address does not open (table, id), among the first that are not found in the way of now."""
    of_people = points(tx, known, "", limit)
    told = [
        ("contact_points", row.id)
        for row in of_people
        if lookups.shown(tx, row.user_id, row.channel, row.address) == lookups.CLOSED
    ]
    refused = refusals(tx, known, "", limit)
    return told + [("suppressions", row.id) for row in refused if row.address == lookups.CLOSED]


def are_left(tx: Tx, known: AddressLookups) -> bool:
    """Return whether an address is not found in the way of now."""
    old = (select(_p.id).where(_is_old_point(known)), select(_s.id).where(_is_old_suppression(known)))
    return any(tx.execute(each.limit(1)).first() is not None for each in old)


def is_found_before(tx: Tx) -> bool:
    """Return whether a row has what it was found by before."""
    rows = (select(_p.id).where(_p.folded_before.is_not(None)), select(_s.id).where(_s.address_before.is_not(None)))
    return any(tx.execute(each.limit(1)).first() is not None for each in rows)


def forget_before(tx: Tx, limit: int) -> int:
    """Take from rows what they were found by before, where only one way is left; return how many."""
    changed = 0
    for table, before in ((contact_points, _p.folded_before), (suppressions, _s.address_before)):
        some = select(table.c.id).where(before.is_not(None)).limit(limit)
        changed += tx.execute(update(table).where(table.c.id.in_(some)).values({before.name: None})).rowcount
    return changed


def sent(tx: Tx, after: str, limit: int) -> list[SentAs]:
    """Return notifications that went to an address, or tried to, of ids after that one, by their ids."""
    found = _SENT_AS.where(_WENT_OUT, _n.id > after).order_by(_n.id).limit(limit)
    return [SentAs(*row) for row in tx.execute(found)]


def writers(tx: Tx) -> set[str]:
    """Return which transactions may write notifications just now, by what they saw when they began."""
    return tx.dialect.writers(tx.conn, notifications)


def on_their_way(tx: Tx, among: Sequence[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Return notifications that somebody sends now, each with its lease: those of `among` that are not settled yet."""
    leased: Select[Any] = select(_n.id, _n.lease_id).where(_n.leased_until > tx.now)
    if among is not None:
        leased = leased.where(tx.dialect.is_any(_n.id, [id_ for id_, _ in among]))
    found = [(row.id, row.lease_id) for row in tx.execute(leased)]
    return found if among is None else [each for each in found if each in set(among)]


def write_sent(tx: Tx, known: AddressLookups, rows: Sequence[SentAs]) -> int:
    """Write where notifications went as addresses are stored now; return how many. Raises Crossed: see there.

    Sealed, what is told of them names only what the message names itself, and the user's own e-mail address.
    """
    new = [(row, said) for row in rows if (said := _sent(tx, known, row)) != row.said]
    if not new:
        return 0
    written = [(row.id, *(row.said[name] for name in _SAID), *(said[name] for name in _SAID)) for row, said in new]
    v = tx.dialect.rowset("v", _SENT, written)
    unchanged = [_n[name].is_not_distinct_from(v.c[f"{name}_was"]) for name in _SAID]
    values = {name: v.c[name] for name in _SAID}
    changed = tx.execute(update(notifications).where(_n.id == v.c.id, *unchanged).values(values)).rowcount
    if changed < len(new):
        raise Crossed
    if known.now.hashes:
        _write_letters(tx, {row.id: row for row, _ in new})
    return changed


def seal_former(tx: Tx, user_ids: Sequence[str]) -> None:
    """Seal where notifications to these users went, where addresses are: their own one is another now."""
    known = lookups.read(tx)
    if not known.now.hashes:
        return
    # Their ids first: ordered and limited, a statement would walk through everybody's.
    ids = sorted(tx.execute(select(_n.id).where(tx.dialect.is_any(_n.user_id, user_ids), _WENT_OUT)).scalars())
    while ids:
        found = _SENT_AS.where(tx.dialect.is_any(_n.id, ids[:PORTION]))
        with suppress(Crossed):
            write_sent(tx, known, [SentAs(*row) for row in tx.execute(found)])
            del ids[:PORTION]


def counts(tx: Tx) -> tuple[int, int]:
    """Return how many contact points and suppressions there are."""
    many = [tx.execute(select(func.count()).select_from(each)).scalar_one() for each in (contact_points, suppressions)]
    return many[0], many[1]


def _is_old_point(known: AddressLookups) -> ColumnElement[bool]:
    found_by = func.coalesce(_p.folded, "")
    if known.now.hashes:
        return or_(sealing_kid(_p.address).is_(None), ~_begins(found_by, known.now.beginning))
    return sealing_kid(_p.address).is_not(None)


def _is_old_suppression(known: AddressLookups) -> ColumnElement[bool]:
    if known.now.hashes:
        return ~_begins(_s.address, known.now.beginning)
    return sealing_kid(func.coalesce(_s.written, "")).is_not(None)


def _begins(text: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    return func.substr(text, 1, len(beginning)) == beginning


def _sent(tx: Tx, known: AddressLookups, row: SentAs) -> dict[str, str | None]:
    address = None if row.sent_to is None else lookups.shown(tx, row.user_id, row.channel, row.sent_to)
    if address == lookups.CLOSED:
        return row.said
    if not known.now.hashes:
        return {**row.said, "sent_to": address}
    gone = _gone(row, address)
    told = {name: _without_all(gone, getattr(row, name)) for name in _WORDS}
    is_own = address is None or (row.channel == Channel.EMAIL and address == row.email)
    sealed = address if is_own else lookups.stored(tx, known, row.user_id, row.channel, address or "")
    return {"sent_to": sealed, "retry_history": without_those(row.retry_history, _kept(row)), **told}


def _write_letters(tx: Tx, of: Mapping[str, SentAs]) -> None:
    letters = select(_d.id, _d.notification_id, _d.retry_history, _d.failure_reason)
    for letter in tx.execute(letters.where(tx.dialect.is_any(_d.notification_id, list(of)))).all():
        row = of[letter.notification_id]
        gone = _gone(row, lookups.opened_or_none(tx, row.user_id, row.channel, row.sent_to))
        past = without_those(letter.retry_history, _kept(row))
        new = {"retry_history": past, "failure_reason": _without_all(gone, letter.failure_reason)}
        tx.execute(update(notification_dlq).where(_d.id == letter.id).values(new))


def _gone(row: SentAs, address: str | None) -> set[str]:
    """Return the addresses that are sealed now and may be named by what was told of a notification."""
    return {each for each in (address, *went_to(row.retry_history)) if each is not None}.difference(_kept(row))


def _without_all(gone: Collection[str], text: str | None) -> str | None:
    return text and reduce(lambda said, address: without(address, said), gone, text)


def _kept(row: SentAs) -> tuple[str | None, ...]:
    """Return the addresses that are not sealed: the user's own, and what the message names itself."""
    return row.email, own_address(Channel(row.channel), stored(row.payload, {}))
