"""What all commands have in common: start-up, options, formats, errors, configuration, completion."""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from notifyctl.cli.app import COMMANDS
from notifyctl.cli.completion import SHELLS, script
from notifyctl.cli.errors import exit_code_of
from notifyctl.config import load
from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import users
from tests.support.command import REPOSITORY, Cli
from tests.support.terminal import on_terminal
from tests.support.tree import LEAVES

# Markup, terminal control, what looks like a number, NUL, right-to-left override, line ends, CSV and Markdown syntax.
NASTY = '[/b]\x1b[31m\x9b5m\x00\u202e\u2028\t\r\nline,"two" | <b>`x`'
NUMBERLIKE = "12345678"
BLANKS = "  outer blanks  "
DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]")


@pytest.fixture
def sqlite_cli(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a SQLite database, for what does not depend on the database."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    return bare_cli


@pytest.fixture
def nasty_cli(sqlite_cli: Cli, sqlite_url: str) -> Cli:
    """The command line on a database with users whose names nobody should have."""
    rows = [
        {"id": f"{n:08d}-0000-4000-8000-000000000000", "username": name, "email": f"{n}@example.org", "created_at": n}
        for n, name in enumerate((NASTY, NUMBERLIKE, BLANKS))
    ]
    db = Database(sqlite_url)
    db.write(lambda tx: tx.execute(insert(users), rows))
    db.close()
    return sqlite_cli


# Help


def test_bare_shows_the_first_steps(bare_cli: Cli) -> None:
    """Nothing at all is a question: help that ends with the first steps, exit 0."""
    shown = bare_cli.call().ok().stdout
    assert shown == bare_cli.call("--help").ok().stdout
    assert shown.rstrip().endswith("notifyctl status")
    assert all(re.search(rf"^  {name} +\S", shown, re.MULTILINE) for name, _, _ in COMMANDS)


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_every_command_has_help(bare_cli: Cli, path: str) -> None:
    """Each command says in one line what it does, and each of its options says what it is for."""
    command = LEAVES[path]
    first = (command.help or "").split("\n")[0].strip()
    assert first.endswith(".")
    assert "notifyctl " not in first
    shown = bare_cli.call(*path.split(), "--help").ok()
    assert shown.stderr == ""
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_no_option_twice(path: str) -> None:
    """No command has an option of its own that hides one that every command takes."""
    names = [name for param in LEAVES[path].params for name in (*param.opts, *param.secondary_opts)]
    assert len(names) == len(set(names))


def test_global_options_in_both_places(sqlite_cli: Cli) -> None:
    """Global options stand before the noun or after the verb; what stands later wins."""
    assert sqlite_cli.call("-o", "json", "users", "list").ok().json() == []
    assert sqlite_cli.call("users", "list", "-o", "json").ok().json() == []
    assert sqlite_cli.call("-o", "csv", "users", "list", "-o", "json").ok().json() == []


@pytest.mark.parametrize("args", [("users", "list", "-o", "secret"), ("-o", "secret", "users", "list")])
def test_a_secret_where_there_is_none(sqlite_cli: Cli, args: tuple[str, ...]) -> None:
    """Only a verb that shows a secret has the format for it; another refuses it before anything is done."""
    refused = sqlite_cli.call(*args)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "-o: 'secret' is none of table, plain, json, yaml, ndjson, csv, markdown, id\n" in refused.stderr
    assert "secret" not in sqlite_cli.call("users", "list", "--help").ok().stdout
    assert "secret." in sqlite_cli.call("keys", "create", "--help").ok().stdout
    elsewhere = f"sqlite:///{sqlite_cli.home}/other.db"
    for args in (["--database-url", elsewhere, "users", "list"], ["users", "list", "--database-url", elsewhere]):
        assert sqlite_cli.call(*args).exit_code == 8


def test_aliases(sqlite_cli: Cli) -> None:
    """`add` and `create`, `remove` and `delete` are the same verbs."""
    sqlite_cli.call("users", "add", "anna", "--email", "anna@example.org").ok()
    sqlite_cli.call("users", "remove", "anna", "--yes").ok()
    assert sqlite_cli.call("users", "list", "-o", "json").ok().json() == []


# Formats


def test_json_is_whole_and_harmless(nasty_cli: Cli) -> None:
    """JSON gives every value back to the letter, and writes what a terminal would obey as escapes."""
    for form in ("json", "ndjson"):
        text = nasty_cli.call("users", "list", "-o", form).ok().stdout
        assert not DANGEROUS.search(text)
        rows = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert [row["username"] for row in rows] == [BLANKS, NUMBERLIKE, NASTY]


def test_csv_is_whole(nasty_cli: Cli) -> None:
    """A CSV reader gets every value back to the letter, a lone carriage return too."""
    text = nasty_cli.call("users", "list", "-o", "csv").ok().stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["username"] for row in rows] == [BLANKS, NUMBERLIKE, NASTY]


