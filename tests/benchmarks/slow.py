"""Goal 3: slow providers. 50 ms answers and 1,000 in flight could give 20,000 a second; a full core ends it sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.benchmarks import runs, stub
from tests.benchmarks.report import Figure, Goal, Table, short, spread
from tests.benchmarks.runs import OWN, Order, Place, Run
from tests.benchmarks.stub import Stub

DELAY_MS = 50
IN_FLIGHT = (20, 200, 1_000)
JUDGED, GOAL = 200, 0.95
SECONDS = 5
MOST_PER_SECOND = 6_000
SHARE = 0.8
"""Of what was sent, the middle that counts: at the beginning and at the end fewer are in flight."""

Found = Mapping[tuple[str, int], Sequence[Run]]


def measure(place: Place) -> list[Table]:
    """Run with ever more in flight."""
    found: dict[tuple[str, int], list[Run]] = {}
    with stub.slow(DELAY_MS) as provider:
        for _ in range(place.rounds):
            for width in IN_FLIGHT:
                for each in place.programs:
                    with place.database(each) as url:
                        order = Order(width, share=SHARE)
                        run = runs.work_off(place, each, url, provider, _count(place, width), order)
                    found.setdefault((each.name, width), []).append(run)
    return [_table(place, found, provider)]


def _count(place: Place, width: int) -> int:
    return place.size(int(min(_possible(width), MOST_PER_SECOND) * SECONDS))


def _possible(width: int) -> float:
    return width * 1_000 / DELAY_MS


def _table(place: Place, found: Found, provider: Stub) -> Table:
    parts = {key: [run.per_second / _possible(key[1]) for run in runs_] for key, runs_ in found.items()}
    rows = [
        (
            name,
            str(width),
            short(_possible(width)),
            spread([run.per_second for run in runs_]),
            spread(parts[name, width]),
            spread([run.cpu[OWN] / (run.ended - run.began) for run in runs_]),
        )
        for (name, width), runs_ in found.items()
    ]
    facts = [
        {"program": name, "in_flight": width, "possible": _possible(width), "share": share}
        for (name, width), share in parts.items()
    ]
    figures = [
        Figure(f"{name}, {width} in flight: share of what is possible", "", share)
        for (name, width), share in parts.items()
    ]
    goal = Goal(f"share of what {JUDGED} in flight make possible", GOAL, parts[place.ours.name, JUDGED])
    title = f"Goal 3: slow provider, {DELAY_MS} ms answers"
    columns = ("program", "in flight", "possible/s", "reached/s", "share", "own cores")
    return Table(title, columns, rows, facts, figures=figures, goals=(goal,))
