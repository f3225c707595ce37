"""The root command. Nouns are loaded when they are called, so that help and completion stay quick."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from notifyctl import __version__
from notifyctl.cli.errors import ReaderGone, exit_code_of
from notifyctl.cli.noun import CONTEXT, RootGroup
from notifyctl.cli.streams import open_streams

# Name, module, help; in the order an operator meets them.
COMMANDS = (
    ("migrate", "migrate", "Create and upgrade the database's schema."),
    ("users", "users", "People who receive notifications, and their contact points."),
    ("keys", "keys", "API keys that say who is acting."),
    ("providers", "providers", "Who delivers: credentials, settings, pause and resume."),
    ("templates", "templates", "What is sent, written once: versions, languages, layouts."),
    ("send", "send", "Submit one notification."),
    ("schedule", "schedule", "Submit one notification for later."),
    ("notifications", "notifications", "Look at, cancel, restore, reschedule and resend notifications."),
    ("batches", "batches", "What was submitted together: follow, pause, resume, cancel."),
    ("dispatch", "dispatch", "Send what is due."),
    ("dlq", "dlq", "Dead letters: look, retry, resolve."),
    ("suppressions", "suppressions", "Addresses that must not be written to, and why."),
    ("categories", "categories", "What notifications are about."),
    ("prefs", "prefs", "What people want: channels, how often, when not."),
    ("limits", "limits", "How much each user may have, and do, in a minute."),
    ("fixtures", "fixtures", "Files that say what a database should hold, for CI and tests."),
    ("webhooks", "webhooks", "Who is told what became of notifications."),
    ("receipts", "receipts", "What providers say later: delivered, bounced."),
    ("metrics", "metrics", "What was sent, by provider, channel, hour and day."),
    ("audit", "audit", "What was done, by whom, and whether the trail of it is whole."),
    ("status", "status", "The whole system at a glance."),
    ("secrets", "secrets", "Encryption keys for the providers' credentials."),
    ("sandbox", "sandbox", "A local server that speaks the providers' protocols."),
    ("demo", "demo", "The whole story in half a minute."),
    ("config", "config", "The settings in force, and where they come from."),
    ("completion", "completion", "Completion scripts for shells."),
)

FIRST_STEPS = """\
Exit codes:

\b
  0  done, also when there was nothing to do    6  partly done
  1  failed unexpectedly, or stdout is full     7  the answer is no
  2  usage; nothing was done                    8  run notifyctl migrate up
  3  not found                                  9  too often; repeat later
  4  not allowed                               10  no database; repeat later
  5  conflict                                  11  --timeout ended
                                     130, 141  interrupted, pipe closed
                                          143  terminated

First steps:

\b
  notifyctl demo                       see it all, on a sandbox
  notifyctl migrate up                 create the database
  notifyctl secrets generate-key --save
  notifyctl users create anna --email anna@example.org
  notifyctl status
"""


class _Stub(TyperCommand):
    """Stands for a noun in help and suggestions until the noun is called."""


class Root(RootGroup):
    """The root group: names and help are known at once, modules are imported on use."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = {name: _Stub(name, help=text, rich_markup_mode=None) for name, _, text in COMMANDS}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stub by the real command."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and isinstance(command, _Stub):
            command = self.commands[name] = load(name)
        return name, command, rest

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line, and show help where it asks for that; see `invoke`."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command; keep Click from making an exit code of its own of a closed pipe."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error


@cache
def load(name: str) -> Any:
    """Return the command of that name, its module imported. Whoever runs several in one process builds it once."""
    module = next(module for noun, module, _ in COMMANDS if noun == name)
    with _without_garbage_collection():
        command = get_command(importlib.import_module(f"notifyctl.cli.{module}").app)
    command.name = name
    return command


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep the garbage collector from modules, while they are loaded and ever after: it takes a tenth of a command.

    Ever after only in a process of the command's own, which began without it (`__main__`): whoever else runs commands
    has garbage, and what is frozen is never collected.
    """
    is_our_process = not gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_our_process:
            gc.freeze()
        gc.enable()


_ENDINGS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a program; Windows has no SIGHUP."""

app = typer.Typer(
    cls=Root,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=FIRST_STEPS,
    context_settings=CONTEXT,
)


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Administer and dispatch a notification system."""
    if version:
        print(f"notifyctl {__version__}")  # noqa: T201
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())  # noqa: T201


def main(argv: list[str]) -> int:
    """Run one command line and return its exit code, in a process that goes on: its signals are its own again."""
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    try:
        return _main(argv)
    finally:
        for number, handler in before.items() if threading.current_thread() is threading.main_thread() else ():
            if handler is not None:  # else it is none of Python's
                signal.signal(number, handler)


def _main(argv: list[str]) -> int:
    """Run one command line and return its exit code. The only place that catches."""
    try:
        code = _run(argv)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return exit_code_of(error, argv)
    return code


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"notifyctl {__version__}")  # noqa: T201
        return 0
    code = get_command(app).main(args=argv, prog_name="notifyctl", standalone_mode=False)
    return code if isinstance(code, int) else 0


def run() -> None:
    """Run the command line of this process and end it.

    What is left then goes with the process: to look through it once more takes longer than many a command.
    """
    open_streams()
    code = _main(sys.argv[1:])
    _keep_signals_from(code)
    gc.freeze()
    sys.exit(code)


def _keep_signals_from(code: int) -> None:
    """Let the exit code tell what the command did, also where a signal comes between its end and the process's.

    Threads that hold the end up are left then. When Python has none left it forgets handlers, but not what is ignored.
    """
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))
            atexit.register(signal.signal, number, signal.SIG_IGN)
