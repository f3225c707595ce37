"""What a hostile or broken provider does to those who ask it: each way answers one request, on a raw connection."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from tests.support.scripted import Peer, reply

NONSENSE = ("-1", "soon", "1e9", "99999999999999999999", "Thu, 99 Foo 2026 99:99:99 GMT", "später", "0x10", "", "NaN")
BLOCK = b"x" * 65_536
OPEN_END = b"HTTP/1.1 %d AddressNews\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Way:
    """One way to be hostile. `ends` is what the notification has to end as: a dead letter's reason, or `sent`.

    `act` gets the connection and the address of a trap, to which nobody must ever come; with `hangs` only the caller's
    deadline ends it.
    """

    act: Callable[[Peer, str], Awaitable[None]]
    ends: str = "outcome_unknown"
    hangs: bool = False


async def _nonsense(peer: Peer, trap: str) -> None:
    """429, and a wait that nobody can mean."""
    await peer.say(reply(429, b"too many", Retry_After=random.choice(NONSENSE), X_RateLimit_Reset="-5"))


async def _reset(peer: Peer, trap: str) -> None:
    peer.reset()


async def _reset_in_head(peer: Peer, trap: str) -> None:
    await peer.say(b"HTTP/1.1 202 Acc")
    peer.reset()


async def _reset_in_body(peer: Peer, trap: str) -> None:
    await peer.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\nhalf")
    peer.reset()


async def _drip_head(peer: Peer, trap: str) -> None:
    """One byte a second, from the first on."""
    for byte in b"HTTP/1.1 202 Accepted\r\n" * 100:
        await peer.say(bytes([byte]))
        await asyncio.sleep(1)


async def _drip_body(peer: Peer, trap: str) -> None:
    """One byte a second after a head that promises success."""
    await peer.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 3000\r\n\r\n")
    while True:
        await peer.say(b"x")
        await asyncio.sleep(1)


async def _silence(peer: Peer, trap: str) -> None:
    await peer.reader.read()


async def _endless_body(peer: Peer, trap: str) -> None:
    await peer.say(OPEN_END % 500)
    while True:
        await peer.say(b"10000\r\n" + BLOCK + b"\r\n")


async def _endless_head(peer: Peer, trap: str) -> None:
    await peer.say(b"HTTP/1.1 202 Accepted\r\n")
    while True:
        await peer.say(b"X-More: " + BLOCK[:1_000] + b"\r\n")


async def _huge_head(peer: Peer, trap: str) -> None:
    """A head that ends, but not soon."""
    await peer.say(b"HTTP/1.1 500 AddressNews\r\n" + b"X-More: " + BLOCK * 10 + b"\r\nContent-Length: 0\r\n\r\n")


async def _bomb(peer: Peer, trap: str) -> None:
    """A tenth of a megabyte that would become a hundred."""
    body = _compressed()
    head = b"HTTP/1.1 500 AddressNews\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    await peer.say(head + body)


async def _page(peer: Peer, trap: str) -> None:
    await peer.say(reply(200, b"<html><body>Please log in</body></html>", Content_Type="text/html"))


async def _redirect(peer: Peer, trap: str) -> None:
    await peer.say(reply(random.choice((301, 302, 303, 307, 308)), b"", Location=f"{trap}/v3/mail/send"))


async def _garbage(peer: Peer, trap: str) -> None:
    line = random.choice((random.randbytes(200), b"HTTP/9.9 202 Yes\r\n\r\n", b"HTTP/1.1 20X\r\n\r\n"))
    await peer.say(line + b"\r\n")
    peer.writer.close()


async def _surplus(peer: Peer, trap: str) -> None:
    """An answer, and at once one that would be the next request's if anybody took it."""
    await peer.say(reply(202) + reply(401, b"your key is wrong"))


async def _two_lengths(peer: Peer, trap: str) -> None:
    """A length that lies, and another one."""
    await peer.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nContent-Length: 200\r\n\r\n")


async def _switch(peer: Peer, trap: str) -> None:
    """Another protocol, which nobody asked for."""
    await peer.say(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + BLOCK)


async def _interim(peer: Peer, trap: str) -> None:
    """Interim answers without end."""
    while True:
        await peer.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)


async def _trailers(peer: Peer, trap: str) -> None:
    """A body that ends, and trailers that do not."""
    await peer.say(OPEN_END % 202 + b"0\r\n")
    while True:
        await peer.say(b"X-More: " + BLOCK[:1_000] + b"\r\n")


async def _filth(peer: Peer, trap: str) -> None:
    """A refusal full of what must reach neither the database nor a terminal."""
    words = "\x00\x1b[2J\x9b31m\u2028\ud800" * 2_000
    body = json.dumps({"errors": [{"message": words + "cleaned", "field": "\x1b]0;title\x07"}]}).encode()
    await peer.say(reply(400, body))


@cache
def _compressed() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(100)), packer.flush()])


WAYS = {
    "nonsense in Retry-After": Way(_nonsense, "sent"),
    "reset": Way(_reset),
    "reset in the head": Way(_reset_in_head),
    "reset in the body": Way(_reset_in_body),
    "a byte a second": Way(_drip_head, hangs=True),
    "a byte a second after 202": Way(_drip_body, hangs=True),
    "silence": Way(_silence, hangs=True),
    "endless body": Way(_endless_body),
    "endless head": Way(_endless_head),
    "huge head": Way(_huge_head),
    "gzip bomb": Way(_bomb),
    "HTML": Way(_page),
    "redirect": Way(_redirect),
    "garbage": Way(_garbage),
    "an answer too many": Way(_surplus, "sent"),
    "two lengths": Way(_two_lengths),
    "another protocol": Way(_switch),
    "interim answers without end": Way(_interim),
    "trailers without end": Way(_trailers),
    "control characters": Way(_filth, "provider_rejected"),
}
