"""Contact points: the addresses of a user on a channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, and_, delete, insert, literal, literal_column, null, select

from notifyctl.core.atrest import AddressLookups
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.suppression import key
from notifyctl.store import lookups, suppressions
from notifyctl.store.addresses import best_address
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import contact_points, users
from notifyctl.store.suppressions import Suppression
from notifyctl.store.users import User

OWN = "user"
ADDED = "contact"


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """An address of a user. `id` is None for the user's own e-mail address, which has no row of its own.

    `source` is `contact` for what was added, `user` for the user's own; `used` says whether notifications on the
    channel go there. Times are milliseconds since the epoch.
    """

    id: str | None
    user_id: str
    username: str
    channel: str
    address: str
    source: str
    used: bool
    suppressed: bool
    suppressed_reason: str | None
    suppressed_at: int | None
    created_at: int


def listed(tx: Tx, user: User) -> list[ContactPoint]:
    """Return the user's addresses by channel, newest first, the user's own e-mail address last of the e-mail ones."""
    added = _of(tx, user, _added(user))
    own = _of(tx, user, _own(user))
    known = {(point.channel, point.address) for point in added}
    points = [*added, *(point for point in own if (point.channel, point.address) not in known)]
    return sorted(points, key=lambda point: list(Channel).index(Channel(point.channel)))


def add(tx: Tx, user: User, row_id: str, channel: Channel, address: str) -> bool:
    """Add an address; return False when the user has it already."""
    known = lookups.to_write(tx)
    if tx.execute(select(contact_points.c.id).where(_theirs(tx, known, user.id, channel, address))).first() is not None:
        return False
    new = ContactRow(row_id, user.id, channel.value, address)
    statement = tx.dialect.insert(contact_points).values(_row(tx, known, new))
    return tx.execute(statement.on_conflict_do_nothing().returning(contact_points.c.id)).first() is not None


class ContactRow(NamedTuple):
    """An address that was added to a user, as it is stored."""

    id: str
    user_id: str
    channel: str
    address: str


def of_users(tx: Tx, user_ids: Iterable[str]) -> list[ContactRow]:
    """Return all addresses that were added to these users."""
    c = contact_points.c
    found = select(c.id, c.user_id, c.channel, c.address).where(tx.dialect.is_any(c.user_id, list(user_ids)))
    return _opened(tx, found)


def by_ids(tx: Tx, ids: Iterable[str]) -> list[ContactRow]:
    """Return the added addresses with these ids."""
    c = contact_points.c
    found = select(c.id, c.user_id, c.channel, c.address).where(tx.dialect.is_any(c.id, list(ids)))
    return _opened(tx, found)


def add_all(tx: Tx, new: Sequence[ContactRow]) -> None:
    """Add addresses. Raises IntegrityError where one is there."""
    if new:
        known = lookups.to_write(tx)
        tx.execute(insert(contact_points), [_row(tx, known, each) for each in new])


def remove_all(tx: Tx, ids: Sequence[str]) -> None:
    """Remove added addresses. Suppressions of them stay."""
    tx.execute(delete(contact_points).where(tx.dialect.is_any(contact_points.c.id, ids)))


def remove(tx: Tx, user_id: str, channel: Channel, address: str) -> str | None:
    """Remove an address and return its id; None when the user had no such one. A suppression of it stays."""
    theirs = _theirs(tx, lookups.to_write(tx), user_id, channel, address)
    return tx.execute(delete(contact_points).where(theirs).returning(contact_points.c.id)).scalar()


def closed(tx: Tx, user: User, channel: Channel, row_id: str) -> ContactPoint | None:
    """Return the user's contact point with that id where its address does not open, as it was damaged or for a key."""
    found = {(row.id, row.channel): row for row in tx.execute(_added(user))}
    row = found.get((row_id, channel.value))
    if row is None or lookups.opens(tx, user.id, row.channel, row.address):
        return None
    return _point(user, row, lookups.CLOSED, None)


def _theirs(tx: Tx, known: AddressLookups, user_id: str, channel: Channel, address: str) -> ColumnElement[bool]:
    c, forms = contact_points.c, lookups.forms(tx, known, user_id, channel.value, address)
    return and_(c.user_id == user_id, c.channel == channel.value, c.address.in_(forms))


def _row(tx: Tx, known: AddressLookups, new: ContactRow) -> dict[str, Any]:
    stored = lookups.stored(tx, known, new.user_id, new.channel, new.address)
    found_by = lookups.folded(known, Channel(new.channel), new.address)
    return {**new._asdict(), "address": stored, **found_by, "created_at": tx.now}


def _opened(tx: Tx, statement: Select[Any]) -> list[ContactRow]:
    rows = (ContactRow(*row) for row in tx.execute(statement))
    return [row._replace(address=lookups.shown(tx, row.user_id, row.channel, row.address)) for row in rows]


def _added(user: User) -> Select[Any]:
    c = contact_points.c
    return (
        _facts(c.id, c.channel, c.address, ADDED, c.created_at, user)
        .where(c.user_id == user.id)
        .order_by(c.created_at.desc(), c.id.desc())
    )


def _own(user: User) -> Select[Any]:
    channel: ColumnElement[str] = literal_column(f"'{Channel.EMAIL.value}'", String)
    return _facts(null(), channel, users.c.email, OWN, users.c.created_at, user).where(users.c.id == user.id)


def _facts(
    row_id: ColumnElement[Any],
    channel: ColumnElement[str],
    address: ColumnElement[str],
    source: str,
    created_at: ColumnElement[int],
    user: User,
) -> Select[Any]:
    best = best_address(literal(user.id, ID), channel, literal(user.email, String))
    found: Select[Any] = select(
        row_id.label("id"),
        channel.label("channel"),
        address.label("address"),
        literal(source, String).label("source"),
        (address == best).label("best"),
        created_at.label("created_at"),
    )
    return found


def _of(tx: Tx, user: User, statement: Select[Any]) -> list[ContactPoint]:
    found = [(row, lookups.shown(tx, user.id, row.channel, row.address)) for row in tx.execute(statement)]
    holding = suppressions.holding(tx, [key(Channel(row.channel), address) for row, address in found])
    return [_point(user, row, address, holding.get(key(Channel(row.channel), address))) for row, address in found]


def _point(user: User, row: Any, address: str, suppression: Suppression | None) -> ContactPoint:
    return ContactPoint(
        id=row.id,
        user_id=user.id,
        username=user.username,
        channel=row.channel,
        address=address,
        source=row.source,
        used=bool(row.best) and suppression is None,
        suppressed=suppression is not None,
        suppressed_reason=None if suppression is None else suppression.reason,
        suppressed_at=None if suppression is None else suppression.created_at,
        created_at=row.created_at,
    )
