"""Memory that goes back to the system."""

from __future__ import annotations

from functools import cache

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_LARGE_BYTES = 1 << 20


@cache
def give_back_large_blocks() -> None:
    """Let blocks of a megabyte and more go back to the system as soon as they are freed.

    glibc begins so, but keeps blocks as large as the largest that was ever freed, up to 32 MB, for itself: with mails
    of 20 MB that is as much again as is in flight. Other libraries have nothing like it and need nothing.
    """
    import ctypes  # only for those who send large messages

    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    except (OSError, AttributeError, TypeError):
        return
