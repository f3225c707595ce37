"""Whole processes timed in turn, so that a machine whose speed drifts slows both alike."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A command against a yardstick: median times in milliseconds, and the ratios, pair by pair, with their median."""

    name: str
    goal: float
    command_ms: float
    yardstick_ms: float
    ratio: float
    ratios: Sequence[float]


def pair(
    name: str, command: Sequence[str], yardstick: Sequence[str], *, goal: float, env: Mapping[str, str], runs: int
) -> Pair:
    """Time both `runs` times, in turn, after one run that does not count."""
    _elapsed(command, env)
    _elapsed(yardstick, env)
    times = [(_elapsed(command, env), _elapsed(yardstick, env)) for _ in range(runs)]
    ratios = [ours / theirs for ours, theirs in times]
    return Pair(
        name,
        goal,
        statistics.median(ours for ours, _ in times),
        statistics.median(theirs for _, theirs in times),
        statistics.median(ratios),
        ratios,
    )


def _elapsed(command: Sequence[str], env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=dict(env), check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1_000
