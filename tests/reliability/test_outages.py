"""A PostgreSQL that goes away and comes back, under load."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.reliability.scene import Scene
from tests.reliability.server import Server
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import Stub

RESUMES_WITHIN_S = 10.0


@pytest.fixture
def fragile(server: Server, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """The scene on a server of its own."""
    with Scene(server.migrated("fragile"), tmp_path, stub) as made:
        yield made


@sizes(2, 100)
def test_6_postgresql_stopped_hard_and_started_again(fragile: Scene, server: Server, tell: Tell, size: int) -> None:
    """Submitters and dispatchers go on through every restart: none ends, nothing is lost, work resumes soon."""
    scene, chance = fragile, random.Random(6)
    scene.stub.latency = 0.02
    dispatchers = [scene.dispatch("--concurrency", "16") for _ in range(2)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    submitters = [scene.submit(f"s{number}", 10**6, until=str(scene.home / "enough")) for number in range(2)]
    waits: list[float] = []
    for number in range(size):
        scene.seed(200)
        _wait_for_work(scene, time.monotonic())
        time.sleep(chance.uniform(0, 0.5))
        server.stop()
        time.sleep(chance.choice((0.0, 0.5, 2.0)) if number else 2.0)
        assert all(each.runs for each in dispatchers), [each.said for each in dispatchers]
        back = server.start()
        waits.append(_wait_for_work(scene, back))
    (scene.home / "enough").touch()
    for each in submitters:
        each.finish(60)
    scene.wait_until_all_ended(120 + size * 4)
    assert all(each.runs for each in dispatchers)
    for dispatcher in dispatchers:
        dispatcher.stop()
    scene.db.close()  # its own connections ended as well
    verdict = scene.verdict(*(each.ledger for each in submitters))
    tell("6 database restarted", {**verdict.counts(), "restarts": size, "resumed within s": round(max(waits), 1)})
    assert not verdict.wrong
    assert max(waits) <= RESUMES_WITHIN_S


@sizes(10, 500)
def test_6_backends_terminated(postgresql_scene: Scene, tell: Tell, size: int) -> None:
    """Connections ended by an administrator, wherever they are: nobody ends, nothing is lost."""
    scene, chance = postgresql_scene, random.Random(66)
    scene.stub.latency = 0.02
    dispatchers = [scene.dispatch("--concurrency", "16") for _ in range(2)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    submitters = [scene.submit(f"s{number}", size * 20) for number in range(2)]
    ended = 0
    while ended < size:
        time.sleep(chance.uniform(0.02, 0.2))
        ended += _terminate(scene, chance.randint(1, 3))
    for each in submitters:
        each.finish(60 + size)
    scene.wait_until_all_ended(60 + size)
    assert all(each.runs for each in dispatchers), [each.said for each in dispatchers]
    for dispatcher in dispatchers:
        dispatcher.stop()
    scene.db.close()  # its own connections ended as well
    verdict = scene.verdict(*(each.ledger for each in submitters))
    tell("6 backends terminated", {**verdict.counts(), "terminated": ended})
    assert not verdict.wrong
    assert verdict.sent == size * 40


def _wait_for_work(scene: Scene, since: float) -> float:
    """Wait for a request that came after a moment (monotonic seconds); return how long after it."""
    scene.wait(lambda: bool(scene.stub.requests(since)), 60, pause=0.02)
    return scene.stub.requests(since)[0].at - since


def _terminate(scene: Scene, count: int) -> int:
    with psycopg.connect(scene.url, autocommit=True) as conn:
        ended = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT %s) AS chosen",
            (count,),
        )
        return len(ended.fetchall())
