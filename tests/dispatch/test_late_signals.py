"""Signals that come when all is done: the exit code says what was done, and what is to be printed is printed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.world import World

Make = Callable[..., World]
Start = Callable[..., subprocess.Popen[str]]

LATE = """
import asyncio, os, signal, sys
if os.environ["LOOP"] == "asyncio":
    sys.modules["uvloop"] = None  # as where there is none
closing = asyncio.Runner.close
def closed(self):
    closing(self)
    for number in os.environ["LATE"].split():
        os.kill(os.getpid(), int(number))
asyncio.Runner.close = closed
"""
"""What each process of ours does as soon as its event loop is closed: it is sent signals."""


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts commands that are sent these signals late, and their workers, too."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "sitecustomize.py").write_text(LATE)

    def started(cli: Cli, *args: str, late: str, loop: str = "asyncio") -> subprocess.Popen[str]:
        return cli.start(*args, env={"PYTHONPATH": str(tmp_path / "late"), "LATE": late, "LOOP": loop})

    return started


@pytest.mark.parametrize(
    ("more", "how", "loop"),
    [
        (("--once",), signal.SIGTERM, "asyncio"),
        (("--once",), signal.SIGTERM, "uvloop"),
        (("--once",), signal.SIGHUP, "asyncio"),
        (("--once", "--processes", "2"), signal.SIGTERM, "asyncio"),
        (("--limit", "5"), signal.SIGTERM, "asyncio"),
    ],
)
def test_a_dispatcher_that_is_done(
    world: World, database: Database, start: Start, more: tuple[str, ...], how: signal.Signals, loop: str
) -> None:
    """Exit 0 with its report, as if nobody had told it to end: there was nothing left to end."""
    with database.read() as tx:
        anna = str(tx.conn.exec_driver_sql("SELECT id FROM users").scalar_one())
    ids = seed.pending(database, anna, count=5)
    process = start(world.cli, "dispatch", *more, "-o", "json", late=str(int(how)), loop=loop)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert json.loads(out)["accepted"] == 5
    assert world.deliveries() == dict.fromkeys(ids, 1)
    assert "was killed" not in err


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_asks_once_more_means_it(world: World, start: Start, loop: str) -> None:
    """A report that nobody reads holds nothing up: the second of them ends the process."""
    process = start(world.cli, "dispatch", "--once", late=f"{int(signal.SIGTERM)} {int(signal.SIGTERM)}", loop=loop)
    try:
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", [("sandbox", "--port", "0"), ("webhooks", "listen", "--port", "0")])
def test_servers_that_were_told_already(bare_cli: Cli, start: Start, command: tuple[str, ...]) -> None:
    """Who is impatient, or tells a whole group of processes, changes nothing of their end."""
    process = start(bare_cli, *command, late=str(int(signal.SIGTERM)))
    told = process.stdout if command[0] == "sandbox" else process.stderr
    try:
        assert told is not None and "http://127.0.0.1:" in told.readline()
        process.terminate()
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert command[0] == "sandbox" or err.endswith("0 events received\n")


def test_a_caller_gets_its_signals_back(world: World) -> None:
    """Who runs commands in a process of its own is told to end as before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, lambda *_: None) for each in numbers]
    own = [signal.getsignal(each) for each in numbers]
    try:
        world.dispatch()
        assert [signal.getsignal(each) for each in numbers] == own
    finally:
        for each, handler in zip(numbers, before, strict=True):
            signal.signal(each, handler)
