"""`demo`: the whole story in half a minute, on SQLite and the sandbox.

Every command shown is really run, as a process of its own, as a person would type it. The settings of the person who
runs the demo play no part in it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from notifyctl.cli.invocation import Invocation, unconfigured
from notifyctl.cli.noun import TextLeaf, single
from notifyctl.cli.sandbox import SENDER, SMS_SENDER
from notifyctl.cli.secretfile import write_secret
from notifyctl.config import load, outside_environment
from notifyctl.core.errors import Conflict, NotifyctlError
from notifyctl.core.scope import OPEN
from notifyctl.services import demo as service
from notifyctl.wiring import System

FAULTS = ("twilio=503:0.15", "sendgrid=429:0.05", "fcm=503:0.1")
DISPATCH_TIME = "13s"
WIDTH = 76
MARK = ".notifyctl-demo"
"""The file by which a folder is known as an earlier demo's. What is in any other folder is somebody's."""
MARKED = "This folder belongs to `notifyctl demo`, which empties it when it runs again."
OURS = ("notifyctl.db", "notifyctl.db-wal", "notifyctl.db-shm", "notifyctl.db.lock", "keys", "config.toml")
OURS_TOO = ("sandbox-service-account.json", "sandbox.jsonl")


def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where the demo's database and files are kept.")
    ] = Path("notifyctl-demo"),
) -> None:
    """Run the whole story: sandbox with faults, sending, dead letters, metrics. Asks nothing, keeps its database."""
    run = unconfigured(ctx)
    _empty(folder)
    config = _configure(folder)
    with _sandbox(folder, config) as facts:
        Story(run, config, facts).tell()
    _farewell(run, folder, facts)


def _empty(folder: Path) -> None:
    """Make room for the demo: in a folder that is new or empty, or that an earlier demo marked as its own."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {path.name for path in folder.iterdir()}
        marked = _is_marked(folder / MARK)
        if foreign := sorted(present - {MARK, *OURS, *OURS_TOO} if marked else present):
            raise Conflict(f"{folder} holds other things: {', '.join(foreign[:3])}", "notifyctl demo --dir ELSEWHERE")
        if not marked:
            write_secret(folder / MARK, MARKED)
        for name in (*OURS, *OURS_TOO):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise Conflict(f"{folder}: {error.strerror}", "notifyctl demo --dir ELSEWHERE") from error


def _is_marked(mark: Path) -> bool:
    return (
        not mark.is_symlink()
        and mark.is_file()
        and mark.read_text(encoding="utf-8", errors="replace").strip() == MARKED
    )


def _configure(folder: Path) -> Path:
    base = folder.absolute()
    config = base / "config.toml"
    lines = (
        'profile = "demo"',
        "[profiles.demo]",
        f"database_url = {json.dumps(f'sqlite:///{base}/notifyctl.db')}",
        f"encryption_keys_file = {json.dumps(str(base / 'keys'))}",
        'operator = "anna"',
    )
    write_secret(config, "\n".join(lines))
    return config


@contextmanager
def _sandbox(folder: Path, config: Path) -> Iterator[dict[str, Any]]:
    """Run the sandbox as a process and yield what it says of itself."""
    faults = [word for fault in FAULTS for word in ("--inject", fault)]
    files = ["--log", "sandbox.jsonl", "--service-account", "sandbox-service-account.json"]
    command = [*_NOTIFYCTL, "sandbox", "--port", "0", "--seed", "7", "--latency", "40ms", "-o", "json", *faults, *files]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=_environment(config))  # noqa: S603
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise NotifyctlError("the sandbox did not start", "notifyctl sandbox")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(10)


_NOTIFYCTL = (sys.executable, "-m", "notifyctl")


def _environment(config: Path) -> dict[str, str]:
    return {**outside_environment(), "NOTIFYCTL_CONFIG": str(config)}


