"""Completion of values: from the outline at once, from the database in time, for whoever may, or not at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from notifyctl.cli import completer
from notifyctl.cli.completer import FILES, LIMIT_S, candidates
from notifyctl.core.errors import NotAllowed
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import REPOSITORY, Cli


@contextmanager
def environment(cli: Cli, **more: str) -> Iterator[None]:
    """Give this process the environment of a command line."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(cli.env, **more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def values(line: str) -> list[str]:
    """Return what is offered at the end of a line."""
    *words, incomplete = line.split(" ")[1:]
    return [value for value, _ in candidates(words, incomplete)]


def test_the_kept_outline_is_current() -> None:
    """`commands.json` is what `make completions` writes."""
    kept = REPOSITORY / "notifyctl" / "cli" / "commands.json"
    made = subprocess.run([sys.executable, "-m", "notifyctl.cli.outline"], capture_output=True, check=True).stdout
    assert kept.read_bytes() == made, "make completions"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("notifyctl send anna --channel ", ["email", "sms", "push"]),
        ("notifyctl send anna --channel=s", ["--channel=sms"]),
        ("notifyctl users contacts add anna p", ["push"]),
        ("notifyctl prefs set anna sms --timezone Europe/Lo", ["Europe/London"]),
        ("notifyctl prefs set anna sms --timezone local", []),
        ("notifyctl prefs set anna sms --dis", ["--disable"]),
        ("notifyctl prefs list --dis", ["--disabled"]),
        ("notifyctl notifications list --status f", ["failed"]),
        ("notifyctl dlq list --reason in", ["invalid_recipient", "invalid_payload"]),
        ("notifyctl audit list --action opt_", ["opt_in", "opt_out"]),
        ("notifyctl audit export --resource cat", ["category"]),
        ("notifyctl suppressions list --reason b", ["bounce"]),
        ("notifyctl fixtures dump --kind opt", ["opt_outs"]),
        ("notifyctl providers add s", ["sendgrid", "smtp"]),
        ("notifyctl providers update smtp --set sec", ["security="]),
        ("notifyctl providers remove x --ye", ["--yes"]),
        ("notifyctl users list -o y", ["yaml"]),
        ("notifyctl completion show -o ", ["plain"]),
        ("notifyctl users list --fields id,use", ["id,username"]),
        ("notifyctl completion show z", ["zsh"]),
        ("notifyctl -o json users con", ["contacts"]),
        ("notifyctl receipts ingest ", [FILES]),
        ("notifyctl config show --config ", [FILES]),
        ("notifyctl send anna --attach ", [FILES]),
        ("notifyctl send anna --subject ", []),
        ("notifyctl users create ", []),
        ("notifyctl nothing ", []),
        ("notifyctl --pro", ["--profile"]),
    ],
)  # fmt: skip
def test_what_needs_no_database(line: str, offered: list[str]) -> None:
    """Words of a fixed set, settings of providers, fields; names of files where a file is meant and nowhere else."""
    assert values(line) == offered


def test_profiles(bare_cli: Cli) -> None:
    """Profiles come from the files."""
    file = bare_cli.home / "c.toml"
    file.write_text('[profiles.prod]\noperator = "a"\n[profiles.play]\n')
    with environment(bare_cli, NOTIFYCTL_CONFIG=str(file)):
        assert values("notifyctl status --profile p") == ["prod", "play"]


def test_what_is_in_the_database(cli: Cli, database: Database) -> None:
    """Users, providers and ids, each with what it is, those that begin so; nothing is written."""
    anna = seed.user(database)
    seed.user(database, "omar")
    seed.provider(database)
    (pending,) = seed.pending(database, anna)
    cli.call("keys", "create", "anna", "--name", "cron", "-o", "id", "--secret-file", "key").ok()
    cli.call("categories", "create", "newsletter", "--kind", "marketing").ok()
    with environment(cli):
        assert set(values("notifyctl users show ")) == {"anna", "omar"}
        assert candidates(["keys", "create"], "a") == [("anna", "anna@example.org")]
        assert values("notifyctl notifications list --user o") == ["omar"]
        assert values("notifyctl dlq list --provider ") == ["sendgrid"]
        for line in ("prefs opt-out anna ", "send anna --category ", "templates create t --category "):
            assert values(f"notifyctl {line}") == ["newsletter"]
        assert values("notifyctl users show a_%") == []
        ((found, what),) = candidates(["notifications", "show"], pending[:3])
        assert (found, what.split()[:3]) == (pending, ["email", "pending", "anna"])
        ((_, what),) = candidates(["keys", "revoke"], "")
        assert what.split()[:2] == ["cron", "anna"]


