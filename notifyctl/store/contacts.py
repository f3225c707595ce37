"""Contact points: the addresses of a user on a channel."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, String, and_, delete, literal, literal_column, null, select

from notifyctl.core.model import Channel
from notifyctl.store.addresses import best_address
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import contact_points, suppressions, users
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
    statement = tx.dialect.insert(contact_points).values(
        id=row_id, user_id=user.id, channel=channel.value, address=address, created_at=tx.now
    )
    return tx.execute(statement.on_conflict_do_nothing().returning(contact_points.c.id)).first() is not None


def remove(tx: Tx, user_id: str, channel: Channel, address: str) -> str | None:
    """Remove an address and return its id; None when the user had no such one. A suppression of it stays."""
    c = contact_points.c
    theirs = and_(c.user_id == user_id, c.channel == channel.value, c.address == address)
    return tx.execute(delete(contact_points).where(theirs).returning(c.id)).scalar()


def _added(user: User) -> Select[tuple[object, ...]]:
    c = contact_points.c
    return (
        _facts(c.id, c.channel, c.address, ADDED, c.created_at, user)
        .join_from(contact_points, suppressions, _suppressing(c.channel, c.address), isouter=True)
        .where(c.user_id == user.id)
        .order_by(c.created_at.desc(), c.id.desc())
    )


def _own(user: User) -> Select[tuple[object, ...]]:
    channel: ColumnElement[str] = literal_column(f"'{Channel.EMAIL.value}'", String)
    return (
        _facts(null(), channel, users.c.email, OWN, users.c.created_at, user)
        .join_from(users, suppressions, _suppressing(channel, users.c.email), isouter=True)
        .where(users.c.id == user.id)
    )


def _facts(
    row_id: ColumnElement[str] | ColumnElement[None],
    channel: ColumnElement[str],
    address: ColumnElement[str],
    source: str,
    created_at: ColumnElement[int],
    user: User,
) -> Select[tuple[object, ...]]:
    best = best_address(literal(user.id, ID), channel, literal(user.email, String))
    return select(
        row_id.label("id"),
        channel.label("channel"),
        address.label("address"),
        literal(source, String).label("source"),
        and_(address == best, suppressions.c.id.is_(None)).label("used"),
        suppressions.c.id.is_not(None).label("suppressed"),
        suppressions.c.reason.label("suppressed_reason"),
        suppressions.c.created_at.label("suppressed_at"),
        created_at.label("created_at"),
    )


def _suppressing(channel: ColumnElement[str], address: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(suppressions.c.channel == channel, suppressions.c.address == address)


def _of(tx: Tx, user: User, statement: Select[tuple[object, ...]]) -> list[ContactPoint]:
    found = tx.execute(statement).mappings()
    return [ContactPoint(user_id=user.id, username=user.username, **row) for row in found]
