"""A provider on loopback that answers as it is told: with any bytes, or in ways in which no provider should."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.ending import end

TOKEN = "ya29.scripted"


@dataclass(frozen=True)
class Asked:
    """A request: header names in lower case, the body whole."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True)
class Peer:
    """The connection on which a request came."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        """Send bytes; raises ConnectionError when the other side has gone."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close without a word."""
        self.writer.transport.abort()


Answer = bytes | Callable[[Peer], Awaitable[None]]
Script = Callable[[Asked], Answer]


def reply(status: int, body: object = b"", **headers: str) -> bytes:
    """Return an answer; a body that is not bytes is written as JSON, `_` in a header's name as a hyphen."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} AddressNews", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def token() -> bytes:
    """Return the answer of a token endpoint that is content."""
    return reply(200, {"access_token": TOKEN, "expires_in": 3_600, "token_type": "Bearer"})


class Scripted:
    """Listens from `with` on; `script` answers and may be exchanged at any time, `asked` is what came so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Scripted:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        talks: set[asyncio.Task[None]] = set()
        writers: set[asyncio.StreamWriter] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = asyncio.create_task(self._talk(Peer(reader, writer)))
            talks.add(talk)
            writers.add(writer)
            talk.add_done_callback(lambda _: (talks.discard(talk), writers.discard(writer)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1_024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._end.wait()
        await end(server, talks, writers)

    async def _talk(self, peer: Peer) -> None:
        try:
            while not peer.writer.is_closing():
                asked = await _read(peer.reader)
                self.asked.append(asked)
                answer = self.script(asked)
                if isinstance(answer, bytes):
                    await peer.say(answer)
                else:
                    await answer(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has gone
        finally:
            peer.writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ", 2)
    return Asked(method, path, headers, body)


@cache
def _private_key() -> str:
    key = generate_private_key(public_exponent=65_537, key_size=2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def service_account(url: str) -> dict[str, Any]:
    """Return the key file of a service account whose token endpoint is at `url`; the key is one for the whole run."""
    return {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": "scripted-key-id",
        "private_key": _private_key(),
        "client_email": "sender@shop.example",
        "token_uri": f"{url}/token",
    }
