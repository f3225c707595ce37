"""Receivers that say more than anybody can mean."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable
from functools import cache

from tests.support.scripted import Peer

GIGABYTE = 1_000_000_000
BLOCK = b"x" * 65_536


async def _gigabyte(peer: Peer) -> None:
    """Take it, and say a gigabyte of thanks."""
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
    for _ in range(GIGABYTE // len(BLOCK)):
        await peer.say(BLOCK)


async def _tiny_chunks(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.say(b"1\r\nx\r\n" * 10_000)


async def _nested_bomb(peer: Peer) -> None:
    body = _nested()
    await peer.say(b"HTTP/1.1 500 X\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def _deflate_bomb(peer: Peer) -> None:
    body = _deflated()
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@cache
def _nested() -> bytes:
    return gzip.compress(gzip.compress(bytes(100_000_000)))


@cache
def _deflated() -> bytes:
    return zlib.compress(bytes(50_000_000))


FLOODS: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "a gigabyte": _gigabyte,
    "chunks of a byte": _tiny_chunks,
    "a bomb in a bomb": _nested_bomb,
    "a deflated bomb": _deflate_bomb,
}


def prepare() -> None:
    """Make the bombs, which takes longer than anybody waits for an answer."""
    _nested()
    _deflated()
