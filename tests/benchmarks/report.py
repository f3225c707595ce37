"""What a run found: tables for people, the same as JSON with each round's values, and the machine they hold for."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, round by round."""

    what: str
    unit: str
    rounds: Sequence[float]

    def summary(self) -> dict[str, Any]:
        """Return it with its median and its spread."""
        median, spread = statistics.median(self.rounds), [min(self.rounds), max(self.rounds)]
        return {"what": self.what, "unit": self.unit, "rounds": list(self.rounds), "median": median, "spread": spread}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure shall reach: at least `bound`, or at most where `at_most` says so. Its median is judged."""

    what: str
    bound: float
    rounds: Sequence[float]
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the median keeps to the bound."""
        median = statistics.median(self.rounds)
        return median <= self.bound if self.at_most else median >= self.bound

    def summary(self) -> dict[str, Any]:
        """Return it with what was reached."""
        median, spread = statistics.median(self.rounds), [min(self.rounds), max(self.rounds)]
        bound = {"at_most" if self.at_most else "at_least": self.bound}
        return {"what": self.what, **bound, "median": median, "spread": spread, "met": self.is_met}

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of a printed line."""
        sign = "≤" if self.at_most else "≥"
        median, low, high = statistics.median(self.rounds), min(self.rounds), max(self.rounds)
        spread = f"{short(low)} to {short(high)}"
        return self.what, f"{sign} {short(self.bound)}", short(median), spread, "met" if self.is_met else "NOT met"


@dataclass(frozen=True, slots=True)
class Table:
    """What a part found; each cell is text. `facts` are the numbers in the part's own order, `notes` its conditions.

    `figures` hold every round, `goals` what was wanted.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    facts: Any
    notes: Sequence[str] = field(default_factory=tuple)
    figures: Sequence[Figure] = field(default_factory=tuple)
    goals: Sequence[Goal] = field(default_factory=tuple)

    def text(self) -> str:
        """Return the table as it is printed, the goals below it."""
        lines = [self.title, "", tabulate(self.rows, self.columns, disable_numparse=True)]
        if self.goals:
            columns = ("goal", "wanted", "median", "spread", "")
            lines += ["", tabulate([each.row() for each in self.goals], columns, disable_numparse=True)]
        return "\n".join((*lines, *self.notes, ""))

    def document(self) -> dict[str, Any]:
        """Return it for the JSON file."""
        summaries = {name: [each.summary() for each in getattr(self, name)] for name in ("figures", "goals")}
        return asdict(self) | summaries


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the program."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_before": [round(each, 1) for each in os.getloadavg()],
    }


def write(target: Path, about: dict[str, Any], tables: dict[str, list[Table]]) -> None:
    """Write everything as JSON."""
    parts = {name: [each.document() for each in found] for name, found in tables.items()}
    target.write_text(json.dumps({"machine": about, "parts": parts}, indent=2) + "\n")


def spread(values: Sequence[float]) -> str:
    """Return the median, with the extremes."""
    return f"{short(statistics.median(values))}  ({short(min(values))} to {short(max(values))})"


def short(value: float) -> str:
    """Return a number with as many digits as say something."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratios of runs that were made in turn, round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of those."""
    return statistics.median(ratios(ours, theirs))
