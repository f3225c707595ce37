"""What the answers of a provider make of the provider: when it is held, until when, and how it is tried meanwhile."""

from __future__ import annotations

from enum import StrEnum

from notifyctl.core.backoff import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS
from notifyctl.core.outcome import Kind, Outcome

WINDOW_MS = 30_000
LEAST_FAILURES = 20


class Cause(StrEnum):
    """Why a provider is paused; stored as `pause_cause`.

    operator: somebody said so; it ends when somebody says so, or at its time
    config: the credentials or settings do not work; it ends with new ones, or when a probe works
    breaker: too many attempts failed; it ends when a probe works
    throttled: the provider wants to be left alone for a moment; it ends at that moment
    """

    OPERATOR = "operator"
    CONFIG = "config"
    BREAKER = "breaker"
    THROTTLED = "throttled"


PROBES = {Cause.CONFIG: (60_000, 30 * 60_000), Cause.BREAKER: (5_000, 60_000)}
"""Of the causes that probes end: the wait for the first one, and the longest wait, in milliseconds."""


OTHERS_STAND_IN = frozenset({"paused", "open"})
"""What providers are called (`word`) that others stand in for; one that is throttled comes back in a moment."""


def probe_wait_ms(cause: Cause | None, probes: int) -> int | None:
    """Return how long to wait for the next probe after `probes` of them: twice as long each time. None: no probes."""
    if cause not in PROBES:
        return None
    first, longest = PROBES[cause]
    return min(longest, first << min(max(probes, 0), 20))


def opens(attempts: int, failures: int) -> bool:
    """Return whether so many failures within a window open the breaker: enough of them, and half of the attempts."""
    return failures >= LEAST_FAILURES and 2 * failures >= attempts


def throttle_ms(wish_ms: int | None) -> int:
    """Return for how long everybody leaves a provider alone that asks for it: as it wishes, between 1 s and 1 h."""
    return min(max(wish_ms or 0, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS)


def works(outcome: Outcome) -> bool:
    """Return whether the answer shows that the provider works: it dealt with this message, one way or the other."""
    about_the_message = outcome.kind in (Kind.ACCEPTED, Kind.PERMANENT, Kind.RECIPIENT) or outcome.blames == "to"
    return outcome.asked and about_the_message


def fails(outcome: Outcome) -> bool:
    """Return whether it counts as a failure of the provider. That it throttles is none, nor what is one recipient's."""
    return outcome.asked and outcome.blames != "to" and outcome.kind in (Kind.TRANSIENT, Kind.UNKNOWN)


def word(cause: str | None) -> str:
    """Return what a provider that is paused for this cause is called."""
    if cause == Cause.BREAKER:
        return "open"
    return "throttled" if cause == Cause.THROTTLED else "paused"
