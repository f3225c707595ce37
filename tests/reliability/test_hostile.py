"""A hostile or broken provider harms itself: it costs bounded time and memory, and no other channel anything."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notification_dlq, notifications
from tests.reliability import worker
from tests.reliability.hostility import WAYS
from tests.reliability.sizes import Tell, sizes
from tests.support import nursery, seed
from tests.support.command import Cli
from tests.support.scripted import Answer, Asked, Scripted, reply
from tests.support.threefold import add_providers

PATIENCE_S = {False: 20, True: 4}
"""The time limit for ways that hang and for those that do not: on a busy machine an answer must not come too late."""
LONGEST_MS = 30_000
GROWTH_MB = 50
_ID = re.compile(rb'"notification_id":"([^"]+)"')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
n = notifications.c


class Den:
    """A database whose SendGrid is hostile and whose Twilio is not, and a dispatcher that has to live with both."""

    def __init__(self, url: str, home: Path, server: Scripted, trap: Scripted) -> None:
        self.db, self.cli, self._home, self._trap = Database(url), Cli(home, url), home, trap
        self.ways: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        server.script = self._answer
        add_providers(self.cli, server.url, "sendgrid", "twilio")
        self.anna = seed.user(self.db)
        self.processes: list[BaseProcess] = []

    def close(self) -> None:
        """End what is still there."""
        for process in self.processes:
            process.kill()
            process.join()
        self.db.close()

    def patience(self, seconds: int) -> None:
        """Give each call to the hostile provider that long."""
        self.cli.call("providers", "update", "sendgrid", "--timeout", str(seconds)).ok()

    def dispatch(self, *args: str) -> BaseProcess:
        """Start the dispatcher. A wait that nobody can mean is heeded for the longest there is; the tests have less."""
        command = ["dispatch", "--poll", "50ms", "--lease", "1s", *args]
        tricks = {"wish_ms": 2_000}
        self.processes.append(
            nursery.start(worker.work, tricks, command, env=self.cli.env, folder=self._home, name="dispatcher")
        )
        return self.processes[-1]

    def seed(self, way: str, count: int) -> None:
        """Write notifications that the provider will answer in this way; due when it knows of them."""
        made = seed.pending(self.db, self.anna, count=count, max_retries=0, due_at=10**15)
        self.ways |= dict.fromkeys(made, way)
        self.db.write(lambda tx: tx.execute(notifications.update().values(due_at=1_000).where(n.id.in_(made))))

    def count(self, provider: str, status: str) -> int:
        """Count notifications."""
        with self.db.read() as tx:
            found = select(func.count()).select_from(notifications).where(n.provider == provider, n.status == status)
            return tx.execute(found).scalar_one()

    def wait_until_ended(self, timeout: float) -> None:
        """Wait until all have ended. What holds the provider back for its failures, an operator ends at once."""
        end = time.monotonic() + timeout
        while self.count("sendgrid", "pending") + self.count("twilio", "pending"):
            assert time.monotonic() < end, f"{self.count('sendgrid', 'pending')} are still pending"
            states = self.cli.call("providers", "list", "-o", "json").ok().json()
            for name in (each["provider_name"] for each in states if each["state"] != "active"):
                self.cli.call("providers", "resume", name).ok()
            time.sleep(0.1)

    def rows(self) -> list[Any]:
        """Read what became of those that were answered in some way, with the dead letters' reasons."""
        letter = notification_dlq.c
        found = select(notifications, letter.failure_reason).outerjoin(notification_dlq, letter.notification_id == n.id)
        with self.db.read() as tx:
            return [row for row in tx.execute(found) if row.id in self.ways]

    def _answer(self, asked: Asked) -> Answer:
        if asked.path.startswith("/2010-04-01/"):
            return reply(201, {"sid": f"SM{'1' * 32}", "status": "queued"})
        found = _ID.search(asked.body)
        id_ = found[1].decode() if found else ""
        self.asked[id_] += 1
        way = WAYS.get(self.ways.get(id_, ""))
        if way is None or (way.ends == "sent" and self.asked[id_] > 1):
            return reply(202)
        return partial(way.act, trap=self._trap.url)


