"""Addresses that must not be written to, by channel: they outlive the users' rows that hold them.

Of each address there is a row for each cause and group. What was lifted stays as a row that holds no more, so that an
older word, which comes late or twice, does not suppress it again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Insert, Select, String, and_, func, null, or_, select, union_all, update
from sqlalchemy.types import TypeEngine

from notifyctl.core.address import fold
from notifyctl.core.atrest import PLAIN, AddressLookup, AddressLookups
from notifyctl.core.cursor import Cursor
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.spelling import without
from notifyctl.core.suppression import AddressKey, Reasons, Refusal, SuppressionCause, key
from notifyctl.store import lookups
from notifyctl.store.db.dialect import Dialect
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.tx import Tx
from notifyctl.store.lookups import SuppressedAs
from notifyctl.store.page import newest_first
from notifyctl.store.schema.tables import suppressions
from notifyctl.store.streams import ASKED, RowStream

AT_ONCE = 500
"""How many rows one statement writes: each of its values is a parameter."""

_ADDRESS_CHARS, _GROUP_CHARS = 1_024, 64

s = suppressions.c

_KEYS: dict[str, TypeEngine[Any]] = {"channel": String(20), "folded": String(1024)}


class AddressNews(NamedTuple):
    """What was said of an address on a channel, and the notification whose answer or receipt said so."""

    channel: Channel
    refusal: Refusal
    notification_id: str | None = None


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address must not be written to, and since when (milliseconds). `group_id` is empty for whatever is sent.

    `notification_id` is the notification whose answer or receipt said so.
    """

    id: str
    channel: str
    address: str
    cause: str
    group_id: str
    reason: str
    notification_id: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Learned:
    """How many addresses became suppressed, and how many no longer are."""

    suppressed: int = 0
    lifted: int = 0


NOTHING_LEARNED = Learned()


@dataclass(frozen=True, slots=True)
class SuppressionFilter:
    """Which suppressions; None narrows nothing. `reason` is a cause, or a part of the reason. Times as in `since`."""

    address: str | None = None
    channel: Channel | None = None
    reason: str | None = None
    group: str | None = None
    since: int | None = None
    until: int | None = None


def learn(tx: Tx, said: Sequence[AddressNews]) -> Learned:
    """Write what was said of addresses, in its order in time, with audit rows.

    What holds already keeps its first reason, and is written anew where it does not open; what was lifted later than it
    was said stays lifted.
    """
    if not said:
        return NOTHING_LEARNED
    known = lookups.to_write(tx)
    last = _last_words(said, tx.now)
    if known.now.hashes:
        last = [_veiled(each) for each in last]
    lookups.suppress_anew(tx, known, _closed(tx, known, last))
    lookups.suppress_anew(tx, known, _found_before(tx, known, last))
    new = _add(tx, known, [each for each in last if not each.refusal.lifts])
    gone = _lift(tx, known, [each for each in last if each.refusal.lifts])
    tx.audit("suppress", "suppression", [(id_, _facts(each)) for id_, each in new])
    tx.audit("unsuppress", "suppression", [(id_, _facts(each)) for id_, each in gone])
    return Learned(_addresses(new), _addresses(gone))


def mend(tx: Tx, channel: Channel, address: str) -> int:
    """Write an address's suppressions anew that do not open here; return how many. They hold as before."""
    known = lookups.to_write(tx)
    said = AddressNews(channel, Refusal(address, SuppressionCause.OPERATOR, ""))
    return lookups.suppress_anew(tx, known, _closed(tx, known, [said]))


def lift(tx: Tx, channel: Channel, address: str) -> list[Suppression]:
    """Let an address be written to again, whatever was said of it, with audit rows; return what held until now."""
    lookups.to_write(tx)  # none of them is moved meanwhile
    found = of_address(tx, channel, address)
    for each in found:
        tx.execute(update(suppressions).where(s.id == each.id).values(lifted_at=tx.now))
    facts = [(each.id, {"channel": each.channel, "cause": each.cause, "reason": each.reason}) for each in found]
    tx.audit("unsuppress", "suppression", facts)
    return found


