"""Callers with one API key, each a process of its own that asks as often as it may: `python -m tests.support.callers`.

Each prints the seconds, by the database's clock, in which it was let in.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time

from notifyctl.core.errors import RateLimited
from notifyctl.core.model import Actor
from notifyctl.core.scope import Scope
from notifyctl.services.admission import Ask, admit
from notifyctl.store.db.database import Database

LONGEST_WAIT_S = 0.5


def called(url: str, secret: str, limit: int, until: float) -> list[int]:
    """Call until that moment of the host's monotonic clock; return when it was let in, in milliseconds."""
    database, let_in = Database(url), []
    chance = random.Random()
    while time.monotonic() < until:
        try:
            admit(database, secret, Actor(agent="test"), Ask(Scope.STATUS_READ, limit), demanded=False)
            let_in.append(database.moment())
        except RateLimited as error:
            wait = error.facts["retry_after_ms"] / 1_000
            time.sleep(min(wait, LONGEST_WAIT_S) * chance.uniform(0.5, 1.5))
    database.close()
    return let_in


def start(url: str, secret: str, limit: int, seconds: float) -> subprocess.Popen[str]:
    """Start one."""
    words = [sys.executable, "-m", "tests.support.callers", url, secret, str(limit), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    found = called(sys.argv[1], sys.argv[2], int(sys.argv[3]), time.monotonic() + float(sys.argv[4]))
    sys.stdout.write("\n".join(map(str, found)))