def test_plain_is_a_line_a_record(nasty_cli: Cli) -> None:
    """Plain: a header, one line a record, full ids, control characters escaped, nothing cut or made a number."""
    shown = nasty_cli.call("users", "list", env={"COLUMNS": "20"}).ok()
    assert shown.stdout == nasty_cli.call("users", "list", "-o", "plain").ok().stdout
    head, *lines = shown.stdout.splitlines()
    assert head.split("\t") == ["id", "username", "email", "language", "created_at", "updated_at"]
    assert [len(line.split("\t")) for line in lines] == [6, 6, 6]
    assert not DANGEROUS.search(shown.stdout)
    assert [line.split("\t")[1] for line in lines[:2]] == [BLANKS, NUMBERLIKE]
    assert lines[2].split("\t")[1] == r'[/b]\x1b[31m\x9b5m\x00\u202e\u2028\t\r\nline,"two" | <b>`x`'
    assert lines[2].startswith("00000000-0000-4000-8000-000000000000\t")
    assert lines[2].split("\t")[3] == "-"


def test_markdown_is_not_markup(nasty_cli: Cli) -> None:
    """Data in a Markdown table stays data: one row a record, its pipes and tags escaped."""
    lines = nasty_cli.call("users", "list", "-o", "markdown").ok().stdout.splitlines()
    assert len(lines) == 5
    assert r"\[/b\]" in lines[4]
    assert r"\| \<b\>\`x\`" in lines[4]
    assert not DANGEROUS.search("\n".join(lines))
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in lines)


def test_ids_pipe(nasty_cli: Cli) -> None:
    """`-o id` prints ids and nothing else."""
    ids = nasty_cli.call("users", "list", "-o", "id").ok().stdout.split()
    assert ids == [f"0000000{n}-0000-4000-8000-000000000000" for n in (2, 1, 0)]


@pytest.mark.parametrize("form", ["table", "plain", "json", "csv", "markdown"])
def test_terminal_obeys_no_data(nasty_cli: Cli, form: str) -> None:
    """On a terminal no format lets data move the cursor, change colours or turn the text around."""
    shown = on_terminal(nasty_cli, "users", "list", "-o", form, env={"NO_COLOR": "1"}).stdout
    assert "[/b]" in shown.replace("\\[", "[").replace("\\]", "]")
    assert "\x1b[31m" not in shown
    assert not re.search("[\x00\x9b\u202e\u2028]", shown)


def test_table_fits_the_terminal(nasty_cli: Cli) -> None:
    """The table keeps to the width there is, shows short ids, and obeys COLUMNS."""
    for columns, env in ((80, {}), (60, {}), (80, {"COLUMNS": "50"})):
        width = int(env.get("COLUMNS", columns))
        shown = on_terminal(nasty_cli, "users", "list", columns=columns, env={"NO_COLOR": "1", **env}).stdout
        plain = re.sub("\x1b\\[[0-9;]*m", "", shown)
        assert max(len(line.rstrip()) for line in plain.splitlines()) <= width
        assert re.search(r"^00000001  ?\S", plain, re.MULTILINE)


