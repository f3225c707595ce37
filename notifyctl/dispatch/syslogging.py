"""A line for the system's log, and whether anybody took it: the C library's call says nothing where nobody listens."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import closing, suppress

SOCKETS = ("/dev/log", "/var/run/syslog")
"""Where it listens: on Linux and FreeBSD, on macOS."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_AUTH, _NOTICE = 4, 5


def note(said: str, most_s: float) -> None:
    """Write a line as RFC 3164 has it, of security, as a notice. Raises OSError where nobody takes it in that time."""
    line = f"<{8 * _AUTH + _NOTICE}>{_stamp()} notifyctl[{os.getpid()}]: {said}".encode()
    for path in SOCKETS:
        with suppress(FileNotFoundError):
            _send(path, line, most_s)
            return
    raise OSError(errno.ENOENT, "no syslog daemon listens there", SOCKETS[0])


def _send(path: str, line: bytes, most_s: float) -> None:
    try:
        _sent(path, socket.SOCK_DGRAM, line, most_s)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise OSError(error.errno, error.strerror or "takes nothing", path) from error
        _sent(path, socket.SOCK_STREAM, line + b"\0", most_s)


def _sent(path: str, kind: int, line: bytes, most_s: float) -> None:
    with closing(socket.socket(socket.AF_UNIX, kind)) as own:
        own.settimeout(most_s)
        own.connect(path)
        own.sendall(line)


def _stamp() -> str:
    now = time.localtime()
    return f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
