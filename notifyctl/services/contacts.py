"""Contact points and suppressed addresses."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from notifyctl.core.address import normalised
from notifyctl.core.errors import Conflict, NotFound, UsageError
from notifyctl.core.model import Actor, Channel
from notifyctl.core.text import one_line
from notifyctl.store import audit, contacts, suppressions, users
from notifyctl.store.contacts import ContactPoint
from notifyctl.store.engine import Database
from notifyctl.store.users import User


@dataclass(frozen=True, slots=True)
class AddedContact(ContactPoint):
    """A contact point, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A suppressed address. `theirs`: whether it is one of the user's; `created`: whether it was not before."""

    id: str
    channel: str
    address: str
    reason: str
    created_at: int
    theirs: bool
    created: bool


@dataclass(frozen=True, slots=True)
class Lifted:
    """An address that is no longer suppressed. `reason` is why it was; None: it was not."""

    channel: str
    address: str
    reason: str | None


def listed(db: Database, ref: str, channel: Channel | None = None) -> list[ContactPoint]:
    """Return a user's addresses, on one channel or all. Raises NotFound."""
    with db.read() as conn:
        points = contacts.listed(conn, users.find(conn, db.dialect, ref))
    return [point for point in points if channel is None or point.channel == channel.value]


def add(db: Database, actor: Actor, ref: str, channel: Channel, address: str) -> AddedContact:
    """Add an address to a user. Raises UsageError for a malformed one, NotFound, Conflict when it is there."""
    added = ensure(db, actor, ref, channel, address)
    if not added.created:
        raise Conflict(
            f"{added.username} has {added.address} on {channel} already", f"notifyctl users contacts list {ref}"
        )
    return added


def ensure(db: Database, actor: Actor, ref: str, channel: Channel, address: str) -> AddedContact:
    """Add an address to a user unless it is there. Raises UsageError for a malformed one, NotFound."""
    normal = normalised(channel, address)

    def work(conn: Connection) -> AddedContact:
        user = users.lock(conn, db.dialect, users.find(conn, db.dialect, ref).id)
        row_id, now = str(uuid.uuid4()), db.now(conn)
        created = contacts.add(conn, db.dialect, user, row_id, channel, normal, now)
        if created:
            changes = {"user_id": user.id, "channel": channel.value, "address": [None, normal]}
            audit.record(conn, actor, "create", "contact_point", [(row_id, changes)], now)
        point = next(each for each in contacts.listed(conn, user) if each.id and _is(each, channel, normal))
        return AddedContact(**asdict(point), created=created)

    return db.write(work)


def remove(db: Database, actor: Actor, ref: str, channel: Channel, address: str) -> ContactPoint:
    """Remove an address from a user and return it; its suppression stays. Raises NotFound, Conflict for the own one."""
    normal = normalised(channel, address)

    def work(conn: Connection) -> ContactPoint:
        user = users.find(conn, db.dialect, ref)
        found = [point for point in contacts.listed(conn, user) if _is(point, channel, normal)]
        row_id = contacts.remove(conn, user.id, channel, normal)
        if row_id is None and found:
            raise Conflict(
                f"{normal} is the e-mail address of {user.username}",
                f"notifyctl users update {user.username} --email E",
            )
        if row_id is None or not found:
            raise NotFound(
                f"{user.username} has no {channel} address {normal}", f"notifyctl users contacts list {user.username}"
            )
        changes = {"user_id": user.id, "channel": channel.value, "address": [normal, None]}
        audit.record(conn, actor, "delete", "contact_point", [(row_id, changes)], db.now(conn))
        return replace(found[0], used=False)

    return db.write(work)


def suppress(db: Database, actor: Actor, ref: str, channel: Channel, address: str, reason: str) -> Suppressed:
    """Write to an address no more, whoever has it; a suppression that is there keeps its reason and its time.

    The address need not be one of the user's: a notification may name any. Raises UsageError, NotFound for the user.
    """
    normal, why = normalised(channel, address), one_line(reason)
    if not why:
        raise UsageError("the reason is empty", "--reason says why nobody shall write there")

    def work(conn: Connection) -> Suppressed:
        user = users.find(conn, db.dialect, ref)
        now = db.now(conn)
        created = bool(suppressions.add(conn, db.dialect, [(channel.value, normal, why, None)], now))
        stored = suppressions.get(conn, channel, normal)
        if created:
            changes = {"channel": channel.value, "address": normal, "reason": why}
            audit.record(conn, actor, "suppress", "contact_point", [(None, changes)], now)
        return Suppressed(
            id=stored.id,
            channel=channel.value,
            address=normal,
            reason=stored.reason,
            created_at=stored.created_at,
            theirs=_has(conn, user, channel, normal),
            created=created,
        )

    return db.write(work)


def unsuppress(db: Database, actor: Actor, ref: str, channel: Channel, address: str) -> Lifted:
    """Let an address be written to again; nothing happens when it may be. Raises UsageError, NotFound for the user."""
    normal = normalised(channel, address)

    def work(conn: Connection) -> Lifted:
        users.find(conn, db.dialect, ref)
        reason = suppressions.remove(conn, channel, normal)
        if reason is not None:
            changes = {"channel": channel.value, "address": normal, "reason": reason}
            audit.record(conn, actor, "unsuppress", "contact_point", [(None, changes)], db.now(conn))
        return Lifted(channel.value, normal, reason)

    return db.write(work)


def _has(conn: Connection, user: User, channel: Channel, address: str) -> bool:
    return any(_is(point, channel, address) for point in contacts.listed(conn, user))


def _is(point: ContactPoint, channel: Channel, address: str) -> bool:
    return (point.channel, point.address) == (channel.value, address)