def of_address(tx: Tx, channel: Channel, address: str) -> list[Suppression]:
    """Return what holds of an address, however it is written; what was said first comes first."""
    forms = lookups.read(tx).forms(key(channel, address))
    return _many(tx, _select().where(s.channel == channel.value, s.address.in_(forms), _HOLDS).order_by(*_OLDEST))


def reasons(tx: Tx, keys: Iterable[AddressKey], known: AddressLookups = PLAIN) -> Reasons:
    """Return why these addresses are suppressed, those that are; one statement, and none for no address.

    `known` says how they are found.
    """
    wanted = _by_form(keys, known)
    if not wanted:
        return {}
    found: dict[AddressKey, dict[str, str]] = {}
    for channel, form, group, reason in tx.rows(_REASONS, tx.dialect.bind("v", _KEYS, sorted(wanted))):
        found.setdefault(wanted[channel, form], {}).setdefault(group, reason)
    return found


def holding(tx: Tx, keys: Iterable[AddressKey]) -> dict[AddressKey, Suppression]:
    """Return what was said first of these addresses, of those to which nothing at all is sent."""
    asked = set(keys)
    wanted = _by_form(asked, lookups.read(tx)) if asked else {}
    if not wanted:
        return {}
    v = tx.dialect.rowset("v", _KEYS, sorted(wanted))
    same = (s.channel == v.c.channel) & (s.address == v.c.folded) & _HOLDS & (s.group_id == "")
    first: dict[AddressKey, Suppression] = {}
    for row in tx.execute(_select(s.address).join_from(suppressions, v, same).order_by(*_OLDEST)):
        first.setdefault(wanted[row.channel, row[-1]], _read(tx, row[:-1]))
    return first


def everything_of(tx: Tx, keys: Iterable[AddressKey] | None) -> list[tuple[str, Suppression]]:
    """Return all that holds of these addresses, or of any, each with its address as it is compared."""
    found = _select().where(_HOLDS)
    if keys is not None:
        v = tx.dialect.rowset("v", _KEYS, sorted(_by_form(keys, lookups.read(tx))))
        found = found.join_from(suppressions, v, (s.channel == v.c.channel) & (s.address == v.c.folded))
    return [(fold(Channel(each.channel), each.address), each) for each in _many(tx, found)]


def page(tx: Tx, wanted: SuppressionFilter, after: Cursor | None, limit: int | None) -> list[Suppression]:
    """Return those that a filter matches and that hold, newest first."""
    return _many(tx, newest_first(_select().where(*_conditions(tx, wanted)), s.created_at, s.id, after, limit))


def stream(tx: Tx, wanted: SuppressionFilter) -> RowStream[Suppression]:
    """Yield all that a filter matches and that hold, newest first."""
    rest = newest_first(_select().where(*_conditions(tx, wanted)), s.created_at, s.id, None, None)
    with tx.execute(rest.execution_options(yield_per=ASKED)) as found:
        for row in found:
            yield _read(tx, row)


def count(tx: Tx, wanted: SuppressionFilter) -> int:
    """Return how many `page` would give."""
    return tx.execute(select(func.count()).select_from(suppressions).where(*_conditions(tx, wanted))).scalar_one()


# Helpers

_HOLDS = s.lifted_at.is_(None)
_OLDEST = (s.created_at, s.id)


def _by_form(keys: Iterable[AddressKey], known: AddressLookups) -> dict[tuple[str, str], AddressKey]:
    """Return addresses by channel and what each may be found by."""
    return {(each.channel, form): each for each in keys for form in known.forms(each)}


def _found_before(tx: Tx, known: AddressLookups, said: Sequence[AddressNews]) -> list[SuppressedAs]:
    """Return the rows of these addresses that are found in the way before only."""
    if known.before is None:
        return []
    return [row._replace(address=address) for row, address in _found_by(tx, known.before, said)]


def _closed(tx: Tx, known: AddressLookups, said: Sequence[AddressNews]) -> list[SuppressedAs]:
    """Return the rows of these addresses that do not open here, though they are found."""
    ways = [] if known.are_plain else [way for way in known if way is not None]
    found = [each for way in ways for each in _found_by(tx, way, said)]
    return [row._replace(address=address) for row, address in found if not lookups.suppression_opens(tx, row)]


