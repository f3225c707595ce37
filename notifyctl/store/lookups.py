"""How addresses are found, and what they are sealed with: as they are stored, and as people write them.

Whoever writes addresses looks first how they are found now, and nobody changes that until they have committed.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, String, Text, delete, func, insert, or_, select, update
from sqlalchemy.types import TypeEngine

from notifyctl.core.atrest import PLAIN, SECRET_BYTES, AddressLookup, AddressLookups, place
from notifyctl.core.errors import EncryptionKeyAway, NotAllowed
from notifyctl.core.model import Channel
from notifyctl.core.sealing import Keyring, Place, kid_of, no_keys
from notifyctl.core.spelling import without
from notifyctl.core.suppression import key
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import address_lookups, contact_points, suppressions

ADDRESS_WIDTH = 1500
CLOSED = "(does not open)"
"""What stands where the address of a row was damaged, or is another row's."""
WAIT_MS = 500
_LOCK = "notifyctl addresses"
_l, _p, _s = address_lookups.c, contact_points.c, suppressions.c


def read(tx: Tx) -> AddressLookups:
    """Return how addresses are found. Raises NotAllowed where no encryption key opens what hashes are made with."""
    rows = tx.execute(select(_l.id, _l.generation, _l.secret).order_by(_l.generation.desc()).limit(2)).all()
    if not rows or tx.keyring is None:
        return PLAIN
    keyring = tx.keyring()
    now, *before = (
        AddressLookup(row.generation, None if row.secret is None else keyring.open_bytes(row.secret, _place(row.id)))
        for row in rows
    )
    return AddressLookups(now, before[0] if before else None)


def to_write(tx: Tx) -> AddressLookups:
    """Return the same for whoever writes addresses: it stays so until the transaction ends."""
    tx.dialect.share(tx.conn, _LOCK)
    return read(tx)


def begin(tx: Tx, keyring: Keyring, seen: AddressLookups, *, hashing: bool) -> bool:
    """Let addresses be found in another way from now on, beside the one before; nobody writes any meanwhile.

    Where they are no longer found as was `seen`, another began: then nothing is done, and False returned. There are
    never more than two ways, as there is nothing that a third one finds.
    """
    serialize(tx)
    if read(tx) != seen or seen.before is not None:
        return False
    latest = tx.execute(select(_l.generation).order_by(_l.generation.desc()).limit(1)).scalar()
    made = [(0, None), (1, _secret())] if latest is None else [(latest + 1, _secret() if hashing else None)]
    for generation, secret in made:
        _make(tx, keyring, generation, secret)
    return True


def _make(tx: Tx, keyring: Keyring, generation: int, secret: bytes | None) -> None:
    id_ = str(uuid.uuid4())
    sealed = None if secret is None else keyring.seal_bytes(secret, _place(id_))
    row = {"id": id_, "generation": generation, "secret": sealed, "created_at": tx.now}
    tx.execute(insert(address_lookups).values(row))


def finish(tx: Tx) -> None:
    """Let addresses be found in the way of now alone. To be called with `serialize` held and nothing left to write."""
    found = read(tx)
    old = _l.generation < found.now.generation if found.now.hashes else _l.generation >= 0
    tx.execute(delete(address_lookups).where(old))


def sealed_with(tx: Tx, keys: Collection[str]) -> list[int]:
    """Return the generations whose hashes are made with what one of these encryption keys sealed."""
    rows = tx.execute(select(_l.generation, _l.secret).where(_l.secret.is_not(None)))
    return [row.generation for row in rows if kid_of(row.secret) in keys]


def forget(tx: Tx, keyring: Keyring, keys: Collection[str]) -> bool:
    """Give up the ways that one of these encryption keys sealed, for another one where no hash is left.

    Return whether there were any. To be called with `serialize` held; what is found by them is to be written anew then.
    """
    lost, rows = sealed_with(tx, keys), tx.execute(select(_l.generation, _l.secret)).all()
    if lost and not any(row.secret is not None and row.generation not in lost for row in rows):
        _make(tx, keyring, max(row.generation for row in rows) + 1, _secret())
    tx.execute(delete(address_lookups).where(_l.generation.in_(lost)))
    return bool(lost)


