"""A user's cap holds exactly, however many dispatchers there are and however they die."""

from __future__ import annotations

import random
import time

from sqlalchemy import func, select

from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes
from tests.support import midday

CAP = 3
n = notifications.c


def _cap(scene: Scene) -> None:
    scene.cli.call("prefs", "set", "anna", "email", "--cap", str(CAP), "--timezone", midday.zone()).ok()


def _settled(scene: Scene) -> bool:
    """Return whether nothing of today is left to do: what is pending waits for the user's next day."""
    now = scene.db.moment()
    return scene.count(n.status == "pending", n.due_at <= now) == 0


def _counted(scene: Scene) -> set[str]:
    with scene.db.read() as tx:
        return set(tx.execute(select(n.id).where(n.counted_at.is_not(None))).scalars())


@sizes(200, 2_000)
def test_a_cap_among_four_dispatchers(scene: Scene, tell: Tell, size: int) -> None:
    """Exactly three are sent that local day; all others wait for the next one."""
    _cap(scene)
    scene.patience(30)
    scene.seed(size)
    running = [scene.dispatch("--concurrency", "8") for _ in range(4)]
    scene.wait(lambda: _settled(scene), 120)
    for each in running:
        each.stop()
    sent = scene.count(n.status == "sent")
    waiting = scene.count(n.status == "pending", n.deferred_by == "cap")
    tell("cap, four dispatchers", {"sent": sent, "put off": waiting, "calls": len(scene.stub.requests())})
    assert (sent, waiting, len(scene.stub.requests())) == (CAP, size - CAP, CAP)
    assert len(_counted(scene)) == CAP


@sizes(4, 40)
def test_a_cap_while_dispatchers_die(scene: Scene, tell: Tell, size: int) -> None:
    """Whatever is in doubt counts: no more than three different ones go out, and nothing is counted for nothing."""
    _cap(scene)
    scene.patience(2)
    scene.stub.latency = 0.2
    chance = random.Random(10)
    scene.seed(200, max_retries=1_000)
    for _ in range(size):
        victims = [scene.dispatch("--concurrency", "4") for _ in range(2)]
        scene.wait(lambda victims=victims: all(each.id for each in victims), 60)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.5))
        for each in victims:
            each.kill()
    last = scene.dispatch("--concurrency", "4")
    scene.wait(lambda: last.id is not None and _settled(scene) and not scene.count(n.lease_id.is_not(None)), 180)
    last.stop()
    went = {id_ for id_, times in scene.stub.deliveries().items() if times}
    counted = _counted(scene)
    with scene.db.read() as tx:
        doubtful = set(tx.execute(select(n.id).where(n.retry_history.contains('"unknown"'))).scalars())
        sent = set(tx.execute(select(n.id).where(n.status == "sent")).scalars())
        in_flight = tx.execute(select(func.count()).where(n.lease_id.is_not(None))).scalar_one()
    tell("cap, kills", {"went": len(went), "counted": len(counted), "in doubt": len(doubtful), "kills": 2 * size})
    assert in_flight == 0
    assert len(went) <= CAP
    assert counted <= sent | doubtful
    assert went <= counted
