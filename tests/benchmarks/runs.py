"""What every part needs: who is measured, the server and the sizes; and one run of dispatchers, seen from outside.

A run is from the first notification that was sent to the last, by the rows' own `sent_at`, so that no start-up and no
leave-taking counts; the CPU time is that of the same interval.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import ground
from tests.benchmarks.ground import Server
from tests.benchmarks.processes import Meter, Sample
from tests.benchmarks.program import Program, provider_url
from tests.benchmarks.stub import Stub

OWN, DATABASE, STUB = "own", "database", "stub"
GROUPS = (OWN, DATABASE, STUB)
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part runs: the programs, ours first, a server, a folder for files, and how steady it shall be.

    `only` are the systems of the dispatch comparison that were asked for, all if None.
    """

    programs: Sequence[Program]
    server: Server
    folder: Path
    quick: bool
    rounds: int
    only: frozenset[str] | None = None

    @property
    def ours(self) -> Program:
        """The one of this source tree."""
        return self.programs[0]

    def size(self, full: int) -> int:
        """Return how many to send: a fifth when it shall be quick."""
        return full // 5 if self.quick else full

    def database(self, program: Program, *, sqlite: bool = False) -> AbstractContextManager[str]:
        """Return a new database of that program's, ready to be filled."""
        return ground.ours_sqlite(self.folder, program) if sqlite else ground.ours(self.server, program)


@dataclass(frozen=True, slots=True)
class Run:
    """How many were sent, from when to when (seconds since the epoch), and the CPU seconds of each group meanwhile.

    `busy` are those of the whole machine.
    """

    sent: int
    began: float
    ended: float
    cpu: dict[str, float] = field(default_factory=dict)
    busy: float = 0.0

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.sent / (self.ended - self.began)

    @property
    def elsewhere(self) -> float:
        """How many cores others had meanwhile, who have no part in the run: what makes a figure doubtful."""
        return max(0.0, self.busy - sum(self.cpu.values())) / (self.ended - self.began)

    def us(self, *groups: str) -> float:
        """Return the CPU microseconds a notification of these groups; of all without a name."""
        return sum(self.cpu[each] for each in groups or self.cpu) / self.sent * 1e6


@dataclass(frozen=True, slots=True)
class Order:
    """How to dispatch: calls in flight, how many dispatchers beside each other, and after how many one stops.

    `share` is the middle part of what was sent that counts.
    """

    in_flight: int = 64
    processes: int = 1
    limit: int | None = None
    share: float = 1.0

    def arguments(self) -> list[str]:
        """Return the command's options."""
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return ["--once", "--concurrency", str(self.in_flight), *limit]


def send(
    place: Place,
    program: Program,
    url: str,
    stub: Stub,
    order: Order,
    meter: Meter | None = None,
    through: str = "",
    moments: Callable[[str, float], list[int]] = ground.moments,
) -> Run:
    """Work off what is due (or the limit), and return what was done.

    `meter` may follow further processes. `through`: the URL by which dispatchers reach the database, if it is another.
    `moments` returns when each one was done with.
    """
    meter = meter or Meter()
    since = time.time()
    urls = provider_url("sendgrid", stub.url) | stub.trust
    dispatchers = [program.dispatch(through or url, *order.arguments(), urls=urls) for _ in range(order.processes)]
    for each in dispatchers:
        meter.follow(OWN, each.pid)
    if not url.startswith("sqlite"):
        meter.follow(DATABASE, place.server.postmaster)
    meter.follow(STUB, stub.pid)
    meter.watch(dispatchers, PATIENCE_S)
    if failed := [code for each in dispatchers if (code := each.wait())]:
        raise RuntimeError(f"the dispatcher ended with exit code {failed[0]}")
    sent, began, ended = interval(moments(url, since), order.share)
    return Run(sent, began, ended, meter.used(began, ended), meter.busy(began, ended))


def work_off(place: Place, program: Program, url: str, stub: Stub, count: int, order: Order) -> Run:
    """Fill in `count`, send them all, check that they were, and return what was done."""
    ground.fill(url, count)
    done = send(place, program, url, stub, order)
    if left := ground.left(url):
        raise RuntimeError(f"{program.name} left {left} of {count} unsent")
    return done


def interval(moments: Sequence[int], share: float = 1.0) -> tuple[int, float, float]:
    """Return how many were sent between two of the `moments` (milliseconds, in order), and these two in seconds.

    They enclose the middle `share` of all. What was sent at the first of them is not among those in between.
    """
    cut = round(len(moments) * (1 - share) / 2)
    inner = moments[cut : len(moments) - cut]
    began, ended = inner[0], inner[-1]
    return sum(1 for each in inner if each > began), began / 1_000, ended / 1_000


def memory(samples: Sequence[Sample], moments: Sequence[int]) -> list[tuple[int, float]]:
    """Return the memory of each sample, in MB, with how many had been sent by then."""
    return [(bisect_right(moments, each.at * 1_000), each.memory_mb) for each in samples]
