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
        errno.ENOENT,  # a file that is not there
    }
)
_ROUTE = frozenset(
    {
        *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ETIMEDOUT, getattr(errno, "EHOSTDOWN", -1)),
        *(errno.EACCES, errno.EPERM),  # a firewall here, for all or for the one
    }
)
# The resolver itself fails, at whichever end; any other error is its answer.
_RESOLVER = frozenset(
    getattr(socket, name) for name in ("EAI_AGAIN", "EAI_SYSTEM", "EAI_FAIL") if hasattr(socket, name)
)


def fault_of(error: BaseException) -> Fault:
    """Return whose fault an error is. One that only wraps another is judged by that."""
    cause = innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Fault.SETTINGS
    if isinstance(cause, ssl.SSLError):  # its numbers are OpenSSL's
        return Fault.PROVIDER
    if isinstance(cause, socket.gaierror):  # its numbers are the resolver's
        return _fault_of_name(cause.errno)
    if isinstance(cause, MemoryError) or is_lack_of_threads(cause):
        return Fault.HOST
    number = cause.errno if isinstance(cause, OSError) else None
    return Fault.HOST if number in _HOST else Fault.ROUTE if number in _ROUTE else Fault.PROVIDER


def is_lack_of_threads(error: BaseException) -> bool:
    """Return whether no thread could be started: Python says that in words only."""
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


def _fault_of_name(number: int | None) -> Fault:
    if number == getattr(socket, "EAI_MEMORY", None):
        return Fault.HOST
    return Fault.ROUTE if number in _RESOLVER else Fault.SETTINGS


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


def innermost(error: BaseException) -> BaseException:
    """Return the error that this one was made of."""
    while error.__cause__ is not None and not getattr(error, "errno", None):
        error = error.__cause__
    return error
