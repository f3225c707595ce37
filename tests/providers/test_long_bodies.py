"""Bodies of many megabytes: written as fast as the other side reads, and never in memory twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trustme

from notifyctl.cli.loops import loop_factory
from notifyctl.providers.contract import Failure, Response
from tests.providers.peers import OK, request, run, wired
from tests.support.ending import end

BODY = bytes(range(256)) * 40_000
LOOPS = [asyncio.new_event_loop, loop_factory() or asyncio.new_event_loop]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Give each connection to `talk`, and close it afterwards."""
    talks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(whole(reader, writer)))
        writers.append(writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await end(server, talks, writers)


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> trustme.CA:
    """An authority that is trusted here."""
    made = trustme.CA()
    file = f"{tmp_path}/ca.pem"
    made.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", file)
    return made


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("secured", [False, True])
def test_a_slow_reader_gets_every_byte(
    loops: Callable[[], asyncio.AbstractEventLoop], secured: bool, authority: trustme.CA
) -> None:
    """Whoever reads a little at a time gets all of it, in its order, and the connection serves the next request."""
    seen: list[tuple[int, str]] = []
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                digest, left = hashlib.sha256(), length
                while left:
                    data = await reader.read(min(left, 300_000))
                    digest.update(data)
                    left -= len(data)
                    await asyncio.sleep(0)
                seen.append((length, digest.hexdigest()))
                writer.write(OK)

    async def main() -> list[Response | Failure]:
        tls = None
        if secured:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(tls)
        async with listening(talk, tls) as url, wired() as wire:
            return [await wire.send(replace(request(url), body=body), 20) for body in (BODY, b"short", BODY[1:])]

    answers = run(main(), loops)
    assert [each.status for each in answers if isinstance(each, Response)] == [200] * 3
    assert seen == [(len(body), hashlib.sha256(body).hexdigest()) for body in (BODY, b"short", BODY[1:])]
    assert connections == 1


def test_an_answer_before_the_end_leaves_no_usable_connection() -> None:
    """Whoever refuses a large mail at once is heard, and the next request goes by a new connection."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            while await reader.read(1_000_000):
                pass

    async def main() -> list[Response | Failure]:
        async with listening(talk) as url, wired() as wire:
            return [await wire.send(replace(request(url), body=BODY), 20) for _ in range(2)]

    assert [each.status for each in run(main()) if isinstance(each, Response)] == [413, 413]
    assert connections == 2


def test_a_body_is_in_memory_once() -> None:
    """Neither with its head nor in the transport's buffer, while nobody reads it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    async def main() -> int:
        async with listening(talk) as url, wired() as wire:
            asked = replace(request(url), body=BODY)
            tracemalloc.start()
            try:
                await wire.send(asked, 0.5)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert run(main()) < len(BODY) / 2
