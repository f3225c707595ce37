"""One writer at a time on a SQLite file, in the order of arrival.

SQLite's own busy handler polls and is unfair: beside a bulk import a dispatcher starves. Before 3.51.3 it also has a
bug where two connections that write or checkpoint at the same moment can reset the WAL under each other. An exclusive
`flock` on a file beside the database, held for each write transaction, cures both.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock; SQLite's own locking stands alone there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def exclusive(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock file at `path`; raise TimeoutError after `timeout_s` seconds, OSError where it cannot be opened."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waiter = _Waiter(fd)
    waiter.acquire(timeout_s)
    try:
        yield
    finally:
        os.close(fd)


class _Waiter:
    """Waits for the kernel's queue, which is fair, in a thread, because flock knows no time limit."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._settled = threading.Lock()
        self._held = threading.Event()
        self._abandoned = False

    def acquire(self, timeout_s: float) -> None:
        if fcntl is None:
            return
        with suppress(BlockingIOError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        threading.Thread(target=self._wait, daemon=True).start()
        if self._held.wait(timeout_s):
            return
        with self._settled:
            if self._held.is_set():
                return
            self._abandoned = True  # the thread closes the descriptor when its turn comes
        raise TimeoutError

    def _wait(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._settled:
            if self._abandoned:
                os.close(self._fd)
            self._held.set()
