"""Those who fail together do not come back together, and a cancel wins or loses, never both."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import select

from notifyctl.services import notifications as service
from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import always

MOST_OF_A_SECOND = 0.03
MOST_ROUNDS = 20


@sizes(1_000, 10_000)
@pytest.mark.parametrize("attempt", [7, 9])
def test_12_no_herd(scene: Scene, tell: Tell, attempt: int, size: int) -> None:
    """All fail within a moment: no second of the time that comes holds over 3 % of the retries.

    From the sixth attempt on, whose backoff reaches over more than half a minute. Before that the spread itself is
    shorter (2 s after the first), and what bounds a second is how many calls may be in flight.
    """
    scene.stub.faults = always("503")
    scene.patience(30)
    scene.seed(size, attempt_count=attempt - 1, max_retries=50)
    stays_closed = {"breaker": 10 * size}
    scene.dispatch("--once", "--concurrency", "512", tricks=stays_closed).process.join(60 + size / 100)
    n = notifications.c
    with scene.db.read() as tx:
        due = [row.due_at for row in tx.execute(select(n.due_at).where(n.attempt_count == attempt))]
    share = max(Counter(at // 1_000 for at in due).values()) / len(due)
    spread = (max(due) - min(due)) / 1_000
    tell("12 no herd", {"retries": len(due), "spread over s": round(spread), "fullest second %": round(share * 100, 2)})
    assert len(due) == size
    assert share <= MOST_OF_A_SECOND


@sizes(200, 2_000)
def test_15_a_cancel_wins_or_loses(scene: Scene, tell: Tell, size: int) -> None:
    """Operators cancel what dispatchers are claiming: after a committed cancel no send begins, and the rest is sent.

    In rounds, as many as it takes until both have won some.
    """
    scene.stub.latency = 0.005
    scene.patience(30)
    dispatchers = [scene.dispatch("--poll", "10ms", "--concurrency", "16") for _ in range(2)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    cancelled: dict[str, float] = {}
    accepted = 0
    while accepted < size or not 0 < len(cancelled) < accepted:
        assert accepted < size * MOST_ROUNDS, f"{len(cancelled)} of {accepted} cancelled"
        _race(scene, size // 4, cancelled, late=accepted // (size // 4) % 2 == 1)
        accepted += size // 4
    for each in dispatchers:
        each.stop()
    verdict = scene.verdict()
    sent = {each.id for each in scene.stub.requests()}
    both = sent & cancelled.keys()
    tell("15 racing cancels", {**verdict.counts(), "cancels won": len(cancelled), "both": len(both)})
    assert not verdict.wrong
    assert both == set()
    assert verdict.cancelled == len(cancelled)
    assert verdict.sent == accepted - len(cancelled) == len(sent)


def _race(scene: Scene, count: int, cancelled: dict[str, float], *, late: bool) -> None:
    """Let two operators cancel what becomes due meanwhile, or `late` what is being sent; wait until all has ended."""
    began = time.monotonic()
    ids = scene.seed(count, due_at=scene.db.moment() + (0 if late else 150))
    if late:
        scene.wait(lambda: bool(scene.stub.requests(began)), 60, pause=0.001)
    operators = [threading.Thread(target=_cancel, args=(scene, ids, seed, cancelled)) for seed in range(2)]
    for each in operators:
        each.start()
    for each in operators:
        each.join(60)
    scene.wait_until_all_ended(60 + count / 20)


def _cancel(scene: Scene, ids: list[str], seed: int, cancelled: dict[str, float]) -> None:
    """Cancel in small batches, in an order of one's own, what is still there to cancel; note when it was committed."""
    order = random.Random(seed).sample(ids, len(ids))
    for start in range(0, len(order), 5):
        acted = service.cancel(scene.db, order[start : start + 5])
        cancelled.update({each.id: time.monotonic() for each in acted if each.done})
