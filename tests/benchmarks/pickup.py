"""Goal 8: from the commit of a submission to the request at the provider, on an idle PostgreSQL."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from tests.benchmarks import stub
from tests.benchmarks.program import Program, provider_url
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import Place
from tests.benchmarks.stub import Stub

COUNT = 100
MEAN_MS, P99_MS = 4.2, 20.0
UNCOUNTED = 3
"""The first ones: the dispatcher may still have been starting."""


def measure(place: Place) -> list[Table]:
    """Submit one after the other, at random moments, to an idle dispatcher."""
    found: dict[str, list[list[float]]] = {each.name: [] for each in place.programs}
    for _ in range(place.rounds):
        for each in place.programs:
            found[each.name].append(_latencies(place, each, place.size(COUNT)))
    rows = [
        (name, *(spread([measure(each) for each in found_]) for measure in MEASURES.values()))
        for name, found_ in found.items()
    ]
    figures = [
        Figure(f"{name}: {what}", "ms", [measure(each) for each in found_])
        for name, found_ in found.items()
        for what, measure in MEASURES.items()
    ]
    ours = found[place.ours.name]
    goals = (
        Goal("mean, ms", MEAN_MS, [statistics.mean(each) for each in ours], at_most=True),
        Goal("p99, ms", P99_MS, [_p99(each) for each in ours], at_most=True),
    )
    title = f"Goal 8: pick-up, ms, of {place.size(COUNT)} submissions a round"
    return [Table(title, ("program", *MEASURES), rows, found, figures=figures, goals=goals)]


def _p99(values: Sequence[float]) -> float:
    """Return the value that a hundredth of the (ordered) values exceeds."""
    return values[max(0, -(-len(values) * 99 // 100) - 1)]


MEASURES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "p99": _p99,
    "longest": max,
}


def _latencies(place: Place, program: Program, count: int) -> list[float]:
    with stub.slow(0) as provider, place.database(program) as url:
        dispatcher = program.dispatch(url, urls=provider_url("sendgrid", provider.url))
        submitter = program.submitter(url)
        try:
            committed = _submit(submitter, provider, count)
            arrived = stub.seen(provider)
        finally:
            submitter.communicate()
            dispatcher.send_signal(signal.SIGTERM)
            dispatcher.wait(30)
    return sorted((arrived[id_] - moment) * 1_000 for id_, moment in committed.items())


def _submit(submitter: subprocess.Popen[str], provider: Stub, count: int) -> dict[str, float]:
    """Commit one at a time, and return when each was committed."""
    assert submitter.stdin is not None and submitter.stdout is not None
    committed: dict[str, float] = {}
    for number in range(count + UNCOUNTED):
        submitter.stdin.write("\n")
        submitter.stdin.flush()
        id_, moment, *_ = submitter.stdout.readline().split()
        until = time.monotonic() + 60
        while id_ not in stub.seen(provider):
            if time.monotonic() > until:
                raise RuntimeError("what was submitted is not sent")
            time.sleep(0.02)
        if number >= UNCOUNTED:
            committed[id_] = float(moment)
        time.sleep(random.uniform(0.01, 0.1))
    return committed