def test_no_colour(sqlite_cli: Cli) -> None:
    """NO_COLOR means no colour; without it a problem is red."""
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        shown = on_terminal(sqlite_cli, "status", env={"NOTIFYCTL_SENDGRID_URL": "http://127.0.0.1:1", **env})
        assert ("\x1b[31m" in shown.stdout) is coloured, shown.stdout


def test_an_empty_list(sqlite_cli: Cli) -> None:
    """An empty list is no error: `[]`, a header, or nothing."""
    assert sqlite_cli.call("users", "list", "-o", "json").ok().stdout == "[]\n"
    assert sqlite_cli.call("users", "list", "-o", "ndjson").ok().stdout == ""
    assert sqlite_cli.call("users", "list", "-o", "id").ok().stdout == ""
    assert sqlite_cli.call("users", "list", "-o", "csv").ok().stdout.startswith("id,username,")


def test_a_terminal_that_cannot_show_it(nasty_cli: Cli) -> None:
    """Where the encoding lacks a character nothing fails: it is escaped, in JSON as JSON does."""
    limited = {"PYTHONIOENCODING": "ascii"}
    nasty_cli.run("users", "create", "zoë", "--email", "zoe@example.org", env=limited).ok()
    rows = nasty_cli.run("users", "list", "-o", "json", env=limited).ok().json()
    assert rows[0]["username"] == "zoë"
    assert r"zo\xeb" in nasty_cli.run("users", "list", env=limited).ok().stdout


# Errors


def test_an_error_is_two_lines_on_stderr(sqlite_cli: Cli) -> None:
    """What is wrong, and the command that helps; stdout stays empty."""
    failed = sqlite_cli.call("users", "show", "nobody-here")
    assert failed.exit_code == 3
    assert failed.stdout == ""
    first, second = failed.stderr.splitlines()
    assert first.startswith("error: ")
    assert "nobody-here" in first
    assert second.startswith("hint: ")


@pytest.mark.parametrize("spelling", [["-o", "json"], ["-ojson"], ["--output=json"], ["-qo", "json"], ["-o", "ndjson"]])
def test_an_error_as_json(sqlite_cli: Cli, spelling: list[str]) -> None:
    """With `-o json` an error is one JSON object on stderr, however the option is spelled."""
    failed = sqlite_cli.call("users", "show", "nobody-here", *spelling)
    assert (failed.exit_code, failed.stdout) == (3, "")
    problem = json.loads(failed.stderr)["error"]
    assert set(problem) == {"code", "message", "hint"}
    assert problem["code"] == "not_found"


def test_an_error_never_steers_the_terminal(sqlite_cli: Cli) -> None:
    """What was typed comes back in the error, but not as control characters."""
    for extra in ([], ["-o", "json"]):
        failed = sqlite_cli.call("users", "show", "\x1b[2J\x9b\u202eevil\nerror: forged", *extra)
        assert failed.exit_code in (2, 3)
        assert not DANGEROUS.search(failed.stderr)
        assert "\nerror: forged" not in failed.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["metrcs", "show"], "metrics"),
        (["metrics", "shwo"], "show"),
        (["users", "contcts", "list"], "contacts"),
        (["metrics", "show", "--provder", "x"], "--provider"),
        (["--outptu", "json", "status"], "--output"),
    ],
)
def test_did_you_mean(bare_cli: Cli, args: list[str], words: str) -> None:
    """An unknown command or option is a usage error that offers the likely one."""
    failed = bare_cli.call(*args)
    assert failed.exit_code == 2
    assert failed.stdout == ""
    assert words in failed.stderr
    assert "--help" in failed.stderr.splitlines()[1]


@pytest.mark.parametrize(
    "args",
    [
        ["metrics"],
        ["metrics", "show", "extra"],
        ["users", "show"],
        ["metrics", "show", "--by"],
        ["metrics", "show", "--by", "phase-of-moon"],
        ["status", "-o", "xml"],
        ["status", "-o"],
        ["nothing"],
    ],
)
def test_usage_errors(bare_cli: Cli, args: list[str]) -> None:
    """What cannot be meant ends with 2 and a hint, before anything is opened."""
    failed = bare_cli.call(*args)
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.stderr


