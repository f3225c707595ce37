"""What docs/performance.md quotes of the committed results: `python -m tests.benchmarks.quoted` prints the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
FULL = 1_000
"""Calls in flight that would take more than a core."""
STARTS = {
    "notifyctl --help": "`notifyctl --help`, to `python -c 'import typer'`",
    "users list (SQLite)": "`notifyctl users list` on SQLite, to `python -c 'import typer, sqlalchemy'`",
    "send (SQLite)": "`notifyctl send`, to the same",
    "send with an API key (SQLite)": "`notifyctl send` with an API key, to without",
    "dispatch --once, nothing due": "`notifyctl dispatch --once` with nothing due, to the same",
}


def table(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table: ratios only, since machines differ."""
    facts = {name: tables[0]["facts"] for name, tables in results["parts"].items()}
    return [
        "| what, to what | ratio |",
        "| --- | --- |",
        *(f"| {what} | {ratio:.2f} |" for what, ratio in _rows(facts)),
    ]


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, float]]:
    systems = facts["dispatch"]
    by = [
        (
            f"notifications a second, one process on PostgreSQL, to {name} at the same work",
            systems[name]["ours_by_theirs"],
        )
        for name in ("PgQueuer", "BullMQ", "Procrastinate", "Celery")
        if name in systems
    ]
    costs, slow = facts["backlog"], [each for each in facts["slow"] if each["program"] == "notifyctl"]
    return [
        *by,
        ("the same on SQLite, to PostgreSQL", 1 / systems["notifyctl, SQLite"]["ours_by_theirs"]),
        ("two processes on two cores, to one", facts["scaling"]["ratio"]),
        *(
            (f"{each['in_flight']} in flight, answers after 50 ms, to what that makes possible", median(each["share"]))
            for each in slow
            if each["in_flight"] < FULL
        ),
        ("e-mail while every SMS hangs for 20 s, to e-mail alone", facts["hanging"]["ratio"]),
        *(
            (f"{what} a notification, beside 700,000 notifications to beside 10,000", _growth(cost))
            for what, cost in costs.items()
        ),
        *facts["templates"].items(),
        (
            "notifications a second with one webhook that is told of all, to without",
            facts["webhooks"]["no webhook"]["ours_by_theirs"],
        ),
        ("rows a second of `send -f` into PostgreSQL, to a bare COPY of the same", facts["bulk"]["ratio"]),
        *((STARTS[each["name"]], each["ratio"]) for each in facts["startup"]),
    ]


def _growth(small_and_large: Sequence[float]) -> float:
    small, large = small_and_large
    return large / small


if __name__ == "__main__":
    print("\n".join(table(json.loads(RESULTS.read_text()))))
