"""Goal 9: the memory of a dispatcher that has far more to do than it can hold."""

from __future__ import annotations

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

EARLY, LATE = 20_000, 200_000


def measure(place: Place) -> list[Table]:
    """Let it work on a backlog that it does not finish, and compare its memory early on with that much later."""
    due, late = (100_000, EARLY * 2) if place.quick else (1_000_000, LATE)
    with stub.instant() as url, ground.ours(place.server) as database:
        ground.fill(database, due)
        done = runs.finish(runs.start(database, url, limit=late))
    taken = done["memory_mb"]
    early = next(mb for sent, mb in taken if sent >= EARLY)
    most, last = max(mb for _, mb in taken), taken[-1][1]
    facts = {"due": due, "sent": done["sent"], "memory_mb": taken, "growth_mb": last - early}
    rows = [(f"{due:,}", f"{done['sent']:,}", f"{most:.0f}", f"{early:.1f}", f"{last:.1f}", f"{last - early:+.1f}")]
    columns = ("due", "sent", "most MB", f"at the {EARLY:,}th", "at the last", "growth, MB")
    return [Table("Goal 9: memory of dispatch (at most 120 MB, flat)", columns, rows, facts)]
