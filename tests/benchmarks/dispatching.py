"""Goals 1 and 2: how many a second go from the database through a provider and back, beside other systems.

The work is the same for all: read the row, post its payload, mark it sent. Ours also claims with a fence, asks the gate
and renders, on the full schema with all its indexes; the peers work on a small table with three.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable

from tests.benchmarks import ground, peer, runs, stub
from tests.benchmarks.report import Table, rate, ratio
from tests.benchmarks.runs import Place

IN_FLIGHT = 64
CELERY_PROCESSES = 4
POSTGRESQL, SQLITE = "notifyctl, PostgreSQL", "notifyctl, SQLite"


def measure(place: Place) -> list[Table]:
    """Run everything in turn."""
    peer.install()
    with stub.instant() as url:
        systems = _systems(place, url)
        rates: dict[str, list[float]] = defaultdict(list)
        cpu: dict[str, list[float]] = defaultdict(list)
        for _ in range(place.rounds):
            for name, run in systems.items():
                sent, seconds, cpu_seconds = run()
                rates[name].append(sent / seconds)
                if cpu_seconds is not None:
                    cpu[name].append(cpu_seconds / sent * 1e6)
    notes = [f"The stub is {stub.name()}; its own limit is at least what the fastest bare client reaches."]
    notes.append(f"The server, for all alike: {place.server.about()}.")
    for name in peer.NEEDS:
        if missing := peer.lacking(name):
            notes.append(f"{name}: not run, there is no {' and no '.join(missing)}.")
    if "Celery" in rates:
        notes.append(f"Celery has {CELERY_PROCESSES} processes with one in flight each; with threads it is no faster.")
    notes.append(
        "Goals: 6 × PgQueuer, 4 × BullMQ, 20 × Celery and Procrastinate, 0.4 × the fastest bare client;"
        " SQLite 0.6 × PostgreSQL."
    )
    return [_table(rates, cpu, notes)]


def _systems(place: Place, url: str) -> dict[str, Callable[[], tuple[int, float, float | None]]]:
    def us(sqlite: bool) -> tuple[int, float, float | None]:
        with ground.ours_sqlite(place.folder) if sqlite else ground.ours(place.server) as database:
            done = runs.ours(database, url, place.size(20_000), IN_FLIGHT)
        return done["sent"], done["seconds"], done["cpu_seconds"]

    def them(run: peer.Run) -> tuple[int, float, float | None]:
        return run.sent, run.seconds, run.cpu_seconds

    systems: dict[str, Callable[[], tuple[int, float, float | None]]] = {
        POSTGRESQL: lambda: us(sqlite=False),
        SQLITE: lambda: us(sqlite=True),
        "PgQueuer": lambda: them(peer.pgqueuer(place.server, url, place.size(10_000), IN_FLIGHT)),
        "Procrastinate": lambda: them(peer.procrastinate(place.server, url, place.size(1_500), IN_FLIGHT)),
    }
    if not peer.lacking("BullMQ"):
        systems["BullMQ"] = lambda: them(peer.bullmq(place.server, url, place.size(20_000), IN_FLIGHT))
    if not peer.lacking("Celery"):
        systems["Celery"] = lambda: them(peer.celery(place.server, url, place.size(3_000), CELERY_PROCESSES))
    for client in peer.CLIENTS:
        name = f"bare {client}"
        systems[name] = lambda client=client: them(peer.bare(client, url, place.size(20_000), IN_FLIGHT))  # type: ignore[misc]
    return systems


def _table(rates: dict[str, list[float]], cpu: dict[str, list[float]], notes: list[str]) -> Table:
    ours = rates[POSTGRESQL]
    ratios = {name: ratio(ours, theirs) for name, theirs in rates.items()}
    rows = [
        (
            name,
            rate(found),
            _compared(name, ratios[name]),
            f"{statistics.median(cpu[name]):.0f}" if name in cpu else "-",
        )
        for name, found in rates.items()
    ]
    facts = {
        name: {"per_second": found, "ours_by_theirs": ratios[name], "cpu_us_each": cpu.get(name)}
        for name, found in rates.items()
    }
    title = f"Goals 1 and 2: dispatch rate, {IN_FLIGHT} in flight, answers at once"
    return Table(title, ("system", "per second", "ours / theirs", "CPU µs each"), rows, facts, notes)


def _compared(name: str, ours_by_theirs: float) -> str:
    if name == POSTGRESQL:
        return ""
    return f"SQLite / PostgreSQL {1 / ours_by_theirs:.2f} ×" if name == SQLITE else f"{ours_by_theirs:.2f} ×"
