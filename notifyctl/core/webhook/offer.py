"""What a dispatcher takes at once of the deliveries that its own transaction makes: they need no claim then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from notifyctl.core.webhook.attempt import Delivery


@dataclass(slots=True)
class Offer:
    """Made before the transaction began, when the monotonic clock stood at `began`; `holder` is the dispatcher.

    Of each webhook it takes at most what `room` says, `usual` where it says nothing, and `places` in all. Not frozen:
    what was `taken` is noted, and whether something was `left` that is due all the same.
    """

    holder: str
    lease_id: str
    least_ms: int
    usual: int
    room: Mapping[str, int]
    places: int
    began: float
    taken: list[Delivery] = field(default_factory=list)
    left: bool = False
    _asked: dict[str, int] = field(default_factory=dict)
    _all: int = 0

    def begin(self) -> None:
        """Forget what was noted: a transaction may run again."""
        self.taken.clear()
        self._asked.clear()
        self._all = 0
        self.left = False

    def takes(self, webhook_id: str) -> bool:
        """Return whether one more of a webhook's is taken; if so, it counts."""
        asked = self._asked.get(webhook_id, 0)
        if asked >= self.room.get(webhook_id, self.usual) or self._all >= self.places:
            return False
        self._asked[webhook_id] = asked + 1
        self._all += 1
        return True
