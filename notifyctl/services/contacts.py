"""Contact points and suppressed addresses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace

from notifyctl.core.address import meant, normalised
from notifyctl.core.errors import Conflict, NotFound
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.suppression import Refusal, SuppressionCause, stated
from notifyctl.core.text import word
from notifyctl.store import contacts, users
from notifyctl.store import suppressions as store
from notifyctl.store.contacts import ContactPoint, ContactRow
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.suppressions import Suppression
from notifyctl.store.users import User

_BY_HAND = SuppressionCause.OPERATOR


@dataclass(frozen=True, slots=True)
class AddedContact(ContactPoint):
    """A contact point, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class ContactSuppression:
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
    with db.read() as tx:
        points = contacts.listed(tx, users.find(tx, ref))
    return [point for point in points if channel is None or point.channel == channel.value]


def add(db: Database, ref: str, channel: Channel, address: str) -> AddedContact:
    """Add an address to a user. Raises UsageError for a malformed one, NotFound, Conflict when it is there."""
    added = ensure(db, ref, channel, address)
    if not added.created:
        raise Conflict(
            f"{added.username} has {added.address} on {channel} already", f"notifyctl users contacts list {word(ref)}"
        )
    return added


def ensure(db: Database, ref: str, channel: Channel, address: str) -> AddedContact:
    """Add an address to a user unless it is there. Raises UsageError for a malformed one, NotFound."""
    normal = normalised(channel, address)

    def work(tx: Tx) -> AddedContact:
        user = users.lock(tx, users.find(tx, ref).id)
        row_id = str(uuid.uuid4())
        created = contacts.add(tx, user, row_id, channel, normal)
        if created:
            _tell_added(tx, [ContactRow(row_id, user.id, channel.value, normal)])
        point = next(each for each in contacts.listed(tx, user) if each.id and _is(each, channel, normal))
        return AddedContact(**asdict(point), created=created)

    return db.write(work)


def remove(db: Database, ref: str, channel: Channel, address: str) -> ContactPoint:
    """Remove an address from a user and return it; its suppression stays. Raises NotFound, Conflict for the own one.

    One that is sealed and does not open is meant by its id: it was damaged, or its key is lost.
    """

    def work(tx: Tx) -> ContactPoint:
        user = users.lock(tx, users.find(tx, ref).id)
        closed = contacts.closed(tx, user, channel, address.strip())
        if closed is not None:
            take(tx, [ContactRow(closed.id or "", user.id, channel.value, closed.address)])
            return replace(closed, used=False)
        normal = normalised(channel, address)
        found = [point for point in contacts.listed(tx, user) if _is(point, channel, normal)]
        row_id = contacts.remove(tx, user.id, channel, normal)
        if row_id is None or not found:
            raise _not_removable(user, channel, normal, is_own=bool(found))
        _tell_removed(tx, [ContactRow(row_id, user.id, channel.value, normal)])
        return replace(found[0], used=False)

    return db.write(work)


def put(tx: Tx, new: Sequence[ContactRow]) -> None:
    """Add addresses to users, which have none of them. Raises IntegrityError."""
    contacts.add_all(tx, new)
    _tell_added(tx, new)


def take(tx: Tx, gone: Sequence[ContactRow]) -> None:
    """Remove addresses from users; suppressions of them stay."""
    contacts.remove_all(tx, [each.id for each in gone])
    _tell_removed(tx, gone)


def _tell_added(tx: Tx, rows: Sequence[ContactRow]) -> None:
    facts = [
        (each.id, {"user_id": each.user_id, "channel": each.channel, "address": [None, each.address]}) for each in rows
    ]
    tx.audit("create", "contact_point", facts)
    _judge_anew(tx, rows)


def _tell_removed(tx: Tx, rows: Sequence[ContactRow]) -> None:
    facts = [
        (each.id, {"user_id": each.user_id, "channel": each.channel, "address": [each.address, None]}) for each in rows
    ]
    tx.audit("delete", "contact_point", facts)
    _judge_anew(tx, rows)


def _judge_anew(tx: Tx, rows: Sequence[ContactRow]) -> None:
    """Let rules judge anew: another number may be of another country, with other contact windows."""
    from notifyctl.store.queue.wake import wake_all  # who lists people loads no queue

    wake_all(tx, [(each.user_id, each.channel) for each in rows])


def suppress(db: Database, ref: str, channel: Channel, address: str, reason: str) -> ContactSuppression:
    """Write to an address no more, whoever has it; a suppression that is there keeps its reason and its time.

    The address need not be one of the user's: a notification may name any. Raises UsageError, NotFound for the user.
    """
    from notifyctl.services import suppressions  # who lists people loads nothing of what is refused

    normal, why = meant(channel, address), stated(reason)

    def work(tx: Tx) -> ContactSuppression:
        user = users.find(tx, ref)
        store.mend(tx, channel, normal)
        holding = store.of_address(tx, channel, normal)
        holding = [each for each in holding if not each.group_id]
        stored = holding[0] if holding else suppressions.suppress(tx, channel, Refusal(normal, _BY_HAND, why))
        return _suppressed(stored, normal, theirs=_has(tx, user, channel, normal), created=not holding)

    return db.write(work)


def _suppressed(stored: Suppression, address: str, *, theirs: bool, created: bool) -> ContactSuppression:
    facts = (stored.id, stored.channel, address, stored.reason, stored.created_at)
    return ContactSuppression(*facts, theirs=theirs, created=created)


def suppressing(db: Database, ref: str, channel: Channel, address: str) -> list[Suppression]:
    """Return what holds of an address, for the person who would lift it. Raises UsageError, NotFound for the user."""
    normal = meant(channel, address)
    with db.read() as tx:
        users.find(tx, ref)
        return store.of_address(tx, channel, normal)


def unsuppress(db: Database, ref: str, channel: Channel, address: str) -> Lifted:
    """Let an address be written to again; nothing happens when it may be. Raises UsageError, NotFound for the user."""
    normal = meant(channel, address)

    def work(tx: Tx) -> Lifted:
        users.find(tx, ref)
        held = store.lift(tx, channel, normal)
        return Lifted(channel.value, normal, "; ".join(each.reason for each in held) or None)

    return db.write(work)


def _not_removable(user: User, channel: Channel, address: str, *, is_own: bool) -> Conflict | NotFound:
    name = user.username
    if is_own:
        return Conflict(f"{address} is the e-mail address of {name}", f"notifyctl users update {word(name)} --email E")
    return NotFound(f"{name} has no {channel} address {address}", f"notifyctl users contacts list {word(name)}")


def _has(tx: Tx, user: User, channel: Channel, address: str) -> bool:
    return any(_is(point, channel, address) for point in contacts.listed(tx, user))


def _is(point: ContactPoint, channel: Channel, address: str) -> bool:
    return (point.channel, point.address) == (channel.value, address)
