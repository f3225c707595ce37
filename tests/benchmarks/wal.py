"""Goal 13: how much PostgreSQL writes to its log for a notification, from the claim to the recorded answer."""

from __future__ import annotations

import psycopg

from tests.benchmarks import ground, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT
from tests.benchmarks.program import Program
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import Order, Place
from tests.benchmarks.stub import Stub

KIB = 1.8
AFTER, STEADY = "right after a checkpoint", "no checkpoint since the rows were written"


def measure(place: Place) -> list[Table]:
    """Run with whole pages in the log, as every server in life has it."""
    before = place.server.set("full_page_writes", "on") if place.server.is_own else ""
    try:
        found = _rounds(place)
    finally:
        if before:
            place.server.set("full_page_writes", before)
    rows = [(name, how, spread(kib)) for (name, how), kib in found.items()]
    figures = [Figure(f"{name}, {how}: WAL", "KiB a notification", kib) for (name, how), kib in found.items()]
    goal = Goal(f"WAL KiB a notification, {STEADY}", KIB, found[place.ours.name, STEADY], at_most=True)
    note = "By pg_current_wal_insert_lsn(); the first change of a page after a checkpoint writes the whole page."
    facts = [{"program": name, "when": how, "kib": kib} for (name, how), kib in found.items()]
    columns = ("program", "when", "KiB a notification")
    return [Table("Goal 13: WAL", columns, rows, facts, (note,), figures, (goal,))]


def _rounds(place: Place) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    with stub.instant() as provider:
        for _ in range(place.rounds):
            for each in place.programs:
                for how in (AFTER, STEADY):
                    found.setdefault((each.name, how), []).append(_kib(place, each, provider, checkpoint=how == AFTER))
    return found


def _kib(place: Place, program: Program, provider: Stub, *, checkpoint: bool) -> float:
    count = place.size(10_000)
    with place.database(program) as url:
        ground.fill(url, count, checkpoint=checkpoint)
        before = _position(url)
        done = runs.send(place, program, url, provider, Order(IN_FLIGHT))
        written = _position(url) - before
        if ground.left(url):
            raise RuntimeError(f"{program.name} sent {done.sent} of {count}")
    return written / count / 1_024


def _position(url: str) -> int:
    """Return how many bytes the server's log has had so far."""
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])
