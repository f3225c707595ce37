"""Addresses at rest: from in clear to sealed and back, and from one hash to another, while others work.

Each way of finding addresses stands beside the one before until no row is left that only that one finds. What is
written meanwhile is written for both; killed anywhere and called again it goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from notifyctl.core.atrest import AddressLookups
from notifyctl.core.errors import Conflict, LockNotGranted, NotAllowed, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.sealing import Keyring, no_keys
from notifyctl.services import rotating
from notifyctl.services.presence import Problem
from notifyctl.services.rotating import Resealed, Tell
from notifyctl.store import lookups, losing, moving
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.losing import Losses

BATCH = 500
TOLD_OF = 20 * BATCH
"""After how many rows it is said how far it is."""
PAUSE_S = 1.0
LOOK_S = 0.2
T = TypeVar("T")


@dataclass(slots=True)
class Moved:
    """How addresses are stored now (`encrypted`), and how many rows were written for that."""

    encrypted: bool
    contact_points: int = 0
    suppressions: int = 0
    notifications: int = 0


def found(db: Database) -> AddressLookups:
    """Return how addresses are found. Raises NotAllowed where the encryption key for that is not here."""
    with db.read() as tx:
        return lookups.read(tx)


def counts(db: Database) -> tuple[int, int]:
    """Return how many contact points and suppressions there are."""
    with db.read() as tx:
        return moving.counts(tx)


def encrypt(db: Database, keyring: Keyring, tell: Tell) -> Moved:
    """Store addresses sealed from now on, and those that are there. Raises Conflict while the contrary is under way."""
    if not keyring.keys:
        raise no_keys()
    rotating.require_readers(db, next(iter(keyring.keys)), tell)
    while not (known := found(db)).now.hashes:
        if known.before is not None:
            raise Conflict("addresses are being decrypted", "notifyctl secrets decrypt-addresses goes on with that")
        _alone(db, partial(_begin, keyring, known, hashing=True), tell)
    return _found_anew(db, tell, Moved(known.now.hashes))


def losses(db: Database, keyring: Keyring, keys: Collection[str]) -> Losses:
    """Return what going on without these keys gives up. Raises Conflict where one is here, or sealed no address."""
    for kid in keys:
        if kid in keyring.keys:
            raise Conflict(f"encryption key {kid} is here: what it sealed is not lost", "notifyctl secrets status")
    with db.read() as tx:
        lost = losing.count(tx, keys)
        if lost == Losses(0, 0, 0) and not lookups.sealed_with(tx, keys):
            raise Conflict(f"no address is sealed with key {', '.join(keys)}", "notifyctl secrets status")
    return lost


def give_up(db: Database, keyring: Keyring, keys: Collection[str], tell: Tell) -> Losses:
    """Go on without these keys, which are lost: remove what only they open. Raises NotAllowed without a key."""
    if not keyring.keys:
        raise no_keys()
    rotating.require_readers(db, next(iter(keyring.keys)), tell)
    return _alone(db, lambda tx: losing.give_up(tx, keyring, keys), tell)


def decrypt(db: Database, keyring: Keyring, tell: Tell) -> Moved:
    """Store addresses in clear again. Raises Conflict while the contrary is under way."""
    while (known := found(db)).now.hashes:
        if known.before is not None:
            raise Conflict("addresses are being encrypted", _going_on(known))
        _alone(db, partial(_begin, keyring, known, hashing=False), tell)
    return _found_anew(db, tell, Moved(known.now.hashes))


def renew(db: Database, keyring: Keyring, tell: Tell) -> Moved:
    """Let another hash find addresses where an older encryption key kept the one of now, and they are sealed."""
    known = found(db)
    done = Moved(known.now.hashes)
    if not done.encrypted:
        return done
    if known.before is not None:  # somebody was killed
        _found_anew(db, tell, done, told=known.are_being_sealed)
        known = found(db)
    with db.read() as tx:
        kept_by = lookups.sealed_by(tx)
    if kept_by != next(iter(keyring.keys)):
        _alone(db, lambda tx: lookups.begin(tx, keyring, known, hashing=True), tell)
    return _found_anew(db, tell, done, told=False)


def rotate(db: Database, keyring: Keyring, tell: Tell) -> Resealed:
    """Let another hash find addresses, and seal everything anew: an address that does not open stops nothing else."""
    moved, closed = Moved(encrypted=False), None
    try:
        moved = renew(db, keyring, tell)
    except NotAllowed as error:
        closed = error
    done = rotating.reseal(db, keyring, tell)
    done.resealed += moved.contact_points + moved.suppressions
    if closed is not None and not done.failed:
        raise closed
    return done


def problems(tx: Tx) -> list[Problem]:
    """Return why sealed addresses cannot be read here, or that they are sealed in part."""
    try:
        known = lookups.read(tx)
    except NotifyctlError as error:
        return [Problem("addresses", error.message, error.hint or "")]
    if known.before is None:
        # In clear they are of no harm, and those who never sealed any have none.
        is_left = known.now.hashes and moving.is_found_before(tx)
        return [Problem("addresses", "some can still be found as before", _going_on(known))] if is_left else []
    return [Problem("addresses", "some are stored anew, some are not yet", _going_on(known))]


def _going_on(known: AddressLookups) -> str:
    rotates = known.now.hashes and known.before is not None and known.before.hashes
    step = "rotate --re-encrypt" if rotates else "encrypt-addresses" if known.now.hashes else "decrypt-addresses"
    return f"notifyctl secrets {step} goes on with that"


def _begin(keyring: Keyring, seen: AddressLookups, tx: Tx, *, hashing: bool) -> None:
    if lookups.begin(tx, keyring, seen, hashing=hashing):
        tx.audit("encrypt" if hashing else "decrypt", "contact_point", [(None, {"addresses": "all"})])


def _alone(db: Database, work: Callable[[Tx], T], tell: Tell) -> T:
    """Run what lets nobody write addresses meanwhile, when nobody does; return what it returns.

    It is asked for again and again: a long transaction of others, as of an import, is not to keep dispatchers waiting
    behind this one.
    """
    told = False
    while True:
        try:
            return db.write(work)
        except LockNotGranted:
            if not told:
                tell("waiting for somebody who is writing addresses")
            told = True
            time.sleep(PAUSE_S)


def _found_anew(db: Database, tell: Tell, done: Moved, *, told: bool = True) -> Moved:
    """Write what is not found in the way of now, then give up the way before; count it.

    `told`: also what is told of notifications, first, so that whoever is killed does not leave that behind unsaid.
    """
    while True:
        points = _portions(db, _points, "contact points", tell)
        refusals = _portions(db, _suppressions, "suppressions", tell)
        done.contact_points, done.suppressions = done.contact_points + points, done.suppressions + refusals
        if told:
            _await_settled(db, tell)
            done.notifications += _portions(db, _notifications, "notifications", tell)
        if _alone(db, _finished, tell):
            break
        if not points and not refusals:
            _raise_damaged(db)
    while db.write(lambda tx: moving.forget_before(tx, BATCH)):
        pass
    return done


def _await_settled(db: Database, tell: Tell) -> None:
    """Wait until nothing is on its way to an address in clear: what comes of that is written from memory.

    Whoever begins meanwhile knows that addresses are being sealed.
    """
    _await_writers(db, tell)
    left, said = db.consult(lambda tx: moving.on_their_way(tx) if lookups.read(tx).are_being_sealed else []), 0
    while left:
        if said != len(left):
            said = len(left)
            tell(f"waiting for what comes of {said:,} {'message' if said == 1 else 'messages'} on their way")
        time.sleep(LOOK_S)
        left = db.consult(lambda tx: moving.on_their_way(tx, left))  # noqa: B023 - called at once


def _await_writers(db: Database, tell: Tell) -> None:
    """Wait for claims that looked before addresses were to be sealed, and are not stored yet: nobody sees them."""
    left, told = db.consult(lambda tx: moving.writers(tx) if lookups.read(tx).are_being_sealed else set()), False
    while left:
        time.sleep(LOOK_S)
        left &= db.consult(moving.writers)
        if left and not told:
            tell(f"waiting for {len(left):,} {'transaction' if len(left) == 1 else 'transactions'} of others")
            told = True


def _raise_damaged(db: Database) -> None:
    """Raise NotAllowed, naming rows whose address does not open: nothing else is left, and they keep it from ending."""
    with db.read() as tx:
        left = moving.damaged(tx, lookups.read(tx), BATCH)
    if not left:
        return  # somebody wrote one meanwhile
    many = "1 address does" if len(left) == 1 else f"{len(left):,} addresses do"
    error = NotAllowed(f"{many} not open", rotating.OF_ADDRESSES)
    error.problems = [(f"{table} {id_}", {"table": table, "id": id_}) for table, id_ in left[: rotating.NAMED]]
    raise error


def _finished(tx: Tx) -> bool:
    lookups.serialize(tx)
    known = lookups.read(tx)
    if known.before is None:
        return True
    if moving.are_left(tx, known):
        return False
    lookups.finish(tx)
    return True


class _MovedPortion(NamedTuple):
    """Rows that were looked at: the last one's id, how many there were, and how many were written."""

    last: str
    seen: int
    changed: int


