"""Goal 12, the other half: what a submission in SQL costs, and what a hint costs who commits at the same time."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.benchmarks.ground import CONTENT, PEOPLE
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import Place

COUNT, EACH, CLIENTS = 10_000, 500, 8
GOAL = 5_000.0
SAID = {name: value for name, value in CONTENT.items() if name != "v"}

_MANY = """
    SELECT count(*) FROM (
        SELECT (notifyctl_submit('person' || n %% %(people)s, 'email', %(said)s, key => 'k' || n)).id
        FROM generate_series(1, %(count)s) AS n OFFSET 0
    ) AS made
"""
_ONE = "SELECT notifyctl_submit(%(person)s, 'email', %(said)s, wake => %(wake)s)"

Way = Callable[[str, int], float]


def measure(place: Place) -> list[Table]:
    """Submit in one transaction, and in one for each by many clients, with hints and without."""
    ways: dict[str, tuple[Way, int]] = {
        "one transaction": (_in_one, COUNT),
        f"one transaction each, {CLIENTS} clients, waking": (lambda url, count: _in_many(url, count, wake=True), EACH),
        f"one transaction each, {CLIENTS} clients, wake => false": (
            lambda url, count: _in_many(url, count, wake=False),
            EACH,
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(place.rounds):
        for name, (way, full) in ways.items():
            with place.database(place.ours) as url:
                found[name].append(way(url, place.size(full)))
    rows = [(name, spread(rates), f"{1e6 / statistics.median(rates):,.0f}") for name, rates in found.items()]
    figures = [Figure(f"notifyctl_submit, {name}", "per second", rates) for name, rates in found.items()]
    goals = [Goal("submissions a second by notifyctl_submit in one transaction", GOAL, found["one transaction"])]
    notes = ["NOTIFY lets one transaction at a time commit; whoever hears it hesitates some milliseconds at least."]
    return [Table("Goal 12: submissions in SQL", ("what", "per second", "µs each"), rows, found, notes, figures, goals)]


def _in_one(url: str, count: int) -> float:
    with psycopg.connect(url) as conn:
        conn.execute(_ONE, _person(1, wake=True))  # what a session prepares once
        conn.commit()
        began = time.perf_counter()
        conn.execute(_MANY, {"people": PEOPLE, "said": Jsonb(SAID), "count": count})
        conn.commit()
        return count / (time.perf_counter() - began)


def _in_many(url: str, each: int, *, wake: bool) -> float:
    began: list[float] = []
    ready = threading.Barrier(CLIENTS, action=lambda: began.append(time.perf_counter()))

    def client(number: int) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(_ONE, _person(number, wake=wake))
            ready.wait()
            for _ in range(each):
                conn.execute(_ONE, _person(number, wake=wake))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(1, CLIENTS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * each / (time.perf_counter() - began[0])


def _person(number: int, *, wake: bool) -> dict[str, Any]:
    return {"person": f"person{number}", "said": Jsonb(SAID), "wake": wake}
