"""What a dispatcher does beside its lanes: all chores begin and end together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable

log = logging.getLogger(__name__)

END_S = 2.0

Chore = Callable[[], Coroutine[Any, Any, None]]


class Chores:
    """Runs each chore in a task of its own until all are ended."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._running: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Begin all of them."""
        self._running = [asyncio.create_task(chore()) for chore in self._chores]

    async def end(self) -> None:
        """Break them off."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=END_S)  # the driver asks a server to cancel, which may be silent


async def regularly(seconds: float, act: Callable[[], Awaitable[object]], *, at_once: bool = False) -> None:
    """Do something every so often, for ever; what fails is tried again the next time. `at_once`: the first time now.

    A heartbeat that ended would make others believe that this dispatcher is lost.
    """
    while True:
        await asyncio.sleep(0 if at_once else seconds)
        at_once = False
        try:
            await act()
        except (DatabaseUnavailable, CommitUnknown):
            continue
        except Exception:
            log.warning("a chore failed, and is tried again", exc_info=True)
