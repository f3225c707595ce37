"""Going on without encryption keys that are lost: of people's addresses, what only they open is given up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import ColumnElement, delete, false, func, or_, select, update

from notifyctl.core.atrest import AddressLookup
from notifyctl.core.frozen import dataclass
from notifyctl.core.sealing import Keyring
from notifyctl.store import lookups, moving
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import contact_points, notifications, suppressions
from notifyctl.store.sealed import sealing_kid

BATCH = 500
_p, _s, _n = contact_points.c, suppressions.c, notifications.c


@dataclass(frozen=True, slots=True)
class Losses:
    """How many contact points and suppressions are lost, and of how many notifications where they went."""

    contact_points: int
    suppressions: int
    notifications: int


def count(tx: Tx, keys: Collection[str]) -> Losses:
    """Return what is lost with these keys. A suppression that is still found holds on, though nobody can read it."""
    held = _lost(tx, keys) & _s.lifted_at.is_(None)
    tables = (contact_points, _lost_points(keys)), (suppressions, held), (notifications, _lost_sent(keys))
    return Losses(*(tx.execute(select(func.count()).select_from(table).where(of)).scalar_one() for table, of in tables))


def give_up(tx: Tx, keyring: Keyring, keys: Collection[str]) -> Losses:
    """Remove what is lost with these keys, and let what others sealed be found by a hash whose key is here.

    Suppressions are lifted: nobody may remove one, and nothing finds those any more.

    All in one transaction: nothing is to be found by one hash while what it is compared with is found by another.
    Raises EncryptionKeyAway where a key is lacking that is not among them, LockNotGranted as `lookups.serialize`.
    """
    lookups.serialize(tx)
    lost = count(tx, keys)
    lifted = func.coalesce(_s.lifted_at, tx.now)
    tx.execute(update(suppressions).where(_lost(tx, keys)).values(written=None, lifted_at=lifted))
    tx.execute(delete(contact_points).where(_lost_points(keys)))
    tx.execute(update(notifications).where(_lost_sent(keys)).values(sent_to=None))
    if lookups.forget(tx, keyring, keys):
        _find_anew(tx)
    tx.audit("delete", "encryption_key", [(None, {"keys": sorted(keys), **asdict(lost)})])
    return lost


def _find_anew(tx: Tx) -> None:
    """Write all that is found by a hash of before."""
    known, after = lookups.read(tx), ""
    while points := moving.points(tx, known, after, BATCH):
        moving.write_points(tx, known, points)
        after = points[-1].id
    after = ""
    while refusals := moving.refusals(tx, known, after, BATCH):
        lookups.suppress_anew(tx, known, refusals)
        after = refusals[-1].id


def _lost_points(keys: Collection[str]) -> ColumnElement[bool]:
    return sealing_kid(_p.address).in_(keys)


def _lost_sent(keys: Collection[str]) -> ColumnElement[bool]:
    return sealing_kid(func.coalesce(_n.sent_to, "")).in_(keys)


def _lost(tx: Tx, keys: Collection[str]) -> ColumnElement[bool]:
    """Return whether a suppression neither opens nor can be found by its address."""
    beginnings = [AddressLookup(generation).beginning for generation in lookups.sealed_with(tx, keys)]
    hashed = [func.substr(_s.address, 1, len(each)) == each for each in beginnings]
    return or_(false(), *hashed) & sealing_kid(func.coalesce(_s.written, "")).in_(keys)
