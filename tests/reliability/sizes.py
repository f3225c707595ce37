"""How much of it: a little on every run, all of it in the full one. And what came out, for the summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

PROPERTY = "reliability"

Tell = Callable[[str, Mapping[str, object]], None]
"""Takes an invariant's number and name, and its counts."""


def sizes(small: Any, full: Any) -> pytest.MarkDecorator:
    """Run the test with `size` = small, and marked `full` with the other."""
    return pytest.mark.parametrize(
        "size", [pytest.param(small, id="small"), pytest.param(full, id="full", marks=_FULL)]
    )


_FULL = pytest.mark.full


def summarize(terminal: pytest.TerminalReporter) -> None:
    """Print every invariant with its counts, after all the tests."""
    lines = [
        (*value, "passed" if outcome == "passed" else "FAILED")
        for outcome in ("passed", "failed")
        for report in terminal.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    ]
    if not lines:
        return
    terminal.section("reliability")
    for invariant, case, counts, outcome in sorted(set(lines), key=lambda line: (_number(line[0]), line)):
        terminal.write_line(f"{invariant:<34} {outcome:<7} {case:<18} {counts}")


def _number(invariant: str) -> int:
    digits = invariant.split(" ", 1)[0]
    return int(digits) if digits.isdigit() else 99


def written(counts: Mapping[str, object]) -> str:
    """Return counts on one line."""
    return " · ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in counts.items()
    )
