"""The demo is told once, and then the database that it left is looked at from outside.

It is the one place where everything has happened: retries, dead letters, schedules, repairs. So it is also where the
metrics are compared with what a person would count by hand.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import ports
from tests.support.command import Cli, Result
from tests.support.sandbox import Sandbox
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

FOLDER = "notifyctl-demo"
HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS
# What would break every command that paid attention to it.
HOSTILE = {
    "NOTIFYCTL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
    "NOTIFYCTL_CONFIG": "/nowhere/config.toml",
    "NOTIFYCTL_PROFILE": "nowhere",
    "NOTIFYCTL_API_KEY": "nonsense",
    "NOTIFYCTL_ENCRYPTION_KEYS": "nonsense",
    "NOTIFYCTL_ENCRYPTION_KEYS_FILE": "/nowhere/keys",
    "NOTIFYCTL_SENDGRID_URL": "http://127.0.0.1:1",
    "NOTIFYCTL_TWILIO_URL": "http://127.0.0.1:1",
    "NOTIFYCTL_FCM_URL": "http://127.0.0.1:1",
    "NOTIFYCTL_LOG_LEVEL": "nonsense",
    "NOTIFYCTL_LOG_FORMAT": "nonsense",
}


# What it is grouped by, then a line's name, then sent, failed, pending and the mean time of delivery in milliseconds.
Numbers = dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]


def agree(one: Numbers, other: Numbers) -> bool:
    """Return whether the counts are the same; the means may differ by the millisecond that rounding an hour costs."""
    return one.keys() == other.keys() and all(
        one[by].keys() == other[by].keys() and all(_same(numbers, other[by][name]) for name, numbers in one[by].items())
        for by in one
    )


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    means = (one[-1], other[-1])
    close = means == (None, None) or (None not in means and abs(one[-1] - other[-1]) <= 1)
    return one[:-1] == other[:-1] and close


@dataclass(frozen=True)
class Told:
    """What the demo said, and the folder in which it was told."""

    folder: Path
    result: Result


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo, run once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "told"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        saved = shared / "result.json"
        if not saved.exists():
            saved.write_text(json.dumps(_tell(shared / "told").__dict__))
        return Told(shared / "told", Result(**json.loads(saved.read_text())))


def _tell(folder: Path) -> Result:
    folder.mkdir()
    home = folder.parent / "home"
    settings = home / ".config" / "notifyctl"
    settings.mkdir(parents=True)
    (settings / "config.toml").write_text('profile = "nowhere"\n')
    shell = Shell(folder, folder.parent / "tools", {**HOSTILE, "HOME": str(home)})
    return shell.run("notifyctl demo", timeout=180)


@dataclass(frozen=True)
class Demo:
    """A copy of what the demo left, of the test's own."""

    cli: Cli
    path: Path
    farewell: list[str]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run SQL behind everybody's back."""
        with closing(sqlite3.connect(self.path / "notifyctl.db", timeout=30)) as conn, conn:
            return conn.execute(statement, values).fetchall()

    def shift(self, milliseconds: int, where: str = "1 = 1") -> None:
        """Make notifications older, as if they had been there for long, and count everything again."""
        for column in ("created_at", "send_at", "due_at", "sent_at", "failed_at", "last_attempted"):
            self.sql(f"UPDATE notifications SET {column} = {column} - {milliseconds} WHERE {where}")
        self.cli.call("metrics", "rollup", "--since", "15d").ok()

    def shown(self) -> Numbers:
        """Return what `metrics show` says, by what it is grouped by; lines without numbers left out."""
        until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        keys = {
            "provider": ("provider", "message_type"),
            "channel": ("message_type",),
            "hour": ("date", "hour"),
            "day": ("date",),
        }
        found: Numbers = {}
        for by, names in keys.items():
            rows = self.cli.call("metrics", "show", "--by", by, "--since", "14d", "--until", until, "-o", "json").ok()
            numbers = ("total_sent", "total_failed", "total_pending", "avg_delivery_ms")
            found[by] = {
                tuple(row[name] for name in names): tuple(row[name] for name in numbers)
                for row in rows.json()
                if any(row[name] for name in numbers)
            }
        return found

    def counted(self) -> Numbers:
        """Return the same, counted by hand."""
        moment = "coalesce(send_at, created_at) / 1000"
        groups = {
            "provider": ("provider", "message_type"),
            "channel": ("message_type",),
            "hour": (f"date({moment}, 'unixepoch')", f"CAST(strftime('%H', {moment}, 'unixepoch') AS INTEGER)"),
            "day": (f"date({moment}, 'unixepoch')",),
        }
        return {
            by: {
                row[:-4]: row[-4:]
                for row in self.sql(
                    f"SELECT {', '.join(columns)}, sum(status = 'sent'), sum(status = 'failed'),"
                    " sum(status = 'pending'), CAST(floor(avg(CASE status WHEN 'sent'"
                    " THEN sent_at - coalesce(send_at, created_at) END) + 0.5) AS INTEGER) FROM notifications"
                    f" WHERE status <> 'cancelled' GROUP BY {', '.join(columns)}"
                )
            }
            for by, columns in groups.items()
        }

    def rolled(self) -> list[tuple[Any, ...]]:
        """Return the stored metrics, without what says when they were counted."""
        columns = "date, hour, provider, message_type, total_sent, total_failed, total_pending, avg_delivery_ms"
        return self.sql(f"SELECT id, {columns} FROM notification_metrics ORDER BY date, hour, provider, message_type")


