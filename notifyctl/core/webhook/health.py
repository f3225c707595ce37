"""What its receiver's answers make of a webhook: slowed for a while, or disabled for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from notifyctl.core.duration import show_ms
from notifyctl.core.frozen import dataclass
from notifyctl.core.webhook.attempt import HookReply
from notifyctl.core.webhook.schedule import LONGEST_WISH_MS, SPREAD

_H = 3_600_000
LIMIT_MS = 5 * 24 * _H
"""For how long a receiver may fail before it is disabled."""
APART_MS = 12 * _H
LEAST_FAILURES = 3
"""So many failures, each so long after the one before, it takes as well: one that is called once a week is no failure
for a week."""
FIRST_REST_MS, LONGEST_REST_MS = 5_000, 600_000


@dataclass(frozen=True, slots=True)
class HookHealth:
    """How a receiver has behaved; the fields are columns of its webhook, and told there."""

    failing_since: int | None = None
    failures_apart: int = 0
    failure_counted_at: int | None = None
    slowed: int = 0
    rests_until: int | None = None

    @classmethod
    def of(cls, row: Any) -> HookHealth:
        """Return the health that stands in a webhook."""
        return cls(*(getattr(row, name) for name in HEALTH))

    def after(self, replies: Iterable[HookReply], now: int, chance: float) -> HookHealth:
        """Return what it is after these, in whatever order they came; `chance` (0 to 1) spreads the rest."""
        found = self
        for reply in sorted(replies, key=lambda each: each.at + each.ms):
            if not reply.counts:
                found = found.without_probe() if reply.probe else found
                continue
            found = found._worked(reply, now) if reply.is_success else found._failed(reply, now, chance)
        return found

    def without_probe(self) -> HookHealth:
        """Return the same where a probe was not made after all: the next one may be at once."""
        return replace(self, rests_until=None)

    def why_disabled(self, replies: Iterable[HookReply], now: int) -> str | None:
        """Return why a webhook of this health is to be disabled, after these replies; None where it is not."""
        counting = [reply for reply in replies if reply.counts]
        if not counting:
            return None
        if any(reply.is_gone for reply in counting):
            return "its receiver answered that it is gone (410)"
        if self.failing_since is None or self.failures_apart < LEAST_FAILURES or self.share(now) < 1:
            return None
        return f"nothing was delivered for {show_ms(now - self.failing_since)}"

    def share(self, now: int) -> float:
        """Return how much of the time for which it may fail is over: 0 while it works, 1 when it is to be disabled."""
        return 0.0 if self.failing_since is None else max(0.0, (now - self.failing_since) / LIMIT_MS)

    def _rests(self, now: int) -> bool:
        return self.rests_until is not None and self.rests_until > now

    def _worked(self, reply: HookReply, now: int) -> HookHealth:
        if self._rests(now) and not reply.probe:  # it was called before it asked for less
            return HookHealth(slowed=self.slowed, rests_until=self.rests_until)
        return HookHealth()

    def _failed(self, reply: HookReply, now: int, chance: float) -> HookHealth:
        failed = self._counted(reply.at + reply.ms)
        if reply.asks_for_less or (reply.probe and reply.status is None):
            return failed._slowed(reply, now, chance)
        return replace(failed, slowed=0, rests_until=None) if reply.probe else failed

    def _counted(self, at: int) -> HookHealth:
        if self.failing_since is None or self.failure_counted_at is None:
            return replace(self, failing_since=at, failures_apart=1, failure_counted_at=at)
        if at - self.failure_counted_at < APART_MS:
            return self
        return replace(self, failures_apart=self.failures_apart + 1, failure_counted_at=at)

    def _slowed(self, reply: HookReply, now: int, chance: float) -> HookHealth:
        """Return it with a rest: longer each time in a row, of which all calls that ran at once are one."""
        again = self._rests(now) and not reply.probe
        slowed = self.slowed if again else self.slowed + 1
        ours = min(FIRST_REST_MS * 2 ** min(max(slowed, 1) - 1, 16), LONGEST_REST_MS)
        wish = min(reply.retry_after_ms or 0, LONGEST_WISH_MS)
        until = now + max(round(ours * (1 - SPREAD + 2 * SPREAD * chance)), wish)
        # What a probe held until its lease ended is over with its answer.
        return replace(self, slowed=slowed, rests_until=max(self.rests_until or 0, until) if again else until)


HEALTH = tuple(each.name for each in fields(HookHealth))