def test_a_traceback_only_with_debug(sqlite_cli: Cli) -> None:
    """--debug shows where an error came from; without it nobody sees a traceback."""
    assert "Traceback" not in sqlite_cli.call("users", "show", "nobody-here").stderr
    assert "Traceback" in sqlite_cli.call("users", "show", "nobody-here", "--debug").stderr


def test_no_database_yet(bare_cli: Cli) -> None:
    """Before `migrate up` every command says so with exit 8 and creates nothing."""
    failed = bare_cli.call("users", "list")
    assert failed.exit_code == 8
    assert "hint: notifyctl migrate up" in failed.stderr
    assert not list(bare_cli.home.rglob("*.db"))


def test_a_closed_pipe(sqlite_cli: Cli, sqlite_url: str) -> None:
    """A reader that has seen enough ends the command with 141 and without a word."""
    db = Database(sqlite_url)
    rows = [
        {"id": f"{n:08d}-0000-4000-8000-000000000000", "username": f"user{n}", "email": f"{n}@example.org"}
        for n in range(3_000)
    ]
    db.write(lambda tx: tx.execute(insert(users), rows))
    db.close()
    process = sqlite_cli.start("users", "list", "-o", "ndjson")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_closed_streams(sqlite_cli: Cli) -> None:
    """Started with stdout and stderr closed, as some supervisors do, a command works all the same."""
    command = " ".join(sqlite_cli.command("users", "create", "anna", "--email", "anna@example.org"))
    done = subprocess.run(["bash", "-c", f"{command} >&- 2>&-"], env=sqlite_cli.env, cwd=sqlite_cli.home, check=False)
    assert done.returncode == 0
    assert sqlite_cli.call("users", "list", "-o", "json").ok().json()[0]["username"] == "anna"


def test_an_interrupt_that_comes_as_another_error() -> None:
    """Ctrl-C in the middle of tidying up makes libraries raise other errors: it is an interrupt all the same."""
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise AssertionError
    except AssertionError as error:
        assert exit_code_of(error, []) == 130


def test_interrupted(sqlite_cli: Cli) -> None:
    """Ctrl-C ends a command with 130 and no traceback."""
    ended = on_terminal(
        sqlite_cli, "status", "--watch", "100ms", interrupt_after=lambda shown: shown.count("LAST 24 H") >= 2
    )
    assert ended.exit_code == 130
    assert "Traceback" not in ended.stdout


def test_interrupted_before_it_began(sqlite_cli: Cli, tmp_path: Path) -> None:
    """Ctrl-C while the program is loaded, a third of a second on a slow machine, ends it without a word as well."""
    (tmp_path / "typer.py").write_text("import time; print('loading', flush=True); time.sleep(60)\n")
    process = sqlite_cli.start("status", env={"PYTHONPATH": str(tmp_path)})
    try:
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, err) == (-signal.SIGINT, "")


LATE = """
import atexit, os, signal, sys, threading, time
press = lambda: os.kill(os.getpid(), signal.{how})
class Forgotten:
    def __del__(self, press=press):
        press()
def linger():
    while threading.main_thread().is_alive() and not hasattr(sys, "exit_code"):
        time.sleep(0.01)
    time.sleep(0.2)
    press()
    time.sleep(60)
{when}
from notifyctl.__main__ import run
sys.argv = ["notifyctl", *{argv}]
try:
    run()
except SystemExit as end:
    sys.exit_code = end.code
    raise
"""