def _found_by(tx: Tx, way: AddressLookup, said: Sequence[AddressNews]) -> list[tuple[SuppressedAs, str]]:
    """Return the rows that are found in a way, as they are stored, each with the address."""
    addresses = {
        (each.channel.value, way.form(key(each.channel, each.refusal.address))): each.refusal.address for each in said
    }
    v = tx.dialect.rowset("v", _KEYS, sorted(addresses))
    same = (s.channel == v.c.channel) & (s.address == v.c.folded)
    rows = [SuppressedAs(*row) for row in tx.execute(lookups.SUPPRESSED_AS.join_from(suppressions, v, same))]
    return [(row, addresses[row.channel, row.found_by]) for row in rows]


def _last_words(said: Sequence[AddressNews], now: int) -> list[AddressNews]:
    """Return what is left when all is said: of each address, cause and group the last word, with its first reason."""
    last: dict[tuple[Any, ...], AddressNews] = {}
    for each in sorted((_dated(each, now) for each in said), key=lambda each: each.refusal.at or 0):
        place = _place(each)
        before = last.get(place)
        if before is None or each.refusal.lifts or before.refusal.lifts:
            last[place] = each
    return list(last.values())


def _dated(said: AddressNews, now: int) -> AddressNews:
    refusal = said.refusal
    at = now if refusal.at is None else min(refusal.at, now)
    return said._replace(refusal=replace(refusal, at=at, address=refusal.address.strip()[:_ADDRESS_CHARS]))


def _veiled(said: AddressNews) -> AddressNews:
    """Return the same without the address in its reason, where it would be stored in clear."""
    reason = without(said.refusal.address, said.refusal.reason)
    return said._replace(refusal=replace(said.refusal, reason=reason))


def _place(said: AddressNews) -> tuple[str, str, str, str]:
    refusal = said.refusal
    return said.channel.value, fold(said.channel, refusal.address), refusal.cause.value, refusal.group[:_GROUP_CHARS]


def _add(tx: Tx, known: AddressLookups, said: Sequence[AddressNews]) -> list[tuple[str, AddressNews]]:
    """Suppress addresses; return those that were not suppressed for that cause before, each with its row's id."""
    written: list[tuple[str, AddressNews]] = []
    # What is sealed is bound to its row: there the address stays as it was written first.
    columns = ("reason", "notification_id") if known.now.hashes else ("written", "reason", "notification_id")
    for rows in _portions(said):
        statement = tx.dialect.insert(suppressions).values([_row(tx, known, each) for each in rows])
        new = {name: getattr(statement.excluded, name) for name in columns}
        statement = statement.on_conflict_do_update(
            index_elements=[s.channel, s.address, s.cause, s.group_id],
            set_={**new, "created_at": statement.excluded.created_at, "lifted_at": null()},
            where=and_(s.lifted_at.is_not(None), statement.excluded.created_at >= s.lifted_at),
        )
        written += _written(tx, known, statement, rows)
    return written


def _lift(tx: Tx, known: AddressLookups, said: Sequence[AddressNews]) -> list[tuple[str, AddressNews]]:
    """Take back what was said before; return what held until now. What was never said is noted as taken back."""
    written: list[tuple[str, AddressNews]] = []
    for rows in _portions(said):
        made = [{**_row(tx, known, each), "lifted_at": each.refusal.at} for each in rows]
        statement = tx.dialect.insert(suppressions).values(made)
        statement = statement.on_conflict_do_update(
            index_elements=[s.channel, s.address, s.cause, s.group_id],
            set_={"lifted_at": statement.excluded.lifted_at},
            where=and_(_HOLDS, s.created_at <= statement.excluded.lifted_at),
        )
        ours = {row["id"] for row in made}
        written += [each for each in _written(tx, known, statement, rows) if each[0] not in ours]
    return written


def _written(
    tx: Tx, known: AddressLookups, statement: Insert, rows: Sequence[AddressNews]
) -> list[tuple[str, AddressNews]]:
    by_place = {_place_of_row(known, each): each for each in rows}
    done = tx.execute(statement.returning(s.id, s.channel, s.address, s.cause, s.group_id))
    return [(row[0], by_place[row[1], row[2], row[3], row[4]]) for row in done]


