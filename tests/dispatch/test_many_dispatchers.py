"""Several dispatchers, stopped gently and killed: nothing lost, nothing sent twice but what a crash made unknown."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select, update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import dispatchers, notifications, provider_configs
from tests.support import seed
from tests.support.command import WARNINGS_ONLY
from tests.support.world import World, stop

pytestmark = pytest.mark.slow

Make = Callable[..., World]


@contextmanager
def running(world: World, count: int, *args: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Run dispatchers, all of them killed at the end."""
    processes = [world.cli.start("dispatch", "-o", "json", *args, env=WARNINGS_ONLY) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def count(db: Database, *where: object) -> int:
    """Count notifications."""
    with db.read() as tx:
        return tx.execute(select(func.count()).select_from(notifications).where(*where)).scalar_one()  # type: ignore[arg-type]


def wait_until(done: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < end, "it did not come to its end in time"
        time.sleep(0.05)


def alive(db: Database) -> int:
    """Count the dispatchers that entered themselves."""
    with db.read() as tx:
        return tx.execute(select(func.count()).select_from(dispatchers)).scalar_one()


def anna(world: World) -> str:
    """Return the id of the user."""
    return str(world.ok("users", "show", "anna", "-o", "json").json()["id"])


def unknown_in_history(db: Database, id_: str) -> bool:
    """Return whether the history admits that an attempt's outcome is not known."""
    history = json.loads(seed.notification(db, id_).retry_history or "[]")
    return any(entry["outcome"] == "unknown" for entry in history)


def test_four_dispatchers_share_and_send_once(make_world: Make, database: Database, backend: str) -> None:
    """Work is shared, each notification is sent exactly once, and each dispatcher has at least a tenth of it."""
    total = 5_000 if backend == "postgresql" else 640
    world = make_world("--latency", "300ms")  # so that one that is kept from the processor for a moment has its part
    with running(world, 4, "--poll", "200ms", "--concurrency", "64" if backend == "postgresql" else "8") as processes:
        wait_until(lambda: alive(database) == 4)
        ids = seed.pending(database, anna(world), count=total)
        wait_until(lambda: count(database, notifications.c.status == "sent") == total, timeout=120)
        reports = [json.loads(stop(process)[1]) for process in processes]
    assert world.deliveries() == dict.fromkeys(ids, 1)
    assert sum(report["accepted"] for report in reports) == total
    assert min(report["accepted"] for report in reports) >= total / 10
    assert alive(database) == 0


def test_kill_9_loses_nothing_and_doubles_only_what_it_admits(make_world: Make, database: Database) -> None:
    """Ten dispatchers killed in the middle: all is sent, and what was sent twice says that an outcome was unknown."""
    world = make_world("--latency", "100ms")
    # The shortest lease there is: two deadlines and a margin, 7 s.
    database.write(lambda tx: tx.execute(update(provider_configs).values(timeout_seconds=1)))
    options = ("--poll", "100ms", "--lease", "1s", "--concurrency", "16")
    ids = seed.pending(database, anna(world), count=2_500)
    chance = random.Random(11)
    in_flight = 0
    with running(world, 3, *options) as processes:
        for _ in range(10):
            wait_until(lambda: count(database, notifications.c.lease_id.is_not(None)) > 0)
            time.sleep(chance.uniform(0.2, 0.5))
            victim = processes.pop(0)
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            in_flight += 2 * 16  # calls, and answers not yet recorded
            processes.append(world.cli.start("dispatch", "-o", "json", *options))
        wait_until(lambda: count(database, notifications.c.status == "sent") == len(ids), timeout=120)
        for process in processes:
            stop(process)
    delivered = world.deliveries()
    assert set(delivered) == set(ids)
    twice = [id_ for id_, times in delivered.items() if times > 1]
    assert len(twice) <= in_flight
    assert all(unknown_in_history(database, id_) for id_ in twice)
    assert count(database, notifications.c.lease_id.is_not(None)) == 0


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_drains(make_world: Make, database: Database, how: int, code: int) -> None:
    """With 32 and more in flight: no more is claimed, running calls end and are recorded, no lease is left."""
    world = make_world("--latency", "1s")
    ids = seed.pending(database, anna(world), count=500)
    with running(world, 1, "--poll", "100ms", "--concurrency", "64") as (process,):
        wait_until(lambda: count(database, notifications.c.lease_id.is_not(None)) >= 32)
        began = time.monotonic()
        exit_code, out, _ = stop(process, how)
    assert exit_code == code
    assert time.monotonic() - began < 25
    assert count(database, notifications.c.lease_id.is_not(None)) == 0
    assert alive(database) == 0
    sent = count(database, notifications.c.status == "sent")
    assert sent == json.loads(out)["accepted"] == len(world.deliveries())
    assert 32 <= sent < len(ids)
    world.dispatch("--concurrency", "300")
    assert world.deliveries() == dict.fromkeys(ids, 1)


def test_a_drain_that_is_too_short_says_what_it_broke_off(make_world: Make, database: Database) -> None:
    """Calls broken off at the end of the drain are unknown, not forgotten: no lease is left, the history says so."""
    world = make_world("--latency", "20s")
    (id_,) = seed.pending(database, anna(world))
    with running(world, 1, "--poll", "100ms", "--drain", "500ms") as (process,):
        wait_until(lambda: count(database, notifications.c.lease_id.is_not(None)) == 1)
        wait_until(lambda: len(world.sandbox.requests()) == 1)
        exit_code, _, _ = stop(process)
    assert exit_code == 0
    row = seed.notification(database, id_)
    assert (row.status, row.lease_id, row.attempt_count) == ("pending", None, 1)
    assert unknown_in_history(database, id_)


def test_a_second_interrupt_leaves_at_once(make_world: Make, database: Database) -> None:
    """A person who presses Ctrl-C twice gets the terminal back; the leases expire by themselves."""
    world = make_world("--latency", "20s")
    seed.pending(database, anna(world), count=4)
    with running(world, 1, "--poll", "100ms") as (process,):
        wait_until(lambda: count(database, notifications.c.lease_id.is_not(None)) == 4)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "draining" in process.stderr.readline()
        began = time.monotonic()
        exit_code, _, err = stop(process, signal.SIGINT)
    assert exit_code == 130
    assert time.monotonic() - began < 15
    assert "Traceback" not in err
    assert count(database, notifications.c.lease_id.is_not(None)) == 4


def test_runs_of_cron_that_overlap_share_the_work(make_world: Make, database: Database) -> None:
    """Two `dispatch --once` at the same time send each notification once."""
    world = make_world("--latency", "50ms")
    ids = seed.pending(database, anna(world), count=200)
    processes = [world.cli.start("dispatch", "--once", "--concurrency", "8", "-o", "json") for _ in range(3)]
    reports = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(report["accepted"] for report in reports) == len(ids)
    assert world.deliveries() == dict.fromkeys(ids, 1)


def test_a_provider_that_hangs_starves_nobody(make_world: Make, database: Database) -> None:
    """Each provider has its own places in flight: one that never answers does not slow the others."""
    world = make_world("--inject", "sendgrid=timeout")
    user = anna(world)
    seed.pending(database, user, "sendgrid", count=200)
    seed.pending(database, user, "twilio", count=200)
    with running(world, 1, "--poll", "100ms", "--concurrency", "16", "--drain", "100ms") as (process,):
        sms = notifications.c.provider == "twilio"
        wait_until(lambda: count(database, sms, notifications.c.status == "sent") == 200, timeout=60)
        stop(process)