@pytest.mark.parametrize(("argv", "code"), [(["--version"], 0), (["nonsense"], 2)])
@pytest.mark.parametrize(
    "when",
    ["threading.Thread(target=linger).start()", "atexit.register(press)", "sys.modules['forgotten'] = Forgotten()"],
)
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_after_it_ended(when: str, argv: list[str], code: int, how: str) -> None:
    """Ctrl-C or `kill` while the process tidies up: the exit code says what was done, and nothing waits for threads."""
    ran = subprocess.run(
        [sys.executable, "-c", LATE.format(when=when, argv=argv, how=how)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == code, ran
    assert ("notifyctl " in ran.stdout, "Traceback" in ran.stderr) == (code == 0, False), ran


# Configuration


def settings(cli: Cli, *args: str, env: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings in force, by name."""
    shown = cli.call("config", "show", "--origin", "-o", "json", *args, env=env).ok().json()
    return {row["name"]: row for row in shown}


def configure(cli: Cli, text: str) -> Path:
    """Write the user's configuration file."""
    path = cli.home / ".config" / "notifyctl" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


FILE = """
operator = "from-file"
database_url = "sqlite:////from/file.db"
log_level = "ERROR"
[profiles.prod]
database_url = "sqlite:////from/profile.db"
operator = "from-profile"
protected = true
[profiles.prod.policy]
on_unknown = { sms = "hold" }
[profiles.prod.dispatch]
concurrency = 64
"""


def test_precedence(bare_cli: Cli) -> None:
    """Flag, environment, profile, the user's file, default; each says where it comes from."""
    path = configure(bare_cli, FILE)
    env = {"NOTIFYCTL_DATABASE_URL": "sqlite:////from/env.db"}
    flag = ["--database-url", "sqlite:////from/flag.db"]
    url = "database_url"
    assert settings(bare_cli)[url] == {"name": url, "value": "sqlite:////from/file.db", "origin": str(path)}
    profiled = settings(bare_cli, "--profile", "prod")
    assert profiled[url]["value"] == "sqlite:////from/profile.db"
    assert profiled[url]["origin"] == f"{path} [profiles.prod]"
    assert profiled["operator"]["value"] == "from-profile"
    assert profiled["log_level"]["value"] == "ERROR"
    assert profiled["dispatch.concurrency"]["value"] == 64
    assert profiled["protected"]["value"] is True
    assert profiled["on_unknown.sms"]["value"] == "hold"
    assert settings(bare_cli, "--profile", "prod", env=env)[url]["origin"] == "environment"
    assert settings(bare_cli, *flag, env=env)[url] == {
        "name": url, "value": "sqlite:////from/flag.db", "origin": "flag --database-url"
    }  # fmt: skip
    assert settings(bare_cli, env={"NOTIFYCTL_PROFILE": "prod"})["profile"]["origin"] == "environment"
    path.unlink()
    assert settings(bare_cli)[url]["origin"] == "default"


POLICY = """
[profiles.prod]
default_timezone = "UTC"
unsubscribe_url = "https://example.org/u"
webhook_proxy = "http://Proxy.Internal"
webhook_proxy_login_file = "~/proxy"
webhook_ports = [9443, 443]
[profiles.prod.policy]
on_cap = "cancel"
cap_counts_transactional = false
notification_limit = 60
[profiles.prod.policy.contact_windows]
US = { sms = "sun 12:00-21:00, mon-sat 09:00-21:00", except = [2026-12-25, "2027-01-01"] }
"*" = { email = "08:00-20:00" }
[policy.contact_windows]
US = { sms = "08:00-21:00" }
FR = { sms = "mon-fri 10:00-20:00" }
"""


def test_the_policy_is_shown_as_it_may_be_written(bare_cli: Cli) -> None:
    """Windows by country, a profile's above the file's; a zone that is UTC by an operator's word is so by that."""
    path = configure(bare_cli, POLICY)
    found = {name: each["value"] for name, each in settings(bare_cli, "--profile", "prod").items()}
    assert found["contact_windows.US"] == {
        "sms": "mon-sat 09:00-21:00, sun 12:00-21:00",
        "except": ["2026-12-25", "2027-01-01"],
    }
    assert found["contact_windows.*"] == {"email": "08:00-20:00"}
    assert found["contact_windows.FR"] == {"sms": "mon-fri 10:00-20:00"}
    assert (found["on_cap"], found["cap_counts_transactional"], found["default_timezone"]) == (
        "cancel",
        False,
        "Etc/UTC",
    )
    assert found["unsubscribe_url"] == "https://example.org/u"
    assert (found["webhook_proxy"], found["webhook_loopback"]) == ("http://proxy.internal:3128", False)
    assert (found["webhook_ports"], found["webhook_proxy_login_file"]) == ([443, 9443], str(bare_cli.home / "proxy"))
    policy = load(config=str(path), profile="prod", env={}).policy
    assert (policy.on_cap, policy.cap_counts_transactional, policy.default_timezone) == ("cancel", False, "Etc/UTC")
    assert {country: each.table() for country, each in policy.contact_windows.items()} == {
        country: found[f"contact_windows.{country}"] for country in ("US", "*", "FR")
    }
    assert (found["notification_limit"], policy.notification_limit) == (60, 60)
    plain = {name: each["value"] for name, each in settings(bare_cli).items()}
    assert plain["notification_limit"] is None
    assert (plain["on_cap"], plain["cap_counts_transactional"], plain["default_timezone"]) == ("defer", True, None)


def test_a_nearer_file_stands_above_farther_keys(bare_cli: Cli) -> None:
    """Keys and a file with keys are one setting: a file that the environment names is not shadowed by other keys."""
    configure(bare_cli, f'encryption_keys = "{format_key("k1", bytes(64))}"\n')
    found = settings(bare_cli, env={"NOTIFYCTL_ENCRYPTION_KEYS_FILE": "/run/keys"})
    assert found["encryption_keys_file"]["value"] == "/run/keys"
    assert found["encryption_keys"]["value"] is None
    assert settings(bare_cli)["encryption_keys"]["value"] == "set, not shown"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("databas_url = 'x'", "databas_url is no setting"),
        ("[profiles.prod]\nfrobnicate = 1\n", "frobnicate is no setting"),
        ("profiles = 'prod'", "profiles is not a table"),
        ("profiles.prod = 5", "profiles.prod is not a table"),
        ("[profiles.prod]\npolicy = 'x'\n", "policy is not a table"),
        ("protected = 'yes'", "protected: is not true or false"),
        ("database_url = 5", "database_url: is not text"),
        ("provider_urls = 'x'", "provider_urls: is not a table"),
        ("provider_urls = {twilio = 'localhost:8025'}", "'localhost:8025' is no http or https address"),
        ("[dispatch]\nspeed = 5\n", "dispatch.speed is no setting"),
        ("[dispatch]\nconcurrency = 0\n", "dispatch: concurrency is a number from 1 on, not 0"),
        ("[dispatch]\nprocesses = 'two'\n", "dispatch: processes is a number from 1 on, not 'two'"),
        ("[dispatch]\nconcurrency = 'many'\n", "dispatch"),
        ("[policy]\non_unknown = { fax = 'hold' }\n", "on_unknown: 'fax' is none of email, sms, push"),
        ("[policy]\non_unknown = { sms = 'drop' }\n", "on_unknown: 'drop' is none of retry, hold"),
        ("[policy]\non_unknown = { sms = [] }\n", "on_unknown: [] is none of retry, hold"),
        ("default_timezone = 'Europe/Berlim'", "default_timezone: there is no time zone 'Europe/Berlim'"),
        ("default_timezone = 'berlin'", "did you mean Europe/Berlin?"),
        ("default_timezone = 1", "default_timezone: is not text"),
        ("[policy]\non_cap = 'drop'\n", "on_cap: 'drop' is none of defer, cancel"),
        ("[policy]\non_cap = []\n", "on_cap: [] is none of defer, cancel"),
        ("[policy]\ncap_counts_transactional = 'no'\n", "cap_counts_transactional: is not true or false"),
        ("[policy]\nnotification_limit = 0\n", "notification_limit: is a number of notifications a minute, 1 to"),
        ("[policy]\nnotification_limit = true\n", "not True"),
        ("[policy]\nnotification_limit = '60'\n", "not '60'"),
        ("[policy]\ncontact_windows = '08:00-21:00'\n", "contact_windows: is not a table"),
        ("[policy.contact_windows]\nUK = { sms = '08:00-21:00' }\n", "contact_windows: 'UK' is no country"),
        ("[policy.contact_windows]\nUS = { sms = '8-21' }\n", "contact_windows: US.sms: '8-21' is no window"),
        ("[profiles.prod.policy.contact_windows]\nUS = { fax = '' }\n", "US.fax is no setting"),
        ("unsubscribe_url = 'http://example.org/u'", "unsubscribe_url: must be https"),
        ("unsubscribe_url = 'https://a:b@example.org/u'", "unsubscribe_url: holds a user or password"),
        ("[profiles.prod]\nunsubscribe_url = 5", "unsubscribe_url: is not text"),
        ("webhook_loopback = 1", "webhook_loopback: is not true or false"),
        ("webhook_proxy = 'proxy:3128'", "webhook_proxy: is no http://HOST:PORT"),
        ("webhook_ports = 8443", "webhook_ports: is a list of ports"),
        ("webhook_ports = []", "webhook_ports: is a list of ports"),
        ("webhook_ports = [0]", "webhook_ports: is a list of ports"),
        ("webhook_ports = [true]", "webhook_ports: is a list of ports"),
        ("webhook_ports = ['443']", "webhook_ports: is a list of ports"),
        ("webhook_proxy_login_file = 1", "webhook_proxy_login_file: "),
        ("webhook_proxy = 'https://proxy:3128'", "webhook_proxy: is no http://HOST:PORT"),
        ("webhook_proxy = 'http://proxy:0'", "webhook_proxy: is no http://HOST:PORT"),
        ("[profiles.prod]\nwebhook_proxy = 'http://a:b@proxy'", "webhook_proxy: is no http://HOST:PORT"),
        ("log_level = 'LOUD'", "LOUD"),
        ("this is not toml", "is not TOML"),
    ],
)
def test_a_configuration_that_cannot_be_meant(bare_cli: Cli, text: str, words: str) -> None:
    """A mistake in the file is named with file and key, exit 2; nothing is guessed."""
    path = configure(bare_cli, text)
    failed = bare_cli.call("config", "show", "--profile", "prod") if "prod" in text else bare_cli.call("config", "show")
    assert failed.exit_code == 2
    assert words in failed.stderr
    assert str(path) in failed.stderr


def test_a_provider_url_that_is_none(bare_cli: Cli) -> None:
    """A slip in one host's environment stops that host's command, and does not pause the provider for everybody."""
    failed = bare_cli.call("dispatch", "--once", env={"NOTIFYCTL_SENDGRID_URL": "127.0.0.1:8025"})
    assert failed.exit_code == 2
    assert "'127.0.0.1:8025' is no http or https address" in failed.stderr
    assert "NOTIFYCTL_SENDGRID_URL" in failed.stderr


def test_a_wrong_secret_is_not_repeated(bare_cli: Cli) -> None:
    """An error about a secret setting does not show what was set."""
    configure(bare_cli, 'api_key = ["hunter2"]\n')
    failed = bare_cli.call("config", "show")
    assert failed.exit_code == 2
    assert "hunter2" not in failed.stderr


def test_unknown_profile_and_file(bare_cli: Cli) -> None:
    """An unknown profile names those there are; a file that was named must be there."""
    configure(bare_cli, FILE)
    failed = bare_cli.call("config", "show", "--profile", "pord")
    assert failed.exit_code == 2
    assert "prod" in failed.stderr.splitlines()[1]
    assert bare_cli.call("config", "show", "--config", "/nowhere.toml").exit_code == 2
    assert bare_cli.call("config", "show", env={"NOTIFYCTL_CONFIG": "~nobody-at-all/x.toml"}).exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:hunter2@db1/notify",
        "postgresql://anna:hunter/2@db1/notify",
        "postgresql://db1/notify?password=hunter2",
        "postgresql://db1/notify?sslpassword=hunter2",
    ],
)
def test_no_password_in_the_arguments(bare_cli: Cli, url: str) -> None:
    """A password on the command line is refused, and never repeated; in the environment it is taken and hidden."""
    refused = bare_cli.call("users", "list", "--database-url", url)
    assert refused.exit_code == 2
    assert "hunter" not in refused.stderr
    shown = bare_cli.call("config", "show", env={"NOTIFYCTL_DATABASE_URL": url}).ok()
    assert "hunter" not in shown.stdout


