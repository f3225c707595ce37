"""`make bench`: prints each goal with its figures and writes them to a JSON file. Asserts nothing about time.

`python -m tests.benchmarks [PART...] [--against COMMIT] [--only SYSTEM,...] [--rounds N] [--quick] [--output FILE]`;
without a part all of them but `backlog-full`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    adapters,
    backlog,
    baseline,
    bouncing,
    dispatching,
    ground,
    hanging,
    importing,
    in_sql,
    memory,
    pickup,
    program,
    report,
    scaling,
    slow,
    startup,
    submitting,
    telling,
    templated,
    tls,
    wal,
)
from tests.benchmarks.program import Program
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

PARTS: dict[str, Callable[[Place], list[Table]]] = {
    "startup": startup.measure,
    "adapters": adapters.measure,
    "dispatch": dispatching.measure,
    "tls": tls.measure,
    "bouncer": bouncing.measure,
    "templates": templated.measure,
    "webhooks": telling.measure,
    "wal": wal.measure,
    "slow": slow.measure,
    "hanging": hanging.measure,
    "scaling": scaling.measure,
    "backlog": backlog.measure,
    "pickup": pickup.measure,
    "submit": submitting.measure,
    "submit-sql": in_sql.measure,
    "bulk": importing.measure,
    "memory": memory.measure,
}
ON_DEMAND: dict[str, Callable[[Place], list[Table]]] = {"backlog-full": backlog.measure_full}
NOBODY = "none"


def main() -> None:
    """Run the parts that were asked for, one after the other."""
    known = PARTS | ON_DEMAND
    given = _given(known)
    about = report.machine()
    print(f"{about['cores']} cores, Python {about['python']}, load {about['load_before'][0]} before", flush=True)
    programs = _programs(given.against)
    about["against"] = [each.name for each in programs[1:]]
    rounds = given.rounds or (1 if given.quick else 3)
    tables: dict[str, list[Table]] = {}
    with ground.server() as server, tempfile.TemporaryDirectory() as folder:
        about["database"] = server.about()
        for name in given.parts or PARTS:
            tables[name] = known[name](Place(programs, server, Path(folder), given.quick, rounds, given.only))
            for table in tables[name]:
                print(f"\n{table.text()}", flush=True)
            # After each part: one that fails later costs nobody the hours before it.
            report.write(given.output, about, tables)
    print(f"written to {given.output}")


def _given(known: dict[str, Callable[[Place], list[Table]]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        default=baseline.BASELINE,
        help=f"an earlier commit that does the same work in turn; {NOBODY}: without. [{baseline.BASELINE}]",
    )
    parser.add_argument(
        "--only", type=_systems, metavar="SYSTEM,...", help=f"of dispatch: {', '.join(dispatching.KEYS)}"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything runs, in turn [3]")
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, once: to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("bench-results.json"))
    given = parser.parse_args()
    if unknown := [each for each in given.parts if each not in known]:
        parser.error(f"no such part: {', '.join(unknown)}")
    return given


def _systems(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := names - set(dispatching.KEYS):
        raise argparse.ArgumentTypeError(f"no such system: {', '.join(sorted(unknown))}")
    return names


def _programs(against: str) -> list[Program]:
    """Return ours, and the earlier one where it can be had."""
    ours = program.ours()
    if against == NOBODY:
        return [ours]
    found = baseline.obtain(against)
    if isinstance(found, Program):
        return [ours, found]
    print(found, flush=True)
    return [ours]


if __name__ == "__main__":
    main()
