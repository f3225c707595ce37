"""Names of strangers, resolved beside those of the providers.

A name whose servers do not answer keeps a thread for half a minute. In the loop's own few threads such names would keep
providers from being resolved; and at the end the process would wait for them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread

from notifyctl.core.webhook.reach import parsed

MOST_AT_ONCE = 64
SLOW_AT_ONCE = 8
SLOW_S = 2.0
SLOW_NAMES = 4_096


class Lookups:
    """Resolves as the system does, each name once at a time. Make it in the event loop that uses it.

    A name that took long has few places with its like from then on: however many there are, the others have theirs.
    """

    def __init__(self) -> None:
        self._room, self._slow_room = asyncio.Semaphore(MOST_AT_ONCE), asyncio.Semaphore(SLOW_AT_ONCE)
        self._slow: dict[str, None] = {}
        self._under_way: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, the best first. Raises OSError."""
        if parsed(host) is not None:
            return [host]
        task = self._under_way.get(host)
        if task is None:
            task = self._under_way[host] = asyncio.create_task(self._found(host, port))
            task.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(task)

    async def _found(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        async with self._slow_room if host in self._slow else self._room:
            began = loop.time()
            future: asyncio.Future[Sequence[str]] = loop.create_future()
            Thread(target=_look_up, args=(loop, future, host, port), name="lookup", daemon=True).start()
            try:
                return await future
            finally:
                self._note(host, slow=loop.time() - began > SLOW_S)

    def _note(self, host: str, *, slow: bool) -> None:
        self._slow.pop(host, None)
        if slow:
            self._slow[host] = None
            if len(self._slow) > SLOW_NAMES:
                del self._slow[next(iter(self._slow))]

    def _forget(self, host: str, done: asyncio.Task[Sequence[str]]) -> None:
        del self._under_way[host]
        if not done.cancelled():
            done.exception()  # nobody may have waited for it to the end


def _look_up(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Sequence[str]], host: str, port: int) -> None:
    found: Sequence[str] | Exception
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        found = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))
    except (OSError, UnicodeError) as error:
        found = error if isinstance(error, OSError) else OSError("the name cannot be resolved")
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(_hand_over, future, found)


def _hand_over(future: asyncio.Future[Sequence[str]], found: Sequence[str] | Exception) -> None:
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
