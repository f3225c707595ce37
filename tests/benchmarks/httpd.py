"""A provider in as few instructions as Python allows: `python httpd.py PORT DELAY_MS [KEY_AND_CERTIFICATE]`.

Answers 202 to every POST after the delay, and notes when each notification came. `GET /seen` returns what it noted.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: stub\r\nContent-Length: 0\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
NOTIFICATION = re.compile(rb'"notification_id": ?"([0-9a-f-]{36})"')

seen: dict[str, float] = {}


class Answering(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, delay_s: float) -> None:
        self._delay = delay_s
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._waiting += data
        while (head := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._waiting, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._waiting) < end:
                return
            request, self._waiting = self._waiting[:end], self._waiting[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET /seen"):
            body = json.dumps(seen).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            self._transport.close()
            return
        if found := NOTIFICATION.search(request):
            seen.setdefault(found[1].decode(), time.time())
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._accept)
        else:
            self._accept()

    def _accept(self) -> None:
        if not self._transport.is_closing():  # who asked may have gone meanwhile
            self._transport.write(ANSWER)


async def main(port: int, delay_ms: int, tls: ssl.SSLContext | None) -> None:
    """Serve until terminated."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(delay_ms / 1_000), "127.0.0.1", port, backlog=4_096, ssl=tls)
    await server.serve_forever()


def context(file: str) -> ssl.SSLContext:
    """Return what serves with that key and certificate."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(file)
    return made


if __name__ == "__main__":
    port, delay_ms, *files = sys.argv[1:]
    uvloop.run(main(int(port), int(delay_ms), context(files[0]) if files else None))