def serialize(tx: Tx) -> None:
    """Let nobody write addresses until the transaction ends.

    Raises LockNotGranted where somebody does for a while: all who come after whoever waits for them wait as well.
    """
    tx.dialect.limit_lock_wait(tx.conn, WAIT_MS)
    tx.serialize(_LOCK)


def sealed_by(tx: Tx) -> str | None:
    """Return the id of the key that sealed what hashes are made with; None where none are made."""
    return kid_of(tx.execute(select(_l.secret).order_by(_l.generation.desc()).limit(1)).scalar())


def stored(tx: Tx, lookups: AddressLookups, user_id: str, channel: str, address: str) -> str:
    """Return a user's address as it is stored."""
    if not lookups.now.hashes:
        return address
    return _keyring(tx).seal(address, place(user_id, channel), ADDRESS_WIDTH)


def forms(tx: Tx, lookups: AddressLookups, user_id: str, channel: str, address: str) -> list[str]:
    """Return all as which a user's address may be stored: in clear, and sealed by any of the keys."""
    if lookups.are_plain:
        return [address]
    keys, where = _keyring(tx).keys, place(user_id, channel)
    return [address, *(Keyring({kid: value}).seal(address, where) for kid, value in keys.items())]


def opened(tx: Tx, user_id: str, channel: str, address: str) -> str:
    """Return a user's stored address as people write it. Raises NotAllowed, naming whose it is, where no key opens it.

    On a connection that is somebody else's it stays sealed.
    """
    return _opened(tx, address, place(user_id, channel)) if is_sealed(address) else address


def opened_or_none(tx: Tx, user_id: str, channel: str, address: str | None) -> str | None:
    """Return the same; None where there is no address, or it was damaged."""
    if address is None or not is_sealed(address):
        return address
    return _opened_or_none(tx, address, place(user_id, channel))


def shown(tx: Tx, user_id: str, channel: str, address: str) -> str:
    """Return the same for a list: what was damaged is called `CLOSED`, and spoils nothing else."""
    return (_opened_or_none(tx, address, place(user_id, channel)) or CLOSED) if is_sealed(address) else address


def shown_of_suppression(tx: Tx, id_: str, address: str) -> str:
    """Return the address of a suppression as it was given; see `shown`."""
    return (_opened_or_none(tx, address, _written(id_)) or CLOSED) if is_sealed(address) else address


def opens(tx: Tx, user_id: str, channel: str, address: str) -> bool:
    """Return whether a user's stored address opens here."""
    return not is_sealed(address) or _opens(tx, address, place(user_id, channel))


def suppression_opens(tx: Tx, row: SuppressedAs) -> bool:
    """Return whether the address of a suppression, as it is stored, opens here."""
    return not is_sealed(row.address) or _opens(tx, row.address, _written(row.id))


def sealed(tx: Tx, address: str, user_id: str | None = None) -> list[str]:
    """Return as what an address is stored of those who have it, and of that user, where addresses are sealed.

    By any of the keys.
    """
    known = read(tx)
    if known.are_plain:
        return []
    keys, found = _keyring(tx).keys, list[str]()
    for channel in Channel:
        ways = known.forms(key(channel, address))
        has: ColumnElement[bool] = _p.folded.in_(ways)
        if known.before is not None:  # mail that is in clear again has nothing else beside it
            has = or_(has, _p.folded_before.in_(ways))
        rows = tx.execute(select(_p.user_id, _p.address).where(_p.channel == channel.value, has)).all()
        theirs = {(row.user_id, shown(tx, row.user_id, channel.value, row.address)) for row in rows}
        if user_id is not None:
            theirs |= {(user_id, address), (user_id, address.lower() if "@" in address else address)}
        for owner, plain in sorted(theirs):
            where = place(owner, channel.value)
            found += [Keyring({kid: value}).seal(plain, where) for kid, value in keys.items()]
    return found


