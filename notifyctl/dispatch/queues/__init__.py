"""The queues that lanes work for: notifications, questions after receipts, deliveries to webhooks.

All have the same lease, fence, budget and drain; what is taken and what an attempt is, each queue says itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from notifyctl.core.frozen import dataclass
from notifyctl.dispatch.lease import Lease
from notifyctl.store.db.tx import Tx

Item = TypeVar("Item")
Done = TypeVar("Done")
Done_co = TypeVar("Done_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Portion(Generic[Item]):
    """What was taken at a look. `now` is the database's moment; `lease_ms` and `deadline_ms` count from before it.

    `wait_ms` is for how long it is sure that nothing may be taken. `settled`: something else was done with what was
    due, and there may be more. `spared`: something was left to somebody else here, who takes it in a moment.
    `unproven`: something may be there to take when it is known whether its holder lives.
    `probes`: what was taken may change what can be taken. `rests`: nothing was looked for, and is only after `wait_ms`.
    `crowded`: there is more, which waits for something to end. `detail` is the queue's own.
    """

    items: Sequence[Item] = ()
    now: int = 0
    lease_ms: int = 0
    deadline_ms: int = 0
    wait_ms: int | None = None
    settled: bool = False
    spared: bool = False
    unproven: bool = False
    probes: bool = False
    rests: bool = False
    crowded: bool = False
    detail: Any = None

    @property
    def in_vain(self) -> bool:
        """Whether the look changed nothing."""
        return not self.items and not self.settled


class Queue(Protocol[Item, Done_co]):
    """One provider's work of one kind."""

    provider: str

    def places(self) -> int:
        """Return how many items may be worked on at once."""

    def takes_many(self) -> bool:
        """Return whether a look now may take about as many as one a moment later: it costs the same."""

    def has_more(self) -> bool:
        """Return whether a look may find anything, as far as is known here: others may have made something."""

    def goes_on(self) -> bool:
        """Return whether what was taken ahead may begin: not after a refusal that stands for all, until a look."""

    def looks(self) -> None:
        """Take note that a look begins: it may miss what is made from here on."""

    def take(self, tx: Tx, room: int) -> Portion[Item]:
        """Lease at most `room` items that are due. Runs in a thread of the store's."""

    def noted(self, portion: Portion[Item]) -> None:
        """Take note of what a look found."""

    async def ready(self, portion: Portion[Item]) -> bool:
        """Return whether what was taken can be worked on now; else it is released."""

    async def attempt(self, item: Item, lease: Lease) -> Done_co:
        """Return the result of an item. Never raises: that it was cancelled is a result as well."""

    def release(self, item: Item) -> Done_co:
        """Return that nothing was begun with an item."""

    def gave_back(self) -> bool:
        """Return whether items were given back since this was asked, and are worth another look."""

    def left(self) -> Sequence[Done_co]:
        """Return what becomes of what was taken and kept for later, now that the lane is over."""

    def unheard(self) -> Callable[[Tx], None] | None:
        """Return what gives back what was taken where nobody knows whether that was stored; None: there is none."""
