"""Dispatchers that die, and dispatchers that are told to go."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter

from sqlalchemy import func, select

from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Dispatching, Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.worker import POINTS

IN_FLIGHT = 8
UNRECORDED = IN_FLIGHT  # as many results may be on their way to the database


@sizes(12, 300)
def test_2_a_kill_repeats_only_what_was_in_flight(scene: Scene, tell: Tell, size: int) -> None:
    """Every other kill is at a named point, the rest at random: each repeats at most what its victim held."""
    chance = random.Random(2)
    scene.stub.latency = 0.05
    scene.patience(6)
    ids = scene.seed(size * 60, max_retries=1_000)
    points = itertools.cycle(POINTS)
    held: Counter[str] = Counter()
    most = 0
    dispatchers: list[tuple[Dispatching, bool]] = [_start(scene, next(points), chance), (_plain(scene), False)]
    for number in range(size):
        victim, dooms_itself = dispatchers.pop(0)
        dispatchers.append(_start(scene, next(points), chance) if number % 2 else (_plain(scene), False))
        leases = _die(scene, victim, dooms_itself, chance)
        most = max(most, len(leases))
        held.update(leases)
    scene.seed(1)
    finishing = [scene.dispatch("--concurrency", "64") for _ in range(2)]
    for each, _ in dispatchers:
        each.kill()
        held.update(_leases_of_the_dead(scene, each))
    scene.wait_until_all_ended(180 + size)
    for each in finishing:
        each.stop()
    verdict = scene.verdict()
    tell("2 kill -9", {**verdict.counts(), "kills": size, "most in flight": most, "were in flight": held.total()})
    assert not verdict.wrong
    assert verdict.sent == len(ids) + 1
    assert most <= IN_FLIGHT + UNRECORDED
    deliveries = scene.stub.deliveries()
    assert {id_: deliveries[id_] - 1 - held[id_] for id_ in verdict.repeated if deliveries[id_] - 1 > held[id_]} == {}


def _start(scene: Scene, point: str, chance: random.Random) -> tuple[Dispatching, bool]:
    tricks = {"stop": [point, chance.randint(1, 10), "KILL"]}
    return scene.dispatch("--concurrency", str(IN_FLIGHT), tricks=tricks), True


def _plain(scene: Scene) -> Dispatching:
    return scene.dispatch("--concurrency", str(IN_FLIGHT))


def _die(scene: Scene, victim: Dispatching, dooms_itself: bool, chance: random.Random) -> set[str]:
    """Wait for its death or bring it about; return what it held."""
    if dooms_itself:
        scene.wait(lambda: not victim.runs, 60)
        assert victim.process.exitcode == -9, victim.said
    else:
        scene.wait(lambda: bool(victim.leases()), 60)
        time.sleep(chance.uniform(0, 0.2))
        victim.kill()
    return _leases_of_the_dead(scene, victim)


def _leases_of_the_dead(scene: Scene, victim: Dispatching) -> set[str]:
    return victim.leases()


@sizes(3, 100)
def test_9_sigterm_drains(scene: Scene, tell: Tell, size: int) -> None:
    """Told to go under load: nothing claimed afterwards, running calls recorded, no lease left, nothing twice."""
    scene.stub.latency = 1.0
    scene.patience(30)
    scene.seed(size * 400)
    drained, late = 0, 0
    for _ in range(size):
        each = scene.dispatch("--concurrency", "48")
        scene.wait(lambda each=each: len(each.leases()) >= 24, 60)  # type: ignore[misc]
        id_ = each.id
        in_flight = each.leases(id_)
        each.process.terminate()
        asked_at = scene.db.moment()
        each.stop()
        ended_at = time.monotonic()
        drained += len(in_flight)
        assert each.leases(id_) == set()
        assert scene.count(notifications.c.lease_id.is_not(None)) == 0
        # A claim may have been under way in its thread at that very moment, but no second one.
        late += max(0, _claims_since(scene, asked_at) - 1)
        assert scene.stub.requests(since=ended_at) == []
    scene.stub.latency = 0.0
    last = scene.dispatch("--concurrency", "256")
    scene.wait_until_all_ended(60 + size)
    last.stop()
    verdict = scene.verdict()
    tell("9 SIGTERM drains", {**verdict.counts(), "drains": size, "in flight": drained, "claimed afterwards": late})
    assert not verdict.wrong
    assert not verdict.repeated
    assert late == 0


def _claims_since(scene: Scene, moment: int) -> int:
    """Count the claims after a moment: each has one of its own, which all that it took have from it."""
    at = notifications.c.last_attempted
    with scene.db.read() as tx:
        return int(tx.execute(select(func.count(at.distinct())).where(at > moment)).scalar_one())


def test_every_point_is_reached(scene: Scene, tell: Tell) -> None:
    """A crash point that nobody passes would prove nothing: at each of them a dispatcher dies."""
    scene.seed(50, max_retries=1_000)
    doomed = [scene.dispatch("--concurrency", "1", tricks={"stop": [point, 1, "KILL"]}) for point in POINTS]
    scene.wait(lambda: not any(each.runs for each in doomed), 60)
    codes = Counter(each.process.exitcode for each in doomed)
    tell("2 kill -9: points", {"points": len(POINTS), "died there": codes[-9]})
    assert codes == {-9: len(POINTS)}
