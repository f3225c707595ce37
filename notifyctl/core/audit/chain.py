"""Whether the trail is what was written: each row by its own MAC, its place by the chain, the chain by the anchors.

What is found is one of six faults. A row that is not sealed yet is none; it is counted apart, and so is what no anchor
covers yet. Without any encryption key only anchors show that the chain was made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from notifyctl.core.audit.sealing import (
    EMBEDDED,
    IN_SQL,
    Anchor,
    KnownKeys,
    MacKey,
    Seal,
    body,
    body_mac,
    is_same,
    mac_key_id,
    seal_value,
)


class TrailFault(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    REMOVED = "removed"
    MOVED = "moved"
    FORGED = "forged"
    CUT = "cut"
    REPLACED = "replaced"


class TrailFinding(NamedTuple):
    """A fault, where it is, and what it is in words."""

    fault: TrailFault
    position: int | None
    audit_id: str | None
    message: str


class Stored(NamedTuple):
    """A row as it is stored, its fields by name, and whether the user who acted is still there."""

    row: Mapping[str, Any]
    has_actor: bool


class Purged(NamedTuple):
    """What a purge left behind: the chain goes on after `through`, whose seal was `seal`."""

    through: int
    seal: str


@dataclass(slots=True)
class TrailVerdict:
    """What was looked at, in numbers: `anchored` is the last position that an anchor covers; 0: none.

    `not_sealed` are the rows that nothing authenticates yet: they have neither a seal nor a MAC of their own.
    `unverified` rows were made by the keys `lacking`, of which nobody can say more.
    """

    sealed: int = 0
    unsealed: int = 0
    without_mac: int = 0
    purged: int = 0
    last: int = 0
    anchors: int = 0
    anchored: int = 0
    faults: int = 0
    unverified: int = 0
    not_sealed: list[str] = field(default_factory=list)
    lacking: set[str] = field(default_factory=set)

    @property
    def not_anchored(self) -> int:
        """How many sealed rows no anchor covers yet."""
        return self.last - max(self.anchored, self.purged)


class Chain:
    """Takes the seals in their order, each with its row, then the rows that have none; yields what is wrong.

    The trail was purged as `purges` say, and `anchors` are what is known of it elsewhere. What a key made that is not
    here is counted, and no fault: nobody can say whether it is one.
    """

    def __init__(
        self, keys: KnownKeys, purges: Iterable[Purged], anchors: Sequence[Anchor], *, accepts_unsigned: bool = False
    ) -> None:
        self.verdict = TrailVerdict(anchors=len(anchors))
        self._keys = keys
        self._purges = {each.through: each.seal for each in purges}
        self._anchors = sorted(each for each in anchors if _is_anchor(each))
        self._false_anchors = [each for each in anchors if not _is_anchor(each)]
        self._by_position: dict[int, list[Anchor]] = {}
        for each in self._anchors:
            self._by_position.setdefault(each.position, []).append(each)
        self._before: tuple[str, ...] = ("",)
        self._is_keyed = self._is_signed = False
        self._accepts_unsigned = accepts_unsigned
        self._is_unverified = False

    def link(self, found: Seal, stored: Stored | None) -> Iterator[TrailFinding]:
        """Look at the next seal and its row; None where that is gone."""
        if type(found.position) is int:
            yield from self._counted(self._linked(found, stored))
        else:  # SQLite holds anything in any column
            said = f"its place in the chain is {found.position!r}"
            yield from self._counted(iter([TrailFinding(TrailFault.FORGED, None, shown(found.audit_id), said)]))

    def loose(self, stored: Stored) -> Iterator[TrailFinding]:
        """Look at a row that is not sealed yet."""
        self.verdict.unsealed += 1
        found = list(self._counted(self._own(None, stored, body(stored.row))))
        self._count_unverified()
        if stored.row["mac"] is None and not found:
            self.verdict.not_sealed.append(shown(stored.row["id"]))
        yield from found

    def end(self, gone: str | None = None) -> Iterator[TrailFinding]:
        """Look at what the anchors say of positions that were not reached; `gone` is a file that lost its anchors."""
        yield from self._counted(self._ended(gone))

    def _counted(self, findings: Iterator[TrailFinding]) -> Iterator[TrailFinding]:
        for each in findings:
            self.verdict.faults += 1
            yield each

    def _linked(self, found: Seal, stored: Stored | None) -> Iterator[TrailFinding]:
        yield from self._gap(found.position)
        self.verdict.sealed += 1
        self.verdict.last = found.position
        yield from self._weaker(found)
        expected = None
        if stored is None:
            yield TrailFinding(
                TrailFault.REMOVED, found.position, shown(found.audit_id), "the row is gone; its seal is there"
            )
        else:
            content = body(stored.row)
            own = list(self._own(found.position, stored, content))
            expected, fits = self._fits(found, stored.row["mac"], content)
            if fits:
                yield from own
            else:
                yield from own or self._misfit(found, stored)
        self._count_unverified()
        self._before = tuple(dict.fromkeys((found.value, *([expected] if expected else []))))
        yield from self._anchored(found.position, found.value, shown(found.audit_id))

    def _gap(self, position: int) -> Iterator[TrailFinding]:
        last = self.verdict.last
        if position == last + 1:
            return
        if last == 0 and (purged := self._purges.get(position - 1)) is not None:
            self.verdict.purged, self._before = position - 1, (purged,)
            yield from self._anchored(position - 1, purged, None)
            return
        which = f"position {last + 1}" if position == last + 2 else f"positions {last + 1} to {position - 1}"
        recorded = "" if last else "; no purge that is on record left it so"
        yield TrailFinding(TrailFault.REMOVED, last + 1, None, f"{which} of the chain: gone, rows and seals{recorded}")
        self._before = ()

    def _weaker(self, found: Seal) -> Iterator[TrailFinding]:
        if found.key_id is not None:
            self._is_keyed = True
        elif self._is_keyed:
            yield TrailFinding(
                TrailFault.FORGED,
                found.position,
                shown(found.audit_id),
                "its seal is a plain digest; those before are made by key",
            )

    def _fits(self, found: Seal, mac: str | None, said: bytes) -> tuple[str | None, bool]:
        """Return what the seal should be after the one that is stored before it, and whether it is what it should be.

        After a seal that is not what it should be, what it should be counts as well, so that one fault is found once.
        """
        keys: Sequence[MacKey | None] = (None,) if found.key_id is None else self._keys.get(found.key_id)
        place = found.position
        made = [seal_value(key, place, each, mac, said, found.sealed_at) for key in keys for each in self._before]
        fitting = next((each for each in made if is_same(each, found.value)), None)
        if fitting is None and found.key_id is not None and self._is_lacking(found.key_id):
            return None, True
        return fitting or next(iter(made), None), fitting is not None or (bool(keys) and not made)

    def _misfit(self, found: Seal, stored: Stored) -> Iterator[TrailFinding]:
        if found.key_id is not None and not self._keys.get(found.key_id):
            said = f"its seal names the key {found.key_id}, which nobody knows"
            yield TrailFinding(TrailFault.FORGED, found.position, shown(found.audit_id), said)
        elif stored.row["mac"] is None:
            yield TrailFinding(TrailFault.CHANGED, found.position, shown(found.audit_id), "it is not what was sealed")
        else:
            said = "the row is what was written, but not at its place, or the seal is not the one that was made"
            yield TrailFinding(TrailFault.MOVED, found.position, shown(found.audit_id), said)

    def _own(self, position: int | None, stored: Stored, said: bytes) -> Iterator[TrailFinding]:
        """Look at what a row says for itself."""
        row = stored.row
        yield from self._user(position, stored)
        if row["mac"] is None:
            yield from self._unsigned(position, row)
            return
        kid = mac_key_id(row["mac"])
        keys = () if kid is None else self._keys.get(kid)
        if any(is_same(body_mac(key, said), row["mac"]) for key in keys) or (kid is not None and self._is_lacking(kid)):
            self._is_signed = True
        elif not keys:
            yield TrailFinding(
                TrailFault.FORGED, position, shown(row["id"]), f"its MAC names the key {kid}, which nobody knows"
            )
        else:
            yield TrailFinding(
                TrailFault.CHANGED, position, shown(row["id"]), "it is not what was written: its MAC does not fit"
            )

    def _is_lacking(self, kid: str) -> bool:
        """Return whether a key is not here, and remember that this row was made by one."""
        if not self._keys.lacks(kid):
            return False
        self.verdict.lacking.add(kid)
        self._is_unverified = True
        return True

    def _count_unverified(self) -> None:
        self.verdict.unverified += self._is_unverified
        self._is_unverified = False

    def _user(self, position: int | None, stored: Stored) -> Iterator[TrailFinding]:
        # Outside of the MAC, because deleting a user makes it NULL; nothing else does.
        user_id, actor_id = stored.row["user_id"], stored.row["actor_id"]
        if user_id != actor_id and (user_id is not None or stored.has_actor):
            yield TrailFinding(
                TrailFault.CHANGED, position, shown(stored.row["id"]), "user_id is not the user who acted"
            )

    def _unsigned(self, position: int | None, row: Mapping[str, Any]) -> Iterator[TrailFinding]:
        self.verdict.without_mac += 1
        by_application = str(row["user_agent"] or "").partition(" ")[0] in (IN_SQL, EMBEDDED)
        submits = (row["action"], row["resource_type"]) in (("create", "notification"), ("submit", "batch"))
        if self._is_signed and not self._accepts_unsigned and not (by_application and submits):
            said = "it has no MAC though rows before it have: not written by notifyctl, or without the encryption key"
            yield TrailFinding(TrailFault.FORGED, position, shown(row["id"]), said)

    def _anchored(self, position: int, seal: str, audit_id: str | None) -> Iterator[TrailFinding]:
        for each in self._by_position.get(position, ()):
            if each.value == seal:
                self.verdict.anchored = position
            else:
                said = "an anchor has another seal: the chain was made anew"
                yield TrailFinding(TrailFault.REPLACED, position, audit_id, said)

    def _ended(self, gone: str | None) -> Iterator[TrailFinding]:
        if gone is not None:
            said = f"the anchors that ought to be in {gone} are not there"
            yield TrailFinding(TrailFault.REMOVED, None, None, said)
        for false in self._false_anchors:
            said = f"an anchor that the database noted is none: position {false.position!r}"
            yield TrailFinding(TrailFault.FORGED, None, None, said)
        over = [each for each in self._anchors if each.position > self.verdict.last]
        if over:
            last = max(each.position for each in over)
            said = f"an anchor covers position {last}, and the chain ends at {self.verdict.last}: its tail is gone"
            yield TrailFinding(TrailFault.CUT, last, None, said)


def shown(id_: object) -> str:
    """Return an id as it can be written: SQLite holds bytes in columns of text as well."""
    return id_ if isinstance(id_, str) else repr(id_)


def _is_anchor(each: Anchor) -> bool:
    return type(each.position) is int and each.position > 0 and isinstance(each.value, str) and type(each.at) is int
