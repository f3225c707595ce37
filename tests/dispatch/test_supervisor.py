"""`dispatch --processes N`: several dispatchers, one command, one report, one exit code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.cli.dispatch import WORKER
from notifyctl.core.sealing import parse_keys
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.supervisor import ECHO_S, LONGEST_WAIT_S, Echo, ExitKind, Sequel, sequel, shares, wait_s
from notifyctl.store.schema.tables import dispatchers, notifications
from notifyctl.wiring import make_dispatcher
from tests.reliability.scene import Scene
from tests.reliability.stub import Stub, always
from tests.support.command import WARNINGS_ONLY
from tests.support.terminal import on_terminal
from tests.support.world import KEYS

pytestmark = pytest.mark.slow

LEASED = notifications.c.lease_id.is_not(None)
SENT = notifications.c.status == "sent"
PATIENCE_S = 90.0
COUNTS = ("accepted", "retried", "dead", "cancelled", "deferred", "stale")

Start = Callable[..., subprocess.Popen[str]]

on_one = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
"""What is no different on another database."""


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose provider is waited for: a busy machine must not make an answer late."""
    with Stub() as stub, Scene(database_url, tmp_path, stub) as made:
        made.patience(300)
        made.cli.env["NOTIFYCTL_LOG_LEVEL"] = "WARNING"
        yield made


@pytest.fixture
def start(scene: Scene) -> Iterator[Start]:
    """Starts `dispatch` in a process group of its own, as a shell does, and leaves nothing of it behind."""
    with ExitStack() as started:

        def run(*args: str, **options: Any) -> subprocess.Popen[str]:
            command = ("dispatch", "-o", "json", "--poll", "50ms", *args)
            env = {**WARNINGS_ONLY, **options.pop("env", {})}
            process = scene.cli.start(*command, start_new_session=True, env=env, **options)
            started.callback(_end, process)
            return process

        yield run


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def workers(scene: Scene) -> set[int]:
    """Return the process ids of the dispatchers that entered themselves and live."""
    with scene.db.read() as tx:
        return {pid for pid in tx.execute(select(dispatchers.c.pid)).scalars() if is_alive(pid)}


