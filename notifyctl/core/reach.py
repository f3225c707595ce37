"""Whose trouble it is that a provider was not reached: pure decisions over what one dispatcher has seen of all of them.

A way that is broken here hits every provider that is called; one that is broken there hits that provider alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from notifyctl.core.outcome import Fault, Kind, Outcome

FIRST_REST_MS = 250
LONGEST_REST_MS = 30_000
ALONE_MS = 5_000


@dataclass(slots=True)
class Reach:
    """Which providers were reached when, and since when others are not. Times are milliseconds of any one clock.

    Not frozen: every answer is noted.
    """

    reached_at: dict[str, int] = field(default_factory=dict)
    hit_since: dict[str, int] = field(default_factory=dict)

    def reached(self, provider: str, now: int) -> None:
        """Take note that a provider was reached, whatever it said."""
        self.reached_at[provider] = now
        if self.hit_since:
            self.hit_since.pop(provider, None)

    def is_ours(self, provider: str, outcome: Outcome, now: int) -> bool:
        """Take note that a provider was not reached; return whether that is this host's own trouble.

        Its lack of files, memory or ports always is. What may be broken at either end is, unless another provider was
        reached since; what was configured is not, unless all others are hit as well.
        """
        if outcome.fault is Fault.HOST:
            return True
        since = self.hit_since.setdefault(provider, now)
        others = {name: at for name, at in self.reached_at.items() if name != provider}
        if any(at >= since for at in others.values()):
            return False
        hit = self.hit_since.keys() - {provider}
        return bool(hit) if outcome.fault is Fault.SETTINGS else True

    def is_alone(self, provider: str, now: int) -> bool:
        """Return whether a provider is not reached for a while in which no other one was called."""
        since = self.hit_since.get(provider)
        if since is None or now - since < ALONE_MS:
            return False
        called = {**self.reached_at, **self.hit_since}
        return not any(at >= since for name, at in called.items() if name != provider)


def was_not_reached(outcome: Outcome) -> bool:
    """Return whether nothing was sent, for a reason that may be this host's."""
    return outcome.fault is not Fault.PROVIDER and outcome.kind in (Kind.TRANSIENT, Kind.CONFIG)


@dataclass(slots=True)
class Rest:
    """For how long a dispatcher takes nothing more after trouble of its own: twice as long each time.

    `began` is the first of the troubles in a row. Times are milliseconds of one clock.
    """

    began: int | None = None
    ends: int = 0
    length_ms: int = 0

    def trouble(self, now: int) -> bool:
        """Take note of trouble; return whether that is new, and not of a call that was under way at the last."""
        if now < self.ends:
            return False
        self.began = now if self.began is None else self.began
        self.length_ms = min(LONGEST_REST_MS, max(FIRST_REST_MS, 2 * self.length_ms))
        self.ends = now + self.length_ms
        return True

    def over(self) -> None:
        """Take note that something works."""
        self.began, self.ends, self.length_ms = None, 0, 0

    def left_ms(self, now: int) -> int:
        """Return for how long it still rests; 0 where it does not."""
        return max(0, self.ends - now)
