"""The three standard streams as they really are: closed, full, not blocking, without an end."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

from notifyctl.core.errors import NotifyctlError

WAITED_S = 60.0
"""How long a reader that takes nothing is waited for where writing to it does not wait by itself."""


class OutputCutShort(NotifyctlError):
    """Not all of the data reached stdout: whoever reads it must not take it for the whole."""

    code = "output"
    default_hint = "only what is printed is missing: look before you repeat an act"


class StdoutFailed(OSError):
    """Stdout took no more; a reader that has gone is a BrokenPipeError as ever."""


class WholeWriter(io.RawIOBase):
    """A descriptor that takes everything: Python's own, without a buffer, drops what a write left over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write all of it, waiting for a reader that is slow. Raises StdoutFailed where it cannot be."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        try:
            while rest:
                rest = rest[self._some(rest) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StdoutFailed(error.errno, error.strerror) from error
        return length

    def _some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError as error:
            if not any(select.select([], [self._descriptor], [], WAITED_S)):
                raise OSError(error.errno, f"nobody read it for {WAITED_S:.0f} s") from error
            return 0


class RemarkWriter(WholeWriter):
    """A descriptor for remarks: where it takes nothing (no reader, no room), they are lost, and cost nothing else."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


def open_streams() -> None:
    """Make stdout take all or fail, and escape what it cannot encode; stand in for streams that the caller closed.

    What is said on stderr is best effort.

    A closed stdout or stderr is as good as /dev/null, and no file that is opened later gets its number.
    """
    for descriptor in range(3):
        _occupy(descriptor)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(WholeWriter(1), encoding="utf-8", write_through=True)
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    sys.stderr = io.TextIOWrapper(RemarkWriter(2), encoding, "backslashreplace", write_through=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _whole(sys.stdout)


def _whole(given: io.TextIOWrapper) -> io.TextIOWrapper:
    given.flush()
    taking = io.BufferedWriter(WholeWriter(given.fileno()))
    return io.TextIOWrapper(taking, given.encoding, "backslashreplace", line_buffering=given.isatty())


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
