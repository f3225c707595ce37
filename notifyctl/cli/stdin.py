"""What is read of stdin: whole, by lines, by words; and who may sit there."""

from __future__ import annotations

import select
import sys
from typing import BinaryIO

from notifyctl.config import MOST_BYTES
from notifyctl.core.errors import UsageError


def stdin_is_terminal() -> bool:
    """Return whether a person may type."""
    return sys.stdin is not None and sys.stdin.isatty()


def stdin_bytes(where: str) -> bytes:
    """Return all of stdin. Raises UsageError, which begins with `where`, for one that is closed or does not end."""
    stream, chunks, room = _stdin(where), [], MOST_BYTES
    while chunk := _chunk(stream, min(room + 1, 1 << 20), where):
        room -= len(chunk)
        if room < 0:
            raise UsageError(f"{where}stdin is larger than {MOST_BYTES:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def stdin_line(where: str) -> bytes:
    """Return the next line of stdin, empty at its end. Raises UsageError as `stdin_bytes` does."""
    try:
        line = _stdin(where).readline(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{where}stdin: {error.strerror}") from error
    if len(line) > MOST_BYTES:
        raise UsageError(f"{where}stdin has a line of more than {MOST_BYTES:,} bytes")
    return line


def stdin_single_line(where: str) -> bytes:
    """Return the line that stands on stdin. Raises UsageError as `stdin_bytes` does, and for a second line.

    It is not waited for the end, which whoever writes a line and waits for what comes of it does not make.
    """
    stream, given = _stdin(where), b""
    while b"\n" not in given.lstrip() and len(given) <= MOST_BYTES:
        try:
            chunk = stream.read1(1 << 20)  # type: ignore[attr-defined]
        except OSError as error:
            raise UsageError(f"{where}stdin: {error.strerror}") from error
        if not chunk:
            break
        given += chunk
    line, _, rest = given.lstrip().partition(b"\n")
    if rest.strip():
        raise UsageError(f"{where}stdin has more than one line")
    return line


def stdin_words(where: str) -> list[str]:
    """Return what stands on stdin between blanks. Raises UsageError as `stdin_bytes` does, and for what is no text."""
    try:
        return stdin_bytes(where).decode().split()
    except UnicodeError as error:
        raise UsageError(f"{where}stdin holds bytes that are no text in UTF-8") from error


def _stdin(where: str) -> BinaryIO:
    if sys.stdin is None:
        raise UsageError(f"{where}stdin is closed")
    return sys.stdin.buffer


def _chunk(stream: BinaryIO, size: int, where: str) -> bytes:
    while True:
        try:
            chunk: bytes | None = stream.read(size)
        except OSError as error:
            raise UsageError(f"{where}stdin: {error.strerror}") from error
        if chunk is not None:  # None: there is none yet, and reading does not wait by itself
            return chunk
        select.select([stream], [], [])