def is_alive(pid: int) -> bool:
    """Return whether there is such a process, and not only its remains."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def entered(scene: Scene, number: int) -> set[int]:
    """Wait until that many dispatchers are there, and return their process ids."""
    scene.wait(lambda: len(workers(scene)) == number, PATIENCE_S)
    return workers(scene)


def holders(scene: Scene) -> set[str]:
    """Return which dispatchers have something in flight."""
    with scene.db.read() as tx:
        return set(tx.execute(select(notifications.c.leased_by).where(LEASED)).scalars())


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end and return exit code and output."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def said(err: str) -> list[str]:
    """Return the remarks, without time and level."""
    return [line.split(" ", 2)[2] for line in err.splitlines()]


def nothing_is_left(scene: Scene) -> None:
    """Demand that every dispatcher has left and no lease is held."""
    with scene.db.read() as tx:
        assert tx.execute(select(dispatchers.c.pid)).all() == []
    assert scene.count(LEASED) == 0


def test_they_share_the_work_and_report_it_as_one(scene: Scene, start: Start) -> None:
    """Each is a dispatcher of its own and takes its part; everything is sent once; one report has the sums."""
    process = start("--processes", "3", "--concurrency", "4")
    entered(scene, 3)
    scene.stub.latency = 1.0
    ids = scene.seed(1_000)
    scene.wait(lambda: len(holders(scene)) == 3, PATIENCE_S)
    scene.stub.latency = 0.0
    scene.wait_until_all_ended(PATIENCE_S)
    process.terminate()
    code, out, err = ended(process)
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert scene.stub.deliveries() == dict.fromkeys(ids, 1)
    assert scene.verdict().wrong == {}
    (provider,) = report["providers"]
    assert {name: report[name] for name in ("attempts", "accepted", "dead")} == {
        "attempts": 1_000,
        "accepted": 1_000,
        "dead": 0,
    }
    assert {name: provider[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {"accepted": 1_000}
    nothing_is_left(scene)


@on_one
def test_one_process_has_no_parent(scene: Scene, start: Start) -> None:
    """Without the option, and with 1, the command itself is the dispatcher."""
    process = start("--processes", "1")
    assert entered(scene, 1) == {process.pid}


@on_one
def test_secrets_are_not_in_the_process_list(scene: Scene, start: Start) -> None:
    """What a worker has to know does not reach it through its arguments."""
    start("--processes", "2")
    for pid in entered(scene, 2):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        assert words[1:] == [*WORKER[1:], ""]


def test_once_works_off_what_was_due(scene: Scene, start: Start) -> None:
    """All of them end by themselves; what is to be retried waits for the next run, whichever of them is late."""
    scene.stub.faults = always("503")
    ids = scene.seed(18)
    code, out, err = ended(start("--processes", "2", "--once"))
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert sorted(each.id for each in scene.stub.requests()) == sorted(ids)
    assert (report["attempts"], report["providers"][0]["retried"]) == (18, 18)
    nothing_is_left(scene)


def test_a_late_one_works_on_what_was_due_when_the_run_began(scene: Scene) -> None:
    """One that starts a moment after the others takes nothing that has become due since."""
    scene.seed(5)  # due at 1,000
    for due_by, attempts in ((999, 0), (1_000, 5)):
        late = make_dispatcher(scene.db, parse_keys(KEYS, "here"), DispatchOptions(once=True, due_by=due_by))
        asyncio.run(late.run())
        assert late.tally.attempts == attempts


@on_one
def test_one_table(scene: Scene) -> None:
    """The table of a run has one line a provider, however many took part."""
    scene.seed(20)
    shown = scene.cli.run("dispatch", "--once", "--processes", "2", "-o", "table", timeout=PATIENCE_S).ok().stdout
    heads, line = (each.split() for each in shown.splitlines())
    assert heads[:2] == ["PROVIDER", "ACCEPTED"]
    assert line[:2] == ["sendgrid", "20"]


@pytest.mark.parametrize("limit", [7, 2])
def test_the_limit_is_that_of_all(scene: Scene, start: Start, limit: int) -> None:
    """--limit bounds the attempts of all of them together, and then all of them end; also when it is below three."""
    scene.seed(40)
    code, out, _ = ended(start("--processes", "3", "--limit", str(limit)))
    assert (code, json.loads(out)["attempts"]) == (0, limit)
    assert len(scene.stub.requests()) == scene.count(SENT) == limit


@on_one
def test_max_time_ends_all(scene: Scene, start: Start) -> None:
    """--max-time ends the whole run, gently."""
    code, out, _ = ended(start("--processes", "2", "--max-time", "1s"))
    assert (code, json.loads(out)["attempts"]) == (0, 0)
    nothing_is_left(scene)


@pytest.mark.parametrize(
    ("how", "tell", "code"),
    [
        pytest.param(signal.SIGTERM, os.kill, 0, id="TERM"),
        pytest.param(signal.SIGTERM, os.killpg, 0, id="TERM to all"),
        pytest.param(signal.SIGINT, os.kill, 130, id="INT"),
        pytest.param(signal.SIGINT, os.killpg, 130, id="INT to all"),
    ],
)
def test_a_signal_drains(
    scene: Scene, start: Start, how: signal.Signals, tell: Callable[[int, int], None], code: int
) -> None:
    """To the parent alone, or to all of the group as a terminal sends it: all is drained, recorded and reported."""
    scene.stub.latency = 1.0
    ids = scene.seed(1_000)
    process = start("--processes", "2", "--concurrency", "8")
    scene.wait(lambda: len(holders(scene)) == 2, PATIENCE_S)
    tell(process.pid, how)
    exit_code, out, err = ended(process)
    assert exit_code == code
    assert said(err) == (["draining; Ctrl-C again leaves at once"] if how is signal.SIGINT else [])
    nothing_is_left(scene)
    sent = scene.count(SENT)
    assert sent == json.loads(out)["accepted"] == len(scene.stub.deliveries())
    assert 0 < sent < len(ids)
    assert scene.stub.deliveries().most_common(1)[0][1] == 1


def test_a_second_interrupt_leaves_at_once(scene: Scene, start: Start) -> None:
    """A person who presses Ctrl-C twice gets the terminal back, and no dispatcher stays; the leases expire."""
    scene.stub.latency = 280.0
    scene.seed(40)
    process = start("--processes", "2", "--concurrency", "8", "--drain", "280s")
    scene.wait(lambda: scene.count(LEASED) == 16, PATIENCE_S)
    pids = workers(scene)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert said(process.stderr.readline()) == ["draining; Ctrl-C again leaves at once"]
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out, err) == (130, "", "")
    scene.wait(lambda: not any(map(is_alive, pids)), PATIENCE_S)
    assert scene.count(LEASED) == 16


def test_a_dead_one_is_replaced(scene: Scene, start: Start) -> None:
    """One that was killed is named, and another takes its place; at the end the report has what both did."""
    process = start("--processes", "2")
    before = entered(scene, 2)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    scene.wait(lambda: len(workers(scene) - before) == 1, PATIENCE_S)
    assert workers(scene) > before - {victim}
    ids = scene.seed(50)
    scene.wait_until_all_ended(PATIENCE_S)
    process.terminate()
    code, out, err = ended(process)
    assert (code, json.loads(out)["accepted"]) == (0, 50)
    assert said(err) == [f"dispatcher {victim} was killed by SIGKILL; another starts in 1s"]
    assert scene.stub.deliveries() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("bound", [("--once",), ("--limit", "1000")])
def test_a_run_with_an_end_fails_with_a_dead_one(scene: Scene, start: Start, bound: tuple[str, ...]) -> None:
    """Nobody knows how much of its part was left: the others drain, and the error names it."""
    scene.stub.latency = 280.0
    scene.seed(40)
    process = start("--processes", "2", "--concurrency", "8", "--drain", "100ms", *bound)
    scene.wait(lambda: scene.count(LEASED) == 16, PATIENCE_S)
    victim = min(workers(scene))
    os.kill(victim, signal.SIGKILL)
    code, out, err = ended(process)
    assert (code, out) == (1, "")
    assert json.loads(err)["error"] == {
        "code": "failed",
        "message": f"dispatcher {victim} was killed by SIGKILL",
        "hint": "what it had in flight is taken up when its leases end",
    }
    assert scene.count(LEASED) == 8


def test_a_dead_parent_leaves_no_orphan(scene: Scene, start: Start) -> None:
    """When the parent is killed its dispatchers drain and end by themselves."""
    scene.stub.latency = 1.0
    scene.seed(1_000)
    process = start("--processes", "2", "--concurrency", "8")
    scene.wait(lambda: len(holders(scene)) == 2, PATIENCE_S)
    pids = workers(scene)
    assert len(pids) == 2
    process.kill()
    scene.wait(lambda: not any(map(is_alive, pids)), PATIENCE_S)
    nothing_is_left(scene)
    assert scene.count(SENT) == len(scene.stub.deliveries()) > 0
    assert scene.count(SENT) < 1_000


@on_one
def test_dead_letters_of_all_decide_the_exit_code(scene: Scene, start: Start) -> None:
    """--fail-on-dlq asks what all of them have dead-lettered."""
    scene.stub.faults = always("400")
    scene.seed(20)
    code, out, err = ended(start("--processes", "2", "--once", "--fail-on-dlq"))
    assert (code, json.loads(out)["dead"]) == (6, 20)
    assert json.loads(err)["error"]["message"] == "20 became dead letters"


def test_what_one_cannot_do_all_cannot(scene: Scene, start: Start) -> None:
    """What would have ended a single dispatcher ends the run with the same words and code, once."""
    alone, together = (
        ended(start("--processes", number, env={"NOTIFYCTL_ENCRYPTION_KEYS": ""})) for number in ("1", "2")
    )
    assert alone == together
    assert together[0] == 4
    assert len(together[2].splitlines()) == 1
    nothing_is_left(scene)


@on_one
def test_channels_are_those_of_all(scene: Scene, start: Start) -> None:
    """What is not asked for is sent by none of them."""
    scene.seed(10)
    code, out, _ = ended(start("--processes", "2", "--once", "--channel", "sms"))
    assert (code, json.loads(out)["attempts"]) == (0, 0)
    assert scene.stub.requests() == []


@on_one
def test_a_profile_may_say_how_many(scene: Scene, start: Start) -> None:
    """A profile's [dispatch] sets the number; what cannot be meant is refused."""
    config = scene.home / "config.toml"
    env = {"NOTIFYCTL_CONFIG": str(config), "NOTIFYCTL_PROFILE": "prod"}
    config.write_text("[profiles.prod.dispatch]\nprocesses = 2\n")
    process = start(env=env)
    assert process.pid not in entered(scene, 2)
    config.write_text("[profiles.prod.dispatch]\nprocesses = 10_000\n")
    code, _, err = ended(start(env=env))
    assert (code, json.loads(err)["error"]["message"]) == (2, "dispatch.processes is 10000")


