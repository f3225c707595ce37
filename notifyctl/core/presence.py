"""What a dispatcher says of itself, and what others read of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from notifyctl.core.frozen import dataclass

STILL_S = 30.0
"""For how long a counter has to stand still before its dispatcher counts as lost."""
LOOK_S = 10.0
"""What one look may add to that: who stood still itself saw nothing meanwhile."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a dispatcher says of itself: `per_minute` is how many attempts it recorded a minute, of late.

    `beats` grows with each. `machine` tells from another the machine on which `pid` is a process, None: not known.
    `policy` is the digest of the policy by which it works, `keys` the ids of its encryption keys, the first seals.
    """

    id: str
    host: str
    pid: int
    in_flight: int
    per_minute: int
    beats: int = 0
    machine: str | None = None
    policy: str | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sign:
    """What the database has of a dispatcher's last heartbeat."""

    id: str
    machine: str | None
    pid: int
    beats: int


@dataclass(slots=True)
class _Seen:
    beats: int
    at: float
    still_s: float = 0.0
    moved: bool = False


class Watch:
    """What one dispatcher sees of the others' heartbeats, by its own monotonic clock.

    A lease that has ended by the database's clock may be a live dispatcher's after all: the clock may have been put
    forward. So a lease is taken over only from those who left, who are gone, or whose counter stood still.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._seen: dict[str, _Seen] = {}
        self.lost: frozenset[str] = frozenset()
        """Those whose leases may be taken over when they have ended."""
        self.undecided: frozenset[str] = frozenset()
        """Those who were not watched for long enough to say."""

    def saw(self, signs: Iterable[Sign], gone: Collection[str], now_s: float) -> None:
        """Take note of all that the database has at a monotonic moment; `gone` are known to run no more."""
        there = {each.id: each.beats for each in signs if each.id != self._own}
        self._seen = {id_: self._again(id_, beats, now_s) for id_, beats in there.items()}
        self.lost = frozenset(id_ for id_, seen in self._seen.items() if id_ in gone or seen.still_s >= STILL_S)
        self.undecided = frozenset(id_ for id_, seen in self._seen.items() if not seen.moved) - self.lost

    def _again(self, id_: str, beats: int, now_s: float) -> _Seen:
        before = self._seen.get(id_)
        if before is None:
            return _Seen(beats, now_s)
        if before.beats != beats:
            return _Seen(beats, now_s, moved=True)
        return _Seen(beats, now_s, before.still_s + min(now_s - before.at, LOOK_S), before.moved)


@dataclass(frozen=True, slots=True)
class Alive:
    """A dispatcher whose heartbeat is recent, with what that said. Times are milliseconds since the epoch."""

    id: str
    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    in_flight: int
    per_minute: int
    policy: str | None = None
    key_ids: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids of the encryption keys that it has, the one that seals first."""
        return tuple(filter(None, (self.key_ids or "").split(",")))
