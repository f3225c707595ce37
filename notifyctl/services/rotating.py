"""The rotation of encryption keys: who has which, what each of them sealed, and everything sealed anew.

In four steps, none of which fails anybody who works meanwhile: a new key is given to all to read, then it seals, then
what others sealed is sealed anew with it, then the old one is forgotten. Before each of them it is looked at whether
the last one has come to everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from notifyctl.core.errors import Conflict, NotAllowed, NotifyctlError
from notifyctl.core.frozen import dataclass
from notifyctl.core.presence import Alive
from notifyctl.core.sealing import Keyring, kid_of
from notifyctl.store import sealed as store
from notifyctl.store import status, trail
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.sealed import SEALED, SealedColumn
from notifyctl.store.schema.tables import notification_webhooks, provider_configs, signing_keys
from notifyctl.store.sealed import SealedValue

BATCH = 200
PASSES = 20
PATIENCE_S = 35.0
"""How long dispatchers are waited for: they say every five seconds which keys they have, and one that was killed counts
as living for half a minute."""
NAMED = 20
_ONE_BY_ONE = (
    "notifyctl users contacts remove USER CHANNEL ID removes a contact point; notifyctl suppressions add CHANNEL"
    " ADDRESS writes a suppression anew, which goes on holding; of a notification, its sent_to is set to NULL in SQL"
)
OF_ADDRESSES = f"damaged, or copied from another row: {_ONE_BY_ONE}"
"""What is to be done about addresses that do not open."""
LOOK_S = 0.5

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What a key is used for: `role` is "seals", "opens", "missing", or "not sealed" (then there is no `kid`).

    `rows` values are sealed with it, by `columns`; `dispatchers` at work have it.
    """

    kid: str | None
    role: str
    rows: int
    columns: Mapping[str, int]
    dispatchers: int


@dataclass(slots=True)
class Resealed:
    """What became of the values that another key had sealed; `failed` are those that did not open, and why."""

    kid: str
    resealed: int = 0
    changed_meanwhile: int = 0
    failed: list[tuple[SealedValue, NotAllowed]] = field(default_factory=list)


def uses(db: Database, keyring: Keyring) -> list[KeyUse]:
    """Return what each key is used for: those that are here in their order, then what is sealed with others.

    Among the others are those that have the id of a key that is here and are none of them: what they sealed opens not.
    """
    with db.read() as tx:
        found, alive, closed = _counted(tx), status.alive(tx), _by_key(_closed(tx, keyring))
    here = list(keyring.keys)
    opening = {kid: _less(columns, closed.get(kid or "", {})) for kid, columns in found.items()}
    rest = sorted((kid for kid in found if kid not in here), key=lambda kid: kid or "")
    others = [KeyUse(kid, "missing", sum(columns.values()), columns, 0) for kid, columns in sorted(closed.items())]
    return [*(_use(kid, here, opening.get(kid, {}), alive) for kid in [*here, *rest]), *others]


def _less(columns: Mapping[str, int], closed: Mapping[str, int]) -> dict[str, int]:
    return {name: left for name, count in columns.items() if (left := count - closed.get(name, 0))}


def _use(kid: str | None, here: list[str], columns: Mapping[str, int], alive: list[Alive]) -> KeyUse:
    role = "seals" if kid is not None and here[:1] == [kid] else "opens" if kid in here else "missing"
    holders = sum(kid in each.keys for each in alive)
    return KeyUse(kid, "not sealed" if kid is None else role, sum(columns.values()), columns, holders)


def require_all(db: Database, keyring: Keyring) -> str:
    """Raise NotAllowed, naming rows, where values need a key that is not here.

    But what authenticated the audit trail, where that goes on with another key: then return that its rows cannot be
    verified any more.
    """
    lost = _values(db, keyring.keys)
    with db.read() as tx:
        closed, goes_on = _closed(tx, keyring), _goes_on(tx, keyring)
    missing = [*lost, *closed]
    if not missing:
        return ""
    if goes_on and all(map(_is_of_trail, missing)):
        names = ", ".join(sorted({each.label for each in missing}))
        return f"rows of the audit trail cannot be verified any more: its keys that are lost ({names}) made them"
    raise _lost(db, keyring, missing, _by_key(closed))


def _goes_on(tx: Tx, keyring: Keyring) -> bool:
    try:
        trail.require_successor(tx, keyring)
    except NotAllowed:
        return False
    return True


