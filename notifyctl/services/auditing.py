"""The audit trail for whoever reads it: what was done by whom, and whether all of it is still there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from notifyctl.core import when
from notifyctl.core.audit.anchoring import AnchorTerms
from notifyctl.core.audit.chain import Chain, Purged, Stored, TrailFinding, TrailVerdict
from notifyctl.core.audit.entry import AuditEntry, AuditFilter, checked_action, checked_resource
from notifyctl.core.audit.sealing import Anchor, KnownKeys, mac_key_id, row_mac
from notifyctl.core.cursor import Cursor
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import Conflict, NotAllowed, NotFound, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.sealing import Keyring
from notifyctl.core.when import Point
from notifyctl.services.presence import Problem
from notifyctl.store import audit, ids, trail, users
from notifyctl.store.db.damaged import any_text
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import api_keys, audit_logs

OVERDUE = 2
"""So many times the interval of a profile without an anchor is no chance."""
UNSEALED_MS = 3_600_000
"""A dispatcher that has the key seals within seconds; while none runs nobody does."""
_KEYS_HINT = "NOTIFYCTL_ENCRYPTION_KEYS_FILE names the file with the encryption keys"


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A filter as a person writes it: user and key by name or id, the resource as TYPE[/ID]."""

    user: str | None = None
    key: str | None = None
    action: str | None = None
    resource: str | None = None
    since: Point | None = None
    until: Point | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many rows were sealed now, and where the chain ends."""

    sealed: int
    position: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    """The file that a profile names for anchors, how often they are written there, and the host that looks at it."""

    path: str
    every_ms: int
    host: str


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """How many rows were removed, and up to which position of the chain."""

    removed: int
    through: int


# Looking


def filter_of(db: Database, query: AuditQuery) -> AuditFilter:
    """Return the filter that a query means. Raises NotFound for a user or key that never was, UsageError for words."""
    kind, id_ = (None, None) if query.resource is None else checked_resource(query.resource)
    with db.read() as tx:
        return replace(
            AuditFilter() if query.user is None else _actor(tx, query.user),
            key_id=None if query.key is None else _key(tx, query.key),
            action=None if query.action is None else checked_action(query.action),
            resource_type=kind,
            resource_id=None if id_ is None else _resource(tx, kind or "", id_),
            since=when.at(query.since, tx.now),
            until=when.at(query.until, tx.now),
        )


def page(db: Database, wanted: AuditFilter, after: Cursor | None, limit: int) -> list[AuditEntry]:
    """Return at most `limit` entries after the cursor, the newest first."""
    with db.read() as tx:
        return audit.page(tx, wanted, after, limit)


def count(db: Database, wanted: AuditFilter) -> int:
    """Return how many match."""
    with db.read() as tx:
        return audit.count(tx, wanted)


def get(db: Database, text: str) -> AuditEntry:
    """Return the entry with this id. Raises NotFound, UsageError."""
    with db.read() as tx:
        return audit.by_ids(tx, [ids.resolve(tx, audit_logs, text, "audit entry")])[0]


# The chain


def seal_all(db: Database, keyring: Keyring, lost: str | None = None) -> Sealed:
    """Seal what is committed and not sealed yet, a portion at a time. Raises NotAllowed without the key it takes.

    `lost`: the chain goes on without this key, whose seals nobody can verify any more.
    """
    total = trail.seal_all(db, keyring, lost=lost)
    with db.read() as tx:
        last = trail.head(tx)
    return Sealed(total, 0 if last is None else last.position)


def anchor(db: Database, keyring: Keyring) -> Anchor:
    """Seal everything and return the end of the chain, to be kept elsewhere. Raises Conflict where there is nothing."""
    seal_all(db, keyring)
    with db.read() as tx:
        last = trail.head(tx)
        if last is None:
            raise Conflict("there is nothing in the audit trail that could be anchored")
        return Anchor(last.position, last.value, tx.now)


def noted(db: Database, made: Anchor, kept_in: str) -> None:
    """Note that an anchor was written to a place."""
    db.write(lambda tx: trail.note_anchor(tx, made, kept_in))


def verify(
    db: Database,
    keyring: Keyring,
    anchors: Sequence[Anchor],
    tell: Callable[[TrailFinding], None],
    kept: KeptFile | None = None,
    *,
    accepts_unsigned: bool = False,
) -> TrailVerdict:
    """Look at the whole trail as it is at one moment; `tell` hears of each fault.

    `anchors` are those that were kept elsewhere; those that the database noted count as well. Where they are those of
    the profile's file, `kept`, it is a fault that it lost the last one, or has none though it ought to. Raises
    NotAllowed where rows were made by keys that are not here, and nothing else is at fault, or there is no key at all.
    """

    def work(tx: Tx) -> tuple[TrailVerdict, list[TrailFinding], bool]:
        with any_text(tx):
            known = trail.known_keys(tx, keyring)
            own, purges = [*anchors, *trail.anchors(tx)], _purges(tx, known)
            chain, told = Chain(known, purges, own, accepts_unsigned=accepts_unsigned), list[TrailFinding]()
            for link, stored in trail.sealed(tx):
                told += chain.link(link, stored)
            for stored in trail.loose(tx):
                told += chain.loose(stored)
            told += chain.end(None if kept is None else _gone(tx, kept, anchors))
        return chain.verdict, told, not known.found

    verdict, told, is_keyless = db.snapshot(work)
    if verdict.unverified and (is_keyless or not told):
        raise NotAllowed(unverified(verdict) or "", _KEYS_HINT)
    for each in told:
        tell(each)
    return verdict


def unverified(verdict: TrailVerdict) -> str | None:
    """Say of how many rows nobody can tell whether they are whole, and for want of which keys; None where of none."""
    if not verdict.unverified:
        return None
    keys, rows = ", ".join(sorted(verdict.lacking)), "row" if verdict.unverified == 1 else "rows"
    said = f"what authenticates rows of encryption key {keys} does not open with the keys here"
    return f"{verdict.unverified:,} {rows} cannot be verified: {said}"


def problems(tx: Tx, terms: AnchorTerms | None) -> list[Problem]:
    """Return whether an anchor that a dispatcher was to write is overdue: something was done that none covers.

    And whether nobody seals: with the keys that are here nobody can, and something has waited for long.
    """
    places = [] if terms is None else terms.places
    every_ms = 0 if terms is None else terms.every_ms
    return [*_unsealed(tx), *(_overdue(tx, place) for place in places if _is_overdue(tx, place, every_ms))]


def _unsealed(tx: Tx) -> list[Problem]:
    try:
        keyring = None if tx.keyring is None else tx.keyring()
        if keyring is not None:
            trail.require_successor(tx, keyring)
    except NotifyctlError as error:
        since = trail.unsealed_since(tx)
        if since is not None and tx.now - since > UNSEALED_MS:
            said = f"the audit trail has not been sealed for {show_ms(tx.now - since)}: {error.message}"
            return [Problem("audit_unsealed", said, error.hint or "")]
    return []


def _is_overdue(tx: Tx, place: str, every_ms: int) -> bool:
    since = trail.uncovered_since(tx, place)
    return since is not None and tx.now - since > OVERDUE * every_ms


def _overdue(tx: Tx, place: str) -> Problem:
    last = trail.last_anchor(tx, place)
    when_last = "none was ever written" if last is None else f"the last one is {show_ms(tx.now - last.created_at)} old"
    said = f"an anchor of the audit trail is overdue ({place}): {when_last}"
    return Problem("anchor_overdue", said, "notifyctl dispatch writes them; notifyctl audit anchor, by hand")


def purge(db: Database, keyring: Keyring, older_than_ms: int) -> PurgeReport:
    """Remove the beginning of the trail that is older; what it ended with stays on record, as a row of the trail."""
    seal_all(db, keyring)

    def work(tx: Tx) -> PurgeReport:
        done = trail.purge(tx, tx.now - older_than_ms)
        if done is None:
            return PurgeReport(0, 0)
        removed, last = done
        facts = {"rows": removed, "through": last.position, "seal": last.value, "before": tx.now - older_than_ms}
        tx.audit("purge", "audit", [(None, facts)])
        return PurgeReport(removed, last.position)

    try:
        return db.write(work)
    except NotAllowed as error:
        raise NotAllowed(error.message, "only the owner of the tables may remove from the trail") from error


def to_purge(db: Database, older_than_ms: int) -> int:
    """Return how many entries are that old."""
    with db.read() as tx:
        return audit.count(tx, AuditFilter(until=tx.now - older_than_ms))


# Helpers


def _actor(tx: Tx, ref: str) -> AuditFilter:
    """Return the filter of who acted: a user, one who is deleted meanwhile, or an operator as person@host."""
    try:
        return AuditFilter(user_id=users.find(tx, ref).id)
    except NotFound:
        if audit.has_acted(tx, actor_id=ref):
            return AuditFilter(actor_id=ref)
        if audit.has_acted(tx, actor=ref):
            return AuditFilter(actor=ref)
        raise


def _resource(tx: Tx, kind: str, ref: str) -> str:
    """Return the id of a thing: as the trail has it, also where it is gone, or as people call it where it is there."""
    try:
        return ids.resolve(tx, audit_logs, ref, kind, "resource_id")
    except (NotFound, UsageError) as error:
        try:
            found = _called(tx, kind, ref)
        except NotFound:
            raise error from None
        if found is None:
            raise
        return found


def _called(tx: Tx, kind: str, ref: str) -> str | None:
    """Return the id of the thing that people call so; None for what has no name. Raises NotFound."""
    from notifyctl.store import batches, categories, providers, templates, webhooks  # not for who asks for no name

    if kind == "provider":
        provider = providers.get(tx, ref)
        return None if provider is None else provider.id
    named: dict[str, Callable[[], str]] = {
        "batch": lambda: batches.find(tx, ref).id,
        "category": lambda: categories.find(tx, ref).id,
        "template": lambda: templates.find(tx, ref).id,
        "user": lambda: users.find(tx, ref).id,
        "webhook": lambda: webhooks.find(tx, ref).webhook.id,
    }
    return named[kind]() if kind in named else None


def _key(tx: Tx, text: str) -> str:
    try:
        return ids.resolve(tx, api_keys, text, "API key")
    except NotFound:  # gone with its user
        return ids.resolve(tx, audit_logs, text, "API key", "key_id")


def _gone(tx: Tx, kept: KeptFile, found: Sequence[Anchor]) -> str | None:
    """Return the file where it lost what this host wrote there last, or has nothing though something is overdue."""
    last = trail.last_anchor(tx, "file", kept.host)
    if last is not None:
        return None if last.position in {each.position for each in found} else kept.path
    return kept.path if not found and _is_overdue(tx, "file", kept.every_ms) else None


def _purges(tx: Tx, keys: KnownKeys) -> list[Purged]:
    """Return the purges on record: those whose record is what was written, as far as anybody here can say."""
    last = trail.head(tx)
    is_keyed = last is not None and last.key_id is not None
    return [purged for purged, record in trail.purges(tx) if _holds(record, keys, is_keyed=is_keyed)]


def _holds(record: Stored, keys: KnownKeys, *, is_keyed: bool) -> bool:
    mac = record.row["mac"]
    if mac is None:
        return not is_keyed
    kid = mac_key_id(mac)
    return kid is not None and (any(row_mac(key, record.row) == mac for key in keys.get(kid)) or keys.lacks(kid))
