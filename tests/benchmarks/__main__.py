"""`make bench`: prints each goal with its figure and writes them to a JSON file. Asserts nothing about time."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tabulate import tabulate

from tests.benchmarks import startup


def main() -> None:
    """Run every benchmark."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "bench-results.json")
    with tempfile.TemporaryDirectory() as folder:
        pairs = startup.measure(Path(folder))
    machine = {"python": platform.python_version(), "cpu": platform.machine(), "cores": os.cpu_count()}
    print(f"Start-up, on {machine['cores']} cores, Python {machine['python']}; median of pairs run in turn\n")
    print(
        tabulate(
            [
                (
                    each.name,
                    f"{each.command_ms:.0f}",
                    f"{each.yardstick_ms:.0f}",
                    f"{each.ratio:.2f}",
                    f"{each.spread[0]:.2f} to {each.spread[1]:.2f}",
                    f"{each.goal:.1f}",
                )
                for each in pairs
            ],
            ("command", "ms", "imports ms", "ratio", "spread", "goal"),
            disable_numparse=True,
        )
    )
    target.write_text(json.dumps({"machine": machine, "startup": [asdict(each) for each in pairs]}, indent=2) + "\n")
    print(f"\nwritten to {target}")


if __name__ == "__main__":
    main()
