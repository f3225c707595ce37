"""Whether a notification that is due shall be sent now.

One pure function over the notification, the user's state and the moment; the order of `CHECKS` is the policy, and each
check has its own reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from notifyctl.core.audience import needs_address
from notifyctl.core.model import Category, Message


class Facts(NamedTuple):
    """What the gate looks at. Times are milliseconds since the epoch. A tuple: one is made for every attempt.

    `needs_address` is False where the content names the audience itself. `suppression` is the reason why the address
    is suppressed.
    """

    now: int
    expires_at: int | None
    needs_address: bool
    address: str | None
    suppression: str | None


@dataclass(frozen=True, slots=True)
class PutOff:
    """Not now: try again at `until`. Costs no attempt."""

    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class Suppress:
    """Policy decided that it shall not be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be sent: a dead letter of this category."""

    category: Category
    reason: str


Objection = PutOff | Suppress | Refuse
Verdict = Objection | None
Check = Callable[[Facts], Verdict]


def facts(message: Message, expires_at: int | None, suppression: str | None, now: int) -> Facts:
    """Return what the gate looks at in a message; `suppression` is why its address must not be written to."""
    to = message.to
    needs = to is None and needs_address(message.channel, message.content)
    return Facts(now, expires_at, needs, to, None if to is None else suppression)


def gate(facts: Facts) -> Verdict:
    """Return the first objection; None where nothing stands against it."""
    for check in CHECKS:
        verdict = check(facts)
        if verdict is not None:
            return verdict
    return None


def _not_expired(facts: Facts) -> Verdict:
    if facts.expires_at is not None and facts.now >= facts.expires_at:
        return Suppress("expired before it was sent")
    return None


def _address_known(facts: Facts) -> Verdict:
    if facts.needs_address and not facts.address:
        return Refuse(Category.NO_ADDRESS, "the user has no address on this channel")
    return None


def _not_suppressed(facts: Facts) -> Verdict:
    if facts.suppression is not None:
        return Suppress(f"the address is suppressed: {facts.suppression}")
    return None


CHECKS: tuple[Check, ...] = (_not_expired, _address_known, _not_suppressed)
