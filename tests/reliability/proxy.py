"""A wire to PostgreSQL that breaks at COMMIT: before it arrives, or before its answer does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from tests.support.relay import Ends, Relay

COMMIT = b"COMMIT\x00"

Choose = Callable[[int], str | None]
"""From the number of a COMMIT, from 1, to "lost" (it never arrives), "unheard" (its answer never does), or None."""


class Proxy(Relay):
    """Passes everything on to a socket, but what is chosen. `broken` counts the breaks."""

    def __init__(self, socket: Path, choose: Choose) -> None:
        super().__init__("proxy")
        self._socket, self._choose = socket, choose
        self._commits = 0
        self.broken = {"lost": 0, "unheard": 0}

    async def connected(self) -> Ends:
        """Connect to the server."""
        return await asyncio.open_unix_connection(str(self._socket))

    def ways(self, client: Ends, server: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        """Carry both ways, until a COMMIT is chosen."""
        deaf = asyncio.Event()
        return self._to_server(client[0], server[1], deaf), _to_client(server[0], client[1], deaf)

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
