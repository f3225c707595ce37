"""A wire between a client and a server, that does to what it carries what a test wants."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from tests.support.ending import close, turns

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay(ABC):
    """Listens on `port` of loopback in a thread of its own, from `with` on."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ready = threading.Event()

    @abstractmethod
    async def connected(self) -> Ends:
        """Connect to the server."""

    @abstractmethod
    def ways(self, client: Ends, server: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what carries each way; the connection ends with the first of them that does."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(close(server))
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=30))
        self._loop.run_until_complete(turns())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client, ends = (reader, writer), [writer]
        both = list[asyncio.Task[None]]()
        try:
            server = await self.connected()
            ends.append(server[1])
            both = [asyncio.create_task(way) for way in self.ways(client, server)]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in ends:
                end.transport.abort()
