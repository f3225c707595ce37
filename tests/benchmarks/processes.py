"""What processes use, each with its descendants, as Linux counts it in /proc: CPU time and memory.

CPU time is that of the living ones and of those that ended and were waited for, which their parents' `cutime` and
`cstime` keep (proc_pid_stat(5)). So a PostgreSQL server is its postmaster with every backend and worker it ever had.
Resolution: a clock tick, 10 ms.
"""

from __future__ import annotations

import os
import subprocess
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
EVERY_S = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """The CPU seconds of each group up to a moment (seconds since the epoch), and the memory of the first, in MB.

    `busy` are the CPU seconds of the whole machine, what its host took away included.
    """

    at: float
    cpu: dict[str, float]
    memory_mb: float
    busy: float = 0.0


class Meter:
    """Follows groups of processes: `follow` them, `sample` now and then, ask what was `used` between two moments."""

    def __init__(self) -> None:
        self._roots: dict[str, list[int]] = {}
        self.samples: list[Sample] = []

    def follow(self, group: str, pid: int | None) -> None:
        """Count the process and its descendants to the group; nothing where `pid` is None: it runs elsewhere."""
        if pid is not None:
            self._roots.setdefault(group, []).append(pid)

    def sample(self) -> None:
        """Note what was used up to now."""
        cpu = {group: sum(map(cpu_seconds, pids)) for group, pids in self._roots.items()}
        first = next(iter(self._roots.values()), [])
        self.samples.append(Sample(time.time(), cpu, sum(map(memory_mb, first)), _busy()))

    def watch(self, processes: Sequence[subprocess.Popen[str]], patience_s: float) -> None:
        """Sample until all have ended; they are not waited for, so that the last sample has the whole of them."""
        until = time.monotonic() + patience_s
        while any(_is_running(each) for each in processes):
            if time.monotonic() > until:
                raise TimeoutError(f"not done within {patience_s:.0f} s: {processes[0].args!r}")
            self.sample()
            time.sleep(EVERY_S)
        self.sample()

    def used(self, began: float, ended: float) -> dict[str, float]:
        """Return the CPU seconds of each group between two moments, interpolated between the samples beside them."""
        known = {group: [(each.at, each.cpu[group]) for each in self.samples] for group in self._roots}
        return {group: at(points, ended) - at(points, began) for group, points in known.items()}

    def busy(self, began: float, ended: float) -> float:
        """Return the CPU seconds of the whole machine between two moments."""
        known = [(each.at, each.busy) for each in self.samples]
        return at(known, ended) - at(known, began)


def at(points: Sequence[tuple[float, float]], moment: float) -> float:
    """Return the value at a moment between (moment, value) points; before and after them that of the nearest."""
    after = bisect_left(points, (moment,))
    if after == 0 or after == len(points):
        return points[min(after, len(points) - 1)][1]
    (earlier, low), (later, high) = points[after - 1], points[after]
    return low + (high - low) * (moment - earlier) / (later - earlier)


def cpu_seconds(root: int) -> float:
    """Return what the process and its descendants have used, those that ended included."""
    return sum(sum(map(int, stat[11:15])) for pid in _tree(root) if (stat := _stat(pid))) / _TICKS


def memory_mb(root: int) -> float:
    """Return the resident memory of the process itself."""
    try:
        return int((PROC / str(root) / "statm").read_text().split()[1]) * _PAGE / 2**20
    except (OSError, IndexError):
        return 0.0


def parent(pid: int) -> int | None:
    """Return the parent of a process; None if it is not here."""
    stat = _stat(pid)
    return int(stat[1]) if stat else None


def child_named(name: str) -> int | None:
    """Return the child of this process whose program has that name."""
    return next((each for each in _children(os.getpid()) if command(each) == name), None)


def command(pid: int) -> str | None:
    """Return the name of a process's program."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def _busy() -> float:
    """Return what the machine's processors worked, or were kept from by the host: all of /proc/stat but idle times."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICKS


def _is_running(process: subprocess.Popen[str]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _tree(root: int) -> Iterator[int]:
    yield root
    for each in _children(root):
        yield from _tree(each)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:  # ended meanwhile: its parent has its time
        pass
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; the second may have spaces in it."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
