"""Goal 5: a notification costs the database the same with millions of rows as with thousands."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import psycopg

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT
from tests.benchmarks.report import Figure, Goal, Table, ratios, spread
from tests.benchmarks.runs import DATABASE, Order, Place
from tests.benchmarks.stub import Stub

SMALL = (10_000, 0)
LARGE = (200_000, 500_000)
FULL = (2_000_000, 5_000_000)
EACH = 2_000
FLUSHED_S = 0.5
_PAGES = """
    SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0))
    FROM pg_statio_user_tables
"""


class Cost(NamedTuple):
    """What a notification took of the database: pages that were touched, CPU, and time of the whole pipeline."""

    pages: float
    cpu_us: float
    us: float


NAMES = ("pages touched", "database CPU, µs", "time, µs")
GOALS = {"pages touched": 1.3, "database CPU, µs": 2.0, "time, µs": 2.0}


def measure(place: Place, sizes: tuple[int, int] | None = None) -> list[Table]:
    """Work off some of a small and of a large table; `sizes` are the pending and the sent rows."""
    pending, done = sizes or LARGE
    if place.quick:
        pending, done = pending // 10, done // 10
    with place.database(place.ours) as small, place.database(place.ours) as large, stub.instant() as provider:
        ground.fill(small, *SMALL)
        ground.fill(large, pending, done)
        costs: dict[str, list[Cost]] = {"small": [], "large": []}
        for _ in range(place.rounds):
            for name, url in (("small", small), ("large", large)):
                costs[name].append(_cost(place, url, provider))
    title = f"Goal 5: {pending:,} pending and {done:,} sent rows against {SMALL[0]:,}, after a checkpoint"
    note = f"The goal's own size, {FULL[0]:,} and {FULL[1]:,}, is filled in many minutes: `backlog-full`."
    return [_table(title, costs["small"], costs["large"], () if sizes else (note,))]


def measure_full(place: Place) -> list[Table]:
    """Do the same at the goal's own size."""
    return measure(place, FULL)


def _cost(place: Place, url: str, provider: Stub) -> Cost:
    count = min(EACH, SMALL[0] // place.rounds)
    before = _pages(url)
    done = runs.send(place, place.ours, url, provider, Order(IN_FLIGHT, limit=count))
    time.sleep(FLUSHED_S)  # a session adds what it counted when it has ended
    cpu = done.us(DATABASE) if DATABASE in done.cpu else float("nan")
    return Cost((_pages(url) - before) / count, cpu, 1e6 / done.per_second)


def _pages(url: str) -> int:
    """Return how many pages of all tables and their indexes were touched so far."""
    with psycopg.connect(url) as conn:
        row = conn.execute(_PAGES).fetchone()
    assert row is not None
    return int(row[0])


def _table(title: str, small: Sequence[Cost], large: Sequence[Cost], notes: Sequence[str]) -> Table:
    columns = list(zip(NAMES, zip(*small, strict=True), zip(*large, strict=True), strict=True))
    rows = [(name, spread(few), spread(many), spread(ratios(many, few))) for name, few, many in columns]
    facts = {name: (statistics.median(few), statistics.median(many)) for name, few, many in columns}
    figures = [
        Figure(f"{name}, {which}", "a notification", values)
        for name, few, many in columns
        for which, values in (("small", few), ("large", many))
    ]
    goals = [Goal(f"{name}, large to small", GOALS[name], ratios(many, few), True) for name, few, many in columns]
    return Table(title, ("per notification", "small", "large", "ratio"), rows, facts, notes, figures, goals)
