"""Goal 12: what a submission costs in a process that makes many, one transaction each."""

from __future__ import annotations

import statistics

from tests.benchmarks.program import Program
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import Place

COUNT, WARM = 500, 20
GOAL_US = 2_000.0


def measure(place: Place) -> list[Table]:
    """Submit one after the other, in turn with the earlier program."""
    found: dict[str, list[tuple[float, float]]] = {}
    notes = ["Each round is the median of its submissions, on PostgreSQL; nothing is dispatched meanwhile."]
    for _ in range(place.rounds):
        for each in place.programs:
            if (took := _us(place, each)) is not None:
                found.setdefault(each.name, []).append(took)
    notes += [
        f"{each.name}: left out, submitter.py is not written for its code."
        for each in place.programs
        if each.name not in found
    ]
    times = {name: [us for us, _ in rounds] for name, rounds in found.items()}
    cpu = {name: [us for _, us in rounds] for name, rounds in found.items()}
    rows = [(name, spread(us), f"{1e6 / statistics.median(us):,.0f}", spread(cpu[name])) for name, us in times.items()]
    figures = [Figure(f"{name}: submission", "µs each", us) for name, us in times.items()]
    figures += [Figure(f"{name}: submission, own CPU", "µs each", us) for name, us in cpu.items()]
    goals = [Goal("µs a submission", GOAL_US, times[place.ours.name], at_most=True)]
    columns = ("program", "µs each", "per second", "own CPU µs each")
    return [Table("Goal 12: submissions in one process", columns, rows, found, notes, figures, goals)]


def _us(place: Place, program: Program) -> tuple[float, float] | None:
    """Return the microseconds and CPU microseconds of a submission; None where an earlier program's code differs."""
    count = place.size(COUNT)
    with place.database(program) as url:
        submitter = program.submitter(url)
        out, _ = submitter.communicate("\n" * (count + WARM))
    if submitter.returncode and program is place.ours:
        raise RuntimeError(f"submitter.py ended with exit code {submitter.returncode}")
    if submitter.returncode:
        return None
    times = [tuple(map(float, line.split()[2:])) for line in out.splitlines()[WARM:]]
    took, used = (statistics.median(each) for each in zip(*times, strict=True))
    return took, used
