"""What a run found: tables for people, the same rows as JSON, and the machine they hold for."""

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


@dataclass(frozen=True)
class Table:
    """One goal's rows; each cell is text. `facts` holds the same as numbers, `notes` what a reader must know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    facts: Any
    notes: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """Return the table as it is printed."""
        grid = tabulate(self.rows, self.columns, disable_numparse=True)
        return "\n".join((self.title, "", grid, *self.notes, ""))


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
    parts = {name: [asdict(each) for each in found] for name, found in tables.items()}
    target.write_text(json.dumps({"machine": about, "parts": parts}, indent=2) + "\n")


def rate(values: Sequence[float]) -> str:
    """Return the median of rates, with the extremes."""
    return f"{statistics.median(values):,.0f}  ({min(values):,.0f} to {max(values):,.0f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of runs that were made in turn."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
