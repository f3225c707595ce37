"""From a host's name to a connection: resolved, connected, secured."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Protocol

from notifyctl.core.outcome import Fault
from notifyctl.providers.fault import fault_of, is_lack_of_threads, reason_of
from notifyctl.providers.http.connection import Connection
from notifyctl.providers.http.request import Origin
from notifyctl.providers.http.secure import Tls
from notifyctl.providers.tls import trust

STAGGER_SECONDS = 0.25  # RFC 8305, 5
KEEPALIVE_SECONDS = 30

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host, by name or address, and a port to the IP addresses to dial, the best first.

Raises OSError, or NotConnected where it will not have it dialled.
"""


class NotConnected(Exception):
    """There is no connection, and nothing was sent; the text says why. `refused`: nobody was to be called there."""

    def __init__(self, reason: str, fault: Fault, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.fault = fault
        self.refused = refused


class Way(Protocol):
    """How a socket gets to one of some addresses; `name` says what is being done meanwhile."""

    name: str

    async def plug(self, found: Sequence[str], port: int) -> socket.socket:
        """Return a connected socket. Raises OSError or NotConnected."""


async def addresses(host: str, port: int) -> Sequence[str]:
    """Resolve as the system does; literal addresses are theirs alone."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Straight:
    """Whichever of the addresses is reached first."""

    name = "connecting"

    async def plug(self, found: Sequence[str], port: int) -> socket.socket:
        """Dial them, both families in turn (RFC 8305, 4): one of them may lead nowhere."""
        return await _first(_interleaved(found), port)


class Dialler:
    """Makes connections by a way; `lost` is told of each that has ended."""

    def __init__(self, resolve: Resolve, lost: Callable[[Connection], None], way: Way) -> None:
        self._resolve = resolve
        self._lost = lost
        self._way = way
        self._context: ssl.SSLContext | None = None
        self._reading = asyncio.Lock()
        self.under_way: set[asyncio.Timeout] = set()

    async def dial(self, origin: Origin, seconds: float) -> Connection:
        """Return a new connection within that time; raises NotConnected."""
        step = _Step()
        try:
            async with asyncio.timeout(seconds) as limit:
                self.under_way.add(limit)
                try:
                    return await self._connected(origin, step)
                finally:
                    self.under_way.discard(limit)
        except TimeoutError as error:
            raise NotConnected(f"{step.name} took longer than {seconds:.3g} s", step.too_slow) from error

    def end(self) -> None:
        """End what is under way as if its time were over."""
        for limit in self.under_way:
            limit.reschedule(0)

    async def _connected(self, origin: Origin, step: _Step) -> Connection:
        loop = asyncio.get_running_loop()
        context = None
        if origin.scheme == "https":
            with step.at("reading the certificate authorities", Fault.HOST):
                context = await self._trusted()
        with step.at("resolving the name", Fault.ROUTE):
            found = await self._resolve(origin.host, origin.port)
        if not found:
            raise NotConnected("the name has no address", Fault.SETTINGS)
        with step.at(self._way.name, Fault.ROUTE):
            plug = await self._way.plug(found, origin.port)
        tls = None if context is None else Tls(context, origin.host.rstrip("."))
        connection = Connection(origin, plug, tls, self._lost)
        with step.at("setting up TLS", Fault.PROVIDER):
            try:
                await loop.create_connection(lambda: connection, sock=plug)
                await connection.ready
            except asyncio.CancelledError:
                connection.give_up()
                raise
        return connection

    async def _trusted(self) -> ssl.SSLContext:
        async with self._reading:
            if self._context is None:
                context = await asyncio.to_thread(trust)
                context.set_alpn_protocols(["http/1.1"])
                context.options |= ssl.OP_NO_RENEGOTIATION
                self._context = context
            return self._context


@dataclass(slots=True)
class _Step:
    """What is being done, and whose fault it is where that takes too long."""

    name: str = "starting"
    too_slow: Fault = Fault.HOST

    @contextmanager
    def at(self, name: str, too_slow: Fault) -> Iterator[None]:
        """Turn the errors of this step into NotConnected."""
        self.name, self.too_slow = name, too_slow
        try:
            yield
        except OSError as error:
            fault = too_slow if name.startswith("reading") else fault_of(error)
            raise NotConnected(reason_of(error), fault) from error
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_lack_of_threads(error):
                raise
            raise NotConnected(reason_of(error), Fault.HOST) from error


async def _first(found: Sequence[str], port: int) -> socket.socket:
    """Return a socket to the address that is reached first, each dialled a moment after the one before it.

    Source: RFC 8305, section 5. Raises OSError: of the errors the one that says most.
    """
    if len(found) == 1:
        return await _plugged(found[0], port)
    waiting, errors = list(found), []
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_plugged(waiting.pop(0), port)))
            pause = STAGGER_SECONDS if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    attempts |= done - {attempt}
                    return attempt.result()
                errors.append(error)
    finally:
        await _given_up(attempts)
    raise _telling(errors)


async def _given_up(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for plug in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(plug, socket.socket):
            plug.close()


async def _plugged(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    plug = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        plug.setblocking(False)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with suppress(AttributeError):  # not everywhere
            plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        await asyncio.get_running_loop().sock_connect(plug, (address, port))
    except BaseException:
        plug.close()
        raise
    return plug


def _interleaved(found: Sequence[str]) -> list[str]:
    first = [address for address in found if (":" in address) == (":" in found[0])]
    second = [address for address in found if address not in first]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]


def _telling(errors: Sequence[BaseException]) -> BaseException:
    """Return the error to report: that of a host that was reached, else the best address's."""
    return next((error for error in errors if fault_of(error) is Fault.PROVIDER), errors[0])
