"""The standard streams as they may be: closed, full, not blocking, without an end, of bytes that are no text."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import users
from tests.support.command import Cli

BUFFERING = [{}, {"PYTHONUNBUFFERED": "1"}]
ENDLESS = Path("/dev/zero")


@pytest.fixture
def people(sqlite_url: str, bare_cli: Cli) -> Cli:
    """The command line on a SQLite database with so many users that their list fills any pipe."""
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = sqlite_url
    db = Database(sqlite_url)
    names = [f"user{number:04}" for number in range(600)]
    rows = [
        {"id": f"{name}-0000-4000-8000-00000000", "username": name, "email": f"{name}@example.org"} for name in names
    ]
    db.write(lambda tx: tx.execute(insert(users), rows))
    db.close()
    return bare_cli


def run(cli: Cli, *args: str, env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a process with streams of the test's own; stderr is kept."""
    options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        cli.command(*args), env={**cli.env, **(env or {})}, cwd=cli.home, text=True, timeout=60, check=False, **options
    )


# stdout


@pytest.mark.parametrize("env", BUFFERING, ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("args", [("users", "list"), ("--version",), ("--help",), ("status", "-o", "json")])
def test_a_full_disk(people: Cli, args: tuple[str, ...], env: Mapping[str, str]) -> None:
    """Whoever redirects into a full disk learns it: exit 1 and why, and nothing is called a defect."""
    with Path("/dev/full").open("w") as full:
        done = run(people, *args, env=env, stdout=full)
    assert done.returncode == 1
    assert "stdout: No space left on device" in done.stderr
    assert "defect" not in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("env", BUFFERING, ids=["buffered", "unbuffered"])
def test_a_disk_that_gets_full(people: Cli, tmp_path: Path, env: Mapping[str, str]) -> None:
    """A file that takes only the beginning is no success, though the system took a part of the last write."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    part = tmp_path / "part"
    with part.open("w") as file:
        unchanged = {**env, "PYTHONDONTWRITEBYTECODE": "1"}  # the limit is for every file
        done = run(people, "migrate", "sql", env=unchanged, stdout=file, preexec_fn=limited)
    assert (part.stat().st_size, done.returncode) == (5_000, 1)
    assert "stdout: File too large" in done.stderr


@pytest.mark.parametrize("env", BUFFERING, ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("form", ["ndjson", "table"])
def test_a_stdout_that_does_not_block(people: Cli, form: str, env: Mapping[str, str]) -> None:
    """Some parents hand over a pipe that does not block: a slow reader gets every record all the same."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    shown: list[str] = []

    def read() -> None:
        with os.fdopen(reading) as pipe:
            shown.append(pipe.read())

    process = people.start("users", "list", "--all", "-o", form, env=env, stdout=writing)
    os.close(writing)
    reader = threading.Timer(1.0, read)  # by then the pipe is full
    reader.start()
    _, stderr = process.communicate(timeout=60)
    reader.join(60)
    assert (process.returncode, stderr) == (0, "")
    assert len(shown[0].splitlines()) == (600 if form == "ndjson" else 601)


@pytest.mark.parametrize("args", [("--version",), ("--help",), ("users", "list", "--limit", "1")])
def test_a_reader_that_is_gone_already(people: Cli, args: tuple[str, ...]) -> None:
    """However little there is to say, a closed pipe is 141 and no complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(people, *args, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_are_not_taken_by_files(people: Cli, closed: str) -> None:
    """Started without streams a command works, and no file that it opens gets the number of one."""
    code = (
        "import os; from notifyctl.cli.streams import open_streams; open_streams();"
        "os._exit(0 if os.open('/dev/null', 0) > 2 else 9)"
    )
    line = f'"{sys.executable}" -c "{code}" {closed}'
    assert subprocess.run(["bash", "-c", line], env=people.env, check=False).returncode == 0
    line = " ".join(people.command("users", "create", "zoe", "--email", "zoe@example.org")) + f" {closed}"
    assert subprocess.run(["bash", "-c", line], env=people.env, check=False, cwd=people.home).returncode == 0
    assert people.call("users", "show", "zoe", "-o", "json").ok().json()["username"] == "zoe"


# stdin

READS_STDIN = [
    ("notifications", "cancel", "-"),
    ("dlq", "retry", "-"),
    ("keys", "verify"),
    ("keys", "revoke", "-"),
    ("providers", "add", "sendgrid", "--api-key", "-"),
    ("send", "user0001", "--channel", "email", "--subject", "s", "--body-file", "-"),
    ("receipts", "ingest", "-"),
]


@pytest.mark.parametrize("args", READS_STDIN, ids=" ".join)
def test_a_closed_stdin_that_is_read(people: Cli, args: tuple[str, ...]) -> None:
    """Where something was to come from stdin, a closed one is a mistake of the command line."""
    done = run(people, *args, preexec_fn=lambda: os.close(0), stdin=None, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "stdin is closed" in done.stderr


@pytest.mark.parametrize("args", READS_STDIN, ids=" ".join)
def test_a_stdin_without_an_end(people: Cli, args: tuple[str, ...]) -> None:
    """/dev/zero is refused after 32 MB, not read until the memory is full."""
    people.env["NOTIFYCTL_ENCRYPTION_KEYS"] = format_key("k1", bytes(64))
    with ENDLESS.open() as endless:
        done = run(people, *args, stdin=endless, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "33,554,432 bytes" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("providers", "add", "sendgrid", "--api-key", f"@{ENDLESS}"),
        ("providers", "add", "fcm", "--credentials", str(ENDLESS)),
        ("send", "user0001", "--channel", "email", "--subject", "s", "--body-file", str(ENDLESS)),
        ("receipts", "ingest", str(ENDLESS)),
        ("sandbox", "--script", str(ENDLESS)),
    ],
    ids=" ".join,
)
def test_a_file_without_an_end(people: Cli, args: tuple[str, ...]) -> None:
    """Neither is such a file."""
    failed = people.call(*args)
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert "33,554,432 bytes" in failed.stderr


def test_a_closed_stdin_elsewhere(people: Cli) -> None:
    """What reads nothing does not mind; a question then has nobody to answer it."""
    closed = {"stdin": None, "preexec_fn": lambda: os.close(0), "stdout": subprocess.PIPE}
    assert run(people, "users", "list", "-o", "id", **closed).stdout.count("\n") == 600
    assert run(people, "dispatch", "--once", **closed).returncode == 0
    asked = run(people, "users", "delete", "user0001", **closed)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr


# A person without a home


# What the system says of a user whom it does not know.
UNKNOWN = "import pwd\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown\n"


def test_neither_home_nor_passwd(people: Cli, tmp_path: Path) -> None:
    """In a container's arbitrary user everything works once it is configured; what is not says which setting helps."""
    (tmp_path / "sitecustomize.py").write_text(UNKNOWN)
    people.env["PYTHONPATH"] = str(tmp_path)
    for name in ("HOME", "NOTIFYCTL_DATABASE_URL"):
        del people.env[name]
    configured = {
        "NOTIFYCTL_DATABASE_URL": f"sqlite:///{tmp_path / 'nobody.db'}",
        "NOTIFYCTL_ENCRYPTION_KEYS": format_key("k1", bytes(64)),
    }
    add = ("providers", "add", "sendgrid", "--api-key", "-", "--set", "from=a@example.org")
    for args in (("migrate", "up"), ("users", "create", "anna", "--email", "a@example.org"), add, ("status",)):
        people.run(*args, env=configured, input="SG.secret\n").ok()
    send = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--dry-run")
    people.run(*send, env=configured).ok()
    assert "-" in people.run("config", "path").ok().stdout
    bare = people.run("users", "list")
    assert (bare.exit_code, bare.stdout) == (2, "")
    assert "NOTIFYCTL_DATABASE_URL" in bare.stderr
    lost = people.run("secrets", "generate-key", "--save")
    assert (lost.exit_code, lost.stdout) == (2, "")
    assert "--secret-file" in lost.stderr
    assert [each.name for each in people.home.iterdir()] == []


# Names, bytes, numbers


@pytest.mark.parametrize("name", ["a?b.db", "100%.db", "%41.db", "a#b.db", "a b&c=d.db", "a?mode=x.db", "ä@:/;.db"])
def test_any_character_in_a_path(bare_cli: Cli, name: str) -> None:
    """A database's file is named by its path: what has a meaning in other URLs is a character here."""
    path = bare_cli.home / name
    path.parent.mkdir(exist_ok=True)
    bare_cli.env["NOTIFYCTL_DATABASE_URL"] = f"sqlite:///{path}"
    assert f"sqlite:///{path}" in bare_cli.call("migrate", "up").ok().stderr
    bare_cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
    found = sorted(str(each) for each in bare_cli.home.rglob("*") if each.is_file())
    assert [each for each in found if not each.endswith((".lock", "-wal", "-shm"))] == [str(path)]
    assert bare_cli.call("status", "-o", "json").ok().json()["database"] == f"sqlite:///{path}"


def test_a_data_folder_of_any_name(bare_cli: Cli) -> None:
    """The same holds where the path is not written by hand."""
    bare_cli.env["XDG_DATA_HOME"] = str(bare_cli.home / "50%? #1")
    bare_cli.call("migrate", "up").ok()
    assert (bare_cli.home / "50%? #1" / "notifyctl" / "notifyctl.db").is_file()


DEEP = 5_000


@pytest.mark.parametrize(
    "text",
    [f"dispatch = {'[' * DEEP}{']' * DEEP}", f"dispatch = {'{a=' * DEEP}1{'}' * DEEP}", f"a{'.a' * DEEP} = 1"],
    ids=["arrays", "tables", "keys"],
)
def test_a_configuration_nested_deep(bare_cli: Cli, text: str) -> None:
    """No depth of a file makes a defect of it."""
    path = bare_cli.home / "deep.toml"
    path.write_text(text)
    failed = bare_cli.call("config", "show", "--config", str(path))
    assert failed.exit_code == 2
    assert str(path) in failed.stderr


RAW = "\udcff"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFYCTL_DATABASE_URL", f"sqlite:////tmp/{RAW}.db"),
        ("NOTIFYCTL_DATABASE_URL", f"postgresql://{RAW}/x"),
        ("NOTIFYCTL_DATABASE_URL", f"postgresql://a:{RAW}@db1/x"),
        ("NOTIFYCTL_PROFILE", RAW),
        ("NOTIFYCTL_CONFIG", RAW),
        ("NOTIFYCTL_LOG_LEVEL", RAW),
        ("NOTIFYCTL_SENDGRID_URL", f"http://{RAW}"),
        ("NOTIFYCTL_API_KEY", RAW),
        ("NOTIFYCTL_ENCRYPTION_KEYS", RAW),
    ],
)
def test_an_environment_of_bytes(bare_cli: Cli, name: str, value: str) -> None:
    """A setting that is no text in UTF-8 is refused; the value, which may be secret, is not shown."""
    failed = bare_cli.run("users", "list", env={name: value})
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert "Traceback" not in failed.stderr and "a:" not in failed.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("users", "list", "--database-url", f"sqlite:///{RAW}.db"),
        ("users", "list", "--database-url", f"postgresql://{RAW}/x"),
        ("config", "show", "--profile", RAW),
        ("users", "create", RAW, "--email", "a@example.org"),
        ("users", "update", "user0001", "--email", f"{RAW}@example.org"),
        ("keys", "create", "user0001", "--name", RAW),
        ("providers", "pause", "sendgrid", "--reason", RAW),
        ("send", "user0001", "--channel", "email", "--subject", RAW, "--body", "b"),
        ("send", "user0001", "--channel", "email", "--subject", "s", "--data", '{"body": "\\ud800"}'),
        ("users", "contacts", "suppress", "user0001", "email", "a@example.org", "--reason", RAW),
        ("users", "contacts", "suppress", "user0001", "push", RAW, "--reason", "r"),
        ("dlq", "list", "--error", RAW),
        ("secrets", "generate-key", "--kid", RAW),
        ("secrets", "generate-key", "--kid", "É"),
        ("secrets", "generate-key", "--kid", "١"),
        ("secrets", "generate-key", "--kid", " k1"),
        ("secrets", "generate-key", "--kid", "k1\n"),
        ("secrets", "generate-key", "--secret-file", "~nobody-at-all/key"),
        ("keys", "create", "user0001", "--name", "n", "--secret-file", "~nobody-at-all/key"),
        ("providers", "add", "sendgrid", "--api-key", "@~nobody-at-all/key"),
        ("providers", "add", "fcm", "--credentials", "~nobody-at-all/key"),
        ("receipts", "ingest", "~nobody-at-all/events"),
        ("sandbox", "--script", "~nobody-at-all/script"),
        ("sandbox", "--log", "~nobody-at-all/log"),
        ("sandbox", "--service-account", "~nobody-at-all/account"),
        ("migrate", "up", "--lock-timeout", "90d"),
        ("migrate", "down", "base", "--lock-timeout", "90d", "--yes"),
    ],
    ids=repr,
)
def test_what_cannot_be_meant(people: Cli, args: tuple[str, ...]) -> None:
    """Bytes, halves of characters, ids that are none, homes of nobody, times beyond all limits: exit 2, no defect."""
    failed = people.call(*args)
    assert (failed.exit_code, failed.stdout) == (2, ""), failed.stderr
    assert failed.stderr.startswith("error: ") and "defect" not in failed.stderr


def test_names_that_nobody_has(people: Cli) -> None:
    """Who is looked for by bytes that are no text is not found; the answer is readable, also as JSON."""
    failed = people.call("users", "show", RAW, "-o", "json")
    assert failed.exit_code in (2, 3)
    assert json.loads(failed.stderr)["error"]["code"] in ("usage", "not_found")
