"""Submissions that are repeated, and submissions and results whose COMMIT nobody hears of."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from sqlalchemy import make_url

from notifyctl.store.schema.tables import notifications
from tests.reliability.ledger import Ledger
from tests.reliability.proxy import Choose, Proxy
from tests.reliability.scene import Scene
from tests.reliability.sizes import Tell, sizes


@sizes((4, 20), (16, 200))
def test_13_the_same_submission_is_stored_once(scene: Scene, tell: Tell, size: tuple[int, int]) -> None:
    """Many processes submit the same keys at the same time; others use those keys for other content, in vain."""
    processes, keys = size
    honest = [scene.submit("key", keys, name=f"p{number}") for number in range(processes)]
    for each in honest:
        each.finish(60 + processes * keys / 10)
    thieves = [scene.submit("key", keys, name=f"q{number}", body="Other words") for number in range(2)]
    for each in thieves:
        each.finish(60 + keys)
    refused = [len(Ledger().read(each.ledger).refused) for each in thieves]
    scene.dispatch("--once").process.join(60)
    verdict = scene.verdict(*(each.ledger for each in honest))
    tell(
        "13 idempotent submission",
        {**verdict.counts(), "submissions": processes * keys, "refused": sum(refused), "of": 2 * keys},
    )
    assert not verdict.wrong
    assert scene.count() == verdict.accepted == keys
    assert refused == [keys, keys]


def _socket(url: str) -> Path:
    """Return the Unix socket of a server's URL."""
    parsed = make_url(url)
    host = str(parsed.query.get("host") or parsed.host)
    return Path(host) / f".s.PGSQL.{parsed.query.get('port') or parsed.port or 5432}"


def _through(proxy: Proxy, url: str) -> str:
    """Return the URL by way of the proxy."""
    direct = make_url(url)
    tcp = direct.set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable", "gssencmode": "disable"})
    return tcp.render_as_string(hide_password=False)


def _breaking(chance: float, seed: int) -> Choose:
    draw = random.Random(seed)
    return lambda number: draw.choice(("lost", "unheard")) if number > 1 and draw.random() < chance else None


def _breaks(proxy: Proxy) -> dict[str, int]:
    return {"COMMITs lost": proxy.broken["lost"], "answers lost": proxy.broken["unheard"]}


@sizes(20, 200)
def test_7_an_ambiguous_commit_is_repeated_with_its_key(postgresql_scene: Scene, tell: Tell, size: int) -> None:
    """Each second COMMIT or its answer is lost, and the caller repeats: one row for each key."""
    scene = postgresql_scene
    with Proxy(_socket(scene.url), _breaking(0.5, seed=7)) as proxy:
        url = _through(proxy, scene.url)
        submitters = [scene.submit(f"s{number}", size // 2, url=url) for number in range(2)]
        for each in submitters:
            each.finish(60 + size)
    scene.dispatch("--once", "--concurrency", "256").process.join(60)
    verdict = scene.verdict(*(each.ledger for each in submitters))
    tell("7 ambiguous COMMIT: submit", {**verdict.counts(), **_breaks(proxy)})
    assert not verdict.wrong
    assert scene.count() == verdict.accepted == size
    assert min(proxy.broken.values()) > size // 10


@sizes(60, 2_000)
def test_7_an_ambiguous_commit_of_a_dispatcher(postgresql_scene: Scene, tell: Tell, size: int) -> None:
    """Claims and results whose COMMIT is lost or not heard of: nothing is lost, nothing is sent twice."""
    scene = postgresql_scene
    scene.patience(30)
    scene.seed(size, max_retries=50)
    with Proxy(_socket(scene.url), _breaking(0.3, seed=8)) as proxy:
        each = scene.dispatch("--concurrency", "4" if size < 100 else "32", url=_through(proxy, scene.url))
        scene.wait_until_all_ended(60 + size / 5)
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) == 0, 20)
        report = each.stop()
    verdict = scene.verdict()
    told = report["accepted"] + sum(provider["stale"] for provider in report["providers"])
    tell("7 ambiguous COMMIT: dispatch", {**verdict.counts(), **_breaks(proxy), "told": told})
    assert not verdict.wrong
    assert not verdict.repeated
    assert verdict.sent == size
    assert min(proxy.broken.values()) > 0


@sizes(20, 200)
def test_7_an_ambiguous_commit_of_a_run_with_once(postgresql_scene: Scene, tell: Tell, size: int) -> None:
    """A claim of which nobody heard ends no run of cron: it is given back and taken again, and all of it goes."""
    scene = postgresql_scene
    scene.patience(30)
    scene.seed(size, max_retries=0)  # an attempt that was not made, counted, would be a dead letter
    with Proxy(_socket(scene.url), lambda number: "unheard" if number % 3 == 0 else None) as proxy:
        run = scene.dispatch("--once", "--concurrency", "2", url=_through(proxy, scene.url))
        run.process.join(60 + size)
    verdict = scene.verdict()
    tell("7 ambiguous COMMIT: once", {**verdict.counts(), **_breaks(proxy)})
    assert run.process.exitcode == 0, run.said
    assert not verdict.wrong
    assert not verdict.repeated
    assert verdict.sent == size
    assert scene.count(notifications.c.lease_id.is_not(None)) == 0


def test_7_who_leaves_gives_back_what_nobody_heard_of(postgresql_scene: Scene) -> None:
    """Told to stop after claims of which nothing was heard: no lease is left, and no attempt is counted."""
    scene = postgresql_scene
    scene.patience(30)
    scene.seed(10)
    deaf = threading.Event()
    deaf.set()
    with Proxy(_socket(scene.url), lambda number: "unheard" if number > 1 and deaf.is_set() else None) as proxy:
        run = scene.dispatch("--concurrency", "4", url=_through(proxy, scene.url))
        scene.wait(lambda: scene.count(notifications.c.lease_id.is_not(None)) > 0, 60)
        run.process.terminate()  # while it waits before it looks again
        time.sleep(0.1)
        deaf.clear()
        run.process.join(60)
    assert run.process.exitcode == 0, run.said
    verdict = scene.verdict()
    assert verdict.sent == len({each.id for each in scene.stub.requests()})
    assert scene.count(notifications.c.lease_id.is_not(None)) == 0
    assert scene.count(notifications.c.status == "pending", notifications.c.attempt_count > 0) == 0
