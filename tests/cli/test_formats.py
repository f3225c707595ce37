"""Each format says the same, to whoever reads it: a program, a spreadsheet, a shell, a person on a narrow terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
import yaml
from sqlalchemy import insert

from notifyctl.config.values import DISPATCH
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import users
from tests.support import seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal

# What YAML 1.1 readers take for something else, what steers a terminal, what has two lines or none.
ODD = ["no", "~", "null", "1_000", "0x1F", "12e3", "2026-01-01", "a: b", "- x", "#c", "*a", "[x", "\x1b[31m\u202e\x9b",
       "two\nlines\t", " blanks ", "\ud800", "ä😀", "=1"]  # fmt: skip
FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "=cmd|'/c calc'!A0"]


@pytest.fixture
def sqlite(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a SQLite database: what is shown does not depend on which it is."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    return bare_cli


def named(url: str, names: list[str]) -> None:
    """Write users with these names, the first the newest."""
    rows = [
        {"id": f"{n:08d}-0000-4000-8000-000000000000", "username": name, "email": f"{n}@example.org", "created_at": -n}
        for n, name in enumerate(names)
    ]
    db = Database(url)
    db.write(lambda tx: tx.execute(insert(users), rows))
    db.close()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_yaml_says_what_json_says(sqlite: Cli, sqlite_url: str, encoding: str) -> None:
    """Any reader of YAML gets the values of the JSON, each of its type; nothing steers a terminal."""
    names = [name for name in ODD if name != "\ud800"]  # no database takes that one
    named(sqlite_url, names)
    for args in (("users", "list"), ("users", "show", "ä😀"), ("status",), ("config", "show")):
        as_json = sqlite.run(*args, "-o", "json", env={"PYTHONIOENCODING": encoding}).ok().json()
        text = sqlite.run(*args, "-o", "yaml", env={"PYTHONIOENCODING": encoding}).ok().stdout
        as_yaml = yaml.safe_load(text)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
        if args == ("status",):
            as_json, as_yaml = ({**each, "now": None} for each in (as_json, as_yaml))
        assert as_yaml == as_json
    assert yaml.safe_load(sqlite.call("dlq", "list", "-o", "yaml").ok().stdout) == []


def test_fields_are_chosen(sqlite: Cli, sqlite_url: str) -> None:
    """`--fields` says which and in which order, in every format, for lists, records and documents."""
    named(sqlite_url, ["anna"])
    one = ("--fields", "email,id")
    assert (
        sqlite.call("users", "list", *one).ok().stdout
        == f"email\tid\n0@example.org\t{'0' * 8}-0000-4000-8000-{0:012}\n"
    )
    assert list(sqlite.call("users", "list", *one, "-o", "json").ok().json()[0]) == ["email", "id"]
    assert list(sqlite.call("users", "show", "anna", *one, "-o", "json").ok().json()) == ["email", "id"]
    assert sqlite.call("users", "list", *one, "-o", "csv").ok().stdout.splitlines()[0] == "email,id"
    assert sqlite.call("users", "list", *one, "-o", "table").ok().stdout.split() == [
        "EMAIL",
        "ID",
        "0@example.org",
        "0" * 8,
    ]
    assert list(sqlite.call("status", "--fields", "dlq", "-o", "json").ok().json()) == ["dlq"]
    assert sqlite.call("metrics", "show", "--fields", "total_sent", "-o", "table").ok().stdout.split() == ["TOTAL_SENT"]


@pytest.mark.parametrize(
    "args",
    [
        ("users", "create", "zoe", "--email", "zoe@example.org", "--fields", "nope"),
        ("users", "create", "zoe", "--email", "zoe@example.org", "--fields", ","),
        ("--fields", "nope", "users", "create", "zoe", "--email", "zoe@example.org"),
        ("users", "create", "zoe", "--email", "zoe@example.org", "--fields", "id", "-o", "id"),
        ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--fields", "url"),
    ],
)
def test_a_field_that_is_none(sqlite: Cli, sqlite_url: str, args: tuple[str, ...]) -> None:
    """What cannot be shown is refused before anything is done."""
    named(sqlite_url, ["anna"])
    db = Database(sqlite_url)
    seed.provider(db)
    db.close()
    refused = sqlite.call(*args)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--fields" in refused.stderr
    assert sqlite.call("users", "show", "zoe").exit_code == 3
    assert sqlite.call("notifications", "list", "-o", "json").ok().json() == []


def test_no_cell_runs(sqlite: Cli, sqlite_url: str) -> None:
    """A spreadsheet that opens the CSV runs nothing (OWASP, CSV injection); `--raw` gives the values to the letter."""
    names = [*FORMULAS, "harmless", "a=1"]
    named(sqlite_url, names)

    def cells(*args: str) -> list[str]:
        text = sqlite.call("users", "list", "-o", "csv", *args).ok().stdout
        return [row["username"] for row in csv.DictReader(io.StringIO(text, newline=""))]

    assert cells() == [*(f"'{name}" for name in FORMULAS), "harmless", "a=1"]
    assert cells("--raw") == names


@pytest.mark.parametrize(
    ("args", "several"),
    [
        (("prefs", "show", "anna"), {"left_categories"}),
        (("notifications", "explain", "--user", "anna", "--channel", "email"), {"gates", "remedies", "twins"}),
    ],
)
def test_a_cell_of_lists_is_json(sqlite: Cli, sqlite_url: str, args: tuple[str, ...], several: set[str]) -> None:
    """What CSV has in one cell is what JSON has there, and can be read as such."""
    named(sqlite_url, ["anna"])
    sqlite.call("categories", "create", "news").ok()
    sqlite.call("prefs", "opt-out", "anna", "news").ok()
    found = sqlite.call(*args, "-o", "json").ok().json()
    rows = csv.DictReader(io.StringIO(sqlite.call(*args, "-o", "csv").ok().stdout, newline=""))
    for said, row in zip(found if isinstance(found, list) else [found], rows, strict=True):
        assert {name: json.loads(row[name]) for name in several} == {name: said[name] for name in several}


@pytest.mark.parametrize("args", [("users", "list"), ("users", "show", "anna"), ("status",)])
def test_ndjson_is_a_line_an_object(sqlite: Cli, sqlite_url: str, args: tuple[str, ...]) -> None:
    """On a terminal as well."""
    named(sqlite_url, ["anna"])
    shown = on_terminal(sqlite, *args, "-o", "ndjson").stdout
    assert len(shown.splitlines()) == 1
    assert isinstance(json.loads(shown), dict)


@pytest.mark.parametrize(
    "args", [("completion", "show", "bash"), ("migrate", "sql"), ("secrets", "generate-key"), ("demo",), ("sandbox",)]
)
@pytest.mark.parametrize("form", ["table", "csv", "id", "ndjson", "markdown"])
def test_a_format_that_there_is_not(bare_cli: Cli, args: tuple[str, ...], form: str) -> None:
    """What is no list of records refuses the formats of those, before or after the noun, and names its own."""
    for line in ((*args, "-o", form), ("-o", form, *args)):
        refused = bare_cli.call(*line)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "none of plain" in refused.stderr


def test_the_formats_of_settings_and_schema(sqlite: Cli) -> None:
    """A setting is of its type; a revision is the id of a schema's state, an hour that of an hour's numbers."""
    shown = {row["name"]: row["value"] for row in sqlite.call("config", "show", "-o", "json").ok().json()}
    assert (shown["protected"], shown["operator"], shown["log_format"]) == (False, None, "text")
    assert (shown["on_unknown.sms"], shown["webhook_ports"]) == ("retry", [443, 8443])
    said = {f"dispatch.{name}" for name in DISPATCH}
    assert {name for name in shown if name.startswith("dispatch.")} == said
    assert (shown["dispatch.lease"], shown["dispatch.bytes_in_flight"]) == ("65s", "64MB")
    assert sqlite.call("migrate", "status", "-o", "id").ok().stdout == "0001\n"
    empty = ("migrate", "status", "-o", "id", "--database-url", "sqlite:///nowhere.db")
    assert sqlite.call(*empty).ok().stdout == ""
    db = Database(sqlite.env["NOTIFYCTL_DATABASE_URL"])
    seed.provider(db)
    seed.pending(db, seed.user(db), created_at=3_600_000, send_at=3_600_000)
    db.close()
    sqlite.call("metrics", "rollup").ok()
    ids = {by: metric_ids(sqlite, by) for by in ("provider", "channel", "hour", "day")}
    assert ids == {
        "provider": ["sendgrid"],
        "channel": ["email"],
        "hour": ["1970-01-01T01:00:00.000Z"],
        "day": ["1970-01-01"],
    }


def metric_ids(cli: Cli, by: str) -> list[str]:
    """Return the ids of what is counted in the first hours of 1970."""
    window = ("--since", "1970-01-01T01:00:00Z", "--until", "1970-01-01T02:00:00Z")
    window = window if by != "day" else ("--since", "1970-01-01T00:00:00Z", "--until", "1970-01-02T00:00:00Z")
    return cli.call("metrics", "show", "--by", by, *window, "-o", "id").ok().stdout.splitlines()


def test_no_id_is_cut(sqlite: Cli, sqlite_url: str) -> None:
    """On a terminal narrower than the ids and times alone, these are whole all the same."""
    db = Database(sqlite_url)
    seed.provider(db)
    seed.pending(db, seed.user(db))
    db.close()
    shown = on_terminal(sqlite, "notifications", "list", columns=20, env={"NO_COLOR": "1"}).stdout
    assert "…" not in re.split(r"\s{2,}", shown.splitlines()[1].strip())[0]
    assert re.match(r"[0-9a-f]{8} ", shown.splitlines()[1])


def test_a_time_of_the_other_season_has_its_offset(sqlite: Cli, sqlite_url: str) -> None:
    """Local times need no offset, but those of another one than today's have it."""
    winter, summer = 1_767_225_600_000, 1_782_864_000_000  # 2026-01-01, 2026-07-01
    rows = [
        {
            "id": f"{n:08d}-0000-4000-8000-000000000000",
            "username": f"u{n}",
            "email": f"{n}@example.org",
            "created_at": at,
        }
        for n, at in enumerate((winter, summer))
    ]
    db = Database(sqlite_url)
    db.write(lambda tx: tx.execute(insert(users), rows))
    db.close()
    berlin = {"TZ": "Europe/Berlin"}
    shown: dict[str, str] = {}
    for name in ("u0", "u1"):
        lines = sqlite.run("users", "show", name, "-o", "table", env=berlin).ok().stdout.splitlines()
        shown[name] = next(line.split(maxsplit=1)[1] for line in lines if line.startswith("created_at"))
    assert shown["u0"].removesuffix("+01:00") == "2026-01-01 01:00:00"
    assert shown["u1"].removesuffix("+02:00") == "2026-07-01 02:00:00"
    assert sorted(len(text) for text in shown.values()) == [19, 25]


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("2026-06-30", 2), ("2026-07-01", 2), ("2026-07-01T00:00", 2), ("2026-07-01 00:00:01", 1), ("2026-07-02", 0),
        ("2026-06-30T22:00:00Z", 2),
    ],
)  # fmt: skip
def test_since_a_local_time(sqlite: Cli, sqlite_url: str, since: str, found: int) -> None:
    """A date is its first moment where the operator is, a time without an offset is one there."""
    begin = 1_782_856_800_000  # 2026-07-01 in Berlin
    db = Database(sqlite_url)
    seed.provider(db)
    whom = seed.user(db)
    for at in (begin, begin + 3_600_000):
        seed.pending(db, whom, created_at=at)
    db.close()
    listed: Any = sqlite.run("notifications", "list", "--since", since, "-o", "id", env={"TZ": "Europe/Berlin"}).ok()
    assert len(listed.stdout.split()) == found


