"""Thousands of schedules of the pure core: whatever is delayed, killed or lost, the invariants hold.

A failure names its seed; `NOTIFYCTL_TEST_SEED=12345 pytest tests/reliability/test_simulation.py -k replay` repeats it.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from tests.reliability.simulation import Safeguards, Simulation, Violation
from tests.reliability.sizes import Tell, sizes

SEED = "NOTIFYCTL_TEST_SEED"


@sizes(1_000, 20_000)
def test_no_schedule_breaks_an_invariant(tell: Tell, size: int) -> None:
    """Nothing lost, no unadmitted duplicate, one end each, no send without a lease, no permit too many."""
    total: Counter[str] = Counter()
    for seed in range(size):
        total += Simulation(seed).run()
    tell("simulation", {"schedules": size, **dict(sorted(total.items()))})
    assert min(total[name] for name in ("killed", "leases expired", "refused writes", "repeated", "failed")) > 0


def test_a_schedule_replays() -> None:
    """The same seed is the same world, to the last event; NOTIFYCTL_TEST_SEED chooses it."""
    seed = int(os.environ.get(SEED, "7"))
    assert Simulation(seed).run() == Simulation(seed).run()


@pytest.mark.parametrize("safeguard", ["fence", "margin", "letters"])
def test_the_simulation_can_fail(tell: Tell, safeguard: str) -> None:
    """With any safeguard switched off some schedule goes wrong, and the same one again when it is replayed."""
    without = replace(Safeguards(), **{safeguard: False})
    for seed in range(500):
        try:
            Simulation(seed, without).run()
        except Violation as first:
            with pytest.raises(Violation, match=f"seed {seed},") as again:
                Simulation(seed, without).run()
            assert str(again.value) == str(first)
            tell(f"proof: simulation without {safeguard}", {"red after schedules": seed + 1})
            return
    pytest.fail(f"500 schedules without {safeguard}, and nothing went wrong")
