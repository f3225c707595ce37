"""Goal 8: from the commit of a submission to the request at the provider, on an idle PostgreSQL."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

from notifyctl.core.model import Actor, Channel
from notifyctl.services.sending import Draft, submit
from notifyctl.store.engine import Database
from tests.benchmarks import ground, runs, stub
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place

PROGRAM = Path(sys.executable).with_name("notifyctl")
POLLS = ("1s", "50ms")


def measure(place: Place) -> list[Table]:
    """Submit one after the other, at random moments, with the default poll and with a short one."""
    count = 10 if place.quick else 40
    facts = {poll: _latencies(place, poll, count) for poll in POLLS}
    rows = [
        (poll, f"{statistics.median(found):.0f}", f"{found[-1 - len(found) // 100]:.0f}", f"{found[-1]:.0f}")
        for poll, found in facts.items()
    ]
    columns = ("poll", "median ms", "p99 ms", "longest ms")
    return [Table(f"Goal 8: pick-up of {count} submissions (p99 at most 100 ms)", columns, rows, facts)]


def _latencies(place: Place, poll: str, count: int) -> list[float]:
    with stub.slow(0) as url, ground.ours(place.server) as database:
        env = runs.environment(database) | {"NOTIFYCTL_SENDGRID_URL": url}
        dispatcher = subprocess.Popen([PROGRAM, "-q", "dispatch", "--poll", poll], env=env)
        try:
            committed = _submit(database, url, count)
            arrived = stub.seen(url)
        finally:
            dispatcher.send_signal(signal.SIGTERM)
            dispatcher.wait(30)
    return sorted((arrived[id_] - moment) * 1_000 for id_, moment in committed.items())


def _submit(url: str, provider: str, count: int) -> dict[str, float]:
    """Commit one at a time, the first ones uncounted, and return when each was committed."""
    db = Database(url)
    committed: dict[str, float] = {}
    for number in range(count + 2):
        draft = Draft("person1", Channel.EMAIL, ground.CONTENT, uuid.uuid4().hex)
        id_ = submit(db, Actor(), draft, {}).notification.id
        moment = time.time()
        while id_ not in stub.seen(provider):
            time.sleep(0.02)
        if number > 1:  # the dispatcher may still have been starting
            committed[id_] = moment
        time.sleep(random.uniform(0.01, 0.2))
    db.close()
    return committed
