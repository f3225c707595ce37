"""What a dispatcher has done, counted for the live view, the report and the heartbeat."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from notifyctl.core.decide import Bury, Retry, Sent, Transition

LATENCIES_KEPT = 512


@dataclass(slots=True)
class ProviderTally:
    """Counts of one provider. `held` is why nothing is claimed for it; latencies are of the last calls, in ms."""

    accepted: int = 0
    retried: int = 0
    dead: int = 0
    cancelled: int = 0
    deferred: int = 0
    stale: int = 0
    in_flight: int = 0
    held: str | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def count(self, transition: Transition) -> None:
        """Count what an attempt came to."""
        match transition:
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
class Tally:
    """All providers of one dispatcher."""

    providers: dict[str, ProviderTally] = field(default_factory=dict)
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def of(self, provider: str) -> ProviderTally:
        """Return the provider's counts."""
        return self.providers.setdefault(provider, ProviderTally())

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
        """How many are claimed and not yet recorded."""
        return sum(each.in_flight for each in self.providers.values())

    @property
    def attempts(self) -> int:
        """How many attempts were made and recorded."""
        return sum(each.accepted + each.retried + each.dead for each in self.providers.values())
