"""`make bench`: prints each goal with its figures and writes them to a JSON file. Asserts nothing about time.

`python -m tests.benchmarks [PART...] [--quick] [--output FILE]`; without a part all of them but `backlog-full`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import backlog, dispatching, ground, hanging, memory, pickup, report, scaling, slow, startup
from tests.benchmarks.adapters import measure as measure_adapters
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

PARTS: dict[str, Callable[[Place], list[Table]]] = {
    "startup": startup.measure,
    "adapters": measure_adapters,
    "dispatch": dispatching.measure,
    "slow": slow.measure,
    "hanging": hanging.measure,
    "scaling": scaling.measure,
    "backlog": backlog.measure,
    "pickup": pickup.measure,
    "memory": memory.measure,
}
ON_DEMAND: dict[str, Callable[[Place], list[Table]]] = {"backlog-full": backlog.measure_full}


def main() -> None:
    """Run the parts that were asked for, one after the other."""
    known = PARTS | ON_DEMAND
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, once: to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("bench-results.json"))
    given = parser.parse_args()
    if unknown := [each for each in given.parts if each not in known]:
        parser.error(f"no such part: {', '.join(unknown)}")
    about = report.machine()
    print(f"{about['cores']} cores, Python {about['python']}, load {about['load_before'][0]} before\n", flush=True)
    tables: dict[str, list[Table]] = {}
    with ground.server() as server, tempfile.TemporaryDirectory() as folder:
        about["database"] = server.about()
        for name in given.parts or PARTS:
            tables[name] = known[name](Place(server, Path(folder), given.quick))
            for table in tables[name]:
                print(table.text(), flush=True)
    report.write(given.output, about, tables)
    print(f"written to {given.output}")


if __name__ == "__main__":
    main()
