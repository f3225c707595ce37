"""Whose fault it is decides whom it costs: this host's trouble costs nobody anything, one message's refusal only it."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, notifications
from tests.dispatch import test_answers as answers
from tests.reliability import worker
from tests.reliability.scene import Dispatching, Scene
from tests.reliability.sizes import Tell, sizes
from tests.reliability.stub import Stub, always
from tests.support import nursery, seed
from tests.support.command import Cli
from tests.support.scripted import Answer, Asked, Scripted, token
from tests.support.threefold import add_providers

n = notifications.c

LACKS = ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EADDRNOTAVAIL", "ENETUNREACH", "EHOSTUNREACH")
FIRST_WAIT_S, LONGEST_WAIT_S = 2, 900
MOST_AN_HOUR = 11
"""Questions in an hour from the throttle on: waits double from 2 s to 900 s, and begin with the answer before them.

The first nine end at 2, 6, 14 ... 1,022 s, the next ones at 1,922 and 2,822; a twelfth would at 3,722. Jitter and
whatever else takes time makes waits longer, and never shorter.
"""


# The host


def costs(scene: Scene) -> dict[str, int]:
    """Return what trouble has cost: attempts too many, histories, breakers."""
    with scene.db.read() as tx:
        opened = tx.execute(select(func.count()).where(audit_logs.c.action.in_(["open", "pause"]))).scalar_one()
    return {
        "attempts too many": scene.count(n.attempt_count != 1),
        "histories": scene.count(n.retry_history.is_not(None)),
        "breakers": opened,
    }


def ended_well(scene: Scene, dispatcher: Dispatching, tell: Tell, name: str) -> None:
    """Check that all were sent once, at no cost, and that people were told."""
    scene.wait_until_all_ended(600)
    dispatcher.stop()
    verdict, spent = scene.verdict(), costs(scene)
    tell(f"25 {name}", {**verdict.counts(), **spent})
    assert verdict.wrong == {}
    assert not verdict.repeated
    assert set(spent.values()) == {0}
    assert "trouble of this host" in dispatcher.said


@sizes(500, 20_000)
def test_25_what_this_host_lacks_costs_nothing(scene: Scene, tell: Tell, size: int) -> None:
    """No files, memory, ports or route, one after the other: no attempt, no breaker, none lost, none twice."""
    scene.patience(30)
    scene.seed(size)
    dispatcher = scene.dispatch(tricks={"lacks": [1.5, LACKS]})
    ended_well(scene, dispatcher, tell, "the host lacks something")


@sizes(500, 20_000)
def test_25_no_descriptors_left(scene: Scene, tell: Tell, size: int) -> None:
    """300 calls at once, and of a sudden files for 30 connections: it makes as many calls as it can hold."""
    scene.patience(30)
    scene.stub.latency = 0.1
    scene.seed(5)
    dispatcher = scene.dispatch("--concurrency", "300", "--batch-size", "300")
    scene.wait_until_all_ended(60)
    pid = dispatcher.process.pid or 0
    has_open = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (has_open + 30, has_open + 30))
    scene.seed(size)
    ended_well(scene, dispatcher, tell, "no descriptors")


# One recipient among many


class Crowd:
    """A thousand recipients of one provider, of whom the first is told what a table's row says."""

    def __init__(self, url: str, home: Path, server: Scripted) -> None:
        self.db, self.cli, self._home = Database(url), Cli(home, url), home
        add_providers(self.cli, server.url)
        self.anna = seed.user(self.db)
        self.row: answers.Row | None = None
        self.asked: Counter[int] = Counter()
        server.script = self._answer

    def dispatch(self) -> Any:
        """Start a dispatcher that waits for nothing longer than a moment."""
        tricks = {
            "probes": {"config": [100, 500], "breaker": [100, 500], "throttled": [100, 500]},
            "throttled_ms": 100,
            "wish_ms": 500,
            "backoff_ms": 100,
        }
        command = ["dispatch", "--poll", "50ms", "--lease", "1s"]
        return nursery.start(worker.work, tricks, command, env=self.cli.env, folder=self._home, name="dispatcher")

    def seed(self, provider: str, size: int) -> list[str]:
        """Write one notification for each recipient and return their ids, that of the one first."""
        made = []
        for number in range(size):
            made += seed.pending(self.db, self.anna, provider, payload=_payload(provider, number), due_at=10**15)
        self.db.write(lambda tx: tx.execute(notifications.update().values(due_at=1_000).where(n.due_at == 10**15)))
        return made

    def sent(self, ids: list[str]) -> int:
        """Count those of these that were sent with their first attempt."""
        with self.db.read() as tx:
            rows = tx.execute(select(n.id, n.attempt_count).where(n.status == "sent")).all()
        return len({row.id for row in rows if row.attempt_count == 1} & set(ids))

    def clear(self, provider: str) -> None:
        """End what is left of a row, and what it left behind."""
        self.db.write(lambda tx: tx.execute(notifications.delete()))
        self.cli.call("providers", "resume", provider)
        self.asked.clear()

    def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return token()
        provider = next(name for name, path in answers._PATHS.items() if asked.path.startswith(path))
        found = answers._RECIPIENT[provider].search(asked.body)
        number = int(found[1]) if found else -1
        self.asked[number] += 1
        return self.row.answer if self.row is not None and number == 0 else answers.TABLES[provider][0].answer


