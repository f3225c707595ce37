"""Dispatchers that stand still, and dispatchers that live in another time."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.db.filelock import exclusive
from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import LEASE_S, MARGIN_S, Dispatching, Scene
from tests.reliability.sizes import Tell, sizes

# Not in a transaction: on SQLite whoever stands still there holds the only lock, and everybody waits, as they must.
STANDSTILLS = ("claim.committed", "send.begun", "send.answered")
JOURNAL = "requests.journal"
TEN_MINUTES_MS = 600_000
STILL: dict[str, Any] = {"still_s": 3.0}


@sizes(4, 50)
def test_4_a_stalled_dispatcher_writes_nothing_and_sends_nothing(scene: Scene, tell: Tell, size: int) -> None:
    """Stopped for three leases, at named points and anywhere: when it goes on, all is done, and it changes nothing.

    A request is begun when the dispatcher hands it to the HTTP engine. One that was handed over before the standstill
    and not yet written to the socket may still go out after it: that is counted apart, and the history admits it.
    """
    chance = random.Random(4)
    scene.stub.latency = 0.02
    stalls = stale = late = overdue = refused = 0
    while stalls < size:
        together = min(5, size - stalls)
        scene.seed(together * 100)
        dispatchers = [_standstill(scene, stalls + number, chance) for number in range(together)]
        at_points = [each for each, at_random in dispatchers if not at_random]
        scene.wait(lambda at_points=at_points: _all_stand(scene, at_points), 60)  # type: ignore[misc]
        scene.wait(lambda at_points=at_points: _others_can_write(scene, at_points), 60)  # type: ignore[misc]
        for each, at_random in dispatchers:
            if at_random:
                _pause_anywhere(scene, each, chance)
        began = time.monotonic()
        scene.seed(20)
        rescuer = scene.dispatch("--concurrency", "64", tricks=STILL)
        scene.wait_until_all_ended(30 + LEASE_S)
        rescuer.stop()
        time.sleep(max(0.0, began + 3 * LEASE_S - time.monotonic()))
        resumed = time.monotonic()
        rows = _rows(scene.db)
        for each, _ in dispatchers:
            each.resume()
        reports = [each.stop() for each, _ in dispatchers]
        stale += sum(1 for id_, row in _rows(scene.db).items() if rows[id_] != row)
        late += sum(1 for line in (scene.home / JOURNAL).read_text().split() if float(line) >= resumed)
        overdue += len(scene.stub.requests(since=resumed))
        stalls += together
        refused += sum(provider["stale"] for report in reports for provider in report["providers"])
    verdict = scene.verdict()
    counts = {"stalls": stalls, "stale writes": stale, "refused writes": refused, "sends begun late": late}
    counts["arrived late"] = overdue
    tell("4 a stalled dispatcher", {**counts, **verdict.counts()})
    assert (stale, late) == (0, 0)
    assert refused > 0
    assert not verdict.wrong


def _standstill(scene: Scene, number: int, chance: random.Random) -> tuple[Dispatching, bool]:
    """Start a dispatcher that stops itself at a named point, or every fourth time one that is stopped anywhere."""
    tricks: dict[str, Any] = {**STILL, "journal": str(scene.home / JOURNAL)}
    if number % 4 == 3:
        return scene.dispatch("--concurrency", "16", tricks=tricks), True
    tricks["stop"] = [STANDSTILLS[number % 4], chance.randint(1, 3), "STOP"]
    return scene.dispatch("--concurrency", "16", tricks=tricks), False


def _pause_anywhere(scene: Scene, victim: Dispatching, chance: random.Random) -> None:
    """Stop it while it holds leases, but not while it holds SQLite's lock."""

    def stands() -> bool:
        time.sleep(chance.uniform(0, 0.05))
        victim.pause()
        if victim.leases() and _writable(scene.db):
            return True
        victim.resume()
        return False

    scene.wait(stands, 60)


def _all_stand(scene: Scene, victims: list[Dispatching]) -> bool:
    """Return whether all have come to their points; who stands with SQLite's lock keeps others from theirs."""
    standing = [each for each in victims if each.paused()]
    if len(standing) < len(victims):
        _others_can_write(scene, standing)
        return False
    return True