class Story:
    """Runs the story's steps: prints a heading, each command, and what it prints."""

    def __init__(self, run: Invocation, config: Path, facts: dict[str, Any]) -> None:
        self._out = run.out
        self._config = config
        self._facts = facts

    def tell(self) -> None:
        """Run all steps in order."""
        self._prepare()
        self._submit()
        self._dispatch()
        self._repair()
        self._look_back()

    def _prepare(self) -> None:
        self._head("A database, an encryption key, people and their addresses")
        self._run("migrate", "up", *self._table())
        self._run("secrets", "generate-key", "--save")
        self._run("users", "create", "anna", "--email", "anna@example.org", "-o", "id")
        self._run("users", "contacts", "add", "anna", "sms", "+14155552345", "-o", "id")
        with self._system() as system:
            service.populate(system.db)
        self._say("(and 24 more people, some with addresses that are dead)")
        self._head("Providers: the sandbox plays them, with faults; secrets come from stdin")
        url = f"base_url={self._facts['url']}"
        sendgrid, twilio, fcm = (self._facts[name] for name in ("sendgrid", "twilio", "fcm"))
        self._run(
            *("providers", "add", "sendgrid", "--api-key", "-", "--set", url, "--set", f"from={SENDER}", "-o", "id"),
            stdin=sendgrid["api_key"],
        )
        self._run(
            *("providers", "add", "twilio", "--api-key", "-", "--api-secret", "-"),
            *("--set", url, "--set", f"from={SMS_SENDER}", "-o", "id"),
            stdin=f"{twilio['api_key']}\n{twilio['api_secret']}",
        )
        self._run("providers", "add", "fcm", "--credentials", fcm["credentials"], "--set", url, "-o", "id")

    def _submit(self) -> None:
        self._head("Notifications, now and for later")
        self._run("send", "anna", "--channel", "email", "--subject", "Welcome", "--body", "Hello Anna", "-o", "id")
        self._run("schedule", "anna", "--channel", "sms", "--body", "Your parcel is here", "--in", "6s", "-o", "id")
        with self._system() as system:
            count = service.submit_many(system.db)
        self._say(f"(and {count} more on three channels, some of them for later)")

    def _dispatch(self) -> None:
        self._head("Dispatch: claim, send, retry what failed for a moment")
        self._run("dispatch", "--max-time", DISPATCH_TIME, "--poll", "200ms", *self._table())

    def _repair(self) -> None:
        self._head("Dead letters: why, and what an operator does about it")
        self._run("dlq", "list", *self._table())
        with self._system() as system:
            letters = service.letters(system.db)
        if letters.unregistered:
            self._say("A new phone for li.wei, and that one goes out after all:")
            self._run("users", "contacts", "add", "li.wei", "push", "device-li-wei-new", "-o", "id")
            self._run("dlq", "retry", letters.unregistered, *self._table())
            self._run("dispatch", "--once", *self._table())
            self._run("notifications", "list", "--user", "li.wei", "--channel", "push", *self._table())
        if letters.invalid:
            self._say("This one is dealt with by hand:")
            self._run(
                "dlq",
                "resolve",
                letters.invalid,
                "--by",
                "anna",
                "--note",
                "called; number was mistyped",
                *self._table(),
            )

    def _look_back(self) -> None:
        self._head("What was sent, and how it stands")
        self._run("metrics", "show", *self._table())
        self._run("metrics", "show", "--by", "hour", *self._table())
        self._run("status")

    # Telling

    @contextmanager
    def _system(self) -> Iterator[System]:
        system = System(load(config=str(self._config), env={}), OPEN)
        try:
            yield system
        finally:
            system.close()

    def _table(self) -> tuple[str, ...]:
        """Ask for the tables of a terminal where there is none: the demo is for reading."""
        return () if self._out.on_terminal else ("-o", "table")

    def _head(self, text: str) -> None:
        line = f"\n\033[1m{text}\033[0m" if self._out.on_terminal else f"\n{text}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def _say(self, text: str) -> None:
        self._out.write(text)

    def _run(self, *args: str, stdin: str | None = None) -> None:
        """Show the command and run it; what it prints goes where ours goes."""
        self._say(_wrapped(["notifyctl", *args]))
        done = subprocess.run(  # noqa: S603 - our own program
            [*_NOTIFYCTL, *args],
            env=_environment(self._config),
            input=None if stdin is None else f"{stdin}\n",
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NotifyctlError(f"the demo's {args[0]} ended with {done.returncode}", "its own message is above")


def _wrapped(words: list[str]) -> str:
    """Return the command as it is typed, on lines that fit 80 columns."""
    lines = ["$"]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > WIDTH:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return "\n".join(lines)


def _farewell(run: Invocation, folder: Path, facts: dict[str, Any]) -> None:
    port = facts["url"].rpartition(":")[2]
    run.out.write(f"""
The database stays in {folder}. To go on:

  export NOTIFYCTL_CONFIG={shlex.quote(str(folder.absolute() / "config.toml"))}
  notifyctl status
  notifyctl dlq list
  notifyctl notifications list --state scheduled
  (cd {shlex.quote(str(folder))} && notifyctl sandbox --port {port}) &
  notifyctl dispatch""")


app = single("The whole story in half a minute.", demo, TextLeaf, scope=OPEN)
