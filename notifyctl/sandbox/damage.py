"""Answers that never come, or arrive damaged."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from random import Random
from typing import NoReturn

from aiohttp import web

from notifyctl.sandbox.exchange import Reply

BYTE_SECONDS = 1.0
GARBAGE_BYTES = 512
BOMB_BLOCKS = 1_024
BOMB_BLOCK_BYTES = 1_048_576

_BOMB_CRC = 0x5B64C2B0
"""The CRC-32 of BOMB_BLOCKS * BOMB_BLOCK_BYTES zeros."""


def response(reply: Reply) -> web.Response:
    """Return the answer as it is."""
    return web.Response(
        status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type, **reply.headers}
    )


def redirect(reply: Reply) -> Reply:
    """Return an answer that sends the caller elsewhere, with the same request and all that is in it."""
    return Reply(307, reply.body, reply.content_type, {**reply.headers, "Location": "/redirected"})


def garbage(reply: Reply, random: Random) -> Reply:
    """Return the answer with random bytes as its body."""
    return Reply(reply.status, random.randbytes(GARBAGE_BYTES), reply.content_type, reply.headers)


async def _hang(request: web.BaseRequest, reply: Reply) -> NoReturn:
    del request, reply
    # The server cancels this as soon as the connection is gone.
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets that future")


async def _reset(request: web.BaseRequest, reply: Reply) -> NoReturn:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    await _hang(request, reply)


async def _cut(request: web.BaseRequest, reply: Reply) -> NoReturn:
    whole = _bytes(reply)
    # Within the body where there is one, else within the headers.
    _write(request, whole[: -len(reply.body) // 2 or len(whole) // 2])
    await _reset(request, reply)


async def _slow(request: web.BaseRequest, reply: Reply) -> NoReturn:
    for byte in _bytes(reply):
        _write(request, bytes([byte]))
        await asyncio.sleep(BYTE_SECONDS)
    if request.transport is not None:
        request.transport.close()
    await _hang(request, reply)


async def _oversized(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    begun = web.StreamResponse(status=reply.status, headers={**reply.headers, "Content-Type": reply.content_type})
    await begun.prepare(request)
    try:
        await begun.write(b'{"padding": "')
        while True:
            await begun.write(b"x" * 65_536)
    except ConnectionError:
        await _hang(request, reply)


async def _gzip(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = {**reply.headers, "Content-Type": reply.content_type, "Content-Encoding": "gzip"}
    begun = web.StreamResponse(status=reply.status, headers=headers)
    await begun.prepare(request)
    deflate = zlib.compressobj(9, wbits=-15)
    # After a full flush nothing refers to what was before: the same bytes again are the same zeros again.
    block = deflate.compress(bytes(BOMB_BLOCK_BYTES)) + deflate.flush(zlib.Z_FULL_FLUSH)
    size = BOMB_BLOCKS * BOMB_BLOCK_BYTES
    try:
        await begun.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff")
        for _ in range(BOMB_BLOCKS):
            await begun.write(block)
        await begun.write(deflate.flush() + struct.pack("<LL", _BOMB_CRC, size))
        await begun.write_eof()
    except ConnectionError:
        await _hang(request, reply)
    return begun


def _bytes(reply: Reply) -> bytes:
    """Return the whole answer as it goes over the wire."""
    headers = {"Content-Type": reply.content_type, **reply.headers, "Content-Length": str(len(reply.body))}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", *map(": ".join, headers.items()), "", ""]
    return "\r\n".join(lines).encode() + reply.body


def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


Damage = Callable[[web.BaseRequest, Reply], Awaitable[web.StreamResponse]]

DAMAGES: Mapping[str, Damage] = {
    "timeout": _hang,
    "hang": _hang,
    "reset": _reset,
    "cut": _cut,
    "slow": _slow,
    "oversized": _oversized,
    "gzip": _gzip,
}
"""What happens to an answer on its way, by fault; most last until the caller closes the connection."""
