"""What a dispatcher tells of itself: without a terminal in lines with time and level, on one in the live view."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from notifyctl.cli.journal import DispatchLog
from notifyctl.cli.live import View
from notifyctl.config import Settings
from notifyctl.core.errors import DatabaseUnavailable
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.notices import Notice, Notices
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import ProviderTally, Tally
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import notifications
from tests.reliability.scene import Scene
from tests.reliability.stub import Stub, always, never
from tests.support import seed

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING) (.+)")


@pytest.fixture
def scene(sqlite_url: str, tmp_path: Path, stub: Stub) -> Iterator[Scene]:
    """A database with a provider that is the stub."""
    with Scene(sqlite_url, tmp_path, stub) as made:
        made.patience(30)
        yield made


@pytest.fixture
def stub() -> Iterator[Stub]:
    """The provider."""
    with Stub() as made:
        yield made


def told(scene: Scene, *args: str, env: dict[str, str] | None = None) -> str:
    """Let a dispatcher that nobody watches run until a message was tried 30 times in all; return its stderr."""
    scene.seed(30)
    process = scene.cli.start("dispatch", "--poll", "50ms", *args, env=env)
    try:
        scene.wait(lambda: scene.count(notifications.c.last_attempted.is_not(None)) >= 5, 60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return err


def test_its_life_is_told_with_time_and_level(scene: Scene) -> None:
    """Start, drain and stop at INFO, a breaker that opened as a warning; no line without time and level."""
    scene.stub.faults = always("503")
    lines = [LINE.fullmatch(line) for line in told(scene).splitlines()]
    assert all(lines), lines
    words = [(line[1], line[2]) for line in lines if line]
    assert words[0][0] == "INFO"
    assert words[0][1].startswith("started: 1 process, sqlite")
    assert ("INFO", "draining") in words
    assert words[-1][1].startswith("stopped: 0 sent, ")
    assert any(level == "WARNING" and "sendgrid" in text for level, text in words)


def test_its_life_is_told_as_json_where_that_is_configured(scene: Scene) -> None:
    """Each line is one object, for whoever collects logs."""
    found = [json.loads(line) for line in told(scene, env={"NOTIFYCTL_LOG_FORMAT": "json"}).splitlines()]
    assert [each["message"].partition(":")[0] for each in found] == ["started", "draining", "stopped"]
    assert all(each["level"] == "INFO" and each["time"] for each in found)


def test_each_line_is_json_with_sends_as_well(scene: Scene) -> None:
    """With -v there are more lines and none of another kind; what it came to is said once."""
    found = [json.loads(line) for line in told(scene, "-v", env={"NOTIFYCTL_LOG_FORMAT": "json"}).splitlines()]
    assert {each["level"] for each in found} == {"DEBUG", "INFO"}
    assert sum(" sent, " in each["message"] for each in found) == 1


def test_a_level_leaves_out_what_is_below(scene: Scene) -> None:
    """Whoever wants warnings alone gets them alone."""
    assert told(scene, env={"NOTIFYCTL_LOG_LEVEL": "WARNING"}) == ""


@pytest.mark.parametrize("level", ["INFO", "ERROR"])
def test_cron_learns_when_something_changed(scene: Scene, level: str) -> None:
    """With --once each change of state is a line with its time, whatever the level: trouble warns, its end does not."""
    env = {"NOTIFYCTL_LOG_LEVEL": level}
    scene.stub.faults = always("503")
    scene.seed(30)
    found = LINE.fullmatch(scene.cli.run("dispatch", "--once", env=env).ok().stderr.removesuffix("\n"))
    assert found
    assert (found[1], found[2].partition(":")[0]) == ("WARNING", "sendgrid breaker opened")
    scene.stub.faults = never
    with scene.db.read() as tx:
        seed.health(scene.db, "sendgrid", probe_at=tx.now - 1)
    scene.seed(1)
    err = scene.cli.run("dispatch", "--once", env={**env, "NOTIFYCTL_LOG_FORMAT": "json"}).ok().stderr
    line = json.loads(err)
    assert (line["level"], line["message"]) == ("INFO", "sendgrid breaker closed: a probe was accepted")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*", line["time"])


def test_good_news_is_no_warning() -> None:
    """Who collects warnings is not woken by what is well again."""
    said: list[str] = []
    for level in ("INFO", "WARNING"):
        log = DispatchLog(said.append, Settings("sqlite:///x", log_level=level), lambda: Keyring({}))
        log.note(Notice("the database is back", good=True))
        log.note(Notice("the database is away"))
    words = [line.split(" ", 1)[1] for line in said]
    assert words == ["INFO the database is back", "WARNING the database is away", "WARNING the database is away"]


def test_each_send_is_told_on_demand(scene: Scene) -> None:
    """With -v a line for each notification; without it none."""
    (id_,) = scene.seed(1)
    err = scene.cli.run("dispatch", "--once", "-v").ok().stderr
    assert re.search(rf"^\S+T\d\d:\d\d:\d\d\S+ DEBUG {id_} sendgrid attempt 1 sent", err, re.MULTILINE), err
    scene.seed(1)
    assert scene.cli.run("dispatch", "--once").ok().stderr == ""


def test_the_database_is_away_once_and_back_once(database: Database) -> None:
    """However many calls find it so."""
    said: list[tuple[str, bool]] = []

    def away(_: Tx) -> None:
        raise DatabaseUnavailable("it is away")

    async def calls() -> None:
        threads = StoreThreads(database)
        threads.tell = lambda text, good: said.append((text, good))
        for _ in range(2):
            for _ in range(3):
                with suppress(DatabaseUnavailable):
                    await threads.write(away)
            for _ in range(3):
                await threads.write(lambda tx: tx.now)
        threads.close()

    asyncio.run(calls())
    assert said == [("it is away", False), ("the database is back", True)] * 2


def test_a_summary_says_what_was_done_in_its_minute() -> None:
    """And nothing where nothing was."""
    said: list[str] = []
    tally = Tally({"sendgrid": ProviderTally("sendgrid", accepted=1_000, retried=2, dead=1, in_flight=4)})

    async def work() -> None:
        heard = asyncio.Event()

        def hear(text: str) -> None:
            said.append(text)
            heard.set()

        summing = asyncio.create_task(
            DispatchLog(hear, Settings("sqlite:///x"), lambda: Keyring({})).summarize(lambda: tally, 0.01)
        )
        await heard.wait()
        await asyncio.sleep(0.1)
        summing.cancel()

    asyncio.run(work())
    (line,) = said
    assert line.endswith("INFO 1,000 sent, 2 to be retried, 1 dead in the last minute; 4 in flight")


def test_the_last_picture_says_that_it_is_over() -> None:
    """What stays on the terminal tells events with their times, and nothing that goes on."""

    class Working:
        options = DispatchOptions()
        tally = Tally({"sendgrid": ProviderTally("sendgrid", accepted=7)})

    Notices(Working.tally, lambda _: None).say("sendgrid paused")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(View(Working(), "prod").draw(ended=True))
    shown = console.export_text()
    assert "prod  stopped after" in shown
    assert "sending" not in shown
    assert "Ctrl-C" not in shown
    assert re.search(r"^\d\d:\d\d:\d\d  sendgrid paused", shown, re.MULTILINE)
