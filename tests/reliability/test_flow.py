"""No failure of a provider becomes a second incident: its trouble is told once, and costs no notification anything."""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from notifyctl.core.ratelimit import burst
from notifyctl.providers import registry
from notifyctl.store.schema.tables import audit_logs, notifications, provider_configs
from tests.reliability.checker import check
from tests.reliability.scene import Dispatching, Scene
from tests.reliability.sizes import Tell
from tests.reliability.stub import Stub, always, never
from tests.support import adapters

n = notifications.c

QUICK: dict[str, Any] = {
    "probes": {"config": [1_000, 60_000], "breaker": [500, 1_000]},
    "adapters": adapters.SECOND,
    "lease_margin_ms": 1_000,
    "backoff_ms": 200,
}
ALL = {"NOTIFYCTL_LOG_LEVEL": "INFO"}
"""Good news too."""
LASTING: dict[str, Any] = {"adapters": adapters.SECOND}


def on(backends: list[str], small: Any, full: Any) -> pytest.MarkDecorator:
    """Run the small size on these databases, the full one on both."""
    few = [pytest.param(backend, small, id=f"{backend}-small") for backend in backends]
    both = ("sqlite", "postgresql")
    many = [pytest.param(backend, full, id=f"{backend}-full", marks=pytest.mark.full) for backend in both]
    return pytest.mark.parametrize(("backend", "size"), [*few, *many], indirect=["backend"])


ON_ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
"""For what the databases have no part in."""


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> Iterator[Stub]:
    """Another provider of e-mail, less preferred than sendgrid, that is a stub of its own."""
    monkeypatch.setattr(registry, "_entry_points", registry._entry_points)  # to be put back
    adapters.install(*next(iter(adapters.SECOND.items())))
    with Stub() as stub:
        settings = ("--set", f"base_url={stub.url}", "--set", "from=alerts@example.com", "--timeout", "30")
        scene.cli.call("providers", "add", "second", "--api-key", "-", *settings, input="SG.key").ok()
        scene.db.write(
            lambda tx: tx.execute(
                update(provider_configs).where(provider_configs.c.provider_name == "sendgrid").values(priority=9)
            )
        )
        yield stub


def state(scene: Scene) -> dict[str, Any]:
    """Return what `providers show` says of sendgrid."""
    return dict(scene.cli.call("providers", "show", "sendgrid", "-o", "json").ok().json())


def leased(scene: Scene) -> int:
    """Return how many of sendgrid's are in somebody's hands."""
    return scene.count(n.lease_id.is_not(None), n.provider == "sendgrid")


def said(scene: Scene, words: str) -> list[str]:
    """Return the lines of all dispatchers that hold these words."""
    lines = [line for path in sorted(Path(scene.home).glob("*.err")) for line in path.read_text().splitlines()]
    return [line for line in lines if words in line]


def audited(scene: Scene) -> Counter[str]:
    """Return how often what became of a provider."""
    a = audit_logs.c
    with scene.db.read() as tx:
        rows = tx.execute(select(a.action, func.count()).where(a.resource_type == "provider").group_by(a.action))
        return Counter({row[0]: row[1] for row in rows})


def gaps(stub: Stub, since: float) -> list[float]:
    """Return the seconds between requests from a moment on."""
    times = [each.at for each in stub.requests(since)]
    return [later - earlier for earlier, later in pairwise(times)]


@on(["postgresql"], (200, QUICK, 1.5, 1.0), (10_000, LASTING, 130.0, 60.0))
def test_bad_credentials_wait_for_good_ones(
    scene: Scene, tell: Tell, size: tuple[int, dict[str, Any], float, float]
) -> None:
    """After those in flight only probes go out; nothing is used up; `status` says what helps; that sends everything."""
    count, tricks, watched_s, least_gap_s = size
    scene.patience(30)
    scene.stub.faults = always("401")
    scene.seed(count)
    dispatchers = [scene.dispatch(tricks=tricks) for _ in range(2)]
    scene.wait(lambda: state(scene)["state"] == "paused" and _at_rest(scene), 60)
    began = time.monotonic()
    scene.wait(lambda: time.monotonic() > began + watched_s, watched_s + 60)
    probes = [each for each in scene.stub.requests(began) if each.at <= began + watched_s]
    tell("flow: bad credentials", {"pending": count, "watched s": watched_s, "probes": len(probes)})
    assert len(probes) <= watched_s / least_gap_s + 1
    assert all(gap >= least_gap_s for gap in gaps(scene.stub, began))
    assert scene.count(n.attempt_count > 0, n.lease_id.is_(None)) == 0
    shown = scene.cli.call("status").ok().stdout
    assert "sendgrid paused" in shown
    assert "notifyctl providers update sendgrid --api-key -\n" in shown
    assert len(said(scene, "sendgrid paused")) == 1
    scene.stub.faults = never
    scene.cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.new").ok()
    scene.wait_until_all_ended(60 + count / 50)
    for each in dispatchers:
        each.stop()
    assert scene.count(n.status == "sent", n.attempt_count == 1) == count
    assert not scene.verdict().wrong