def _others_can_write(scene: Scene, stalled: list[Dispatching]) -> bool:
    """Return whether nobody stands still with SQLite's lock, which another thread may hold; else all go on a little."""
    if _writable(scene.db):
        return True
    for each in stalled:
        each.resume()
        time.sleep(0.02)
        each.pause()
    return False


def _writable(db: Database) -> bool:
    if db.path is None:
        return True
    with suppress(TimeoutError), exclusive(f"{db.path}.lock", 0.2):
        return True
    return False


def _rows(db: Database) -> dict[str, Any]:
    with db.read() as tx:
        return {row.id: row for row in tx.execute(select(notifications))}


@sizes(300, 10_000)
def test_5_clocks_may_differ(postgresql_scene: Scene, tell: Tell, size: int) -> None:
    """Two hosts whose clocks are ten minutes apart share a database: nothing twice, nothing before its time."""
    scene = postgresql_scene
    dispatchers = [scene.dispatch("--concurrency", "32", tricks={"skew_ms": skew}) for skew in (0, TEN_MINUTES_MS)]
    _share_what_is_scheduled(scene, dispatchers, tell, size, clock_ahead_ms=0)


@sizes(300, 10_000)
def test_5_a_clock_that_is_wrong(sqlite_scene: Scene, tell: Tell, size: int) -> None:
    """On SQLite the host's clock decides, for all who share the file: ten minutes off, it is off for all alike."""
    scene = sqlite_scene
    dispatchers = [scene.dispatch("--concurrency", "32", tricks={"skew_ms": TEN_MINUTES_MS}) for _ in range(2)]
    _share_what_is_scheduled(scene, dispatchers, tell, size, clock_ahead_ms=TEN_MINUTES_MS)


def _share_what_is_scheduled(
    scene: Scene, dispatchers: list[Dispatching], tell: Tell, size: int, clock_ahead_ms: int
) -> None:
    """Let them send what becomes due within some seconds; some of it fails once, so that waits count as well."""
    scene.stub.latency = 0.02
    scene.patience(30)
    scene.stub.faults = lambda id_, nth: "503" if nth == 1 and id_[0] in "01" else None
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    now = scene.db.moment() + clock_ahead_ms
    spread_ms = 3_000 + size
    chance = random.Random(5)
    times = sorted(now + 1_000 + chance.randrange(spread_ms) for _ in range(20))
    due = {id_: at for at in times for id_ in scene.seed(size // 20, due_at=at, send_at=at)}
    scene.wait_until_all_ended(60 + size / 50)
    shares = [each.stop()["accepted"] for each in dispatchers]
    early = [each.id for each in scene.stub.requests() if each.wall + clock_ahead_ms < due[each.id]]
    verdict = scene.verdict()
    tell("5 clocks differ", {**verdict.counts(), "early": len(early), "least share": min(shares)})
    assert not verdict.wrong
    assert not verdict.repeated
    assert early == []
    assert min(shares) > 0


@pytest.mark.parametrize("skew_ms", [-TEN_MINUTES_MS, TEN_MINUTES_MS])
def test_5_leases_do_not_follow_the_host(postgresql_scene: Scene, tell: Tell, skew_ms: int) -> None:
    """A dispatcher's wrong clock neither lengthens nor shortens its leases: the other waits for them and then works."""
    scene = postgresql_scene
    scene.patience(3)
    lease_s = 2 * 3 + MARGIN_S
    (id_,) = scene.seed(1)
    stuck = scene.dispatch(
        "--concurrency", "1", tricks={**STILL, "skew_ms": skew_ms, "stop": ["send.begun", 1, "STOP"]}
    )
    scene.wait(stuck.paused, 60)
    began = time.monotonic()
    other = scene.dispatch(tricks=STILL)
    scene.wait_until_all_ended(lease_s + 60)
    waited = scene.stub.requests()[0].at - began
    stuck.kill()
    other.stop()
    tell("5 clocks differ: leases", {"lease s": lease_s, "waited s": round(waited, 1)})
    assert lease_s - 5 < waited < lease_s + 30
    assert scene.verdict().unadmitted == frozenset()
    assert scene.stub.deliveries() == {id_: 1}
