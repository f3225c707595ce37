"""Goal 3: slow providers. 50 ms answers and 1,000 in flight could give 20,000 a second; a full core ends it sooner."""

from __future__ import annotations

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

DELAY_MS = 50
IN_FLIGHT = (20, 50, 100, 200, 1_000)
SECONDS = 4


def measure(place: Place) -> list[Table]:
    """Run with ever more in flight."""
    facts = []
    with stub.slow(DELAY_MS) as url:
        for width in IN_FLIGHT:
            ideal = width * 1_000 / DELAY_MS
            count = place.size(int(min(ideal, 5_000) * SECONDS))
            with ground.ours(place.server) as database:
                done = runs.ours(database, url, count, width)
            reached = done["sent"] / done["seconds"]
            core = done["cpu_seconds"] / done["seconds"]
            facts.append({"in_flight": width, "ideal": ideal, "per_second": reached, "cores": core})
    rows = [
        (
            str(each["in_flight"]),
            f"{each['ideal']:,.0f}",
            f"{each['per_second']:,.0f}",
            f"{each['per_second'] / each['ideal']:.2f}",
            f"{each['cores']:.2f}",
        )
        for each in facts
    ]
    title = f"Goal 3: slow provider, {DELAY_MS} ms answers (0.9 of in flight / latency until a core is full)"
    return [Table(title, ("in flight", "possible/s", "reached/s", "ratio", "cores used"), rows, facts)]
