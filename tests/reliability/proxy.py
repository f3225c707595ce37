"""A wire to PostgreSQL that breaks at COMMIT: before it arrives, or before its answer does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

COMMIT = b"COMMIT\x00"

Choose = Callable[[int], str | None]
"""From the number of a COMMIT, from 1, to "lost" (it never arrives), "unheard" (its answer never does), or None."""


class Proxy:
    """Listens on loopback in a thread of its own and passes everything on to a socket. `broken` counts the breaks."""

    def __init__(self, socket: Path, choose: Choose) -> None:
        self._socket, self._choose = socket, choose
        self._commits = 0
        self.broken = {"lost": 0, "unheard": 0}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_unix_connection(str(self._socket))
        deaf = asyncio.Event()
        both = [
            asyncio.create_task(self._to_server(reader, downstream, deaf)),
            asyncio.create_task(_to_client(upstream, writer, deaf)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.transport.abort()
            downstream.transport.abort()

    async def _to_server(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            fault = self._fault() if COMMIT in data else None
            if fault == "lost":
                return
            if fault == "unheard":
                deaf.set()
            server.write(data)
            await server.drain()
            if fault == "unheard":
                await asyncio.sleep(0.1)  # the server does it; what it answers goes nowhere
                return

    def _fault(self) -> str | None:
        self._commits += 1
        fault = self._choose(self._commits)
        if fault:
            self.broken[fault] += 1
        return fault


async def _to_client(server: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
    while data := await server.read(65_536):
        if not deaf.is_set():
            writer.write(data)
            await writer.drain()
