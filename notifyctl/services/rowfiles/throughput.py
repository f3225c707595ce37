"""How the interpreter is set while rows come in by the million."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TURN_S = 0.0005


@contextmanager
def for_very_many() -> Iterator[None]:
    """Let nobody look for cycles of references among rows that have none, again and again: a third of all.

    And let threads give way ten times as often: whoever copies rows waits for the server many times in a chunk, and
    then for a turn here, and the server meanwhile for rows.
    """
    collects, turn = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(turn)
        if collects:
            gc.enable()