@pytest.fixture
def den(database_url: str, tmp_path: Path) -> Iterator[Den]:
    """The den, on both databases."""
    with ExitStack() as stack:
        trap = stack.enter_context(Scripted(lambda _: reply(202)))
        server = stack.enter_context(Scripted(lambda _: reply(500)))
        made = Den(database_url, tmp_path, server, trap)
        stack.callback(made.close)
        yield made
        assert trap.asked == [], "a redirect was followed"


@sizes(4, 500)
def test_11_a_hostile_provider_is_bounded(den: Den, tell: Tell, size: int) -> None:
    """Each way ends each notification as it should, in time and memory that are bounded; the others are all sent."""
    process = den.dispatch()
    good = max(100, 2 * size)
    for provider in ("sendgrid", "twilio"):  # what any work takes, however friendly
        seed.pending(den.db, den.anna, provider, count=good)
    den.wait_until_ended(120)
    before = _megabytes(process)
    for hangs, patience_s in PATIENCE_S.items():
        den.patience(patience_s)
        ways = [name for name, way in WAYS.items() if way.hangs is hangs]
        for group in [ways] if size < 100 else [[way] for way in ways]:  # a little of all at once, or much of each
            seed.pending(den.db, den.anna, "twilio", count=size)
            good += size
            for way in group:
                den.seed(way, size)
            den.wait_until_ended(120 + size)
    growth = _megabytes(process) - before
    process.terminate()
    process.join(60)
    rows = den.rows()
    wrong = [(den.ways[row.id], row.failure_reason, row.error_message) for row in rows if not _as_it_should(den, row)]
    longest = max(entry["ended_at"] - entry["began_at"] for row in rows for entry in _history(row))
    counts = {"ways": len(WAYS), "each": size, "wrong": len(wrong), "longest ms": longest, "memory MB": round(growth)}
    tell("11 a hostile provider is bounded", {**counts, "others sent": den.count("twilio", "sent")})
    assert process.exitcode == 0
    assert len(rows) == size * len(WAYS)
    assert wrong == []
    assert longest <= LONGEST_MS
    assert growth <= GROWTH_MB
    assert den.count("twilio", "sent") == good


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def test_11_one_that_hangs_slows_nobody(den: Den) -> None:
    """While every place of the hostile provider is taken by calls that hang, another one's are all sent."""
    den.patience(60)
    den.seed("a byte a second", 200)
    process = den.dispatch("--drain", "1s")
    den_is_full = time.monotonic() + 30
    while sum(den.asked.values()) < 64:
        assert time.monotonic() < den_is_full
        time.sleep(0.02)
    seed.pending(den.db, den.anna, "twilio", count=100)
    end = time.monotonic() + 25
    while den.count("twilio", "sent") < 100:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert {row.retry_history for row in den.rows()} == {None}  # not one of those calls has ended
    process.terminate()
    process.join(60)
    assert process.exitcode == 0


def _as_it_should(den: Den, row: Any) -> bool:
    ends = WAYS[den.ways[row.id]].ends
    texts = [row.provider_response or "", row.error_message or "", *(entry["message"] for entry in _history(row))]
    clean = not any(_CONTROL.search(text) for text in texts)
    short = len(texts[0].encode()) <= 2_048 and all(len(text) <= 400 for text in texts[1:])
    return (row.failure_reason or row.status) == ends and row.attempt_count == 1 and clean and short


def _history(row: Any) -> list[Any]:
    """Return what came before the end; nothing where the first attempt was it."""
    return json.loads(row.retry_history or "[]")


def _megabytes(process: BaseProcess) -> float:
    """Return the most memory that the process had at any time."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1_024  # type: ignore[index]