def _at_rest(scene: Scene) -> bool:
    """Return whether nothing is in flight, nor about to be: a claim may have begun before the pause."""
    before = len(scene.stub.requests())
    time.sleep(0.5)
    return leased(scene) == 0 and len(scene.stub.requests()) == before


@on(["postgresql"], (0.5, QUICK), (60.0, LASTING))
def test_a_provider_that_is_down_is_stood_in_for(
    scene: Scene, second: Stub, tell: Tell, size: tuple[float, dict[str, Any]]
) -> None:
    """Its breaker opens, told once by one of four; the other takes over; it closes by itself, and nothing is lost."""
    down_s, tricks = size
    scene.patience(30)
    scene.stub.latency = 0.02
    dispatchers = [scene.dispatch("--concurrency", "16", tricks=tricks, log=ALL) for _ in range(4)]
    scene.wait(lambda: all(each.id for each in dispatchers), 60)
    scene.seed(100)
    scene.wait(lambda: len(scene.stub.deliveries()) == 100, 60)
    scene.stub.faults = always("503")
    scene.seed(300)
    scene.wait(lambda: state(scene)["state"] == "open" and leased(scene) == 0, 60)
    began = time.monotonic()
    while time.monotonic() < began + down_s:
        scene.seed(20)
        time.sleep(0.2)
    # Whatever there is meanwhile the other takes over: a probe needs one that is there at its moment.
    scene.wait(lambda: scene.seed(1) != [] and len(scene.stub.requests(began)) > 0, 60, pause=0.2)
    probes, apart = len(scene.stub.requests(began)), gaps(scene.stub, began)
    assert state(scene)["state"] == "open"
    scene.stub.faults = never
    scene.seed(20)
    scene.wait(lambda: scene.seed(1) != [] and state(scene)["state"] == "active", 120, pause=0.3)
    back = time.monotonic()
    scene.seed(50)
    scene.wait(lambda: len(scene.stub.requests(back)) >= 50, 60)
    scene.wait_until_all_ended(120)
    for each in dispatchers:
        each.stop()
    verdict = check(scene.db, scene.ledger, scene.stub.deliveries() + second.deliveries())
    tell("flow: a provider down", {**verdict.counts(), "down s": down_s, "probes": probes})
    assert not verdict.wrong
    assert (verdict.failed, len(verdict.repeated)) == (0, 0)
    assert len(second.deliveries()) > 0
    assert all(gap >= tricks.get("probes", {}).get("breaker", [5_000])[0] / 1_000 for gap in apart)
    _told_once(scene)


def _told_once(scene: Scene) -> None:
    """Each opening and each end is one line of one dispatcher, one audit row, and in the timeline."""
    opened, closed = (
        said(scene, "sendgrid breaker opened: 503 in "),
        said(scene, "sendgrid breaker closed: a probe was"),
    )
    counted = audited(scene)
    assert (len(opened), len(closed)) == (counted["open"], counted["close"])
    assert len(opened) == len(closed) >= 1
    timeline = [entry["action"] for entry in state(scene)["timeline"]]
    assert {"open", "close"} <= set(timeline)


def test_cron_fails_over_within_a_run(scene: Scene, second: Stub) -> None:
    """A run with `--once` notices the breaker that opens in it: what it has left goes by the other provider at once."""
    scene.patience(30)
    scene.stub.faults = always("503")
    scene.seed(200)
    _ended(scene.dispatch("--once", "--concurrency", "16", tricks=QUICK))
    assert len(said(scene, "sendgrid breaker opened")) == 1
    tried = {each.id for each in scene.stub.requests()}
    assert 20 <= len(tried) < 200
    assert set(second.deliveries()) >= {id_ for id_ in _ids(scene) if id_ not in tried}
    # The next run makes a probe, and after it takes all that is due itself.
    scene.stub.faults = never
    scene.wait(lambda: _is_due(scene), 30)
    ids = scene.seed(30)
    _ended(scene.dispatch("--once", tricks=QUICK))
    assert scene.count(n.status == "sent", n.id.in_(ids)) == 30
    assert len(said(scene, "sendgrid breaker closed: a probe was accepted")) == 1


