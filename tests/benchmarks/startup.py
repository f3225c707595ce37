"""How long a command takes before it does anything, against what importing its libraries costs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.program import Program, environment
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import Place
from tests.benchmarks.timing import Pair, pair

TYPER = (sys.executable, "-c", "import typer")
TYPER_AND_SQLALCHEMY = (sys.executable, "-c", "import typer, sqlalchemy")
SEND = ("send", "anna", "--channel", "email", "--subject", "Your parcel", "--body", "Hello")
COMMANDS = {
    "notifyctl --help": (("--help",), TYPER, 1.2),
    "users list (SQLite)": (("users", "list"), TYPER_AND_SQLALCHEMY, 1.2),
    "dispatch --once, nothing due": (("dispatch", "--once"), TYPER_AND_SQLALCHEMY, 1.5),
    "send (SQLite)": (SEND, TYPER_AND_SQLALCHEMY, 1.6),
}
WITH_KEY, WITH_KEY_GOAL = "send with an API key (SQLite)", 1.2


def measure(place: Place) -> list[Table]:
    """Time each command against its yardstick."""
    url = f"sqlite:///{place.folder / 'startup.db'}"
    env = environment(url) | {"HOME": str(place.folder)}
    times = 5 if place.quick else 15
    command = place.ours.command
    key = _prepare(place.ours, url, place.folder / "startup.key")
    pairs = [
        pair(name, [command, *arguments], yardstick, goal=goal, env=env, runs=times)
        for name, (arguments, yardstick, goal) in COMMANDS.items()
    ]
    plain = ("env", command, *SEND)  # both by env, so that the same is started
    keyed = ("env", f"NOTIFYCTL_API_KEY={key}", command, *SEND)
    pairs.append(pair(WITH_KEY, keyed, plain, goal=WITH_KEY_GOAL, env=env, runs=times))
    return [_table(pairs)]


def _table(pairs: list[Pair]) -> Table:
    rows = [(each.name, f"{each.command_ms:.0f}", f"{each.yardstick_ms:.0f}", spread(each.ratios)) for each in pairs]
    columns = ("command", "ms", "imports ms", "ratio")
    title = "Goal 7: start-up; median of pairs run in turn"
    figures = [Figure(f"{each.name}, to its imports", "", each.ratios) for each in pairs]
    goals = [Goal(each.name, each.goal, each.ratios, at_most=True) for each in pairs]
    return Table(title, columns, rows, [asdict(each) for each in pairs], figures=figures, goals=goals)


def _prepare(program: Program, url: str, file: Path) -> str:
    """Set up a database; return an API key, whose user's calls are counted."""
    program.run(url, "migrate", "up")
    program.run(url, "users", "create", "anna", "--email", "anna@example.org")
    program.run(
        url, "providers", "add", "sendgrid", "--api-key", "-", "--set", "from=alerts@example.com", stdin="SG.bench"
    )
    program.run(url, "limits", "set", "anna", "--type", "api", "--per-minute", "100000")
    program.run(url, "keys", "create", "anna", "--name", "bench", "--secret-file", str(file))
    return file.read_text().strip()
