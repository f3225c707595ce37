"""`metrics`: the numbers as people and programs get them."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from sqlalchemy import delete

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal

HOUR = 3_600_000
START = 1_767_218_400_000  # 2025-12-31T22:00:00Z
WINDOW = ("--since", "2025-12-31T20:00:00Z", "--until", "2026-01-01T04:00:00Z")
COUNTS = ("total_sent", "total_failed", "total_pending", "avg_delivery_ms")


def numbers(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return sent, failed, pending and the mean of a row."""
    return tuple(row[name] for name in COUNTS)


@pytest.fixture
def past(database: Database) -> str:
    """Notifications of the last hours of 2025 and the first ones of 2026, of one user, whose name is returned."""
    anna = seed.user(database, "anna")

    def at(hour: int, count: int, provider: str, status: str, took: int = 0) -> None:
        moment = START + hour * HOUR
        sent_at = moment + took if status == "sent" else None
        seed.pending(database, anna, provider, count, status=status, created_at=moment, sent_at=sent_at)

    at(0, 3, "sendgrid", "sent", 1_000)
    at(0, 1, "sendgrid", "failed")
    at(1, 1, "twilio", "sent", 200)
    at(2, 1, "sendgrid", "sent", 5_000)
    at(2, 2, "twilio", "pending")
    at(2, 4, "fcm", "cancelled")
    return "anna"


def show(cli: Cli, *args: str) -> list[dict[str, Any]]:
    """Return the rows of `metrics show` over the window."""
    rows: list[dict[str, Any]] = cli.call("metrics", "show", *WINDOW, "-o", "json", *args).ok().json()
    return rows


def test_by_provider(cli: Cli, past: str) -> None:
    """A row for each provider and channel, in the schema's names; cancelled ones do not count."""
    rows = show(cli)
    assert [(row["provider"], row["message_type"]) for row in rows] == [("sendgrid", "email"), ("twilio", "sms")]
    assert [numbers(row) for row in rows] == [(4, 1, 0, 2_000), (1, 0, 2, 200)]
    assert [row["ok_percent"] for row in rows] == [80.0, 100.0]


def test_by_channel_hour_and_day(cli: Cli, past: str) -> None:
    """The same numbers by channel, hour and day (UTC); an hour between others is there even if it is empty."""
    assert [(row["message_type"], *numbers(row)) for row in show(cli, "--by", "channel")] == [
        ("email", 4, 1, 0, 2_000),
        ("sms", 1, 0, 2, 200),
    ]
    hours = show(cli, "--by", "hour", "--provider", "sendgrid")
    assert [(row["date"], row["hour"], row["total_sent"]) for row in hours[:3]] == [
        ("2025-12-31", 22, 3),
        ("2025-12-31", 23, 0),
        ("2026-01-01", 0, 1),
    ]
    assert hours[0]["start"] == "2025-12-31T22:00:00.000Z"
    days = show(cli, "--by", "day")
    assert [(row["date"], *numbers(row)[:3]) for row in days] == [("2025-12-31", 4, 1, 0), ("2026-01-01", 1, 0, 2)]


def test_filters(cli: Cli, past: str) -> None:
    """A provider or channel narrows the numbers; an unknown provider is not found, a known one without any is empty."""
    assert [row["provider"] for row in show(cli, "--channel", "sms")] == ["twilio"]
    assert [numbers(row)[:3] for row in show(cli, "--provider", "sendgrid")] == [(4, 1, 0)]
    assert show(cli, "--provider", "fcm") == []
    failed = cli.call("metrics", "show", "--provider", "pigeon")
    assert (failed.exit_code, failed.stdout) == (3, "")


def test_windows(cli: Cli, past: str) -> None:
    """The window is whole hours: its first one is counted from its beginning, its last one to its end."""
    cut = ("--since", "2025-12-31T22:59:00Z", "--until", "2025-12-31T23:00:00.001Z")
    rows = cli.call("metrics", "show", *cut, "-o", "json").ok().json()
    assert [numbers(row)[:3] for row in rows] == [(3, 1, 0), (1, 0, 0)]
    until = ("--since", "2025-12-31T22:00:00Z", "--until", "2025-12-31T23:00:00Z")
    assert [numbers(row)[:3] for row in cli.call("metrics", "show", *until, "-o", "json").ok().json()] == [(3, 1, 0)]
    assert cli.call("metrics", "show", "-o", "json").ok().json() == []


