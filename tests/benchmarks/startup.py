"""How long a command takes before it does anything, against what importing its libraries costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import runs
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place
from tests.benchmarks.timing import Pair, pair

TYPER = (sys.executable, "-c", "import typer")
TYPER_AND_SQLALCHEMY = (sys.executable, "-c", "import typer, sqlalchemy")


def measure(place: Place) -> list[Table]:
    """Time each command against its yardstick."""
    program = shutil.which("notifyctl", path=str(Path(sys.executable).parent)) or "notifyctl"
    env = runs.environment(f"sqlite:///{place.folder / 'startup.db'}") | {"HOME": str(place.folder)}
    times = 5 if place.quick else 15
    _prepare(program, env)
    pairs = [
        pair("notifyctl --help", [program, "--help"], TYPER, goal=1.3, env=env, runs=times),
        pair("users list (SQLite)", [program, "users", "list"], TYPER_AND_SQLALCHEMY, goal=1.4, env=env, runs=times),
        pair(
            "dispatch --once, nothing due",
            [program, "dispatch", "--once"],
            TYPER_AND_SQLALCHEMY,
            goal=1.8,
            env=env,
            runs=times,
        ),
    ]
    return [_table(pairs)]


def _table(pairs: list[Pair]) -> Table:
    rows = [
        (
            each.name,
            f"{each.command_ms:.0f}",
            f"{each.yardstick_ms:.0f}",
            f"{each.ratio:.2f}",
            f"{each.spread[0]:.2f} to {each.spread[1]:.2f}",
            f"{each.goal:.1f}",
        )
        for each in pairs
    ]
    columns = ("command", "ms", "imports ms", "ratio", "spread", "goal")
    title = "Goal 7: start-up; median of pairs run in turn"
    return Table(title, columns, rows, [asdict(each) for each in pairs])


def _prepare(program: str, env: dict[str, str]) -> None:
    def run(*args: str, stdin: str | None = None) -> None:
        subprocess.run([program, *args], env=env, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)

    run("-q", "migrate", "up")
    run("users", "create", "anna", "--email", "anna@example.org")
    run("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.com", stdin="SG.bench")