def test_a_dead_letter_by_its_notification(cli: Cli, database: Database) -> None:
    """Ids of dead letters are the notifications', with the reason."""
    (failed,) = seed.pending(database, seed.user(database), status="failed", failed_at=2)
    letter = (
        "INSERT INTO notification_dlq (id, notification_id, failure_reason, moved_to_dlq_at, retry_history)"
        f" VALUES ('00000000-0000-4000-8000-000000000000', '{failed}', 'invalid_recipient', 3, '[]')"
    )
    database.write(lambda tx: tx.conn.execute(text(letter)))
    with environment(cli):
        ((found, what),) = candidates(["dlq", "retry"], "")
    assert (found, what.split()[0]) == (failed, "invalid_recipient")


def test_only_for_a_key_that_may(cli: Cli, database: Database) -> None:
    """A wrong key gets nothing; a good one is looked at and not touched: its last use stays as it was."""
    seed.user(database)
    key = cli.call("keys", "create", "anna", "--name", "n", "-o", "secret").ok().stdout.strip()
    with environment(cli, NOTIFYCTL_API_KEY="nctl_live_wrong"), pytest.raises(NotAllowed):
        values("notifyctl users show ")
    with environment(cli, NOTIFYCTL_API_KEY=key):
        assert values("notifyctl users show ") == ["anna"]
    assert cli.call("keys", "list", "-o", "json").ok().json()[0]["last_used_at"] is None


def asked(cli: Cli, line: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Ask as bash does."""
    protocol = {
        "_NOTIFYCTL_COMPLETE": "complete_bash", "COMP_WORDS": line.replace(" ", "\n"),
        "COMP_CWORD": str(line.count(" ")),
    }  # fmt: skip
    command = [sys.executable, "-X", "importtime", "-m", "notifyctl"]
    return subprocess.run(command, env={**cli.env, **protocol, **env}, capture_output=True, cwd=cli.home, check=False)


@pytest.mark.parametrize(
    "env",
    [
        {"NOTIFYCTL_DATABASE_URL": "sqlite:////nowhere/x.db"},
        {"NOTIFYCTL_DATABASE_URL": "what"},
        {"NOTIFYCTL_CONFIG": "/nowhere"},
        {"NOTIFYCTL_API_KEY": "wrong"},
        {"NOTIFYCTL_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
        {"COMP_CWORD": "x"},
    ],
)
def test_trouble_is_silent(bare_cli: Cli, env: dict[str, str]) -> None:
    """Whoever presses Tab gets no error in the line that is being typed, and no file is made."""
    done = asked(bare_cli, "notifyctl users show ", **env)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"error" not in done.stderr and b"Traceback" not in done.stderr
    assert list(bare_cli.home.iterdir()) == []


def test_an_answer_in_time_or_none(bare_cli: Cli) -> None:
    """A server that takes the call and says nothing does not keep a shell waiting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=300"
        began = time.monotonic()
        done = asked(bare_cli, "notifyctl users show ", NOTIFYCTL_DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (0, b"")
    assert LIMIT_S < 1 and time.monotonic() - began < 45, "the connection's own limit is 300 s"


@pytest.mark.parametrize("line", ["notifyctl no", "notifyctl notifications list --status ", "notifyctl providers add "])
def test_what_needs_no_database_is_light(bare_cli: Cli, line: str) -> None:
    """Words that are known without it cost neither SQLAlchemy nor Typer."""
    code = f"from notifyctl.cli.completer import *; candidates({line.split(' ')[1:-1]!r}, '')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        env=bare_cli.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {each.rsplit("|", 1)[-1].strip().split(".")[0] for each in done.stderr.splitlines() if "|" in each}
    assert imported.isdisjoint({"sqlalchemy", "typer", "click", "rich", "asyncio", "httpx", "platformdirs", "psycopg"})
    assert Path(completer.__file__).with_name("commands.json").stat().st_size < 200_000


def test_the_readme_installs_it(bare_cli: Cli, tmp_path: Path) -> None:
    """The line of the README works in a home where nothing is yet."""
    readme = (REPOSITORY / "README.md").read_text()
    block = next(part for part in readme.split("```") if "completion show bash" in part)
    line = block[block.index("$ mkdir") + 2 :]
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "notifyctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m notifyctl "$@"\n')
    program.chmod(0o755)
    env = {**bare_cli.env, "PATH": f"{tools}:{bare_cli.env['PATH']}"}
    subprocess.run(["bash", "-e", "-c", line], env=env, cwd=bare_cli.home, check=True)
    kept = bare_cli.home / ".local/share/bash-completion/completions/notifyctl"
    assert kept.read_bytes() == (REPOSITORY / "completions" / "notifyctl.bash").read_bytes()


def test_webhooks_are_offered_by_name(cli: Cli, database: Database) -> None:
    """Names, and events where one is meant."""
    seed.webhook(database, seed.user(database), name="orders")
    with environment(cli):
        assert values("notifyctl webhooks show or") == ["orders"]
        assert values("notifyctl webhooks deliveries --webhook o") == ["orders"]
    assert values("notifyctl webhooks create anna https://example.org/ --event s") == ["sent", "suppressed"]