@pytest.mark.parametrize(
    "args",
    [
        ("--last", "2h", "--since", "3h"),
        ("--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"),
        ("--since", "yesterday"),
        ("--last", "-2h"),
        ("--channel", "fax"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, args: tuple[str, ...]) -> None:
    """Windows that contradict themselves and unknown words are usage errors."""
    failed = cli.call("metrics", "show", *args)
    assert (failed.exit_code, failed.stdout) == (2, "")


def test_the_running_hour(cli: Cli, database: Database) -> None:
    """What was sent a moment ago is in the numbers without any roll-up."""
    now = database.moment()
    seed.pending(database, seed.user(database), count=2, status="sent", created_at=now, sent_at=now + 90)
    (row,) = cli.call("metrics", "show", "-o", "json").ok().json()
    assert numbers(row) == (2, 0, 0, 90)


def test_rollup_is_for_cron(cli: Cli, past: str) -> None:
    """The roll-up says nothing unless asked, counts once, and changes no number."""
    before = show(cli), show(cli, "--by", "hour")
    quiet = cli.call("metrics", "rollup").ok()
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert (show(cli), show(cli, "--by", "hour")) == before
    said = cli.call("metrics", "rollup", "-v").ok()
    assert (said.stdout, said.stderr) == ("", "0 hours counted, 0 again; counted up to 2026-01-01T01:00:00Z\n")
    report = cli.call("metrics", "rollup", "--since", "2025-12-31T22:00:00Z", "-o", "json").ok().json()
    assert report["hours"] >= 3
    assert report["until"] == "2026-01-01T01:00:00.000Z"
    assert (show(cli), show(cli, "--by", "hour")) == before


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_deleted_user_stays_in_the_numbers(cli: Cli, database: Database, past: str, rolled_up: bool) -> None:
    """What was sent remains counted after `users delete`, whether its hours were rolled up or not."""
    if rolled_up:
        cli.call("metrics", "rollup").ok()
    database.write(lambda tx: tx.execute(delete(notifications).where(notifications.c.status == "pending")))
    cli.call("metrics", "rollup", "--since", "2025-12-31T00:00:00Z").ok() if rolled_up else None
    before = show(cli)
    cli.call("users", "delete", past, "--yes").ok()
    assert show(cli) == before
    cli.call("metrics", "rollup").ok()
    assert show(cli) == before
    cli.call("metrics", "rollup", "--since", "2025-12-31T00:00:00Z").ok()
    assert show(cli) == before


def test_csv_and_plain(cli: Cli, past: str) -> None:
    """CSV and plain have the numbers as numbers, without pictures."""
    text = cli.call("metrics", "show", *WINDOW, "-o", "csv").ok().stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0] == {
        "provider": "sendgrid", "message_type": "email", "total_sent": "4", "total_failed": "1",
        "total_pending": "0", "ok_percent": "80.0", "avg_delivery_ms": "2000",
        "total_delivered": "0", "total_bounced": "0",
    }  # fmt: skip
    head, first, _ = cli.call("metrics", "show", *WINDOW).ok().stdout.splitlines()
    assert head.split() == list(rows[0])
    assert first.split() == list(rows[0].values())


def test_the_picture(cli: Cli, past: str) -> None:
    """On 80 columns: a heading, a line each with the sparkline of the hours, and the total."""
    shown = on_terminal(cli, "metrics", "show", *WINDOW, env={"NO_COLOR": "1"}).stdout
    lines = [line.rstrip() for line in re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines()]
    assert lines == [
        "8 h to 2026-01-01 04:00 UTC",
        "PROVIDER  CHANNEL  SENT  FAILED  PENDING   OK %    AVG  PER HOUR",
        "sendgrid  email       4       1        0   80.0   2.0s  ▁▁█▁▃▁▁▁",
        "twilio    sms         1       0        2  100.0  200ms  ▁▁▁█▁▁▁▁",
        "total                 5       1        2   83.3   1.6s",
    ]


def test_bars(cli: Cli, past: str) -> None:
    """By hour and by day each line has a bar, the longest for the most."""
    shown = on_terminal(cli, "metrics", "show", *WINDOW, "--by", "day", env={"NO_COLOR": "1"}).stdout
    lines = [line.rstrip() for line in re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines()]
    assert lines[0] == "2 days to 2026-01-01 04:00 UTC"
    assert [line.count("█") for line in lines[2:4]] == [24, 6]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_number_is_cut(cli: Cli, past: str, columns: int) -> None:
    """On a narrow terminal the picture gives way, never a number."""
    shown = on_terminal(cli, "metrics", "show", *WINDOW, columns=columns, env={"NO_COLOR": "1"}).stdout
    assert "200ms" in shown
    assert "…" not in shown


def test_nothing_sent(cli: Cli) -> None:
    """An empty system is no error: an empty list for programs, a word on stderr for people."""
    assert cli.call("metrics", "show", "-o", "json").ok().json() == []
    assert "nothing was sent" in cli.call("metrics", "show", "-o", "table").ok().stderr