def _portions(db: Database, write: Callable[[str, Tx], _MovedPortion], what: str, tell: Tell) -> int:
    """Write all rows, a portion by a transaction; return how many were written."""
    after, seen, total = "", 0, 0
    while True:
        try:
            done = db.write(partial(write, after))
        except moving.Crossed:
            continue
        seen, total = seen + done.seen, total + done.changed
        if done.seen < BATCH:
            return total
        after = done.last
        if seen % TOLD_OF == 0:
            tell(f"{what}: {seen:,} looked at, {total:,} written anew")


def _points(after: str, tx: Tx) -> _MovedPortion:
    known = lookups.to_write(tx)
    rows = moving.points(tx, known, after, BATCH)
    return _portion(rows, moving.write_points(tx, known, rows))


def _suppressions(after: str, tx: Tx) -> _MovedPortion:
    known = lookups.to_write(tx)
    rows = moving.refusals(tx, known, after, BATCH)
    return _portion(rows, lookups.suppress_anew(tx, known, rows))


def _notifications(after: str, tx: Tx) -> _MovedPortion:
    rows = moving.sent(tx, after, BATCH)
    return _portion(rows, moving.write_sent(tx, lookups.read(tx), rows))


def _portion(rows: Sequence[Any], changed: int) -> _MovedPortion:
    return _MovedPortion(rows[-1].id if rows else "", len(rows), changed)