def _payload(provider: str, number: int) -> str:
    to = answers.ADDRESSES[provider].format(number)
    said = {
        "sendgrid": {"subject": "Hello", "text": "Hello", "to": to},
        "twilio": {"body": "Hello", "to": to},
        "fcm": {"title": "Hello", "body": "Hello", "token": to},
    }[provider]
    return json.dumps({"v": 1, **said})


@pytest.fixture
def crowd(database_url: str, tmp_path: Path) -> Iterator[Crowd]:
    """The crowd, on both databases."""
    with ExitStack() as stack:
        server = stack.enter_context(Scripted(lambda _: token()))
        made = Crowd(database_url, tmp_path, server)
        stack.callback(made.db.close)
        yield made


def _rows(every: bool) -> list[tuple[str, answers.Row]]:
    """Return the refusals: all of each provider, or one of each kind."""
    rows = [(provider, row) for provider, table in answers.TABLES.items() for row in table]
    rows = [(provider, row) for provider, row in rows if row.act.status != "sent"]
    if every:
        return rows
    few = {(provider, row.act.outcome, row.act.attempts): (provider, row) for provider, row in reversed(rows)}
    return list(few.values())


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
@sizes(40, 1_000)
def test_27_a_refusal_concerns_only_whom_it_blames(crowd: Crowd, tell: Tell, size: int) -> None:
    """Whatever the one is told, all others are sent with their first attempt, also where it pauses the provider."""
    process = crowd.dispatch()
    rows, unsent, slowest = _rows(every=size >= 1_000), list[str](), 0.0
    try:
        for provider, row in rows:
            crowd.row = row
            _, *others = crowd.seed(provider, size)
            began = time.monotonic()
            while (sent := crowd.sent(others)) < len(others) and time.monotonic() < began + 60:
                time.sleep(0.05)
            slowest = max(slowest, time.monotonic() - began)
            if sent < len(others):
                unsent.append(f"{provider} {row.what}: {len(others) - sent}")
            crowd.clear(provider)
    finally:
        process.terminate()
        process.join(60)
    tell("27 one refused of many", {"answers": len(rows), "each": size, "unsent": len(unsent), "slowest s": slowest})
    assert unsent == []


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
@sizes(600, 60)
def test_27_an_hour_of_throttling(scene: Scene, tell: Tell, size: int) -> None:
    """A throttle that names no time is asked ever more rarely, one message at a time. Time is `size` times as short.

    Its hour begins with the first of its answers, and so after the first request came; all 20 were in flight by then.
    """
    scene.patience(30)
    scene.stub.faults = always("429")
    scene.seed(20)
    waits = [seconds * 1_000 // size for seconds in (FIRST_WAIT_S, LONGEST_WAIT_S)]
    quick = {"probes": {"throttled": waits}, "throttled_ms": 1, "backoff_ms": 1}
    dispatcher = scene.dispatch("--concurrency", "20", tricks=quick)
    scene.wait(lambda: len(scene.stub.requests()) >= 20, 60)
    time.sleep(3_600 / size)
    times = [each.at for each in scene.stub.requests()]
    asked = sum(at <= times[0] + 3_600 / size for at in times)
    dispatcher.stop()
    tell("27 an hour of throttling", {"in flight when it began": 20, "requests": asked, "most": 20 + MOST_AN_HOUR})
    assert 20 + 3 <= asked <= 20 + MOST_AN_HOUR
    assert scene.count(n.attempt_count != 0) == 0


def test_27_after_a_throttle_it_starts_slowly(scene: Scene, stub: Stub) -> None:
    """Told to slow down once, it sends one message first and never as many at once as before the next is answered."""
    scene.patience(30)

    def once(_: str, number: int) -> str | None:
        if len(stub.requests()) < 20 and number == 1:
            return "429"
        stub.latency = 0.2
        return None

    stub.faults = once
    scene.seed(20)
    quick = {"probes": {"throttled": [500, 900]}, "throttled_ms": 1, "backoff_ms": 1}
    dispatcher = scene.dispatch("--concurrency", "20", tricks=quick)
    scene.wait(lambda: len(stub.requests()) >= 20, 60)
    scene.wait_until_all_ended(60)
    dispatcher.stop()
    again = [each.at for each in stub.requests()[20:]]
    assert len(again) == 20
    # Each round has at most twice as many as the one before: 1, 2, 4, 8 and the rest take four times the latency.
    assert again[1] - again[0] >= 0.2
    assert again[3] - again[0] >= 0.4
    assert again[7] - again[0] >= 0.6