def test_keys_that_others_can_read(sqlite_cli: Cli) -> None:
    """A keys file that others can read is refused with the command that helps; a missing one that was named, too."""
    path = sqlite_cli.home / "keys"
    path.write_text(format_key("k1", bytes(64)))
    path.chmod(0o644)
    env = {"NOTIFYCTL_ENCRYPTION_KEYS_FILE": str(path)}
    add = ("providers", "add", "sendgrid", "--api-key", "-")
    failed = sqlite_cli.call(*add, input="SG.secret\n", env=env)
    assert failed.exit_code == 4
    assert f"chmod 600 {path}" in failed.stderr
    path.unlink()
    assert sqlite_cli.call(*add, input="SG.secret\n", env=env).exit_code == 4


def _as_anybody() -> None:
    """Give up what lets root read everything: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by PR_CAPBSET_DROP."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        assert [libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)] == [0, 0]


def test_a_folder_that_may_not_be_read(bare_cli: Cli) -> None:
    """A configuration that cannot be looked at is an error, not the same as none."""
    path = configure(bare_cli, FILE)
    path.parent.chmod(0)
    process = bare_cli.start("config", "show", preexec_fn=_as_anybody)
    _, stderr = process.communicate(timeout=30)
    path.parent.chmod(0o700)
    assert process.returncode == 2
    assert str(path) in stderr


# Completion


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_kept_completion_scripts_are_current(bare_cli: Cli, shell: str) -> None:
    """The scripts in `completions/` are what `completion show` prints."""
    kept = (REPOSITORY / "completions" / SHELLS[shell]).read_text()
    assert kept == f"{script(shell)}\n"
    assert bare_cli.call("completion", "show", shell).ok().stdout == kept


def test_an_unknown_shell(bare_cli: Cli) -> None:
    """A shell without a script is a usage error that names those with one."""
    failed = bare_cli.call("completion", "show", "tcsh")
    assert failed.exit_code == 2
    assert "bash" in failed.stderr


def completed(cli: Cli, line: str) -> list[str]:
    """Return what bash offers at the end of `line`, through the kept script."""
    words = line.split(" ")
    code = (
        f'notifyctl() {{ "{sys.executable}" -m notifyctl "$@"; }}; export -f notifyctl\n'
        f"source {REPOSITORY / 'completions' / 'notifyctl.bash'}\n"
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        f'_notifyctl_completion notifyctl; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    folder = cli.home / "bin"
    folder.mkdir(exist_ok=True)
    command = folder / "notifyctl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m notifyctl "$@"\n')
    command.chmod(0o755)
    env = cli.env | {"PATH": f"{folder}:{cli.env['PATH']}"}
    done = subprocess.run(["bash", "-c", code], env=env, cwd=cli.home, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("notifyctl me", ["metrics"]),
        ("notifyctl metrics ", ["show", "rollup", "export"]),
        ("notifyctl users contacts su", ["suppress"]),
        ("notifyctl -o json dl", ["dlq"]),
        ("notifyctl metrics show --by d", ["day"]),
        ("notifyctl metrics show --prov", ["--provider"]),
        ("notifyctl status -o n", ["ndjson"]),
        ("notifyctl send anna --channel e", ["email"]),
        ("notifyctl receipts ingest some", ["somefile"]),
        ("notifyctl send anna --subject some", []),
    ],
)
def test_bash_completes(bare_cli: Cli, line: str, offered: list[str]) -> None:
    """Nouns, nested verbs, options and values are completed by bash itself; files only where one is meant."""
    (bare_cli.home / "somefile").touch()
    assert completed(bare_cli, line) == offered


@pytest.mark.parametrize(
    ("shell", "env"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "notifyctl me"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "notifyctl me", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("powershell", {"_TYPER_COMPLETE_ARGS": "notifyctl me", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "me"}),
    ],
)
def test_other_shells_complete(bare_cli: Cli, shell: str, env: dict[str, str]) -> None:
    """The protocols of the other shells are answered as well."""
    assert "metrics" in bare_cli.run(env={"_NOTIFYCTL_COMPLETE": f"complete_{shell}", **env}).ok().stdout
