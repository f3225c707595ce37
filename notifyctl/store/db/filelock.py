"""One writer at a time on a SQLite file, in the order of arrival.

SQLite's own busy handler polls and is unfair: beside a bulk import a dispatcher starves. Before 3.51.3 it also has a
bug where two connections that write or checkpoint at the same moment can reset the WAL under each other. An exclusive
`flock` on a file beside the database, held for each write transaction, cures both.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

if sys.platform != "win32":  # Windows has no flock; SQLite's own locking stands alone there
    import fcntl


@contextmanager
def exclusive(path: str, timeout_s: float, mode: int = 0o600) -> Iterator[None]:
    """Hold the lock file at `path`; raise TimeoutError after `timeout_s` seconds, OSError where it cannot be opened.

    `mode`: the permissions of a file that has to be made.
    """
    fd = _open(path, mode)
    _Waiter(fd).acquire(timeout_s)
    try:
        yield
    finally:
        os.close(fd)


def _open(path: str, mode: int) -> int:
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
    with suppress(FileNotFoundError):
        return os.open(path, flags)  # O_CREAT on somebody else's file is refused in folders like /tmp
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)  # whatever the umask says
    return fd


class _Waiter:
    """Waits for the kernel's queue, which is fair, in a thread, because flock knows no time limit."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._settled = threading.Lock()
        self._held = threading.Event()
        self._abandoned = False

    def acquire(self, timeout_s: float) -> None:
        """Return holding the lock; or raise, the descriptor closed now or when its turn comes."""
        if sys.platform == "win32" or self._is_free():
            return
        threading.Thread(target=self._wait, daemon=True).start()
        try:
            self._held.wait(timeout_s)
        except BaseException:  # a signal's exception: whoever it is must not stay in the queue
            self._abandon()
            raise
        with self._settled:
            if self._held.is_set():
                return
            self._abandoned = True
        raise TimeoutError

    def _is_free(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            os.close(self._fd)
            raise
        return True

    def _wait(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._settled:
            self._held.set()
            if self._abandoned:
                os.close(self._fd)

    def _abandon(self) -> None:
        with self._settled:
            self._abandoned = True
            if self._held.is_set():
                os.close(self._fd)
