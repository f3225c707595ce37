"""What PgBouncer in transaction mode, where statements cannot stay prepared, adds to the CPU of a notification."""

from __future__ import annotations

import shutil

from tests.benchmarks import ground, processes, runs, stub
from tests.benchmarks.dispatching import IN_FLIGHT, System, in_turn
from tests.benchmarks.processes import Meter
from tests.benchmarks.program import Program
from tests.benchmarks.report import Figure, Goal, Table, ratios, spread
from tests.benchmarks.runs import GROUPS, Order, Place, Run
from tests.benchmarks.stub import Stub
from tests.reliability.bouncer import POOL, Bouncer

BOUNCER = "bouncer"
GOAL = 1.3


def measure(place: Place) -> list[Table]:
    """Run directly and through it, in turn."""
    if not (shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")):
        return [Table("Through PgBouncer", (), (), {}, ("Not run: PgBouncer is not installed here.",))]
    with stub.instant() as provider:
        systems: dict[str, System] = {}
        for each in place.programs:
            systems[f"{each.name}, direct"] = lambda each=each: _direct(place, each, provider)  # type: ignore[misc]
            systems[f"{each.name}, PgBouncer"] = lambda each=each: _bounced(place, each, provider)  # type: ignore[misc]
        done = in_turn(systems, place.rounds)
    return [_table(place, done)]


def _direct(place: Place, program: Program, provider: Stub) -> Run:
    with place.database(program) as url:
        return runs.work_off(place, program, url, provider, place.size(10_000), Order(IN_FLIGHT))


def _bounced(place: Place, program: Program, provider: Stub) -> Run:
    meter = Meter()
    with place.database(program) as url:
        ground.fill(url, place.size(10_000))
        with Bouncer(url) as bouncer:
            meter.follow(BOUNCER, processes.child_named("pgbouncer"))
            done = runs.send(place, program, url, provider, Order(IN_FLIGHT), meter, through=bouncer.url)
        if ground.left(url):
            raise RuntimeError(f"{program.name} did not send all through PgBouncer")
    return done


def _table(place: Place, done: dict[str, list[Run]]) -> Table:
    rows, figures, costs = [], [], {}
    for each in place.programs:
        direct, bounced = done[f"{each.name}, direct"], done[f"{each.name}, PgBouncer"]
        costs[each.name] = ratios(
            *([run.us(*(set(GROUPS) & set(run.cpu))) for run in found] for found in (bounced, direct))
        )
        for how, found in (("direct", direct), ("PgBouncer", bounced)):
            groups = {group: [run.us(group) for run in found] for group in (*GROUPS, BOUNCER) if group in found[0].cpu}
            figures += [Figure(f"{each.name}, {how}: CPU, {g}", "µs a notification", us) for g, us in groups.items()]
            cells = [spread(groups[group]) if group in groups else "-" for group in (*GROUPS, BOUNCER)]
            compared = spread(costs[each.name]) if found is bounced else ""
            rate = spread([run.per_second for run in found])
            rows.append((f"{each.name}, {how}", rate, *cells, compared))
    columns = ("way", "per second", "own µs", "database µs", "stub µs", "PgBouncer µs", "CPU, to direct")
    note = f"To direct: without PgBouncer's own time. Its pool has {POOL} connections."
    goal = Goal("CPU a notification through PgBouncer, to direct", GOAL, costs[place.ours.name], at_most=True)
    return Table(
        "Through PgBouncer in transaction mode", columns, rows, {"to_direct": costs}, (note,), figures, (goal,)
    )
