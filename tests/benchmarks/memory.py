"""Goal 9: the memory of a dispatcher that has far more to do than it can hold."""

from __future__ import annotations

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

SECONDS = 12


def measure(place: Place) -> list[Table]:
    """Let it work for a while on a backlog it does not finish."""
    count = 100_000 if place.quick else 1_000_000
    with stub.instant() as url, ground.ours(place.server) as database:
        ground.fill(database, count)
        done = runs.finish(runs.start(database, url, seconds=SECONDS / (2 if place.quick else 1)))
    taken = done["memory_mb"]
    settled = taken[len(taken) // 4 :]
    facts = {"due": count, "sent": done["sent"], "memory_mb": taken, "growth_mb": settled[-1] - settled[0]}
    rows = [(f"{count:,}", f"{done['sent']:,}", f"{max(taken):.0f}", f"{facts['growth_mb']:+.1f}")]
    columns = ("due", "sent meanwhile", "most MB", "growth over the last three quarters, MB")
    return [Table("Goal 9: memory of dispatch (at most 120 MB, flat)", columns, rows, facts)]
