"""Hostile receivers of webhooks, in a dispatcher that has others to tell: bounded time and memory, and no delay."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from notifyctl.store.db.database import Database
from tests.reliability.hostility import WAYS
from tests.support import seed
from tests.support.command import Cli
from tests.support.floods import FLOODS, prepare
from tests.support.receiver import Receiver, webhook
from tests.support.scripted import Answer, Peer
from tests.support.world import KEYS, stop

TIMEOUT_S = 10
GOOD, EACH = 100, 20
GROWTH_MB = 32


async def _drip(peer: Peer) -> None:
    await WAYS["a byte a second"].act(peer, "")


async def _silence(peer: Peer) -> None:
    await peer.reader.read()


HOSTILE: dict[str, Answer] = {"silence": _silence, "a byte a second": _drip, **FLOODS}


@pytest.fixture
def dispatching(cli: Cli, database: Database) -> Iterator[subprocess.Popen[str]]:
    """A dispatcher that looks often, and may call this machine."""
    (cli.home / "config.toml").write_text("webhook_loopback = true\n")
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    process = cli.start(
        *("--config", str(cli.home / "config.toml"), "dispatch", "--poll", "200ms", "--drain", "200ms"), "-q"
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_4_others_are_told_as_if_the_hostile_were_not_there(
    database: Database, dispatching: subprocess.Popen[str]
) -> None:
    """Before any hostile call has reached its deadline, and within twice their time alone; memory stays flat."""
    prepare()
    anna = seed.user(database)
    note = seed.pending(database, anna, count=1, status="sent")[0]
    with ExitStack() as stack:
        good = stack.enter_context(Receiver())
        quick = webhook(database, anna, good.url)
        _told(database, good, quick, note)  # what any work takes, however friendly
        alone_s = _told(database, good, quick, note)
        before = _megabytes(dispatching)
        hostile = []
        for answer in HOSTILE.values():
            receiver = stack.enter_context(Receiver(lambda _, answer=answer: answer))
            hostile.append(receiver)
            id_ = webhook(database, anna, receiver.url, timeout_seconds=TIMEOUT_S)
            seed.owed(database, id_, note, EACH)
        beside_s = max(_told(database, good, quick, note) for _ in range(3))
        assert all(each.told for each in hostile)
        growth = _megabytes(dispatching) - before
        code, _, err = stop(dispatching)
    assert code == 0, err
    assert beside_s <= max(2 * alone_s, TIMEOUT_S / 2)
    assert growth <= GROWTH_MB
    kept = [row.response_body for row in seed.deliveries(database) if row.response_body]
    assert kept
    assert all(len(text.encode()) <= 2_048 for text in kept)


def _told(db: Database, receiver: Receiver, webhook_id: str, note: str) -> float:
    """Owe the receiver much at once; return the seconds until it has it all."""
    wanted = set(seed.owed(db, webhook_id, note, GOOD))
    began = time.monotonic()
    while not wanted <= set(receiver.ids()):
        assert time.monotonic() < began + 60
        time.sleep(0.01)
    return max(each.at for each in receiver.told) - began


def _megabytes(process: subprocess.Popen[str]) -> float:
    """Return the most memory that the process had at any time."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1_024  # type: ignore[index]
