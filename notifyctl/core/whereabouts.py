"""By which zone's clocks a person lives, and who says so."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from notifyctl.core import zones
from notifyctl.core.frozen import dataclass
from notifyctl.core.zones import UNSET, Zone


class ZoneOrigin(StrEnum):
    """Who said which zone it is."""

    USER = "user"
    DEFAULT = "default_timezone"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The zone that is used; `unreadable` is what is stored, where that is no zone."""

    zone: Zone
    origin: ZoneOrigin
    unreadable: str | None = None

    @property
    def known(self) -> bool:
        """Whether it is the person's own, and not one that stands in."""
        return self.origin is ZoneOrigin.USER

    @property
    def own(self) -> str | None:
        """The name of the zone that the person set; None for none, and for what is none."""
        return self.zone.name if self.known else None

    def __str__(self) -> str:
        """Return the zone, and why this one where the person set none."""
        if self.known:
            return self.zone.name
        used = "default_timezone" if self.origin is ZoneOrigin.DEFAULT else "UTC stands in"
        why = "no zone is set" if self.unreadable is None else f"the stored zone {self.unreadable!r} cannot be read"
        return f"{self.zone.name} ({used}: {why})"


@lru_cache(maxsize=4_096)
def whereabouts(stored: str | None, default: str | None) -> Whereabouts:
    """Return the zone of somebody whose row says `stored`; what the schema stores by itself (`UTC`) says nothing."""
    unreadable = None
    if stored is not None and stored.strip() not in ("", UNSET):
        own = zones.find(stored.strip())
        if own is not None:
            return Whereabouts(own, ZoneOrigin.USER)
        unreadable = stored
    standing_in = zones.find(default) if default else None
    if standing_in is not None:
        return Whereabouts(standing_in, ZoneOrigin.DEFAULT, unreadable)
    return Whereabouts(zones.utc(), ZoneOrigin.NOBODY, unreadable)
