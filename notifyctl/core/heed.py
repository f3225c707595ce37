"""Signals that end a program, heeded by its event loop while that runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def heed(number: signal.Signals, act: Callable[[], object]) -> None:
    """Call `act` in the running event loop at a signal; to be called in the main thread.

    The loop's own handlers end with it, and a signal that came between the end of the work and that of the process
    would kill it, as if nothing had been done. This one stays: there is nothing to stop any more. Who asks once more
    means it, and is answered as before.
    """
    loop, usual = asyncio.get_running_loop(), signal.getsignal(number)

    def answer(*_: object) -> None:
        if loop.is_closed():
            signal.signal(number, usual)
        else:
            loop.call_soon_threadsafe(act)

    signal.signal(number, answer)
