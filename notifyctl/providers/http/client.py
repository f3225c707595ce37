"""Sends requests over connections that are kept, and says of each what became of it."""

from __future__ import annotations

import asyncio
import math
import time
from functools import lru_cache
from urllib.parse import urlsplit

from notifyctl.core.outcome import Fault
from notifyctl.providers.contract import Failure, FailureKind, Request, Response
from notifyctl.providers.http.connection import Connection, NoAnswer
from notifyctl.providers.http.dial import Dialler, NotConnected, Resolve, Straight, Way, addresses
from notifyctl.providers.http.pool import Pool
from notifyctl.providers.http.request import Head, Origin, head

CONNECT_SECONDS = 10.0
CLOSING_SECONDS = 1.0
HEADS = 256


class HttpClient:
    """A pool of connections. Make it in the event loop that uses it; `aclose` it at the end.

    `oldest_s`: how long after it was made a connection is used at most.
    """

    def __init__(self, resolve: Resolve = addresses, way: Way | None = None, oldest_s: float = math.inf) -> None:
        self._pool = Pool(oldest_s)
        self._dialler = Dialler(resolve, self._forget, way or Straight())
        self._open: set[Connection] = set()
        self._closing: asyncio.Event | None = None
        # Most requests to a provider differ in their bodies only. The headers hold secrets: it goes with the client.
        self._head = lru_cache(HEADS)(head)

    async def send(self, request: Request, timeout_s: float) -> Response | Failure:
        """Send `request` once and return the answer; `timeout_s` is the deadline in seconds for everything.

        Only being cancelled raises; it closes the connection, but does not recall what was written.
        """
        loop = asyncio.get_running_loop()
        began, end = loop.time(), time.monotonic() + timeout_s
        try:
            start = self._head(request.method, request.url, tuple(request.headers.items()))
            if request.varying:
                start = start.with_lines(request.varying)
        except ValueError:
            # What exactly is not said: it may be the secret.
            return Failure(FailureKind.UNSENT, f"{_host(request)}: the request has an impossible address or header")
        connection = self._pool.take(start.origin, began)
        if connection is None:
            try:
                connection = await self._connect(start.origin, timeout_s)
            except NotConnected as error:
                if error.fault is Fault.HOST:
                    self._pool.spare(loop.time())
                reason = f"{start.origin.host}: not connected: {error}"
                return Failure(FailureKind.UNSENT, reason, error.fault, error.refused)
            if time.monotonic() >= end:  # this process stood still meanwhile, and the loop's clock with it
                connection.close()
                reason = f"{start.origin.host}: no time was left once it was connected"
                return Failure(FailureKind.UNSENT, reason, Fault.HOST)
        # Nothing is awaited between here and the writing: what was usable is still.
        return await self._exchange(connection, start, request.body, began + timeout_s, timeout_s, loop)

    async def aclose(self) -> None:
        """Close every connection at once; requests under way fail: AMBIGUOUS where they were written, else UNSENT."""
        self._closing = self._closing or asyncio.Event()
        self._dialler.end()
        self._pool.close()
        for connection in list(self._open):
            connection.fail(NoAnswer("no whole answer: the connections were closed", Fault.HOST))
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                while self._open or self._dialler.under_way:
                    self._closing.clear()
                    await self._closing.wait()
        except TimeoutError:
            pass

    async def _exchange(
        self,
        connection: Connection,
        start: Head,
        body: bytes,
        deadline: float,
        timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Response | Failure:
        answer = connection.ask(*start.with_body(body), loop, bodiless=start.method == "HEAD")
        timer = loop.call_at(deadline, connection.expire, timeout_s)
        try:
            result = await answer
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            timer.cancel()
        if connection.usable:
            self._pool.put(connection, loop)
        if isinstance(result, NoAnswer):
            return Failure(FailureKind.AMBIGUOUS, f"{start.origin.host}: {result.reason}", result.fault)
        return result

    async def _connect(self, origin: Origin, timeout_s: float) -> Connection:
        """Return a new connection that can be written to; raises NotConnected."""
        # At most half the deadline goes into connecting: a host that cannot be reached, where nothing was sent, must
        # not look like one that was and did not answer.
        seconds = min(CONNECT_SECONDS, timeout_s / 2)
        try:
            if self._closing is not None:
                raise NotConnected("the connections are closed already", Fault.HOST)
            connection = await self._dialler.dial(origin, seconds)
        except NotConnected as error:
            if self._closing is not None:
                raise NotConnected("the connections were closed", Fault.HOST) from error
            raise
        finally:
            self._tell()
        if not connection.gone:
            self._open.add(connection)
        if self._closing is not None or not connection.usable:
            connection.close()
            raise NotConnected("the connection was closed before anything was sent", Fault.PROVIDER)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._pool.discard(connection)
        self._tell()

    def _tell(self) -> None:
        if self._closing is not None:
            self._closing.set()


def _host(request: Request) -> str:
    try:
        return urlsplit(request.url).hostname or "the provider"
    except ValueError:
        return "the provider"
