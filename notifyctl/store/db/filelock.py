"""One writer at a time on a SQLite file, in the order of arrival.

SQLite's own busy handler polls and is unfair: beside a bulk import a dispatcher starves. Before 3.51.3 it also has a
bug where two connections that write or checkpoint at the same moment can reset the WAL under each other. An exclusive
`flock` on a file beside the database, held for each write transaction, cures both.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":  # Windows has no flock; SQLite's own locking stands alone there
    import fcntl


MODE = 0o600


def lock_of(database: Path) -> str:
    """Return the path of a database's lock file: one for all names that a link gives the database."""
    return f"{os.path.realpath(database)}.lock"


@contextmanager
def exclusive(path: str, timeout_s: float, like: os.stat_result | None = None) -> Iterator[None]:
    """Hold the lock file at `path`; raise TimeoutError after `timeout_s` seconds, OSError where it cannot be opened.

    `like`: whose owner and mode the file has to have: who shares a database shares its lock.
    """
    end = time.monotonic() + timeout_s
    while True:
        fd = _open(path)
        _follow(fd, like)
        _Waiter(fd).acquire(max(0.0, end - time.monotonic()))
        if _is_still(fd, path):
            break
        os.close(fd)  # somebody took the file away: whoever comes next locks another one
    try:
        yield
    finally:
        os.close(fd)


def _open(path: str) -> int:
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    with suppress(FileNotFoundError):
        return os.open(path, flags)  # O_CREAT on somebody else's file is refused in folders like /tmp
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        return os.open(path, flags)
    if hasattr(os, "fchmod"):
        os.fchmod(fd, MODE)  # whatever the umask says
    return fd


def _follow(fd: int, like: os.stat_result | None) -> None:
    """Give the lock file the owner and the mode of its database, where that is ours to give.

    Only an empty file of one name: in a folder where others write, it may be another file's second name.
    """
    if like is None or not hasattr(os, "fchown"):
        return
    found, mode = os.fstat(fd), like.st_mode & 0o666
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size:
        return
    with suppress(OSError):  # not only EPERM: in a container its owner may be one that is not known there
        if (found.st_uid, found.st_gid) != (like.st_uid, like.st_gid):
            os.fchown(fd, like.st_uid, like.st_gid)
    with suppress(OSError):
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(fd, mode)


def _is_still(fd: int, path: str) -> bool:
    try:
        return sys.platform == "win32" or os.path.samestat(os.fstat(fd), Path(path).stat())
    except FileNotFoundError:
        return False


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
