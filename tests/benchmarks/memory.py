"""Goal 9: the memory of a dispatcher that has far more to do than it can hold."""

from __future__ import annotations

import time

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.processes import Meter
from tests.benchmarks.report import Goal, Table
from tests.benchmarks.runs import Order, Place

EARLY, LATE = 20_000, 200_000
MOST_MB = 100.0
FLAT_MB = 5.0


def measure(place: Place) -> list[Table]:
    """Let it work on a backlog that it does not finish, and compare its memory early on with that much later."""
    due, late = (100_000, EARLY * 2) if place.quick else (1_000_000, LATE)
    meter = Meter()
    with stub.instant() as provider, place.database(place.ours) as url:
        ground.fill(url, due)
        since = time.time()
        runs.send(place, place.ours, url, provider, Order(limit=late), meter)
        moments = ground.moments(url, since)
    taken = [each for each in runs.memory(meter.samples, moments) if each[1]]
    early = next(mb for sent, mb in taken if sent >= EARLY)
    most, last = max(mb for _, mb in taken), taken[-1][1]
    facts = {"due": due, "sent": len(moments), "memory_mb": taken, "growth_mb": last - early}
    rows = [(f"{due:,}", f"{len(moments):,}", f"{most:.0f}", f"{early:.1f}", f"{last:.1f}", f"{last - early:+.1f}")]
    columns = ("due", "sent", "most MB", f"at the {EARLY:,}th", "at the last", "growth, MB")
    goals = (
        Goal("most memory, MB", MOST_MB, [most], at_most=True),
        Goal(f"growth from the {EARLY:,}th to the last, MB", FLAT_MB, [last - early], at_most=True),
    )
    return [Table("Goal 9: memory of dispatch", columns, rows, facts, goals=goals)]
