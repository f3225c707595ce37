"""Goal 6: a file of a million rows, one in a hundred bad, against a bare COPY of the same rows into the same table."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.benchmarks.ground import PEOPLE
from tests.benchmarks.processes import Meter
from tests.benchmarks.program import environment
from tests.benchmarks.report import Figure, Goal, Table, spread
from tests.benchmarks.runs import DATABASE, OWN, Place
from tests.support import campaign

COUNT = 1_000_000
PATIENCE_S = 1_800.0
REJECTED = 6
LEAST_RATIO, MOST_MB, FLAT_MB = 0.7, 150.0, 10.0
EARLY = 0.3

# In no order that an index has.
_OUT = "COPY (SELECT {names} FROM notifications ORDER BY md5(id)) TO STDOUT (FORMAT BINARY)"
_IN = "COPY notifications ({names}) FROM STDIN (FORMAT BINARY)"
_NAMES = "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = 'notifications'::regclass AND attnum > 0"


@dataclass(frozen=True, slots=True)
class _Import:
    """One run: rows a second of ours and of the bare COPY, memory and its growth in MB, CPU microseconds a row."""

    ours: float
    bare: float
    again: float
    memory_mb: float
    growth_mb: float
    own_us: float
    database_us: float


def measure(place: Place) -> list[Table]:
    """Import a file, import it again, and copy what came of it into the emptied table."""
    count = place.size(COUNT)
    file = place.folder / "campaign.csv"
    campaign.write(file, count, PEOPLE)
    found = [_measured(place, file, count) for _ in range(place.rounds)]
    ratios = [each.ours / each.bare for each in found]
    named = {
        "send -f": [each.ours for each in found],
        "bare COPY": [each.bare for each in found],
        "send -f again": [each.again for each in found],
    }
    rows = [(name, spread(values)) for name, values in named.items()]
    figures = [Figure(name, "rows a second", values) for name, values in named.items()]
    figures += [
        Figure("send -f, own CPU", "µs a row", [each.own_us for each in found]),
        Figure("send -f, the database's CPU", "µs a row", [each.database_us for each in found]),
    ]
    goals = (
        Goal("send -f to bare COPY", LEAST_RATIO, ratios),
        Goal("most memory, MB", MOST_MB, [each.memory_mb for each in found], at_most=True),
        Goal(f"growth behind the first {EARLY:.0%}, MB", FLAT_MB, [each.growth_mb for each in found], at_most=True),
    )
    facts = {"rows": count, "ratio": statistics.median(ratios)}
    notes = [f"{count:,} rows, each hundredth bad and told by its line; {PEOPLE:,} people; the process as a whole."]
    return [Table("Goal 6: a file of rows", ("what", "rows a second"), rows, facts, notes, figures, goals)]


def _measured(place: Place, file: Path, count: int) -> _Import:
    rejects = place.folder / "rejects.csv"
    with place.database(place.ours) as url:
        meter = Meter()
        took, cpu = _send(place, url, file, rejects, meter)
        if wrong := campaign.wrong(rejects, count):
            raise RuntimeError(f"rejected rows: {wrong[:3]}")
        again, _ = _send(place, url, file, rejects, Meter())
        stored, copied = _copied(url, place.folder / "copied")
    if stored != count - count // campaign.EVERY:
        raise RuntimeError(f"{stored:,} of {count:,} rows are stored")
    used = [each.memory_mb for each in meter.samples if each.memory_mb]
    early = max(used[: max(1, round(len(used) * EARLY))])
    per_row = {group: seconds / count * 1e6 for group, seconds in cpu.items()}
    return _Import(
        ours=stored / took,
        bare=stored / copied,
        again=count / again,
        memory_mb=max(used),
        growth_mb=max(used) - early,
        own_us=per_row[OWN],
        database_us=per_row.get(DATABASE, 0.0),
    )


def _send(place: Place, url: str, file: Path, rejects: Path, meter: Meter) -> tuple[float, dict[str, float]]:
    """Import the file; return the seconds and the CPU seconds of each group."""
    args = ("send", "-f", str(file), "--batch", "spring", "--rejects", str(rejects))
    began = time.time()
    running = subprocess.Popen(
        [place.ours.command, "-q", *args],
        env=environment(url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    meter.follow(OWN, running.pid)
    meter.follow(DATABASE, place.server.postmaster)
    meter.watch([running], PATIENCE_S)
    ended = time.time()
    _, said = running.communicate()
    if running.returncode != REJECTED:
        raise RuntimeError(f"send -f ended with exit code {running.returncode}: {said[-500:]}")
    return ended - began, meter.used(began, ended)


def _copied(url: str, file: Path) -> tuple[int, float]:
    """Copy all notifications out, and in again when the table is empty; return how many, and the seconds of that."""
    with psycopg.connect(url, autocommit=True) as conn:
        names = conn.execute(_NAMES).fetchone()
        assert names is not None
        with file.open("wb") as out, conn.cursor().copy(_OUT.format(names=names[0]).encode()) as copy:
            for piece in copy:
                out.write(piece)
        conn.execute("TRUNCATE notifications CASCADE")
        conn.execute("CHECKPOINT")
        began = time.perf_counter()
        with file.open("rb") as back, conn.cursor().copy(_IN.format(names=names[0]).encode()) as copy:
            while piece := back.read(1 << 18):
                copy.write(piece)
        took = time.perf_counter() - began
        stored = conn.execute("SELECT count(*) FROM notifications").fetchone()
        assert stored is not None
        return int(stored[0]), took
