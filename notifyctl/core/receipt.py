"""What a provider says later of a message that it took, and what follows: pure decisions.

Receipts come twice, late and in any order. Each notification keeps the one that weighs most: a bounce before a
delivery, a delivery before any word on the way. So the end is the same in whatever order they come. Of several bounces
the one that says that the address is dead is kept: whoever told of the first may not have known why.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from functools import reduce

from notifyctl.core import spelling
from notifyctl.core.frozen import dataclass
from notifyctl.core.suppression import SuppressionCause

FIRST_QUESTION_MS = 10_000
LONGEST_WAIT_MS = 6 * 3_600_000
LAST_QUESTION_MS = 72 * 3_600_000
GIVEN_UP_MS = 7 * 24 * 3_600_000
FRESH_MS = 3_600_000
UNKNOWN_GROUP = "?"
"""The group of a receipt that is of a group and does not say of which: that of the message itself."""

# Words of being on the way, in the order in which they are true. Other words stand at the beginning.
_ON_THE_WAY = {"sending": 1, "deferred": 1, "sent": 2}


class Stage(IntEnum):
    """How far a message has got; a greater stage replaces a lesser one, never the other way round."""

    UNDERWAY = 1
    DELIVERED = 2
    BOUNCED = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt. `text` is what is kept of it: a word of the provider's first, then what it adds.

    `at` is when it happened, in milliseconds since the epoch; None where the provider does not say. `address` is whom
    it is about. `dead`: that address must not be sent to again, for the `cause`; with `group` only what is of that
    group; with `lifts` it may be again. `pause` is why the provider is to be paused. `stage` is None for what says
    nothing of how far the message is.
    """

    stage: Stage | None
    text: str
    at: int | None = None
    address: str | None = None
    dead: bool = False
    pause: str | None = None
    cause: SuppressionCause = SuppressionCause.BOUNCE
    group: str = ""
    lifts: bool = False

    def still_pauses(self, changed_at: int, sent_at: int, now: int) -> bool:
        """Return whether what it says about the account still says something.

        Not when the provider's configuration changed after the message was sent, nor when it is an hour old: what was
        wrong then may long be right.
        """
        happened = now if self.at is None else self.at
        return self.pause is not None and changed_at <= sent_at and now - happened <= FRESH_MS

    def without(self, address: str | None) -> Receipt:
        """Return the same with neither that address nor its own in its words."""
        gone = [each for each in (address, self.address) if each]

        def left(words: str) -> str:
            return reduce(lambda text, each: spelling.without(each, text), gone, words)

        return replace(self, text=left(self.text), pause=self.pause and left(self.pause))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A receipt with what it is about: the notification's id where it came back, else the provider's message id.

    `receipt` is None for an event that says nothing about the delivery, such as an opened mail. `attempt` is which of
    the notification's attempts it is of, where that came back too.
    """

    receipt: Receipt | None
    notification_id: str | None = None
    provider_message_id: str | None = None
    attempt: int | None = None

    def without(self, address: str | None) -> Arrival:
        """Return the same with neither that address nor its own in the words of its receipt."""
        return self if self.receipt is None else replace(self, receipt=self.receipt.without(address))


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What receipts said of a notification so far. One of the times at most is set."""

    delivered_at: int | None = None
    bounced_at: int | None = None
    receipt: str | None = None

    @property
    def stage(self) -> Stage | None:
        """How far it is; None before the first receipt."""
        if self.bounced_at is not None:
            return Stage.BOUNCED
        if self.delivered_at is not None:
            return Stage.DELIVERED
        return Stage.UNDERWAY if self.receipt else None


def settle(known: DeliveryState, receipt: Receipt, now: int) -> DeliveryState:
    """Return what is known after a receipt; the same where it says nothing new. Never goes back."""
    stage = known.stage
    if receipt.stage is None:
        return known
    if stage is not None and (receipt.stage < stage or (receipt.stage is stage and not _is_further(known, receipt))):
        return known
    at = now if receipt.at is None else min(receipt.at, now)
    if known.bounced_at is not None:  # it came back once, and this only says why
        at = known.bounced_at
    return DeliveryState(
        delivered_at=at if receipt.stage is Stage.DELIVERED else None,
        bounced_at=at if receipt.stage is Stage.BOUNCED else None,
        receipt=receipt.text,
    )


def next_question(sent_at: int, now: int, *, answered: bool, wait_ms: int = 0) -> int | None:
    """Return when to ask again about a message that is under way; None when it has been asked long enough.

    After as long again as it is under way already, from 10 seconds to 6 hours; three days after it was sent for the
    last time. Where the provider gave no answer, it is asked for up to a week, and not before `wait_ms`.
    """
    age = now - sent_at
    if age >= (LAST_QUESTION_MS if answered else GIVEN_UP_MS):
        return None
    due = now + max(min(max(age, FIRST_QUESTION_MS), LONGEST_WAIT_MS), wait_ms)
    last = sent_at + LAST_QUESTION_MS
    return last if now < last < due else due


def _is_further(known: DeliveryState, receipt: Receipt) -> bool:
    """Return whether a receipt of the same stage says more than what is known."""
    if receipt.stage is Stage.BOUNCED:
        return receipt.dead and receipt.text != known.receipt
    return receipt.stage is Stage.UNDERWAY and _rank(receipt.text) > _rank(known.receipt or "")


def _rank(text: str) -> int:
    return _ON_THE_WAY.get(text.partition(" ")[0], 0)