def _place_of_row(known: AddressLookups, said: AddressNews) -> tuple[str, str, str, str]:
    channel, folded, cause, group = _place(said)
    return channel, known.now.form(AddressKey(channel, folded)), cause, group


def _portions(said: Sequence[AddressNews]) -> Iterator[Sequence[AddressNews]]:
    return (said[start : start + AT_ONCE] for start in range(0, len(said), AT_ONCE))


def _row(tx: Tx, known: AddressLookups, said: AddressNews) -> dict[str, Any]:
    channel, _, cause, group = _place(said)
    id_ = str(uuid.uuid4())
    return {
        "id": id_,
        "channel": channel,
        **lookups.suppressed(tx, known, SuppressedAs(id_, channel, said.refusal.address)),
        "cause": cause,
        "group_id": group,
        "reason": said.refusal.reason,
        "notification_id": said.notification_id,
        "created_at": said.refusal.at,
    }


def _facts(said: AddressNews) -> dict[str, Any]:
    """Return what the audit trail says: not the address, which is in the row as long as that is there."""
    refusal = said.refusal
    facts: dict[str, Any] = {"channel": said.channel.value, "cause": refusal.cause.value, "reason": refusal.reason}
    facts |= {"group": refusal.group} if refusal.group else {}
    return facts | ({"notification": said.notification_id} if said.notification_id else {})


def _addresses(done: Sequence[tuple[str, AddressNews]]) -> int:
    return len({_place(each)[:2] for _, each in done})


def _conditions(tx: Tx, wanted: SuppressionFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_HOLDS]
    if wanted.channel is not None:
        found.append(s.channel == wanted.channel.value)
    if wanted.address is not None:
        channels, known = list(Channel) if wanted.channel is None else [wanted.channel], lookups.read(tx)
        forms = {each: known.forms(key(each, wanted.address)) for each in channels}
        found.append(or_(*[and_(s.channel == each.value, s.address.in_(forms[each])) for each in channels]))
    if wanted.reason is not None:
        found.append(_is_reason(wanted.reason))
    if wanted.group is not None:
        found.append(s.group_id == wanted.group)
    return found + _between(wanted.since, wanted.until)


def _between(since: int | None, until: int | None) -> list[ColumnElement[bool]]:
    found = [] if since is None else [s.created_at >= since]
    return found if until is None else [*found, s.created_at < until]


def _is_reason(text: str) -> ColumnElement[bool]:
    cause = text.strip().lower().replace("-", "_")
    return s.cause == cause if cause in list(SuppressionCause) else s.reason.icontains(text, autoescape=True)


def _select(*more: ColumnElement[Any]) -> Select[Any]:
    return select(
        s.id,
        s.channel,
        func.coalesce(s.written, s.address).label("address"),
        s.cause,
        s.group_id,
        s.reason,
        s.notification_id,
        s.created_at,
        *more,
    )


def _many(tx: Tx, statement: Select[Any]) -> list[Suppression]:
    return [_read(tx, row) for row in tx.execute(statement)]


def _read(tx: Tx, row: Sequence[Any]) -> Suppression:
    found = Suppression(*row)
    address = lookups.shown_of_suppression(tx, found.id, found.address)
    return found if address == found.address else replace(found, address=address)


def _reasons(dialect: Dialect) -> Select[Any]:
    # What was moved since somebody looked how addresses are found is found as before. Apart: PostgreSQL joins many only
    # where it compares one column.
    v, each = dialect.rowset("v", _KEYS), (s.created_at, s.id, s.channel)
    ways = [
        select(*each, v.c.folded, s.group_id, s.reason).join_from(
            v, suppressions, (s.channel == v.c.channel) & (way == v.c.folded) & _HOLDS
        )
        for way in (s.address, s.address_before)
    ]
    found = union_all(*ways).subquery("found")
    return select(found.c.channel, found.c.folded, found.c.group_id, found.c.reason).order_by(
        found.c.created_at, found.c.id
    )


_REASONS: Hot[tuple[str, str, str, str]] = Hot(_reasons, tuple)