def _is_due(scene: Scene) -> bool:
    return datetime.fromisoformat(state(scene)["probe_at"]) <= datetime.now(UTC)


def _ids(scene: Scene) -> set[str]:
    with scene.db.read() as tx:
        return set(tx.execute(select(n.id)).scalars())


def _ended(run: Dispatching) -> None:
    run.process.join(60)
    assert run.process.exitcode == 0, run.said


@ON_ONE
def test_a_notification_that_fails_twice_goes_by_the_other(scene: Scene, second: Stub) -> None:
    """Though its provider works for others; the history says from whom, to whom and why. A pinned one stays."""
    scene.patience(30)
    scene.stub.faults = always("503")
    (id_,) = scene.seed(1)
    (pinned,) = scene.seed(1, fails_over=False, max_retries=2)
    dispatcher = scene.dispatch(tricks=QUICK)
    scene.wait_until_all_ended(60)
    dispatcher.stop()
    history = scene.cli.call("notifications", "show", id_, "-o", "json").ok().json()["retry_history"]
    assert [entry.get("outcome") or entry["event"] for entry in history] == ["transient", "transient", "failover"]
    assert (history[2]["from"], history[2]["to"]) == ("sendgrid", "second")
    assert history[2]["reason"].startswith("sendgrid failed 2 times: ")
    assert second.deliveries() == Counter({id_: 1})
    assert scene.count(n.id == pinned, n.status == "failed", n.provider == "sendgrid") == 1


@ON_ONE
def test_what_the_other_cannot_deliver_waits_for_its_own(scene: Scene, second: Stub) -> None:
    """A mail that needs its provider's template does not die of being taken over; the others go meanwhile."""
    scene.patience(30)
    scene.cli.call("providers", "pause", "sendgrid", "--reason", "maintenance").ok()
    templated = json.dumps({"v": 1, "from": "a@example.com", "template_id": "d-1", "template_data": {}})
    (needs_it,) = scene.seed(1, payload=templated)
    (plain,) = scene.seed(1)
    dispatcher = scene.dispatch(tricks=QUICK)
    scene.wait(lambda: plain in second.deliveries() and scene.count(n.id == needs_it, ~n.fails_over) == 1, 60)
    shown = scene.cli.call("notifications", "show", needs_it, "-o", "json").ok().json()
    assert (shown["status"], shown["provider"], shown["state"]) == ("pending", "sendgrid", "held")
    assert "second cannot deliver it: template_id: there are no templates here" in shown["error_message"]
    scene.cli.call("providers", "resume", "sendgrid").ok()
    scene.wait_until_all_ended(60)
    dispatcher.stop()
    assert (scene.stub.deliveries(), second.deliveries()) == (Counter({needs_it: 1}), Counter({plain: 1}))
    assert scene.count(n.id == needs_it, n.attempt_count == 1) == 1


@on(["sqlite"], (25, 600), (2_000, 600))
def test_14_a_rate_limit_holds_in_every_minute(
    database_url: str, tmp_path: Path, stub: Stub, tell: Tell, size: tuple[int, int]
) -> None:
    """Four dispatchers together send no more than the limit in any minute, by the provider's own log, and use it up."""
    count, limit = size
    with Scene(database_url, tmp_path, stub, rate_limit=limit) as scene:
        scene.patience(30)
        dispatchers = [scene.dispatch() for _ in range(4)]
        scene.wait(lambda: all(each.id for each in dispatchers), 60)
        scene.seed(count)
        scene.wait_until_all_ended(60 + count * 90 / limit)
        for each in dispatchers:
            each.stop()
        times = [each.at for each in stub.requests()]
        minutes = [bisect_left(times, at + 60) - number for number, at in enumerate(times) if at + 60 < times[-1]]
        took = times[-1] - times[0]
        used = {"most": max(minutes), "least": min(minutes)} if minutes else {}
        tell("14 a rate limit", {"limit": limit, "requests": count, "took s": round(took), **used})
        assert count <= limit / 60 * took + 2 * burst(limit)
        assert all(0.95 * limit <= each <= limit for each in minutes)
        assert not scene.verdict().wrong
