"""What was accepted is accounted for: whatever fails, and whoever is killed."""

from __future__ import annotations

import random
import time

from tests.reliability.scene import Dispatching, Scene, Submitter
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import sometimes

THIRTY_PERCENT = {
    "503": 0.08,
    "429": 0.03,
    "400": 0.05,
    "500": 0.03,
    "reset": 0.04,
    "swallow": 0.03,
    "garbage": 0.02,
    "half": 0.01,
    "hang": 0.01,
}
BRIEFLY = {"throttled_ms": 50}
"""So many of the answers are 429, and each lets everybody wait."""


@sizes(300, 20_000)
def test_1_accepted_is_committed_and_ends_once(scene: Scene, tell: Tell, size: int) -> None:
    """With 30 % faults, submitters and dispatchers killed at random: what was acknowledged ends in exactly one way."""
    chance = random.Random(1)
    scene.stub.faults = sometimes(THIRTY_PERCENT, seed=1)
    share = size // 3
    submitters = [scene.submit(f"s{number}", share) for number in range(3)]
    dispatchers = [scene.dispatch("--concurrency", "16", tricks=BRIEFLY) for _ in range(2)]
    kills = _kill_while_submitting(scene, submitters, dispatchers, chance, size)
    scene.wait_until_all_ended(120 + size / 10)
    for each in dispatchers:
        each.stop()
    verdict = scene.verdict(*(each.ledger for each in submitters))
    tell("1 accepted = committed", {**verdict.counts(), "kills": kills})
    assert not verdict.wrong
    assert verdict.accepted == 3 * share
    assert verdict.failed > 0
    assert kills > 2


def _kill_while_submitting(
    scene: Scene, submitters: list[Submitter], dispatchers: list[Dispatching], chance: random.Random, size: int
) -> int:
    """Kill and start again, now a submitter, now a dispatcher, until all is submitted."""
    kills, most = 0, 12 + size // 200
    while any(each.process.is_alive() for each in submitters) or kills < 3:
        time.sleep(chance.uniform(0.3, 0.8))
        victim = chance.choice(submitters)
        if kills < most and victim.process.is_alive():
            victim.kill()
            victim.start()
            kills += 1
        if kills < most and chance.random() < 0.3:
            dispatchers.pop(0).kill()
            dispatchers.append(scene.dispatch("--concurrency", "16", tricks=BRIEFLY))
            kills += 1
    for each in submitters:
        each.finish(1)
    return kills


@sizes(600, 50_000)
def test_3_without_faults_nothing_is_sent_twice(scene: Scene, tell: Tell, size: int) -> None:
    """Four dispatchers on one backlog, all of them claiming as fast as they can."""
    scene.stub.latency = 0.02
    scene.patience(30)
    dispatchers = [scene.dispatch("--concurrency", "32") for _ in range(4)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    scene.seed(size)
    scene.wait_until_all_ended(60 + size / 100)
    reports = [each.stop() for each in dispatchers]
    verdict = scene.verdict()
    shares = [report["accepted"] for report in reports]
    tell("3 no faults, no duplicates", {**verdict.counts(), "least share": min(shares)})
    assert not verdict.wrong
    assert not verdict.repeated
    assert (verdict.sent, sum(shares), len(scene.stub.requests())) == (size, size, size)