@pytest.fixture
def demo(told: Told, tmp_path: Path, bare_cli: Cli) -> Demo:
    """What the demo left, copied."""
    assert told.result.exit_code == 0, told.result
    copy = tmp_path / FOLDER
    shutil.copytree(told.folder / FOLDER, copy)
    config = copy / "config.toml"
    config.write_text(config.read_text().replace(str(told.folder), str(tmp_path)))
    bare_cli.env["NOTIFYCTL_CONFIG"] = str(config)
    farewell = told.result.stdout.partition("To go on:\n")[2].replace(str(told.folder), str(tmp_path))
    return Demo(bare_cli, copy, [line.strip() for line in farewell.splitlines() if line.strip()])


def test_it_tells_its_story(told: Told) -> None:
    """Exit 0 in an empty folder, without a question or a traceback, whatever the environment and the profile say."""
    assert told.result.exit_code == 0, told.result
    everything = told.result.stdout + told.result.stderr
    for never in ("Traceback", "unexpected", "error:", "[y/N]", "warning"):
        assert never not in everything
    for word in ("migrate up", "providers add", "send anna", "schedule anna", "dispatch", "dlq retry", "metrics show"):
        assert f"$ notifyctl {word}" in told.result.stdout


def test_it_fits_the_terminal(told: Told) -> None:
    """Nothing but a command line with a long path in it is wider than 80 columns."""
    story, _, _ = told.result.stdout.partition("The database stays in")
    commands = re.compile(r"^(\$ |    \S)")
    wide = [line for line in story.splitlines() if len(line) > 80 and not commands.match(line)]
    # The line that names the database is as long as its path.
    wide = [line for line in wide if str(told.folder) not in line]
    assert wide == []


def test_it_shows_what_can_happen(demo: Demo) -> None:
    """What was promised is in the database: retried, dead, repaired, resolved, scheduled."""
    counts = dict(demo.sql("SELECT status, count(*) FROM notifications GROUP BY status"))
    assert counts["sent"] > 200 and counts["failed"] >= 1 and counts["pending"] >= 10
    assert demo.sql("SELECT count(*) FROM notifications WHERE status = 'sent' AND attempt_count > 1")[0][0] > 5
    assert demo.sql("SELECT count(*) FROM notification_dlq WHERE NOT resolved")[0][0] >= 1
    ((by, note),) = demo.sql(
        "SELECT username, note FROM notification_dlq JOIN users ON users.id = resolved_by WHERE resolved"
    )
    assert (by, note) == ("anna", "called; number was mistyped")
    assert {name for (name,) in demo.sql("SELECT DISTINCT provider FROM notifications")} == {
        "fcm",
        "sendgrid",
        "twilio",
    }
    failed = demo.sql("SELECT count(*) FROM notifications WHERE status = 'failed'")
    assert failed == demo.sql("SELECT count(*) FROM notification_dlq")