def is_sealed(address: str | None) -> bool:
    """Return whether a stored address is a sealed one."""
    return address is not None and address.startswith("v1.") and kid_of(address) is not None


def folded(lookups: AddressLookups, channel: Channel, address: str) -> dict[str, str | None]:
    """Return the columns by which a contact point is found: NULL where that is the address in lower case."""
    found = key(channel, address)
    is_plain = not lookups.now.hashes and address.isascii() and channel is Channel.EMAIL
    return {
        "folded": None if is_plain else lookups.now.form(found),
        "folded_before": lookups.form_before(found),
    }


class SuppressedAs(NamedTuple):
    """The address of a suppression, as it was given, and what the row was found by when it was read (`found_by`).

    `address` is `CLOSED` where it was damaged.
    """

    id: str
    channel: str
    address: str
    found_by: str = ""
    reason: str = ""


def suppressed(tx: Tx, known: AddressLookups, row: SuppressedAs) -> dict[str, str | None]:
    """Return the columns that hold the address of a suppression."""
    found = key(Channel(row.channel), row.address)
    form = known.now.form(found)
    written: str | None = None
    if known.now.hashes:
        short = row.address.encode()[:_SHORT].decode(errors="ignore")  # no address: words where one was to stand
        written = _keyring(tx).seal(short, _written(row.id), ADDRESS_WIDTH)
    elif row.address != form:
        written = row.address
    return {"address": form, "address_before": known.form_before(found), "written": written}


def suppressed_as(tx: Tx, statement: Select[Any]) -> list[SuppressedAs]:
    """Return the addresses of suppressions that a statement finds (`SUPPRESSED_AS`)."""
    rows = (SuppressedAs(*row) for row in tx.execute(statement))
    return [row._replace(address=shown_of_suppression(tx, row.id, row.address)) for row in rows]


def suppress_anew(tx: Tx, known: AddressLookups, rows: Sequence[SuppressedAs]) -> int:
    """Write addresses of suppressions as they are found now, where nobody else did meanwhile; return how many."""
    written = []
    for row in sorted(row for row in rows if row.address != CLOSED):
        reason = without(row.address, row.reason) if known.now.hashes else row.reason
        written.append((row.id, row.found_by, *suppressed(tx, known, row).values(), reason))
    if not written:
        return 0
    v = tx.dialect.rowset("v", _SUPPRESSED, written)
    new = {name: v.c[name] for name in _SUPPRESSED if name not in ("id", "was")}
    unchanged = (_s.id == v.c.id, _s.address == v.c.was)
    return tx.execute(update(suppressions).where(*unchanged).values(new)).rowcount


_SUPPRESSED: dict[str, TypeEngine[Any]] = {
    "id": ID,
    "was": String(1500),
    "address": String(1500),
    "address_before": String(1024),
    "written": String(1500),
    "reason": Text(),
}
SUPPRESSED_AS = select(_s.id, _s.channel, func.coalesce(_s.written, _s.address), _s.address, _s.reason)
_SHORT = 1_024


def _written(id_: str) -> Place:
    return Place("suppressions", id_, "written")


def _opened_or_none(tx: Tx, address: str, where: Place) -> str | None:
    """Return a sealed address; None where it was damaged. Raises EncryptionKeyAway where its key is not here."""
    try:
        return _opened(tx, address, where)
    except EncryptionKeyAway:
        raise
    except NotAllowed:
        return None


def _opened(tx: Tx, address: str, where: Place) -> str:
    return address if tx.keyring is None else tx.keyring().open(address, where)


def _opens(tx: Tx, address: str, where: Place) -> bool:
    try:
        return _opened_or_none(tx, address, where) is not None
    except EncryptionKeyAway:
        return False


def _keyring(tx: Tx) -> Keyring:
    if tx.keyring is None:
        raise no_keys()
    return tx.keyring()


def _secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def _place(id_: str) -> Place:
    return Place("address_lookups", id_, "secret")
