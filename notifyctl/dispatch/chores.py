"""What a dispatcher does beside its lanes: all chores begin and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable

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
        await asyncio.gather(*self._running, return_exceptions=True)


async def regularly(seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    """Do something every so often, for ever; while the database is away it is left out."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(DatabaseUnavailable, CommitUnknown):
            await act()