def test_every_command_of_the_farewell_works(demo: Demo, tmp_path: Path) -> None:
    """What the demo says can be done next can be done next, as it is written there."""
    shell = Shell(demo.path.parent, tmp_path / "tools", {"HOME": str(demo.cli.home)})
    export, *looking, sandbox, dispatch = demo.farewell
    assert looking == ["notifyctl status", "notifyctl dlq list", "notifyctl notifications list --state scheduled"]
    for line in looking:
        done = shell.run(f"{export}; {line}")
        assert done.exit_code == 0 and done.stdout, done
    assert sandbox.endswith("&") and dispatch == "notifyctl dispatch"
    before = demo.sql("SELECT count(*) FROM notifications WHERE status = 'sent'")[0][0]
    port = int(sandbox.split("--port ")[1].split(")")[0])
    serving, _ = ports.serving(lambda _: shell.start(f"{export}; {sandbox.removesuffix('&')}"), port)
    try:
        added = shell.run(f"{export}; notifyctl notifications reschedule --state scheduled --at now --all --yes")
        assert added.exit_code == 2  # a filter and --all
        shell.run(f"{export}; notifyctl notifications reschedule --state scheduled --at now --yes").ok()
        working = shell.start(f"{export}; exec {dispatch}")
        try:
            _until(lambda: demo.sql("SELECT count(*) FROM notifications WHERE status = 'sent'")[0][0] > before + 5)
        finally:
            working.send_signal(signal.SIGTERM)
            _, err = working.communicate(timeout=30)
        assert working.returncode == 0, err
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.communicate(timeout=30)


def test_metrics_agree_with_a_count_by_hand(demo: Demo) -> None:
    """By provider, channel, hour and day, before and after the hours were rolled up."""
    assert agree(demo.shown(), demo.counted())
    demo.shift(3 * HOUR_MS)
    assert demo.rolled()
    assert agree(demo.shown(), demo.counted())
    assert sum(sent for sent, *_ in demo.shown()["provider"].values()) > 200


def test_metrics_of_last_week_follow_what_changes_there(demo: Demo, sandbox: Sandbox) -> None:
    """A dead letter of a hour that was rolled up long ago is retried, sent, cancelled: the hour's numbers follow."""
    letters = demo.sql(
        "SELECT n.id, u.username FROM notifications n JOIN users u ON u.id = n.user_id"
        " JOIN notification_dlq d ON d.notification_id = n.id WHERE n.provider = 'twilio' AND NOT d.resolved LIMIT 2"
    )
    (repaired, name), (given_up, _) = letters
    demo.shift(WEEK_MS, f"id IN ('{repaired}', '{given_up}')")
    assert agree(demo.shown(), demo.counted())
    demo.cli.call("users", "contacts", "add", name, "sms", "+14155550199").ok()
    for steps in (
        (("dlq", "retry", repaired, given_up),),
        (("notifications", "cancel", given_up),),
        (("dispatch", "--once", "--channel", "sms"),),
    ):
        for args in steps:
            demo.cli.call(*args, env={"NOTIFYCTL_TWILIO_URL": sandbox.url}).ok()
        assert agree(demo.shown(), demo.counted()), steps
        demo.cli.call("metrics", "rollup").ok()
        assert agree(demo.shown(), demo.counted()), steps
    statuses = demo.sql(f"SELECT id, status FROM notifications WHERE id IN ('{repaired}', '{given_up}')")
    assert dict(statuses) == {repaired: "sent", given_up: "cancelled"}


