"""Exports on the command line: all that matches, as it was at one moment, whole or not at all.

What is exported is written to a file first, as fast as the database gives it, so that no slow reader keeps a snapshot
open and nothing is printed of what fails. That file is the one that `--output` names, under another name until it is
whole; else it has no name, in the folder for temporary files, and is copied to stdout.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from notifyctl.cli import progress
from notifyctl.cli.exportforms import FORMS, ExportColumn, put
from notifyctl.cli.invocation import Invocation
from notifyctl.cli.noun import FORMATS, Leaf
from notifyctl.cli.output import known_fields
from notifyctl.config import expanded
from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.services.exporting import Snapshot

STDOUT = "-"
COPIED = 1 << 20

Target = Annotated[
    str | None,
    typer.Option("--output", metavar="FILE", help="Write this file, whole or not at all, readable by you only."),
]


class ExportLeaf(Leaf):
    """A verb that exports."""

    formats = FORMS


class NotExported(NotifyctlError):
    """What was to be exported could not be written."""

    code = "output"


def export(
    run: Invocation,
    target: str | None,
    of: Sequence[ExportColumn],
    taken_by: Callable[[Callable[[Snapshot[Any]], int]], int],
    usual: str = FORMS[0],
) -> None:
    """Export to a file or stdout, in the `usual` form where none was asked for.

    `taken_by` gives a snapshot to what it is called with, perhaps more than once.
    """
    form = run.out.asked_form or usual
    path = None if target in (None, STDOUT) else _named(str(target))
    on_terminal = path is None and run.out.on_terminal
    if form == "parquet" and on_terminal:
        raise UsageError("-o parquet is nothing for a terminal", "--output FILE, or > FILE")
    written = put(form, raw=run.out.raw, on_terminal=on_terminal)
    if run.out.fields is not None:
        by_name = {column.name: column for column in of}
        of = [by_name[name] for name in known_fields(run.out.fields, list(by_name))]

    of = run.out.columns(of)
    with _beside(path) if path is not None else _nameless() as file:

        def take(found: Snapshot[Any]) -> int:
            with _told_of(path), progress.counting(run, found.count, found.rows) as rows:
                file.seek(0)
                file.truncate()
                number = written(file, of, rows)
                file.flush()
            return number

        rows = taken_by(take)
        if path is None:
            _print(file)
    if path is not None:
        run.out.say(f"{rows:,} written to {path}")


def write_text(target: str | None, text: str) -> Path | None:
    """Write a text to stdout, or to the file that `target` names, which whoever the umask lets may read: its path."""
    if target in (None, STDOUT):
        sys.stdout.write(text)
        return None
    path = _named(str(target))
    with _beside(path, 0o666) as file, _told_of(path):
        file.write(text.encode())
    return path


# Where it goes


def _named(target: str) -> Path:
    """Return the path of a file that may be written or replaced. Raises UsageError for anything else."""
    if target in FORMATS or target in FORMS:
        raise UsageError(f"--output {target}: a form is given with -o {target}, --output names a file")
    path = expanded(target)
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise UsageError(f"--output: {path}: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "a link" if stat.S_ISLNK(kind) else "no regular file"
        raise UsageError(f"--output: {path} is {what}: it would be replaced", f"name a file, or write > {target}")
    return path


@contextmanager
def _beside(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Yield a new file that becomes `path` when all was written; else nothing of it is left."""
    # Its name is known before it is there: from then on it is removed, whenever that ends.
    part = path.parent / f".notifyctl-{secrets.token_hex(8)}.part"
    with _gone_when_killed(part):
        try:
            with _closing(_new(part, mode)) as file:
                yield file
                with _told_of(path):
                    file.flush()
                    os.fsync(file.fileno())
                    part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def _new(part: Path, mode: int) -> BinaryIO:
    try:
        return os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w+b")
    except OSError as error:
        raise UsageError(f"--output: {part.parent}: {error.strerror}") from error


@contextmanager
def _gone_when_killed(part: Path) -> Iterator[None]:
    """Let the file go where the process is told to end, as it would by itself."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def end(number: int, _frame: Any) -> None:
        with suppress(OSError):
            part.unlink()
        signal.signal(number, usual[signal.Signals(number)])
        os.kill(os.getpid(), number)

    caught = [number for number, handler in usual.items() if handler not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, usual[number])


@contextmanager
def _nameless() -> Iterator[BinaryIO]:
    with _told_of(None):
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    with _closing(file):
        yield file


@contextmanager
def _closing(file: Any) -> Iterator[BinaryIO]:
    """Close the file at the end; what it still has then is not wanted, and where it cannot be written that is known."""
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def _print(file: BinaryIO) -> None:
    file.seek(0)
    sys.stdout.flush()
    shutil.copyfileobj(file, sys.stdout.buffer, COPIED)
    sys.stdout.flush()


@contextmanager
def _told_of(path: Path | None) -> Iterator[None]:
    """Say where it could not be written, and how to have it written elsewhere."""
    try:
        yield
    except OSError as error:
        hint = "nothing was exported; --output FILE or TMPDIR names a place with more room"
        raise NotExported(f"{path or tempfile.gettempdir()}: {error.strerror or error}", hint) from error
