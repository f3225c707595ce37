"""A provider that answers fast, fails on request and remembers everything: SendGrid's protocol, in a thread.

It lives in the test's process, so that its clock is the test's and its faults may be any function. The sandbox is the
faithful one; this one is for numbers and for malice.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from tests.support.ending import close, turns

# What the provider does with a request, by name; a three-digit name is the status it answers with.
ACCEPTS = frozenset({None, "swallow", "garbage", "half", "hang", "500"})
"""The mail is out: with an answer, or with none, or with one that nobody can read. 500 is the worst kind of error."""

Faults = Callable[[str, int], str | None]
"""From a notification and the number of its request, from 1, to the name of what goes wrong."""

_ID = re.compile(rb'"notification_id"\s*:\s*"([^"]+)"')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it was complete (monotonic seconds, and milliseconds since the epoch), whose, what came."""

    at: float
    wall: int
    id: str
    fault: str | None

    @property
    def accepted(self) -> bool:
        """Whether the mail went out, whatever the sender was told."""
        return self.fault in ACCEPTS


def never(_: str, __: int) -> str | None:
    """Fail never."""
    return None


def always(fault: str) -> Faults:
    """Fail always, the same way."""
    return lambda _, __: fault


def sometimes(chances: Mapping[str, float], seed: int) -> Faults:
    """Fail with these probabilities, drawn in the order in which requests come."""
    draw = random.Random(seed)
    kinds, weights = list(chances), list(chances.values())

    def choose(_: str, __: int) -> str | None:
        if draw.random() >= sum(weights):
            return None
        return draw.choices(kinds, weights)[0]

    return choose


class Stub:
    """Listens on loopback from `with` on. `faults` and `latency` (seconds) may be changed at any time."""

    def __init__(self) -> None:
        self.faults: Faults = never
        self.latency = 0.0
        self._log: list[Request] = []
        self._numbers: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stub", daemon=True)
        self._ready = threading.Event()
        self._connections: set[_Connection] = set()

    def __enter__(self) -> Stub:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def requests(self, since: float = 0.0) -> list[Request]:
        """Return what was asked from a monotonic moment on, oldest first."""
        return [each for each in self._log[:] if each.at >= since]

    def deliveries(self) -> Counter[str]:
        """Return how often each notification went out."""
        return Counter(each.id for each in self._log[:] if each.accepted)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1_024)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(close(server))
            for each in list(self._connections):
                each.abort()
            self._loop.run_until_complete(turns())
            self._loop.close()

    # Of the connections, in the thread

    def opened(self, connection: _Connection) -> None:
        """Take note of a connection."""
        self._connections.add(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def serve(self, connection: _Connection, id_: str) -> None:
        """Log the request, then answer as the faults have it."""
        self._numbers[id_] += 1
        fault = self.faults(id_, self._numbers[id_])
        self._log.append(Request(time.monotonic(), time.time_ns() // 1_000_000, id_, fault))
        if self.latency:
            self._loop.call_later(self.latency, connection.answer, fault)
        else:
            connection.answer(fault)


class _Connection(asyncio.Protocol):
    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stub.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stub.closed(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not blank or len(rest) < (size := int(length[1]) if length else 0):
            return
        self._buffer = rest[size:]
        found = _ID.search(rest[:size])
        self._stub.serve(self, found[1].decode() if found else "?")

    def answer(self, fault: str | None) -> None:
        """Answer, or do what is worse."""
        if self._transport.is_closing() or fault == "hang":
            return
        if fault in ("reset", "swallow"):
            self.abort()
        elif fault == "garbage":
            self._transport.write(b"\x00\xff nothing that is HTTP\r\n\r\n")
            self._transport.close()
        elif fault == "half":
            self._transport.write(b"HTTP/1.1 202 Accepted\r\nX-Mess")
            self._transport.close()
        elif fault is None:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m1\r\nContent-Length: 0\r\n\r\n")
        else:
            body = b'{"errors":[{"message":"a fault on request","field":null}]}'
            head = f"HTTP/1.1 {fault} Fault\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)

    def abort(self) -> None:
        """Close without a word."""
        self._transport.abort()