@pytest.mark.parametrize("hours_ago", [0, 3], ids=["of this hour", "rolled up"])
def test_what_was_counted_stays_when_its_user_is_deleted(demo: Demo, hours_ago: int) -> None:
    """The numbers are of what happened: deleting a person changes none of them, now or at any later roll-up."""
    if hours_ago:
        demo.shift(hours_ago * HOUR_MS)
    before = demo.shown()
    names = demo.sql(
        "SELECT username FROM users u WHERE username <> 'anna' AND NOT EXISTS (SELECT * FROM notifications n"
        " WHERE n.user_id = u.id AND status = 'pending') AND EXISTS (SELECT * FROM notifications n"
        " WHERE n.user_id = u.id AND status = 'sent') ORDER BY username IN ('omar', 'li.wei', 'person07') DESC LIMIT 3"
    )
    assert len(names) == 3
    for (name,) in names:
        demo.cli.call("users", "delete", name, "--yes").ok()
    assert not agree(demo.counted(), before)
    assert agree(demo.shown(), before)
    for args in ((), ("--since", "15d")):
        demo.cli.call("metrics", "rollup", *args).ok()
        assert agree(demo.shown(), before)


def test_rolling_up_again_changes_nothing(demo: Demo) -> None:
    """Twice, everything again, and by two processes at once: the same rows."""
    demo.shift(3 * HOUR_MS)
    demo.shift(WEEK_MS, "provider = 'twilio'")
    rows = demo.rolled()
    assert len(rows) >= 4
    demo.cli.call("metrics", "rollup").ok()
    demo.cli.call("metrics", "rollup", "--since", "15d").ok()
    assert demo.rolled() == rows
    both = [demo.cli.start("metrics", "rollup", "--since", "15d") for _ in range(2)]
    assert [(process.communicate(timeout=60), process.returncode) for process in both] == [(("", ""), 0)] * 2
    assert demo.rolled() == rows
    demo.sql("DELETE FROM notification_metrics")
    both = [demo.cli.start("metrics", "rollup", "--since", "15d") for _ in range(2)]
    assert [(process.communicate(timeout=60), process.returncode) for process in both] == [(("", ""), 0)] * 2
    # Hours that have nothing any more have no row; the others have the numbers that they had.
    assert [row[1:] for row in demo.rolled()] == [row[1:] for row in rows if any(row[5:8])]


def test_it_can_be_told_again_and_stopped(demo: Demo, tmp_path: Path) -> None:
    """In the folder of an earlier demo it starts anew; Ctrl-C in the middle ends all of it, the sandbox too."""
    shell = Shell(tmp_path, tmp_path / "tools", {"HOME": str(demo.cli.home)})
    before = {id_ for (id_,) in demo.sql("SELECT id FROM users")}
    process = shell.start("exec notifyctl demo")
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "dispatch --max-time" in line:
                break
        _until(lambda: demo.sql("SELECT count(*) FROM notifications WHERE status = 'sent'")[0][0] > 0)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, (said, err)
    assert "Traceback" not in err
    assert before.isdisjoint(id_ for (id_,) in demo.sql("SELECT id FROM users"))
    _until(lambda: _is_gone(process.pid))


def test_it_touches_nobody_elses_files(bare_cli: Cli) -> None:
    """A folder with something else in it is refused, and nothing in it is removed or made."""
    folder = bare_cli.home / FOLDER
    folder.mkdir()
    for name in ("notifyctl.db", "keys", "config.toml", "mine.txt"):
        (folder / name).write_text("mine")
    result = bare_cli.call("demo", env=HOSTILE)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "mine.txt" in result.stderr and "hint: notifyctl demo --dir" in result.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("notifyctl.db", "keys", "config.toml", "mine.txt"), "mine"
    )
    assert bare_cli.call("demo", "--dir", str(folder / "mine.txt")).exit_code == 5


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
