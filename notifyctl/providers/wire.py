"""The HTTP engine under the adapters: one request out, a response or a classified failure back.

It is built for many requests at once to few hosts, and against a hostile other side: no redirects, cookies,
decompression or retries, a deadline over everything, and a body that is cut. The environment's proxies are not used,
since whether a request can have reached the provider must stay knowable; a gateway is named as the provider's base URL.
HTTP/1.1 only: a lost connection then leaves one outcome unknown, and not those of all streams upon it.
Requests to a mail server go through `mailwire`, which promises the same.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import HeaderMap

from notifyctl import __version__
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Failure, FailureKind, Request, Response

if TYPE_CHECKING:
    from notifyctl.providers.mailwire import MailWire

BODY_BYTES = 65_536
IDLE_CONNECTIONS = 1_024
IDLE_SECONDS = 55  # shorter than the 60 s after which common load balancers close, so that we close first
CONNECT_SECONDS = (10.0, 5.0, 2.0, 1.0, 0.5)
SETTLE_SECONDS = 0.05

# What hyper says when the connection was never made (refused, name not known, TLS failed, too slow), and when it gave
# the request back because the pooled connection had closed before a byte was written. pyreqwest's exception classes
# do not tell: a reset in the middle of an answer is a ConnectError too, and any deadline a ConnectTimeoutError.
_NOTHING_WRITTEN = frozenset({"client error (Connect)", "client error (Canceled)"})


class Wire:
    """A pool of connections. Make it in the process and event loop that use it; `aclose` it at the end."""

    def __init__(self) -> None:
        # The time to connect belongs to a client, so there is one for each of the few times, made when first needed.
        self._clients: dict[float, Client] = {}
        self._mail: MailWire | None = None
        self._closed = False

    async def send(self, request: Request, timeout_s: float) -> Response | Failure:
        """Send `request` once and return the answer, its body cut at `BODY_BYTES`.

        `timeout_s` is the deadline in seconds for everything, from the name's resolution to the body's end. Every
        trouble on the way is a Failure; only being cancelled raises, and that does not recall the request: it may
        still go out, and be accepted, until the deadline.
        """
        if self._closed:
            return Failure(FailureKind.UNSENT, "the connections are closed already")
        if request.url.startswith("smtp"):
            return await self._mail_wire().send(request, timeout_s)
        try:
            client = self._client(timeout_s)
        except PyreqwestError as error:
            return Failure(FailureKind.UNSENT, f"the HTTP client cannot be made: {_reason(_causes(error))}")
        try:
            built = (
                client.request(request.method, request.url)
                .headers(request.headers)
                .body_bytes(request.body)
                .timeout(timedelta(seconds=timeout_s))
                .build_streamed()
            )
        except ValueError:
            # An address or header that cannot be sent. What exactly is not said: it may be the secret.
            return Failure(FailureKind.UNSENT, f"{_host(request)}: the request has an impossible address or header")
        try:
            async with built as answer:
                body = await answer.body_reader.read(BODY_BYTES)
                return Response(answer.status, _headers(answer.headers), bytes(body or b""))
        except PyreqwestError as error:
            return _failure(request, error, timeout_s)

    async def aclose(self) -> None:
        """Close every connection; requests still under way fail as AMBIGUOUS."""
        self._closed = True
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()
        if self._mail is not None:
            await self._mail.aclose()
        if clients:
            # The library's thread may still be putting away Python objects, and does not say when it is done. An
            # interpreter that ended meanwhile would abort the process (exit status 134).
            await asyncio.sleep(SETTLE_SECONDS)

    def _mail_wire(self) -> MailWire:
        from notifyctl.providers.mailwire import MailWire  # few have a mail server, and its engine is slow to load

        if self._mail is None:
            self._mail = MailWire()
        return self._mail

    def _client(self, timeout_s: float) -> Client:
        # At most half the deadline goes into connecting: else the deadline would end first, and a host that cannot be
        # reached, where nothing was sent, would look like one that was and did not answer.
        connect_s = next((seconds for seconds in CONNECT_SECONDS if seconds <= timeout_s / 2), CONNECT_SECONDS[-1])
        if connect_s not in self._clients:
            self._clients[connect_s] = _new_client(connect_s)
        return self._clients[connect_s]


def outcome_of(failure: Failure) -> Outcome:
    """Return what the absence of an answer means: nothing sent may be repeated, anything else is unknown."""
    kind = Kind.TRANSIENT if failure.kind is FailureKind.UNSENT else Kind.UNKNOWN
    return Outcome(kind, one_line(failure.message))


def _new_client(connect_s: float) -> Client:
    return (
        ClientBuilder()
        .user_agent(f"notifyctl/{__version__}")
        .http1_only()
        .follow_redirects(False)
        .referer(False)
        .default_cookie_store(False)
        .no_proxy()
        # Neither asked for nor undone where it comes unasked: a body is never inflated.
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .connect_timeout(timedelta(seconds=connect_s))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .tcp_nodelay(True)
        .tcp_keepalive(timedelta(seconds=30))
        .build()
    )


def _headers(headers: HeaderMap) -> dict[str, str]:
    """Return the headers that are text, names in lower case; of several with one name, the last."""
    try:
        return dict(headers.items())
    except ValueError:  # a value that is not ASCII, which the library refuses to hand out
        return {name: value for name in headers for value in _readable(headers, name)}


def _readable(headers: HeaderMap, name: str) -> list[str]:
    try:
        return [headers[name]]
    except ValueError:
        return []


def _failure(request: Request, error: PyreqwestError, timeout_s: float) -> Failure:
    causes = _causes(error)
    if isinstance(error, BuilderError) or _NOTHING_WRITTEN.intersection(causes):
        return Failure(FailureKind.UNSENT, f"{_host(request)}: not connected: {_reason(causes)}")
    if isinstance(error, RequestTimeoutError):
        return Failure(FailureKind.AMBIGUOUS, f"{_host(request)}: no whole answer within {timeout_s:.3g} s")
    return Failure(FailureKind.AMBIGUOUS, f"{_host(request)}: no whole answer: {_reason(causes)}")


def _causes(error: PyreqwestError) -> list[str]:
    """Return the chain of messages, outermost first."""
    details = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or []]


def _reason(causes: list[str]) -> str:
    """Return the innermost message: the outermost ones hold the URL, and Twilio's has the account in it."""
    reason = one_line(causes[-1]) if causes else ""
    return reason if reason and "://" not in reason else "the connection failed"


def _host(request: Request) -> str:
    try:
        return urlsplit(request.url).hostname or "the provider"
    except ValueError:
        return "the provider"
