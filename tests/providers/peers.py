"""A server on loopback that answers as it is told, and a wire to ask it with."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from notifyctl.providers.contract import Failure, Request, Response
from notifyctl.providers.wire import Wire
from tests.support.ending import end

BODY = b'{"text":"hello"}'
SECRET = "AC0123456789abcdef0123456789abcdef"
PATH = f"/2010-04-01/Accounts/{SECRET}/Messages.json"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Answer = Callable[["Peer"], Awaitable[None]]
Loops = Callable[[], asyncio.AbstractEventLoop]


@dataclass
class Peer:
    """One connection, after a whole request arrived on it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    head: bytes
    server: Server

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        plug = self.writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Server:
    """What arrived: the head of each request, and how many connections there were."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answer each request as `answer` does, on one port of loopback."""
    server, talks, writers = Server(), set[asyncio.Task[None]](), set[asyncio.StreamWriter]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        number = 0
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
                number += 1
                server.heads.append(head)
                server.asked.set()
                await answer(Peer(reader, writer, number, head, server))
        except (asyncio.IncompleteReadError, ConnectionError):
            server.left.set()
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(talk(reader, writer)))
        writers.add(writer)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        await end(listening, talks, writers)


@asynccontextmanager
async def wired(**options: Any) -> AsyncIterator[Wire]:
    """A wire that is closed afterwards."""
    wire = Wire(**options)
    try:
        yield wire
    finally:
        await wire.aclose()


def request(base: str, path: str = PATH, headers: dict[str, str] | None = None) -> Request:
    """Return a request like an adapter's."""
    return Request("POST", base + path, {"Content-Type": "application/json", **(headers or {})}, BODY)


def run(main: Coroutine[Any, Any, Any], loops: Loops = asyncio.new_event_loop) -> Any:
    """Run it on such a loop, for 30 s at most."""
    with asyncio.Runner(loop_factory=loops) as runner:
        return runner.run(asyncio.wait_for(main, 30))


def exchange(
    answer: Answer, times: int = 1, timeout_s: float = 5, loops: Loops = asyncio.new_event_loop
) -> tuple[list[Response | Failure], Server]:
    """Send `times` requests, one after the other, to a server that answers like this."""

    async def main() -> tuple[list[Response | Failure], Server]:
        async with serving(answer) as server, wired() as wire:
            return [await wire.send(request(server.url), timeout_s) for _ in range(times)], server

    return run(main(), loops)


async def ok(peer: Peer) -> None:
    """Take it."""
    await peer.say(OK)


def says(data: bytes) -> Answer:
    """Return what answers with these bytes."""

    async def answer(peer: Peer) -> None:
        await peer.say(data)

    return answer


async def hang(peer: Peer) -> None:
    """Say nothing until the other side has gone."""
    await peer.reader.read()
    peer.server.left.set()


def _length(head: bytes) -> int:
    found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0
