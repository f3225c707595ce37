"""Whether a notification that is due shall be sent now.

One pure function over the notification, the user's state and the moment; the order of `CHECKS` is the policy, and each
check has its own reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from notifyctl.core.model import Category


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate looks at. Times are milliseconds since the epoch.

    `needs_address` is False where the content names the audience itself. `suppression` is the reason why the address
    is suppressed.
    """

    now: int
    expires_at: int | None
    needs_address: bool
    address: str | None
    suppression: str | None


@dataclass(frozen=True, slots=True)
class Send:
    """Nothing stands against it."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: try again at `until`. Costs no attempt."""

    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Policy decided that it shall not be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """It cannot be sent: a dead letter of this category."""

    category: Category
    reason: str


Verdict = Send | Defer | Cancel | Fail
Check = Callable[[Facts], Verdict | None]

SEND = Send()


def gate(facts: Facts) -> Verdict:
    """Return the first objection, else `Send`."""
    return next((verdict for check in CHECKS if (verdict := check(facts)) is not None), SEND)


def _not_expired(facts: Facts) -> Verdict | None:
    if facts.expires_at is not None and facts.now >= facts.expires_at:
        return Cancel("expired before it was sent")
    return None


def _address_known(facts: Facts) -> Verdict | None:
    if facts.needs_address and not facts.address:
        return Fail(Category.NO_ADDRESS, "the user has no address on this channel")
    return None


def _not_suppressed(facts: Facts) -> Verdict | None:
    if facts.suppression is not None:
        return Cancel(f"the address is suppressed: {facts.suppression}")
    return None


CHECKS: tuple[Check, ...] = (_not_expired, _address_known, _not_suppressed)