@pytest.mark.parametrize(
    ("since", "words"),
    [("2026-03-29T02:30", "was never"), ("2026-10-25T02:30", "was twice"), ("2026-02-30", "no moment")],
)
def test_since_a_time_that_was_not(sqlite: Cli, since: str, words: str) -> None:
    """Where clocks are changed a local time may name no moment, or two: it is not guessed which."""
    failed = sqlite.run("dlq", "list", "--since", since, env={"TZ": "Europe/Berlin"})
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert words in failed.stderr


def test_keys_are_told_apart(sqlite: Cli, sqlite_url: str) -> None:
    """The list of keys shows how each begins and when it was used."""
    named(sqlite_url, ["anna"])
    key = sqlite.call("keys", "create", "anna", "--name", "cron", "-o", "secret").ok().stdout.strip()
    sqlite.call("users", "list", env={"NOTIFYCTL_API_KEY": key}).ok()
    shown = on_terminal(sqlite, "keys", "list", env={"NO_COLOR": "1"}).stdout
    assert "PREFIX" in shown and "USED" in shown
    prefix = next(word for word in shown.splitlines()[1].split() if word.startswith("nctl_"))
    assert key.startswith(prefix)
    assert re.search(r"\d\d:\d\d:\d\d\s*$", shown.splitlines()[1])
