"""The chain over the audit trail: sealing what is committed, reading it to be verified, and what a purge removes.

The sealer takes rows that have no seal, whenever they were committed and whatever their times are. One works at a time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, exists, func, select

from notifyctl.core.audit.chain import Purged, Stored
from notifyctl.core.audit.sealing import FIELDS, Anchor, KnownKeys, MacKey, Seal, derived, newest_key, seal
from notifyctl.core.errors import NotAllowed
from notifyctl.core.json_codec import stored
from notifyctl.core.sealing import Keyring, Place
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import audit_anchors, audit_logs, audit_seals, signing_keys, users

PORTION = 1_000
FETCHED = 2_000
LOOKED_BACK_MS = 24 * 3_600_000
_LOCK = "notifyctl audit seal"
PURPOSE = "audit "
_HOST_CHARS = 255

a, s = audit_logs.c, audit_seals.c
_NAMES = (*FIELDS, "mac", "user_id")
_COLUMNS = ("position", "audit_id", "key_id", "seal", "sealed_at")
_FACTS = [a[name] for name in _NAMES]


class Kept(NamedTuple):
    """An anchor as the database noted it: where it went, and when (milliseconds)."""

    position: int
    value: str
    kept_in: str
    created_at: int


def seal_all(db: Database, keyring: Keyring, latest_ms: int | None = None, lost: str | None = None) -> int:
    """Seal what is committed and not sealed, a portion at a time; return how many. `latest_ms`: of those alone
    that are not that much older than the row that was sealed last.

    Raises NotAllowed where what made the end of the chain is not here: who seals by another key in its place would make
    what nobody can verify. But for the key `lost`: the chain goes on without it.
    """
    db.consult(lambda tx: require_successor(tx, keyring, lost))
    key, total = newest_key(keyring), 0
    if key is not None and not db.consult(lambda tx: keeps_keys(tx, keyring)):
        db.write(lambda tx: keep_keys(tx, keyring))
    if not db.consult(lambda tx: is_loose(tx, latest_ms)):
        return 0
    while (number := db.write(lambda tx: seal_portion(tx, key, latest_ms))) > 0:
        total += number
    return total


def require_successor(tx: Tx, keyring: Keyring, lost: str | None = None) -> None:
    """Raise NotAllowed unless what made the end of the chain is here, or is the key `lost` and another is."""
    last = head(tx)
    if last is None or last.key_id is None or (last.key_id == lost and keyring.keys):
        return
    known = known_keys(tx, keyring)
    if not known.get(last.key_id) or not _is_own(tx, keyring, last.key_id, known):
        raise _not_here(last.key_id, next(iter(keyring.keys), None))


def seal_portion(tx: Tx, key: MacKey | None, latest_ms: int | None = None) -> int:
    """Seal the oldest rows that are not sealed, at most `PORTION`; return how many. See `seal_all`."""
    tx.serialize(_LOCK)
    last = head(tx)
    if key is None and last is not None and last.key_id is not None:
        raise _not_here(last.key_id, None)
    position, before = (0, "") if last is None else (last.position, last.value)
    made = list[Seal]()
    for found in tx.execute(_since(tx, _loose(*_FACTS), latest_ms).limit(PORTION)).all():
        made.append(seal(key, position + 1, before, dict(zip(_NAMES, found, strict=True)), tx.now))
        position, before = made[-1].position, made[-1].value
    if made:
        tx.execute(audit_seals.insert(), [dict(zip(_COLUMNS, each, strict=True)) for each in made])
    return len(made)


def is_loose(tx: Tx, latest_ms: int | None = None) -> bool:
    """Return whether there is a row that is not sealed; `latest_ms`: among the latest."""
    return tx.execute(_since(tx, _loose(a.id, ordered=False), latest_ms).limit(1)).first() is not None


def head(tx: Tx) -> Seal | None:
    """Return the last seal; None before the first one."""
    return _seal(tx.execute(_seals().order_by(s.position.desc()).limit(1)).first())


def at(tx: Tx, position: int) -> Seal | None:
    """Return the seal at a position."""
    return _seal(tx.execute(_seals().where(s.position == position)).first())


def sealed(tx: Tx) -> Iterator[tuple[Seal, Stored | None]]:
    """Yield all seals in their order, each with its row; None where that is gone."""
    of_row = audit_seals.outerjoin(audit_logs, a.id == s.audit_id).outerjoin(users, users.c.id == a.actor_id)
    statement = _seals().add_columns(*_FACTS, users.c.id.label("person")).select_from(of_row).order_by(s.position)
    with tx.execute(statement.execution_options(yield_per=FETCHED)) as rows:
        for row in rows:
            yield Seal(*row[:5]), None if row[5] is None else _stored(row[5:])


def loose(tx: Tx) -> Iterator[Stored]:
    """Yield the rows that are not sealed, the oldest first."""
    person = select(users.c.id).where(users.c.id == a.actor_id).scalar_subquery()
    with tx.execute(_loose(*_FACTS, person).execution_options(yield_per=FETCHED)) as rows:
        for row in rows:
            yield _stored(tuple(row))


def purges(tx: Tx) -> list[tuple[Purged, Stored]]:
    """Return what purges left behind, each with the row that says so, the latest first."""
    person = select(users.c.id).where(users.c.id == a.actor_id).scalar_subquery()
    told = select(*_FACTS, person).where(a.action == "purge", a.resource_type == "audit")
    found = []
    for row in tx.execute(told.order_by(a.created_at.desc())):
        record = _stored(tuple(row))
        said: dict[str, Any] = stored(record.row["changes"], {})
        if isinstance(said.get("through"), int) and isinstance(said.get("seal"), str):
            found.append((Purged(said["through"], said["seal"]), record))
    return found


def purge(tx: Tx, before: int) -> tuple[int, Seal] | None:
    """Remove the beginning of the chain that is older than a moment; return how many rows, and the last seal of them.

    The newest seal stays, whatever its age, for the chain to go on from. None: nothing is that old.
    """
    tx.serialize(_LOCK)
    newest = head(tx)
    if newest is None:
        return None
    of_row = audit_seals.outerjoin(audit_logs, a.id == s.audit_id)
    younger = select(func.min(s.position)).select_from(of_row).where(func.coalesce(a.created_at, 0) >= before)
    kept_from = min(tx.execute(younger).scalar() or newest.position, newest.position)
    last = at(tx, kept_from - 1)
    if last is None:
        return None
    gone = select(s.audit_id).where(s.position < kept_from)
    count = tx.execute(delete(audit_logs).where(a.id.in_(gone))).rowcount
    tx.execute(delete(audit_seals).where(s.position < kept_from))
    return count, last


def note_anchor(tx: Tx, anchor: Anchor, kept_in: str, host: str | None = None) -> None:
    """Note that an anchor was written somewhere, by a host."""
    row = {"id": str(uuid.uuid4()), "position": anchor.position, "seal": anchor.value, "kept_in": kept_in}
    tx.execute(audit_anchors.insert(), [{**row, "host": host and host[:_HOST_CHARS], "created_at": anchor.at}])


def anchors(tx: Tx) -> list[Anchor]:
    """Return all anchors that were noted."""
    c = audit_anchors.c
    return [Anchor(*row) for row in tx.execute(select(c.position, c.seal, c.created_at).order_by(c.position))]


def last_anchor(tx: Tx, place: str, host: str | None = None) -> Kept | None:
    """Return the anchor at a place that a profile names that covers most; of several, the one that was written last.

    With `host` of those that it wrote.

    The clock may have been put back since it was written: what is covered is not for it to say.
    """
    c = audit_anchors.c
    latest = select(c.position, c.seal, c.kept_in, c.created_at).where(c.kept_in == place)
    if host is not None:
        latest = latest.where(c.host == host[:_HOST_CHARS])
    row = tx.execute(latest.order_by(c.position.desc(), c.created_at.desc()).limit(1)).first()
    return None if row is None else Kept(*row)


def unsealed_since(tx: Tx) -> int | None:
    """Return since when there is a row that is not sealed (milliseconds), among the latest."""
    found: int | None = tx.execute(_since(tx, _loose(a.created_at), LOOKED_BACK_MS).limit(1)).scalar()
    return found


def uncovered_since(tx: Tx, place: str) -> int | None:
    """Return since when there is something that no anchor at a place covers (milliseconds)."""
    last, end = last_anchor(tx, place), head(tx)
    covered = 0 if last is None else last.position
    sealed_at = None
    if end is not None and end.position > covered:
        sealed_at = tx.execute(select(s.sealed_at).where(s.position == covered + 1)).scalar() or end.sealed_at
    return min((each for each in (sealed_at, unsealed_since(tx)) if each is not None), default=None)


# Keys


def keep_keys(tx: Tx, keyring: Keyring) -> None:
    """Keep what authenticates the trail, sealed: an encryption key can then be forgotten, and its rows be verified.

    Of an id that was used twice, both are kept.
    """
    for name, secret in _to_keep(tx, keyring).items():
        id_ = str(uuid.uuid4())
        row = {"id": id_, "purpose": name, "secret": keyring.seal(secret.hex(), _place(id_))}
        inserted = tx.dialect.insert(signing_keys).values(row | {"created_at": tx.now})
        if tx.execute(inserted.on_conflict_do_nothing().returning(signing_keys.c.id)).first() is not None:
            tx.audit("create", "signing_key", [(id_, {"purpose": name})])


def keeps_keys(tx: Tx, keyring: Keyring) -> bool:
    """Return whether all keys are kept already."""
    return not _to_keep(tx, keyring)


def known_keys(tx: Tx, keyring: Keyring) -> KnownKeys:
    """Return the keys that authenticate, by id: those of the keyring, and those that were kept.

    More than one where an id was used again for another key. What does not open, as its key is not here, is told apart.
    """
    found = {kid: [derived(kid, key)] for kid, key in keyring.keys.items()}
    closed = set[str]()
    here = {f"{PURPOSE}{key.id} {key.mark}" for [key] in found.values()}
    k = signing_keys.c
    for row in tx.execute(select(k.id, k.purpose, k.secret).where(k.purpose.startswith(PURPOSE))):
        kid = row.purpose.removeprefix(PURPOSE).partition(" ")[0]
        try:
            kept = MacKey(kid, bytes.fromhex(keyring.open(row.secret, _place(row.id))))
        except (NotAllowed, ValueError):
            if row.purpose not in here:
                closed.add(kid)
            continue
        if kept not in found.setdefault(kid, []):
            found[kid].append(kept)
    return KnownKeys(found, closed)


def _is_own(tx: Tx, keyring: Keyring, kid: str, known: KnownKeys) -> bool:
    """Return whether a key of an id is not just another one that has the same id: of those that were kept, one is."""
    k = signing_keys.c
    kept = set(tx.execute(select(k.purpose).where(k.purpose.startswith(f"{PURPOSE}{kid} "))).scalars())
    return not kept or any(f"{PURPOSE}{kid} {each.mark}" in kept for each in known.get(kid))


def _not_here(kid: str, other: str | None) -> NotAllowed:
    hint = "NOTIFYCTL_ENCRYPTION_KEYS_FILE names the file with the encryption keys"
    if other is None:
        return NotAllowed("the audit trail is sealed by key, and there is no encryption key here", hint)
    return NotAllowed(
        f"the audit trail is sealed by encryption key {kid}, which is not here",
        f"{hint}; where it is lost, notifyctl audit seal --lost-key {kid} lets another one go on",
    )


def _to_keep(tx: Tx, keyring: Keyring) -> dict[str, bytes]:
    """Return what is not kept yet of a keyring, by the purpose that it is to be kept under: `audit KID MARK`."""
    k = signing_keys.c
    kept = set(tx.execute(select(k.purpose).where(k.purpose.startswith(PURPOSE))).scalars())
    own = [derived(*each) for each in keyring.keys.items()]
    return {name: key.secret for key in own if (name := f"{PURPOSE}{key.id} {key.mark}") not in kept}


def _place(id_: str) -> Place:
    return Place("signing_keys", id_, "secret")


# Helpers


def _loose(*columns: Any, ordered: bool = True) -> Select[Any]:
    found = select(*columns).select_from(audit_logs).where(~exists().where(s.audit_id == a.id))
    return found.order_by(a.created_at, a.id) if ordered else found


def _since(tx: Tx, found: Select[Any], latest_ms: int | None) -> Select[Any]:
    """Leave out what is so much older than the row that was sealed last; without `latest_ms` nothing."""
    if latest_ms is None:
        return found
    last = select(s.audit_id).order_by(s.position.desc()).limit(1).scalar_subquery()
    at = tx.execute(select(a.created_at).where(a.id == last)).scalar()
    return found if at is None else found.where(a.created_at >= at - latest_ms)


def _seals() -> Select[Any]:
    return select(*(s[name] for name in _COLUMNS))


def _seal(row: Iterable[Any] | None) -> Seal | None:
    return None if row is None else Seal(*row)


def _stored(values: Any) -> Stored:
    row: Mapping[str, Any] = dict(zip(_NAMES, values[:-1], strict=True))
    return Stored(row, values[-1] is not None)
