"""The way out under the adapters: one request out, a response or a classified failure back.

It is built for many requests at once to few hosts, and against a hostile other side: no redirects, cookies,
decompression or retries, a deadline over everything, and a body that is cut. The environment's proxies are not used,
since whether a request can have reached the provider must stay knowable; a gateway is named as the provider's base URL.
HTTP/1.1 only: a lost connection then leaves one outcome unknown, and not those of all streams upon it.
Requests to a mail server go through `mailwire`, which promises the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from notifyctl.core.outcome import Fault, Kind, Outcome
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Failure, FailureKind, Request, Response
from notifyctl.providers.fault import fault_of, reason_of
from notifyctl.providers.inflate import BODY_BYTES as BODY_BYTES

if TYPE_CHECKING:
    from notifyctl.providers.http.client import HttpClient
    from notifyctl.providers.http.dial import Resolve
    from notifyctl.providers.mailwire import MailWire


REACH_SECONDS = 5.0


class Wire:
    """Pools of connections. Make it in the event loop that uses it; `aclose` it at the end.

    `resolve` says which addresses of a host are dialled, for HTTP; None: all that the system finds.
    """

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve
        self._http: HttpClient | None = None
        self._mail: MailWire | None = None
        self._closed = False

    async def send(self, request: Request, timeout_s: float) -> Response | Failure:
        """Send `request` once and return the answer, its body cut at `BODY_BYTES`.

        `timeout_s` is the deadline in seconds for everything, from the name's resolution to the body's end. Every
        trouble on the way is a Failure; only being cancelled raises, and that does not recall the request: what was
        written of it may still be accepted.
        """
        if self._closed:
            return Failure(FailureKind.UNSENT, "the connections are closed already", Fault.HOST)
        try:
            way = self._mail_wire() if request.url.startswith("smtp") else self._http or self._http_client()
        except OSError as error:  # it is loaded with the first request, and there is no file left for that
            reason = f"{urlsplit(request.url).hostname}: not connected: {reason_of(error)}"
            return Failure(FailureKind.UNSENT, reason, fault_of(error))
        return await way.send(request, timeout_s)

    async def aclose(self) -> None:
        """Close every connection; requests still under way fail, as AMBIGUOUS where they were written."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()
        if self._mail is not None:
            await self._mail.aclose()

    def _http_client(self) -> HttpClient:
        from notifyctl.providers.http.client import HttpClient  # with the first request: a run may have none
        from notifyctl.providers.http.dial import addresses

        self._http = HttpClient(self._resolve or addresses)
        return self._http

    def _mail_wire(self) -> MailWire:
        from notifyctl.providers.mailwire import MailWire  # few have a mail server, and its engine is slow to load

        if self._mail is None:
            self._mail = MailWire()
        return self._mail


async def is_reachable(url: str) -> bool:
    """Return whether a connection to a request's address can be made. Nothing is said on it."""
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        async with asyncio.timeout(REACH_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, ValueError):
        return False
    writer.close()
    return True


def outcome_of(failure: Failure) -> Outcome:
    """Return what the absence of an answer means: nothing sent may be repeated, anything else is unknown."""
    if failure.kind is not FailureKind.UNSENT:
        return Outcome(Kind.UNKNOWN, one_line(failure.message), fault=failure.fault)
    wrong = failure.fault is Fault.SETTINGS
    return Outcome(
        Kind.CONFIG if wrong else Kind.TRANSIENT, one_line(failure.message), asked=not wrong, fault=failure.fault
    )
