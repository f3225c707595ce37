"""Hearing hints: what they do to a lane that waits, and the connection that they come by."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from notifyctl.core.errors import NotifyctlError
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store import hints

log = logging.getLogger(__name__)

BRIEF_S = 0.004
LONG_S = 0.25
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 300.0
BUSY = 500
"""From so many attempts on, a run that ends by itself is long enough for statements to be prepared."""
BUSY_LOOK_S = 0.1


class Wakeup:
    """Ends a lane's wait between two looks early.

    A hint is followed after a brief random hesitation, in which others gather. Of many dispatchers that hear it one
    gets what is due, and the others look in vain: those hesitate longer the next time, so that the quick one stays the
    quick one, and the looks in vain become few.
    """

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._hesitation = BRIEF_S
        self._answering = False
        self._own = False

    def ring(self, *, own: bool = False) -> None:
        """Let whoever waits look; `own`: no other dispatcher hears it, and nobody has to hesitate."""
        self._own = self._own or own
        self._rung.set()

    def look(self) -> None:
        """Take note that a look begins: it may miss what rings from here on."""
        self._own = False
        self._rung.clear()

    def looked(self, *, in_vain: bool) -> None:
        """Take note of what came of the look."""
        if not in_vain:
            self._hesitation = BRIEF_S
        elif self._answering:
            self._hesitation = min(2 * self._hesitation, LONG_S)
        self._answering = False

    async def wait(self, seconds: float) -> float:
        """Wait for a ring at most that long; return for how many seconds to hesitate still, 0 when there was none."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return 0.0
        if self._own:
            return 0.0
        self._answering = True
        left = began + seconds - asyncio.get_running_loop().time()
        return max(0.0, min(left, random.uniform(0, self._hesitation)))  # noqa: S311


async def hear(threads: StoreThreads, own: str, heard: Callable[[str | None], Awaitable[None]]) -> None:
    """Hear hints until cancelled; `own` names this listener.

    `heard` gets the provider of each, and None when some may have been missed: at the beginning, and after the
    connection was lost. It is made anew, after waits that grow; who cannot hear sees what is due all the same. What is
    heard also shows that the server keeps sessions, and the database is told.
    """
    wait = FIRST_WAIT_S
    while True:
        try:
            async with hints.listener(threads.db, own) as listener:
                await threads.write(lambda tx: hints.test(tx, own))
                await listener.prove()
                wait = FIRST_WAIT_S
                threads.db.connections.proven(True)
                log.debug("hints are heard")
                await heard(None)
                async for provider in listener.hints():
                    await heard(provider)
        except NotifyctlError as error:
            log.debug("no hints are heard: %s", error.message)
        finally:
            threads.db.connections.proven(False)  # the next connection may be to a pooler
        await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311
        wait = min(2 * wait, LONGEST_WAIT_S)


async def prepare_when_busy(threads: StoreThreads, own: str, attempts: Callable[[], int]) -> None:
    """Hear hints, and follow none, from when a run that ends by itself has made many `attempts`.

    It looks until nothing is left anyway. But to parse and plan the statements of its claims anew each time costs the
    server as much as to run them, and only who hears knows that it may prepare them.
    """
    while attempts() < BUSY:  # noqa: ASYNC110 - nobody says so of each attempt
        await asyncio.sleep(BUSY_LOOK_S)
    await hear(threads, own, _unheeded)


async def _unheeded(_: str | None) -> None:
    """Do nothing."""
