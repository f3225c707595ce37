"""Goals 1 and 2: how many a second go from the database through a provider and back, beside other systems.

The work is the same for all: read the row, post its payload, mark it sent. Ours also claims with a fence, asks the gate
and renders, on the full schema with all its indexes; the peers work on a small table with three.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.benchmarks import peer, runs, stub
from tests.benchmarks.program import Program
from tests.benchmarks.report import Figure, Goal, Table, ratios, short, spread
from tests.benchmarks.runs import GROUPS, Order, Place, Run
from tests.benchmarks.stub import Stub

IN_FLIGHT = 64
CELERY_PROCESSES = 4
POSTGRESQL, SQLITE = "notifyctl, PostgreSQL", "notifyctl, SQLite"
KEYS = ("ours", "sqlite", "baseline", "pgqueuer", "bullmq", "procrastinate", "celery", "bare")
TIMES_AS_FAST = {"PgQueuer": 6.0, "BullMQ": 3.0, "Procrastinate": 20.0, "Celery": 20.0}
OF_BARE, OF_POSTGRESQL, CPU_US = 0.4, 0.8, 150.0

System = Callable[[], Run]


def measure(place: Place) -> list[Table]:
    """Run everything in turn, every other round backwards."""
    only = frozenset(KEYS) if place.only is None else place.only | {"ours"}
    if only - {"ours", "sqlite", "baseline"}:
        peer.install()
    with stub.instant() as provider:
        done = in_turn(dict(_systems(place, provider, only)), place.rounds)
    title = f"Goals 1 and 2: dispatch rate, {IN_FLIGHT} in flight, answers at once"
    return [table(title, done, _goals(done), _notes(place, done, only))]


def in_turn(systems: Mapping[str, System], rounds: int) -> dict[str, list[Run]]:
    """Run all, as often as said, in turn and every other time backwards: a drift of the machine hits all alike."""
    done: dict[str, list[Run]] = {name: [] for name in systems}
    for number in range(rounds):
        for name in list(systems)[:: -1 if number % 2 else 1]:
            done[name].append(systems[name]())
    return done


def table(title: str, done: Mapping[str, Sequence[Run]], goals: Sequence[Goal], notes: Sequence[str]) -> Table:
    """Return rates and CPU times of systems, the first of them ours."""
    ours, *_ = done.values()
    rates = {name: [each.per_second for each in found] for name, found in done.items()}
    faster = {name: ratios([each.per_second for each in ours], found) for name, found in rates.items()}
    rows = [
        (
            name,
            spread(rates[name]),
            "" if found is ours else spread(faster[name]),
            *(_cell(found, group) for group in GROUPS),
            spread([each.us() for each in found]),
            "" if found is ours else spread(_cpu_ratios(ours, found)),
            spread([each.elsewhere for each in found]),
        )
        for name, found in done.items()
    ]
    facts = {
        name: {
            "per_second": rates[name],
            "ours_by_theirs": statistics.median(faster[name]),
            "cpu_ours_by_theirs": statistics.median(_cpu_ratios(ours, found)),
        }
        for name, found in done.items()
    }
    columns = (
        "system",
        "per second",
        "ours / theirs",
        "own",
        "database",
        "stub",
        "total µs",
        "ours / theirs",
        "cores elsewhere",
    )
    return Table(title, columns, rows, facts, notes, list(_figures(done)), goals)


def _cpu_ratios(ours: Sequence[Run], theirs: Sequence[Run]) -> list[float]:
    return ratios([each.us() for each in ours], [each.us() for each in theirs])


def _cell(found: Sequence[Run], group: str) -> str:
    known = [each.us(group) for each in found if group in each.cpu]
    return short(statistics.median(known)) if known else "-"


def _figures(done: Mapping[str, Sequence[Run]]) -> Iterator[Figure]:
    for name, found in done.items():
        yield Figure(f"{name}: rate", "notifications/s", [each.per_second for each in found])
        for group in found[0].cpu:
            yield Figure(f"{name}: CPU, {group}", "µs a notification", [each.us(group) for each in found])
        yield Figure(f"{name}: CPU, total", "µs a notification", [each.us() for each in found])
        yield Figure(f"{name}: used elsewhere meanwhile", "cores", [each.elsewhere for each in found])


def _systems(place: Place, provider: Stub, only: frozenset[str]) -> Iterator[tuple[str, System]]:
    yield POSTGRESQL, lambda: _ours(place, place.ours, provider)
    if "baseline" in only:
        for each in place.programs[1:]:
            yield each.name, lambda each=each: _ours(place, each, provider)  # type: ignore[misc]
    if "sqlite" in only:
        yield SQLITE, lambda: _ours(place, place.ours, provider, sqlite=True)
    server = place.server
    peers: dict[str, tuple[str, System]] = {
        "pgqueuer": ("PgQueuer", lambda: peer.pgqueuer(server, provider, place.size(10_000), IN_FLIGHT)),
        "bullmq": ("BullMQ", lambda: peer.bullmq(server, provider, place.size(20_000), IN_FLIGHT)),
        "procrastinate": ("Procrastinate", lambda: peer.procrastinate(server, provider, place.size(1_500), IN_FLIGHT)),
        "celery": ("Celery", lambda: peer.celery(server, provider, place.size(3_000), CELERY_PROCESSES)),
    }
    for key, (name, run) in peers.items():
        if key in only and not peer.lacking(name):
            yield name, run
    if "bare" in only:
        for client in peer.CLIENTS:
            yield (
                f"bare {client}",
                lambda client=client: peer.bare(client, provider, place.size(20_000), IN_FLIGHT),  # type: ignore[misc]
            )


def _ours(place: Place, program: Program, provider: Stub, *, sqlite: bool = False) -> Run:
    with place.database(program, sqlite=sqlite) as url:
        return runs.work_off(place, program, url, provider, place.size(20_000), Order(IN_FLIGHT))


def _goals(done: Mapping[str, Sequence[Run]]) -> list[Goal]:
    rates = {name: [each.per_second for each in found] for name, found in done.items()}
    ours = rates[POSTGRESQL]
    goals = [Goal("CPU µs a notification, all processes", CPU_US, [each.us() for each in done[POSTGRESQL]], True)]
    for name, times in TIMES_AS_FAST.items():
        if name in rates:
            goals.append(Goal(f"rate, to {name}", times, ratios(ours, rates[name])))
    if bare := [found for name, found in rates.items() if name.startswith("bare ")]:
        fastest = max(bare, key=statistics.median)
        goals.append(Goal("rate, to the fastest bare client", OF_BARE, ratios(ours, fastest)))
    if SQLITE in rates:
        goals.append(Goal("rate on SQLite, to PostgreSQL", OF_POSTGRESQL, ratios(rates[SQLITE], ours)))
    return goals


def _notes(place: Place, done: Mapping[str, Sequence[Run]], only: frozenset[str]) -> list[str]:
    notes = [
        f"The stub is {stub.name()}; its own limit is at least what the fastest bare client reaches.",
        f"The server, for all alike: {place.server.about()}.",
        "CPU µs a notification: own, the system's processes; database, PostgreSQL's, ended backends included, and Redis"
        " for BullMQ and Celery; stub. By /proc.",
        "Cores elsewhere: what others used of the machine meanwhile. Over half a core, CPU times move by a fifth,"
        " rates by half from round to round; more `--rounds` help.",
    ]
    for name in peer.NEEDS:
        if name.lower() in only and (missing := peer.lacking(name)):
            notes.append(f"{name}: not run, there is no {' and no '.join(missing)}.")
    if "Celery" in done:
        notes.append(f"Celery has {CELERY_PROCESSES} processes with one in flight each; with threads it is no faster.")
    return notes