@on_one
def test_the_view_has_the_sums(scene: Scene) -> None:
    """A person at a terminal sees what all of them do, and at the end what all of them did."""
    scene.seed(60)

    def seen(shown: str) -> bool:
        return re.search(r"sendgrid +sending +60 ", shown) is not None

    ran = on_terminal(
        scene.cli, "dispatch", "--processes", "2", interrupt_after=seen, env={"NO_COLOR": "1"}, timeout=PATIENCE_S
    )
    assert ran.exit_code == 130
    assert "2 processes" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert scene.count(SENT) == 60


def test_status_shows_each(scene: Scene, start: Start) -> None:
    """Each has its line in `status`, and with its next heartbeats it says how many it has recorded a minute."""
    start("--processes", "2")
    pids = entered(scene, 2)
    scene.seed(100)

    def dispatching() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = scene.cli.call("status", "-o", "json").ok().json()["dispatchers"]
        return found

    assert {each["pid"] for each in dispatching()} == pids
    scene.wait(lambda: sum(each["per_minute"] for each in dispatching()) > 0, PATIENCE_S, pause=0.5)


# What is decided, without a process


def test_what_follows_an_end() -> None:
    """Who is done is done, who cannot go on ends the run, who dies is replaced; a run with an end replaces nobody."""
    running = {kind: sequel(kind, ending=False, first=True) for kind in ExitKind}
    assert running == {ExitKind.LEFT: Sequel.REPLACE, ExitKind.FAILED: Sequel.FAIL, ExitKind.DIED: Sequel.REPLACE}
    assert sequel(ExitKind.FAILED, ending=False, first=False) is Sequel.REPLACE
    for first in (True, False):
        ending = {kind: sequel(kind, ending=True, first=first) for kind in ExitKind}
        assert ending == {ExitKind.LEFT: Sequel.DONE, ExitKind.FAILED: Sequel.FAIL, ExitKind.DIED: Sequel.FAIL}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize("processes", [2, 3, 16])
def test_shares_of_a_limit(limit: int, processes: int) -> None:
    """The shares are the limit, none is empty, and none is greater than another by more than one."""
    parts = [share or 0 for share in shares(limit, processes)]
    assert sum(parts) == limit
    assert len(parts) == min(limit, processes)
    assert max(parts) - min(parts) <= 1
    assert min(parts) >= 1


def test_waits_grow() -> None:
    """One that dies again and again is started ever more seldom, but never given up."""
    assert [wait_s(falls) for falls in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert wait_s(7) == wait_s(10_000) == LONGEST_WAIT_S


def test_the_same_words_of_several_are_said_once() -> None:
    """An outage that all of them notice is one line; who said it may say it again, and so may others later."""
    echo = Echo()
    assert echo.is_new(0, "the database is away", 100.0)
    assert not echo.is_new(1, "the database is away", 100.1)
    assert echo.is_new(1, "something else", 100.2)
    assert echo.is_new(0, "the database is away", 101.0)
    assert not echo.is_new(1, "the database is away", 101.0 + ECHO_S - 0.1)
    assert echo.is_new(1, "the database is away", 101.0 + ECHO_S)