def _is_of_trail(value: SealedValue) -> bool:
    return value.of.table is signing_keys and value.label.startswith(trail.PURPOSE)


def _lost(
    db: Database, keyring: Keyring, lost: list[SealedValue], closed: Mapping[str, Mapping[str, int]]
) -> NotAllowed:
    with db.read() as tx:
        many = {kid: sum(each.values()) for kid, each in _counted(tx).items() if kid and kid not in keyring.keys}
    many |= {kid: sum(each.values()) for kid, each in closed.items()}
    which = ", ".join(f"{kid} ({count:,} {'value' if count == 1 else 'values'})" for kid, count in sorted(many.items()))
    remedies = "; ".join(dict.fromkeys(_remedy(each, keyring) for each in lost))
    if any(kid not in keyring.keys for kid in many):
        said = f"encryption keys are not here that values are sealed with: {which}"
        error = NotAllowed(said, f"put them into the keys file, last; if they are lost, {remedies}")
    else:
        said = f"values do not open with the key of their key's id: {which}"
        error = NotAllowed(said, f"another key has that id, or they were damaged: {remedies}")
    error.problems = [_problem(each) for each in lost[:NAMED]]
    return error


def _remedy(value: SealedValue, keyring: Keyring) -> str:
    """Return what is to be done about a value whose key is lost."""
    table, kid = value.of.table, kid_of(value.sealed) or ""
    if table is provider_configs:
        return "enter the credentials of these rows again (notifyctl providers update NAME --api-key -)"
    if table is notification_webhooks:
        return "notifyctl webhooks rotate-secret WEBHOOK makes another one"
    if _is_of_trail(value):
        return f"notifyctl audit seal --lost-key {kid} lets the audit trail go on"
    if table is signing_keys:
        return f"delete the row of signing_keys for {value.label} in SQL: links that it signed end"
    if kid in keyring.keys:  # another key has its id, or the value was damaged
        return _ONE_BY_ONE
    return f"notifyctl secrets encrypt-addresses --lost-key {kid} gives up the addresses that only it opens"


def require_readers(db: Database, kid: str, tell: Tell) -> None:
    """Wait until all dispatchers at work have a key; raise Conflict, naming one, where that does not come about."""

    def lacks(each: Alive) -> bool:
        return kid not in each.keys

    _await(db, lacks, f"to read key {kid}", f"does not have encryption key {kid}", tell)


def require_forgettable(db: Database, kid: str, tell: Tell) -> None:
    """Raise Conflict where a value is sealed with a key, or a dispatcher at work still seals with it."""
    refuse_used(db, kid)

    def seals(each: Alive) -> bool:
        return each.keys[:1] == (kid,)

    _await(db, seals, f"to seal with key {kid} no more", f"seals with encryption key {kid}", tell)


def keep_trail(db: Database, keyring: Keyring) -> None:
    """Keep what authenticates the audit trail, sealed with the key that stays: rows can be verified without the others.

    To be called while all keys are here.
    """
    db.write(lambda tx: trail.keep_keys(tx, keyring))


def refuse_used(db: Database, kid: str) -> None:
    """Raise Conflict where a value is sealed with a key."""
    with db.read() as tx:
        columns = _counted(tx).get(kid, {})
    if columns:
        many = sum(columns.values())
        where = ", ".join(f"{count:,} in {name}" for name, count in columns.items())
        raise Conflict(
            f"{many:,} {'value is' if many == 1 else 'values are'} sealed with key {kid}: {where}",
            "notifyctl secrets rotate --re-encrypt",
        )


def note(db: Database, action: Literal["rotate", "delete"], kid: str) -> None:
    """Write into the audit trail that a key seals from now on, or was forgotten."""
    db.write(lambda tx: tx.audit(action, "encryption_key", [(None, {"key": kid})]))


def reseal(db: Database, keyring: Keyring, tell: Tell) -> Resealed:
    """Seal everything anew that another key than the first sealed, in batches; what is done stays done.

    A row is only changed if it still holds what was read of it; what somebody changed meanwhile is looked at again.
    """
    done = Resealed(next(iter(keyring.keys)))
    for _ in range(PASSES):
        before = done.resealed, done.changed_meanwhile
        done.failed = []
        for of in SEALED:
            _reseal_column(db, keyring, of, done, tell)
        if (done.resealed, done.changed_meanwhile) == before:
            break
    return done


