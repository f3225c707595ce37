"""Goal 4: two dispatchers on two cores against one, on the same backlog."""

from __future__ import annotations

from tests.benchmarks import runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT
from tests.benchmarks.report import Figure, Goal, Table, ratio, ratios, spread
from tests.benchmarks.runs import Order, Place

GOAL = 1.6
SHARE = 0.6
"""Of what was sent, the middle that counts: the dispatchers neither start nor end at the same moment."""


def measure(place: Place) -> list[Table]:
    """Run one, then two, in turn."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with stub.instant() as provider:
        for _ in range(place.rounds):
            for processes, found in rates.items():
                order = Order(IN_FLIGHT, processes, share=SHARE)
                with place.database(place.ours) as url:
                    count = place.size(20_000)
                    found.append(runs.work_off(place, place.ours, url, provider, count, order).per_second)
    by = ratio(rates[2], rates[1])
    rows = [(str(n), spread(found), "" if n == 1 else f"{by:.2f} ×") for n, found in rates.items()]
    note = "The stub and the database have the same cores: with two cores in all, they are the limit."
    figures = [Figure(f"{n} processes: rate", "notifications/s", found) for n, found in rates.items()]
    goal = Goal("rate of two processes, to one", GOAL, ratios(rates[2], rates[1]))
    facts = {"per_second": rates, "ratio": by}
    title = "Goal 4: two processes (the goal holds where neither stub nor database is the limit)"
    return [Table(title, ("processes", "per second", "ratio"), rows, facts, (note,), figures, (goal,))]
