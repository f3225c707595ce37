"""The way out to receivers of webhooks, whom nobody here chose: whoever set one up named the address.

Built on the engine that calls providers, which follows no redirect, bounds what it reads and dials only what a resolver
of ours returns. Every address is checked between the name and the call, and the one that was checked is the one that
is dialled, so that a name that changes in between changes nothing. A name that has one address which must not be
dialled is refused whole: honest names have none, and of a mixed one the next look might see another part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache, partial
from typing import NoReturn

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Fault
from notifyctl.core.text import clean
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.proxy import proxy as parsed_proxy
from notifyctl.core.webhook.reach import is_loopback, parsed
from notifyctl.core.webhook.recital import without_path
from notifyctl.core.webhook.signing import headers
from notifyctl.core.webhook.target import PORTS, Receiver, is_here, may_dial, target
from notifyctl.providers.contract import Failure, Request, Response
from notifyctl.providers.http.client import HttpClient
from notifyctl.providers.http.dial import NotConnected, Resolve
from notifyctl.providers.http.lookup import Lookups
from notifyctl.providers.http.tunnel import Login, Tunnel
from notifyctl.providers.reading import retry_after_ms

RECEIVERS = 1_024
OLDEST_S = 60.0
"""How long a connection is kept at most. It leads to an address that was checked; but who moved is to be found."""


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What became of an attempt; `problem` is None for a success (2xx), and names no more of the URL than its host.

    `status` is None where no whole answer came; `body` is text, of 2 KB at most. `refused`: our own check would not
    have it called, and nothing was sent. `fault` says whose trouble it is that there is no answer.
    """

    status: int | None
    problem: str | None
    ms: int
    body: str = ""
    retry_after_ms: int | None = None
    refused: bool = False
    fault: Fault | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it."""
        return self.problem is None


_NAMED = {"Content-Type": "application/json"}


class HookWire:
    """Connections to receivers. Make it in the event loop that uses it; `aclose` it at the end.

    With `loopback` this machine may be called, by http too; of others only these `ports`. Through a `proxy`
    (`http://HOST:PORT`) everything else is; names are resolved and checked here all the same, and `login` says as whom
    the proxy knows us. Raises ValueError for a proxy that is none.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        ports: frozenset[int] = PORTS,
        proxy: str | None = None,
        login: Login | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._loopback = loopback
        self._resolve = resolve or Lookups().addresses
        way = None if proxy is None else Tunnel(parsed_proxy(proxy), login)
        self._http = HttpClient(self._checked, way, OLDEST_S)
        self._target = lru_cache(RECEIVERS)(partial(target, loopback=loopback, ports=ports))

    async def post(self, call: HookCall) -> HookAnswer:
        """Make one attempt; whatever comes of it is an answer. Only being cancelled raises."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            receiver = self._target(call.url)
        except UsageError as error:
            return HookAnswer(None, error.message, 0, refused=True)
        signed = headers(call.webhook_id, call.at_s, call.body, call.secrets)
        request = Request("POST", receiver.url, _NAMED, call.body, tuple(signed.items()))
        came = await self._http.send(request, call.timeout_s)
        ms = round((loop.time() - began) * 1_000)
        if isinstance(came, Failure):
            return HookAnswer(None, came.message, ms, refused=came.refused, fault=came.fault)
        return _read(receiver, came, ms, call.at_s)

    async def aclose(self) -> None:
        """Close every connection; calls under way end as failed."""
        await self._http.aclose()

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        found = await self._resolve(host, port)
        for text in found:
            address = parsed(text)
            if address is None or not may_dial(address, loopback=self._loopback):
                _refuse(text)
            if is_here(host) and not is_loopback(address):  # http was allowed for this machine, and not for that one
                _refuse(text, "not this machine")
        return found


def _read(receiver: Receiver, came: Response, ms: int, at_s: int) -> HookAnswer:
    body = clean(without_path(came.body.decode(errors="replace"), receiver.path)) if came.body else ""
    if 200 <= came.status < 300:
        return HookAnswer(came.status, None, ms, body)
    redirected = ", and redirects are not followed" if 300 <= came.status < 400 else ""
    # A date counts from the answer's own, where it has one: neither clock needs to be right then.
    wish = retry_after_ms(came.headers)
    if wish is None and "retry-after" in came.headers:
        wish = retry_after_ms({**came.headers, "date": formatdate(at_s, usegmt=True)})
    return HookAnswer(came.status, f"{receiver.host}: HTTP {came.status}{redirected}", ms, body, wish)


def _refuse(address: str, what: str = "no public address") -> NoReturn:
    raise NotConnected(f"it resolves to {address}, which is {what}", Fault.SETTINGS, refused=True)
