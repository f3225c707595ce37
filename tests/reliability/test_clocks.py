"""A clock that is put forward and back while dispatchers work."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import update

from notifyctl.store.schema.tables import notifications, provider_configs
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes

STEP_MS = 2 * 3_600_000
STEPS = (STEP_MS, 0, -STEP_MS, 0)
AT_ONCE = 50


@sizes(4, 400)
def test_25_a_clock_that_steps(scene: Scene, tell: Tell, size: int) -> None:
    """By two hours, forward and back, with calls in flight: nothing goes out twice, and a rate limit stops nothing.

    Put forward, the leases of calls under way have ended by the clock; put back, the next permit lies hours ahead.
    """
    clock = scene.home / "clock"
    _set(clock, 0)
    scene.stub.latency = 0.5
    scene.patience(30)
    scene.db.write(lambda tx: tx.execute(update(provider_configs).values(rate_limit=AT_ONCE * 60)))
    dispatchers = [scene.dispatch("--concurrency", "32", tricks={"clock": str(clock)}) for _ in range(2)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    longest = 0.0
    for number in range(size):
        scene.seed(AT_ONCE)
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) > 0, 60, pause=0.01)
        _set(clock, STEPS[number % len(STEPS)])
        began = time.monotonic()
        scene.wait_until_all_ended(60)
        longest = max(longest, time.monotonic() - began)
    for each in dispatchers:
        each.stop()
    verdict = scene.verdict()
    more_than_one = scene.count(notifications.c.attempt_count != 1)
    tell("25 a clock steps", {**verdict.counts(), "steps": size, "attempts lost": more_than_one})
    assert not verdict.wrong
    assert not verdict.repeated
    assert more_than_one == 0
    assert longest < 30


@sizes(1, 20)
def test_25_the_dead_are_still_found(scene: Scene, tell: Tell, size: int) -> None:
    """A dispatcher is killed in its calls and the clock put forward: `--once` takes what it held, at once."""
    clock = scene.home / "clock"
    scene.patience(30)
    for _ in range(size):
        _set(clock, 0)
        scene.stub.latency = 60.0
        scene.seed(5)
        victim = scene.dispatch("--concurrency", "8", tricks={"clock": str(clock)})
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) == 5, 60)
        victim.kill()
        scene.stub.latency = 0.0
        _set(clock, STEP_MS)
        rescuer = scene.dispatch("--once", tricks={"clock": str(clock)})
        rescuer.process.join(60)
        assert scene.count(notifications.c.status == "pending") == 0, rescuer.said
    verdict = scene.verdict()
    tell("25 killed before the step", verdict.counts())
    assert not verdict.wrong


def _set(clock: Path, milliseconds: int) -> None:
    """Put the clock, for a reader never half."""
    new = clock.with_suffix(".new")
    new.write_text(str(milliseconds))
    new.replace(clock)