def _reseal_column(db: Database, keyring: Keyring, of: SealedColumn, done: Resealed, tell: Tell) -> None:
    after, begun = "", done.resealed
    while rows := db.consult(lambda tx: store.portion(tx, of, (done.kid,), after, BATCH)):  # noqa: B023 - called at once
        after = rows[-1].row_id
        changes = []
        for value in rows:
            try:
                plain = keyring.open_bytes(value.sealed, value.place)
            except NotAllowed as error:
                done.failed.append((value, error))
                continue
            changes.append((value, keyring.seal_bytes(plain, value.place, of.width)))
        for some in [[each] for each in changes] if of.waits else [changes]:
            changed = db.write(lambda tx: _exchange(tx, of, some, done.kid))  # noqa: B023 - called at once
            done.resealed += changed
            done.changed_meanwhile += len(some) - changed
        if len(rows) == BATCH:
            tell(f"{of.name}: {done.resealed - begun:,} sealed anew")


def _exchange(tx: Tx, of: SealedColumn, changes: list[tuple[SealedValue, str]], kid: str) -> int:
    changed = store.exchange(tx, changes)
    if changed:
        tx.audit("rotate", "encryption_key", [(None, {"key": kid, "column": of.name, "values": changed})])
    return changed


def raise_for(done: Resealed) -> None:
    """Raise NotAllowed where values were left behind because they do not open, naming their rows."""
    if not done.failed:
        return
    count = len(done.failed)
    many = "1 value does not open, and stays as it is"
    many = many if count == 1 else f"{count:,} values do not open, and stay as they are"
    credentials = (why.hint for value, why in done.failed if not value.of.may_be_clear)
    error = NotAllowed(many, next(credentials, OF_ADDRESSES))
    error.problems = [_problem(value, why) for value, why in done.failed[:NAMED]]
    raise error


def _problem(value: SealedValue, why: NotifyctlError | None = None) -> tuple[str, dict[str, Any]]:
    row = {"table": value.of.table.name, "column": value.of.column.name, "id": value.row_id, "name": value.label}
    name = value.label if value.of.home is None else f"{value.of.name} of {value.label}"
    return f"{name}: {value.place if why is None else why.message}", row


def _values(db: Database, keys: Mapping[str, bytes]) -> list[SealedValue]:
    """Return values that none of these keys sealed, as many as are named."""
    found: list[SealedValue] = []
    with db.read() as tx:
        for of in SEALED:
            found += store.portion(tx, of, tuple(keys), "", NAMED)
    return found


def _closed(tx: Tx, keyring: Keyring) -> list[SealedValue]:
    """Return the values that say a key which is here, and do not open with it: another key has that id."""
    found: list[SealedValue] = []
    for of in SEALED:
        after = ""
        while rows := store.portion(tx, of, (), after, BATCH):
            after = rows[-1].row_id
            found += [each for each in rows if kid_of(each.sealed) in keyring.keys and not _opens(keyring, each)]
            if of.may_be_clear:  # of the people's addresses there are very many: some tell
                break
    return found


def _opens(keyring: Keyring, value: SealedValue) -> bool:
    try:
        keyring.open_bytes(value.sealed, value.place)
    except NotAllowed:
        return False
    return True


def _by_key(values: list[SealedValue]) -> dict[str, dict[str, int]]:
    """Return how many values each key is said to have sealed, by column."""
    found: dict[str, dict[str, int]] = {}
    for each in values:
        columns = found.setdefault(kid_of(each.sealed) or "", {})
        columns[each.of.name] = columns.get(each.of.name, 0) + 1
    return found


def _counted(tx: Tx) -> dict[str | None, dict[str, int]]:
    """Return how many values each key sealed, by column."""
    found: dict[str | None, dict[str, int]] = {}
    for of in SEALED:
        for kid, count in store.counts(tx, of).items():
            found.setdefault(kid, {})[of.name] = count
    return found


def _await(db: Database, holds_up: Callable[[Alive], bool], until: str, lacking: str, tell: Tell) -> None:
    end, told = time.monotonic() + PATIENCE_S, False
    while True:
        with db.read() as tx:
            found = [each for each in status.alive(tx) if holds_up(each)]
        if not found:
            return
        names = ", ".join(f"{each.host}:{each.pid}" for each in found)
        if time.monotonic() >= end:
            raise Conflict(
                f"dispatcher {names} {lacking}",
                "bring the keys file to its host; what was started with NOTIFYCTL_ENCRYPTION_KEYS is to be restarted",
            )
        if not told:
            tell(f"waiting for dispatcher {names} {until}")
            told = True
        time.sleep(LOOK_S)
