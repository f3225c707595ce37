"""`on_change`: a command of the operator's learns what begins and ends, once for each change, and holds up nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import condition_looks
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.world import KEYS

PAGE = """\
#!/bin/sh
cat >> "$HOME/told"
env > "$HOME/environment"
"""


@pytest.fixture(autouse=True)
def provider(database: Database) -> None:
    """A provider that is paused."""
    seed.provider(database, "sendgrid", config_json='{"from":"alerts@example.com"}', is_active=True)
    pause(database)


def pause(database: Database) -> None:
    """Let an operator have paused it."""
    seed.health(database, "sendgrid", paused_at=1_700_000_000_000, pause_cause="operator", pause_reason="maintenance")


def resume(database: Database) -> None:
    """Let it be used again."""
    seed.health(database, "sendgrid", paused_at=None, pause_cause=None)


def script(cli: Cli, text: str = PAGE, name: str = "page") -> Path:
    """Write a program and return its path."""
    path = cli.home / name
    path.write_text(text)
    path.chmod(0o700)
    return path


def configure(cli: Cli, value: str) -> None:
    """Write a profile that has the command."""
    (cli.home / "c.toml").write_text(f'profile = "prod"\n[profiles.prod]\non_change = {value}\n')
    cli.env |= {"NOTIFYCTL_CONFIG": str(cli.home / "c.toml"), "NOTIFYCTL_ENCRYPTION_KEYS": KEYS}


def dispatch(cli: Cli, database: Database, *args: str) -> Result:
    """Run a dispatcher once, when it is time for a look."""
    database.write(lambda tx: tx.execute(update(condition_looks).values(looked_at=0)))
    return cli.run("dispatch", "--once", "--channel", "sms", *args)


def told(cli: Cli, count: int) -> list[dict[str, Any]]:
    """Return what the command was told, when that is so much; it may go on for a moment after the dispatcher."""
    path, end = cli.home / "told", time.monotonic() + 20
    while time.monotonic() < end and (not path.exists() or path.read_text().count("\n") < count):
        time.sleep(0.02)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_it_is_told_when_it_begins_and_when_it_ends(cli: Cli, database: Database) -> None:
    """One JSON object each; without what configures notifyctl in its environment."""
    configure(cli, json.dumps([str(script(cli))]))
    assert dispatch(cli, database).ok().stderr == ""
    [began] = told(cli, 1)
    assert began | {"since": ""} == {
        "condition": "provider_paused",
        "subject": "sendgrid",
        "state": "began",
        "since": "",
        "text": "sendgrid paused: maintenance",
        "profile": "prod",
        "host": os.uname().nodename,
    }
    assert began["since"].endswith("Z")
    dispatch(cli, database).ok()
    resume(database)
    dispatch(cli, database).ok()
    dispatch(cli, database).ok()
    _, ended = told(cli, 2)
    assert (ended["state"], ended["since"]) == ("ended", began["since"])
    assert "NOTIFYCTL" not in (cli.home / "environment").read_text()


def test_what_a_run_makes_of_it_is_told_at_its_end(cli: Cli, database: Database) -> None:
    """A dispatcher of cron's that finds what cannot be sent tells it itself, whenever the last look was."""
    configure(cli, json.dumps([str(script(cli))]))
    resume(database)
    secrets = f"AC{'0' * 32}\nsecret\n"
    added = ("providers", "add", "twilio", "--api-key", "-", "--api-secret", "-", "--set", "from=+15005550006")
    cli.call(*added, input=secrets).ok()
    dispatch(cli, database).ok()
    seed.pending(database, seed.user(database), "twilio", count=20, payload="{")
    cli.run("dispatch", "--once", "--channel", "sms").ok()
    assert [(each["condition"], each["state"]) for each in told(cli, 1)] == [("dead_letters_growing", "began")]


def test_words_of_a_shell_and_no_shell(cli: Cli, database: Database) -> None:
    """A text is split into words; nothing else of a shell happens to it."""
    script(cli, '#!/bin/sh\nprintf "%s\\n" "$@" > "$HOME/words"\ncat >> "$HOME/told"\n')
    configure(cli, json.dumps(f"{cli.home}/page 'two words' $HOME ; > *"))
    dispatch(cli, database).ok()
    told(cli, 1)
    assert (cli.home / "words").read_text().splitlines() == ["two words", "$HOME", ";", ">", "*"]


def test_several_dispatchers_tell_it_once(cli: Cli, database: Database) -> None:
    """Whoever looks first tells it; one without a command leaves it to the others."""
    dispatch(cli, database).ok()
    configure(cli, json.dumps(str(script(cli))))
    running = [cli.start("dispatch", "--once", "--channel", "sms", "--processes", "2") for _ in range(2)]
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(told(cli, 1)) == 1


def test_a_command_that_fails_is_a_remark(cli: Cli, database: Database) -> None:
    """Once: it is not run again for the same change. The dispatcher goes on."""
    configure(cli, json.dumps([str(script(cli, "#!/bin/sh\nexit 3\n"))]))
    done = dispatch(cli, database).ok()
    assert done.stderr.count("on_change") == 1
    assert "on_change (provider_paused sendgrid began): page ended with 3" in done.stderr
    assert dispatch(cli, database).ok().stderr == ""


@pytest.mark.slow
def test_a_run_waits_for_no_command(cli: Cli, database: Database) -> None:
    """One that takes its time keeps no dispatcher from ending; it may finish after it."""
    waits = '#!/bin/sh\nwhile [ ! -e "$HOME/ended" ]; do sleep 0.1; done\ncat >> "$HOME/told"\n'
    configure(cli, json.dumps(str(script(cli, waits))))
    dispatch(cli, database).ok()
    (cli.home / "ended").touch()
    assert len(told(cli, 1)) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('""', "names no command"),
        ("[]", "names no command"),
        ('[""]', "names no command"),
        ("3", "is neither a command nor a list of its words"),
        ('["a", 3]', "is neither a command nor a list of its words"),
        ('"a \'b"', "No closing quotation"),
        ('["a\\u0000"]', "is neither a command nor a list of its words"),
    ],
)
def test_what_no_command_can_be(cli: Cli, value: str, said: str) -> None:
    """It is refused where it is read, with the file and the key."""
    configure(cli, value)
    done = cli.call("config", "show")
    assert done.exit_code == 2
    assert f"on_change: {said}" in done.stderr
    assert "c.toml" in done.stderr


@pytest.mark.parametrize("value", ["\"/usr/bin/page  --to 'the boss'\"", '["/usr/bin/page", "--to", "the boss"]'])
def test_config_shows_it(cli: Cli, value: str) -> None:
    """As words of a shell, and where it is from."""
    configure(cli, value)
    shown = {each["name"]: each for each in cli.call("config", "show", "--origin", "-o", "json").ok().json()}
    assert shown["on_change"]["value"] == "/usr/bin/page --to 'the boss'"
    assert "[profiles.prod]" in shown["on_change"]["origin"]
