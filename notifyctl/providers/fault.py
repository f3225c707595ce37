"""Whose fault a network error is, and how to say it: errors of sockets, of name resolution and of TLS."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from notifyctl.core.outcome import Fault
from notifyctl.core.text import one_line

_HOST = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),  # no files or memory left
        *(errno.EADDRNOTAVAIL, errno.EADDRINUSE),  # no ports left
        *(errno.EACCES, errno.EPERM, errno.ENOENT),  # a firewall here; a file that cannot be read
    }
)
_ROUTE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ETIMEDOUT, getattr(errno, "EHOSTDOWN", -1)}
)
# The resolver itself fails; any other error is its answer.
_RESOLVER = frozenset(
    getattr(socket, name) for name in ("EAI_AGAIN", "EAI_SYSTEM", "EAI_MEMORY") if hasattr(socket, name)
)


def fault_of(error: BaseException) -> Fault:
    """Return whose fault an error is. One that only wraps another is judged by that."""
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLError):  # its numbers are OpenSSL's
        return Fault.PROVIDER
    if isinstance(cause, socket.gaierror):  # its numbers are the resolver's
        return Fault.HOST if cause.errno in _RESOLVER else Fault.PROVIDER
    number = cause.errno if isinstance(cause, OSError) else None
    return Fault.HOST if number in _HOST else Fault.ROUTE if number in _ROUTE else Fault.PROVIDER


def reason_of(error: BaseException) -> str:
    """Return an error in words, on one line, without any address that was asked."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return one_line(f"the certificate is refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return one_line(f"TLS failed: {(error.reason or 'no reason given').replace('_', ' ').lower()}")
    if isinstance(error, socket.gaierror):
        return one_line(error.strerror or "the name cannot be resolved")
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # the loop's own words have the address in them
    return one_line(str(error)) or type(error).__name__


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not getattr(error, "errno", None):
        error = error.__cause__
    return error
