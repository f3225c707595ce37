"""What a dispatcher has done, counted for the live view, the report and the heartbeat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import reduce

from notifyctl.core.change import Bury, Change, Retry, Sent

LATENCIES_KEPT = 512
NOTICES_KEPT = 8
PACE_S = 60.0


@dataclass(slots=True)
class ProviderTally:
    """Counts of one provider. `held` is why nothing is claimed for it; latencies are of the last calls, in ms."""

    provider: str = ""
    accepted: int = 0
    retried: int = 0
    dead: int = 0
    cancelled: int = 0
    deferred: int = 0
    stale: int = 0
    in_flight: int = 0
    held: str | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def count(self, change: Change) -> None:
        """Count the result of an attempt."""
        match change:
            case Sent():
                self.accepted += 1
            case Retry():
                self.retried += 1
            case Bury():
                self.dead += 1

    def p99_ms(self) -> float | None:
        """Return the 99th percentile of the last calls' times."""
        ordered = sorted(self.latencies)
        return ordered[(len(ordered) - 1) * 99 // 100] if ordered else None


@dataclass(slots=True)
class HookTally:
    """Counts of deliveries to webhooks: those that arrived, attempts that failed, and the last ones that did."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0

    @property
    def attempts(self) -> int:
        """How many attempts were made and recorded."""
        return self.delivered + self.failed + self.given_up

    def plus(self, more: HookTally) -> HookTally:
        """Return the sums."""
        return HookTally(*(getattr(self, name) + getattr(more, name) for name in _HOOK_COUNTS))

    def minus(self, less: HookTally) -> HookTally:
        """Return the differences."""
        return HookTally(*(getattr(self, name) - getattr(less, name) for name in _HOOK_COUNTS))

    def told(self) -> str:
        """Return them in words; nothing where there is nothing to tell."""
        some = {"delivered": self.delivered, "failing": self.failed, "given up": self.given_up}
        said = [f"{number:,} {what}" for what, number in some.items() if number]
        return f"webhooks: {', '.join(said)}" if said else ""


_HOOK_COUNTS = tuple(each.name for each in fields(HookTally))


@dataclass(slots=True)
class Tally:
    """All providers of one dispatcher. `unrecorded` are the results that could not be recorded to the end."""

    providers: dict[str, ProviderTally] = field(default_factory=dict)
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=NOTICES_KEPT))
    unrecorded: int = 0
    webhooks: HookTally = field(default_factory=HookTally)

    def of(self, provider: str) -> ProviderTally:
        """Return the provider's counts."""
        return self.providers.setdefault(provider, ProviderTally(provider))

    @property
    def accepted(self) -> int:
        """How many were accepted by providers."""
        return sum(each.accepted for each in self.providers.values())

    @property
    def dead(self) -> int:
        """How many became dead letters."""
        return sum(each.dead for each in self.providers.values())

    @property
    def in_flight(self) -> int:
        """How many are claimed and not yet answered."""
        return sum(each.in_flight for each in self.providers.values())

    @property
    def attempts(self) -> int:
        """How many attempts were made and recorded."""
        return sum(each.accepted + each.retried + each.dead for each in self.providers.values())

    def rest(self) -> None:
        """Take note that the dispatcher has ended."""
        for each in self.providers.values():
            each.in_flight = 0

    def counts(self) -> Tally:
        """Return what was done, without what was true only while the dispatcher ran."""
        providers = {
            name: replace(each, in_flight=0, held=None, latencies=deque()) for name, each in self.providers.items()
        }
        return Tally(providers, unrecorded=self.unrecorded, webhooks=self.webhooks)


class Pace:
    """How much is done a minute: what is stored with the heartbeats, measured over the last minute of them."""

    def __init__(self, now: float) -> None:
        self._seen = deque([(now, 0)])

    def per_minute(self, done: int, now: float) -> int:
        """Take note that `done` are done at this monotonic moment (seconds), and return the pace."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - PACE_S:
            self._seen.popleft()
        then, before = self._seen[0]
        self._seen.append((now, done))
        return round((done - before) * 60 / (now - then)) if now > then else 0


def summed(tallies: Iterable[Tally]) -> dict[str, ProviderTally]:
    """Return the sums of several dispatchers by provider. What holds a provider for one of them is said for all."""
    total: dict[str, ProviderTally] = {}
    for tally in tallies:
        for provider, each in tally.providers.items():
            _add(total.setdefault(provider, ProviderTally(provider, latencies=deque())), each)
    return total


def hooks_summed(tallies: Iterable[Tally]) -> HookTally:
    """Return the sums of several dispatchers' deliveries."""
    return reduce(HookTally.plus, (each.webhooks for each in tallies), HookTally())


def _add(total: ProviderTally, more: ProviderTally) -> None:
    total.accepted += more.accepted
    total.retried += more.retried
    total.dead += more.dead
    total.cancelled += more.cancelled
    total.deferred += more.deferred
    total.stale += more.stale
    total.in_flight += more.in_flight
    total.held = total.held or more.held
    total.latencies += more.latencies
