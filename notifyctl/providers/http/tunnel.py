"""The way through a proxy: a tunnel to one of the addresses that were found here (RFC 9110, 9.3.6).

It is the address that the proxy is told, not the name: what was checked is what is called, and the proxy resolves
nothing.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from notifyctl.core.errors import NotifyctlError
from notifyctl.core.outcome import Fault
from notifyctl.core.webhook.proxy import Proxy, authority
from notifyctl.core.webhook.reach import is_loopback, parsed
from notifyctl.providers.fault import reason_of
from notifyctl.providers.http.dial import NotConnected, Straight, addresses

HEAD_BYTES = 16_384
UNKNOWN_HERE = 407
"""Whoever asks is not known to the proxy (RFC 9110, 15.5.8)."""
TRUSTED_S = 3_600.0
"""For how long after a tunnel was made a refusal is taken for one of that address, and not of everything."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


Login = Callable[[], str]
"""Returns `NAME:PASSWORD`. Raises NotifyctlError, which says why it is not known."""


class Tunnel:
    """Through a proxy, but straight to this machine. What the proxy refuses is told as its own.

    A proxy that is not there or does not know us is a trouble of this machine, and no receiver's. So is one that lets
    nobody through.
    """

    def __init__(self, proxy: Proxy, login: Login | None = None) -> None:
        self._proxy = proxy
        self._login = login
        self.name = f"connecting through the proxy {proxy}"
        self._made_at: float | None = None

    async def plug(self, found: Sequence[str], port: int) -> socket.socket:
        """Ask for the addresses one after the other, while the proxy does not get through."""
        if here := [address for address in found if (there := parsed(address)) is not None and is_loopback(there)]:
            return await Straight().plug(here, port)
        for address in found[:-1]:
            with suppress(_NotThrough):
                return await self._through(address, port)
        return await self._through(found[-1], port)

    async def _through(self, address: str, port: int) -> socket.socket:
        plug = await self._to_proxy()
        try:
            status, rest = await _connect(plug, authority(address, port), self._known_as())
        except NotifyctlError as error:
            plug.close()
            raise NotConnected(f"the proxy {self._proxy}: {error.message}", Fault.HOST) from error
        except OSError as error:
            plug.close()
            raise NotConnected(f"the proxy {self._proxy}: {reason_of(error)}", Fault.HOST) from error
        except BaseException:
            plug.close()
            raise
        if status is not None and 200 <= status < 300 and not rest:
            self._made_at = asyncio.get_running_loop().time()
            return plug
        plug.close()
        if status is None or rest:
            raise NotConnected(f"the proxy {self._proxy} gave no answer of HTTP", Fault.HOST)
        told = f"the proxy {self._proxy} refused: HTTP {status}"
        if status >= 500:
            raise _NotThrough(told, Fault.ROUTE if self._lets_through() else Fault.PROXY)
        if status == UNKNOWN_HERE:
            raise NotConnected(told, Fault.HOST)
        raise NotConnected(told, Fault.SETTINGS if self._lets_through() else Fault.PROXY)

    def _known_as(self) -> str:
        """Return the header that says who asks (RFC 7617), where anybody does."""
        if self._login is None:
            return ""
        return f"Proxy-Authorization: Basic {base64.b64encode(self._login().encode()).decode()}\r\n"

    def _lets_through(self) -> bool:
        return self._made_at is not None and asyncio.get_running_loop().time() - self._made_at < TRUSTED_S

    async def _to_proxy(self) -> socket.socket:
        host, port = self._proxy
        try:
            return await Straight().plug(await addresses(host, port), port)
        except OSError as error:
            raise NotConnected(f"the proxy {self._proxy}: {reason_of(error)}", Fault.HOST) from error


class _NotThrough(NotConnected):
    """The proxy did not reach that address."""


async def _connect(plug: socket.socket, whom: str, known_as: str) -> tuple[int | None, bytes]:
    """Ask for a tunnel, with a line of who asks.

    Return the status, None for what is no answer, and what came after the answer's head.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(plug, f"CONNECT {whom} HTTP/1.1\r\nHost: {whom}\r\n{known_as}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
        part = await loop.sock_recv(plug, 4_096)
        if not part:
            break
        head += part
    found, (head, end, rest) = _STATUS.match(head), head.partition(b"\r\n\r\n")
    if found is None or not end:
        return None, b""
    return int(found[1]), rest if found[1].startswith(b"2") else b""
