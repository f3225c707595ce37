"""The checker can fail: with one safeguard switched off at a time, by the test, it goes red; else it is green.

Each scene is the same both times. Leases have a short margin, so that nobody waits for what is known.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import text

from tests.reliability.checker import check
from tests.reliability.ledger import Ledger
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell

MOST_ROUNDS = 4
SHORT: dict[str, Any] = {"lease_margin_ms": 1_000, "still_s": 1.0}


@pytest.mark.parametrize("off", [None, "fence"])
def test_the_fence(scene: Scene, tell: Tell, off: str | None) -> None:
    """Without the compare of the lease id a stalled dispatcher's result frees a row on which another works."""
    tricks = {**SHORT, **({"without": [off]} if off else {})}
    scene.patience(6)
    scene.stub.faults = lambda _, nth: "503" if nth == 1 else None
    for _ in range(MOST_ROUNDS if off else 1):
        _record_late(scene, tricks)
        verdict = scene.verdict()
        if verdict.unadmitted:
            break
    tell(f"proof: {off or 'all on'}", verdict.counts())
    # Not whether any was repeated: the stalled one's last requests may be on their way out as it is stopped.
    assert list(verdict.wrong) == (["unadmitted"] if off else [])


def _record_late(scene: Scene, tricks: dict[str, Any]) -> None:
    """Let a dispatcher record failures that it had before its leases ended, while another makes the next attempts."""
    began = time.monotonic()
    scene.stub.latency = 0.0
    scene.seed(8)
    stalled = scene.dispatch(tricks={**tricks, "stop": ["record.ready", 1, "STOP"]})
    scene.wait(stalled.paused, 60)
    # In which somebody has to see that the rows are free: a matter of chance on a busy machine.
    scene.stub.latency = 2.2
    other = scene.dispatch(tricks=tricks)
    scene.wait(lambda: len(scene.stub.requests(began)) == 16, 60)
    stalled.resume()
    scene.wait_until_all_ended(60)
    for each in (stalled, other):
        each.stop()


@pytest.mark.parametrize("off", [None, "margin"])
def test_the_lease(scene: Scene, tell: Tell, off: str | None) -> None:
    """Without the look at the lease, whoever stood still after a claim sends what another has sent meanwhile."""
    tricks = {**SHORT, **({"without": [off]} if off else {})}
    scene.patience(10)
    scene.seed(4)
    stalled = scene.dispatch(tricks={**tricks, "stop": ["claim.committed", 1, "STOP"]})
    scene.wait(stalled.paused, 60)
    other = scene.dispatch(tricks=tricks)
    scene.wait_until_all_ended(60)
    stalled.resume()
    time.sleep(0.5)
    for each in (stalled, other):
        each.stop()
    verdict = scene.verdict()
    tell(f"proof: {off or 'all on'}", verdict.counts())
    assert bool(verdict.repeated) == (off is not None)


@pytest.mark.parametrize("off", [None, "letters"])
def test_the_dead_letters(scene: Scene, tell: Tell, off: str | None) -> None:
    """Without its second statement a burial leaves a failure that no operator ever sees."""
    scene.stub.faults = lambda _, __: "400"
    scene.seed(5)
    each = scene.dispatch(tricks={"without": [off]} if off else None)
    scene.wait_until_all_ended(60)
    each.stop()
    verdict = scene.verdict()
    tell(f"proof: {off or 'all on'}", verdict.counts())
    assert list(verdict.wrong) == (["letters"] if off else [])


@pytest.mark.parametrize("off", [None, "unique key"])
def test_the_unique_key(postgresql_scene: Scene, tell: Tell, off: str | None) -> None:
    """Without the unique index one key is stored by each of several processes.

    On PostgreSQL, where they run at the same moment; SQLite has one writer, who looks before writing.
    """
    scene = postgresql_scene
    if off:
        scene.db.write(lambda tx: tx.execute(text("DROP INDEX idx_idempotency")))
    for turn in range(MOST_ROUNDS if off else 1):
        everybody = [scene.submit(f"key{turn}", 40, name=f"p{turn}-{n}", lax=off is not None) for n in range(6)]
        for each in everybody:
            each.finish(60)
        verdict = check(scene.db, Ledger().read(*(each.ledger for each in everybody)), {})
        if verdict.twins:
            break
    tell(f"proof: {off or 'all on'}", verdict.counts())
    assert bool(verdict.twins) == (off is not None)
