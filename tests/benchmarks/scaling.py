"""Goal 4: two dispatchers on two cores against one, on the same backlog."""

from __future__ import annotations

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table, rate, ratio
from tests.benchmarks.runs import Place

IN_FLIGHT = 64


def measure(place: Place) -> list[Table]:
    """Run one, then two, in turn."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with stub.instant() as url:
        for _ in range(place.rounds):
            for processes in rates:
                rates[processes].append(_run(place, url, processes))
    by = ratio(rates[2], rates[1])
    rows = [(str(n), rate(found), "" if n == 1 else f"{by:.2f} ×") for n, found in rates.items()]
    note = "The stub and the database have the same cores: with two cores in all, they are the limit."
    return [
        Table(
            "Goal 4: two processes (1.6 × one, where neither stub nor database is the limit)",
            ("processes", "per second", "ratio"),
            rows,
            {"per_second": rates, "ratio": by},
            (note,),
        )
    ]


def _run(place: Place, url: str, processes: int) -> float:
    count = place.size(20_000)
    with ground.ours(place.server) as database:
        ground.fill(database, count)
        done = [runs.finish(each) for each in [runs.start(database, url, IN_FLIGHT) for _ in range(processes)]]
        assert sum(each["sent"] for each in done) == count
    return float(count / max(each["seconds"] for each in done))
