"""What one webhook was told of one notification, in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.standing import DeliveryStanding

_FLIES, _TRIED, _WAITS = DeliveryStanding.IN_FLIGHT, DeliveryStanding.RETRYING, DeliveryStanding.WAITING


class Hearing(StrEnum):
    """How far a webhook has heard all that there is; the first that holds of any of its deliveries."""

    FAILING = "failing"
    WAITING = "waiting"
    GIVEN_UP = "given-up"
    DISABLED = "disabled"
    DELIVERED = "delivered"


class ToldDelivery(Protocol):
    """What is looked at of a delivery."""

    # ruff: noqa: D102
    @property
    def webhook_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def attempt_count(self) -> int: ...
    @property
    def response_status(self) -> int | None: ...
    @property
    def next_retry_at(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Hearer:
    """A webhook (`USER/NAME` and host) and what it was told of a notification.

    `delivered` of `events` arrived; the next is tried at `next_at` (milliseconds since the epoch). `answer` is the last
    status of an attempt that failed.
    """

    webhook_id: str
    webhook: str
    host: str
    state: Hearing
    events: int
    delivered: int
    next_at: int | None = None
    answer: int | None = None


def hearer(webhook: str, host: str, told: Sequence[ToldDelivery]) -> Hearer:
    """Return what a webhook heard by these deliveries, the oldest first; there is one at least."""
    count = Counter(each.state for each in told)
    failed = [each for each in told if each.state == _TRIED or (each.state == _FLIES and each.attempt_count > 1)]
    nexts = [each.next_retry_at for each in told if each.next_retry_at is not None and each.state in (_TRIED, _WAITS)]
    return Hearer(
        webhook_id=told[0].webhook_id,
        webhook=webhook,
        host=host,
        state=_hearing(count, is_failing=bool(failed)),
        events=len(told),
        delivered=count[DeliveryStanding.DELIVERED],
        next_at=min(nexts, default=None),
        answer=_last(each.response_status for each in told if each.state != DeliveryStanding.DELIVERED),
    )


def _hearing(count: Counter[str], *, is_failing: bool) -> Hearing:
    if is_failing:
        return Hearing.FAILING
    if count[_WAITS] or count[_FLIES]:
        return Hearing.WAITING
    ended = (DeliveryStanding.GIVEN_UP, DeliveryStanding.DISABLED)
    return next((Hearing(each.value) for each in ended if count[each]), Hearing.DELIVERED)


def _last(answers: Iterable[int | None]) -> int | None:
    said = [each for each in answers if each is not None]
    return said[-1] if said else None
