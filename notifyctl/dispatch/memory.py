"""Memory of a process that sends: what goes back to the system, and how often garbage is looked for."""

from __future__ import annotations

import gc
from functools import cache

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_LARGE_BYTES = 1 << 20
YOUNG = 5_000
"""How many objects may have been made, and not be gone, before those that are garbage are looked for."""


def look_for_garbage_less_often() -> None:
    """Let what is in flight live without being looked through.

    Claims, messages and results are gone when they are done with, of themselves, and never garbage. There are more of
    them at once than Python takes for a sign of garbage: it would look through them all for each few dozen.
    """
    _, *older = gc.get_threshold()
    gc.set_threshold(YOUNG, *older)


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
