"""Secrets in and out, never through the command line's arguments."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from notifyctl.cli.stdin import stdin_line
from notifyctl.config import contents, expanded, without_line_end
from notifyctl.core.errors import Conflict, UsageError


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only its owner reads, whole or not at all. Raises Conflict when there is one already."""
    path = expanded(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(
            f"{path} exists already; it was left as it is", "name another file, or move this one away"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # what there is of it would be taken for the secret, or be in the way of another try
        with suppress(OSError):
            path.unlink()
        raise UsageError(f"{path}: {error.strerror}", "name a place with room for it") from error


def read_secret(source: str, option: str, *, may_be_empty: bool = False) -> str:
    """Return the secret of `-` (stdin's first line) or `@FILE`, without one final end of a line.

    Raises UsageError for anything else.

    With `may_be_empty` an empty line or file is a secret too: none from now on. The end of stdin is not.
    """
    if source == "-":
        text = _text(stdin_line(f"{option}: "), option)
        may_be_empty = may_be_empty and bool(text)
    elif source.startswith("@"):
        try:
            text = _text(contents(source[1:], f"{option}: "), f"{option}: {source[1:]}")
        except OSError as error:
            raise UsageError(f"{option}: {source[1:]}: {error.strerror}") from error
    else:
        raise UsageError(f"{option} takes - (stdin) or @FILE: an argument can be read in the process list")
    if not text.strip():
        if not may_be_empty:
            raise UsageError(f"{option}: nothing was given")
        return ""
    return without_line_end(text)


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeError as error:
        raise UsageError(f"{where}: is no text in UTF-8") from error
