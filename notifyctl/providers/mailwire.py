"""The SMTP engine under the adapters: what `wire` is for HTTP, chosen by the address's scheme.

A request's `url` is `smtp://host:port` (STARTTLS), `smtps://` (TLS from the start) or `smtp+plain://` (none), with
`?ca_file=`, `?connections=` and `?ehlo=` where they are set. Method `MAIL` sends the body, the envelope in the headers
`Mail-From`, `Rcpt-To` (`<a@b> <c@d>`) and `Message-Id`; `NOOP` only logs in. `Authorization` is as HTTP's
`Basic`, user and password percent-encoded.
The response's status is the code of the reply that decided, its header `stage` when that came: `greeting`, `ehlo`,
`starttls`, `auth`, `mail`, `rcpt`, `data`, `end` (after the mail) or `noop`. The date is added when it is sent.

Few connections, each for many mails: servers count connections, and to log in costs more than to send.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from aiosmtplib import SMTPException

from notifyctl.core.outcome import Fault
from notifyctl.core.text import one_line
from notifyctl.providers.contract import Failure, FailureKind, Request, Response
from notifyctl.providers.fault import fault_of, innermost, reason_of
from notifyctl.providers.mailsession import Mail, Refused, Relay, Session
from notifyctl.providers.smtp.relay import CONNECTIONS
from notifyctl.providers.tls import trust

SECURITY: Mapping[str, str] = {"smtp": "starttls", "smtps": "tls", "smtp+plain": "none"}
IDLE_SECONDS = 20.0  # the least that servers are known to wait is 30
CLOSING_SECONDS = 1.0
CLOSING = 421
"""RFC 5321, 3.8: the server closes the connection."""


class MailWire:
    """Pools of connections, one for each relay and login. Make it in the event loop that uses it; `aclose` it."""

    def __init__(self) -> None:
        self._pools: dict[Relay, _Pool] = {}
        self._closing: list[Session] = []
        self._closed = False

    async def send(self, request: Request, timeout_s: float) -> Response | Failure:
        """Send `request` once and return the reply that decided.

        `timeout_s` is the deadline in seconds for everything, waiting for a connection included. Every trouble is a
        Failure: AMBIGUOUS once the mail was handed over whole, else UNSENT. Only being cancelled raises.
        """
        if self._closed:
            return Failure(FailureKind.UNSENT, "the connections are closed already", Fault.HOST)
        try:
            relay = _relay(request)
            mail = None if request.method == "NOOP" else _mail(request)
        except (ValueError, KeyError):
            return Failure(FailureKind.UNSENT, "the request has an impossible address or header")
        attempt = _Attempt(time.monotonic() + timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(self._pool(relay), mail, attempt)
        except Refused as refusal:
            return refusal.response
        except TimeoutError:
            return attempt.failure(relay, f"no reply within {timeout_s:.3g} s")
        except _Untrusted as error:
            return attempt.failure(relay, str(error), Fault.SETTINGS)
        except (SMTPException, OSError, ValueError, MemoryError, RuntimeError) as error:
            fault = fault_of(error)
            return attempt.failure(relay, _words(error, fault), fault)

    async def aclose(self) -> None:
        """Close the connections; that of a mail still under way is closed when it has ended."""
        self._closed = True
        for pool in self._pools.values():
            self._close(pool.idle)
            pool.idle = []
        end = time.monotonic() + CLOSING_SECONDS
        while time.monotonic() < end and not all(session.closed for session in self._closing):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        for session in self._closing:
            session.abort()

    async def _exchange(self, pool: _Pool, mail: Mail | None, attempt: _Attempt) -> Response:
        with pool.used():
            async with pool.places:
                attempt.waited = True
                session = attempt.session = await self._used_before(pool)
                if session is not None:
                    answer = await self._asked_again(pool, session, mail, attempt.ends_at)
                    if answer is not None:
                        return answer
                session = attempt.session = await Session.open(pool.relay, await pool.context())
                return await self._asked(pool, session, mail, attempt.ends_at)

    async def _asked(self, pool: _Pool, session: Session, mail: Mail | None, ends_at: float) -> Response:
        try:
            answer = await (session.check() if mail is None else session.deliver(mail, ends_at))
        except BaseException:
            session.usable = False
            self._close([session])
            raise
        self._keep(pool, session)
        return answer

    async def _asked_again(self, pool: _Pool, session: Session, mail: Mail | None, ends_at: float) -> Response | None:
        """Return the reply on a connection that was used before; None where it has come to its end.

        Servers take so many mails on one connection, then they close it or say 421: on a new one they take the next.
        """
        try:
            answer = await self._asked(pool, session, mail, ends_at)
        except (SMTPException, OSError):
            if session.handed_over:
                raise
            return None
        return None if answer.status == CLOSING and not session.handed_over else answer

    async def _used_before(self, pool: _Pool) -> Session | None:
        """Return a connection that was used before and still works."""
        while pool.idle:
            session = pool.idle.pop()
            try:
                if await session.ready():
                    return session
            except BaseException:
                self._close([session])
                raise
            self._close([session])
        return None

    def _keep(self, pool: _Pool, session: Session) -> None:
        if self._closed or not session.usable:
            self._close([session])
            return
        session.idle_since = time.monotonic()
        pool.idle.append(session)

    def _sweep(self, pool: _Pool) -> None:
        """Close what nobody used for a while; forget the pool when nothing is left of it."""
        before = time.monotonic() - IDLE_SECONDS
        self._close([session for session in pool.idle if session.idle_since <= before])
        pool.idle = [session for session in pool.idle if session.idle_since > before]
        if pool.idle or pool.users:
            asyncio.get_running_loop().call_later(IDLE_SECONDS / 4, self._sweep, pool)
        else:  # also when settings or credentials changed: that is another relay
            self._pools.pop(pool.relay, None)

    def _pool(self, relay: Relay) -> _Pool:
        if relay not in self._pools:
            pool = self._pools[relay] = _Pool(relay)
            asyncio.get_running_loop().call_later(IDLE_SECONDS / 4, self._sweep, pool)
        return self._pools[relay]

    def _close(self, sessions: list[Session]) -> None:
        for session in sessions:
            session.close()
        self._closing = [session for session in (*self._closing, *sessions) if not session.closed]


class _Untrusted(Exception):
    """What is to be trusted cannot be read; the text says what and why."""


class _Pool:
    """The connections to one relay: `idle` are those that nobody uses, the latest last."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.places = asyncio.Semaphore(relay.connections)
        self.idle: list[Session] = []
        self.users = 0
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext | None:
        """Return what TLS trusts, read once."""
        if self._context is None and self.relay.security != "none":
            file = self.relay.ca_file
            try:
                self._context = await asyncio.to_thread(trust, file)
            except OSError as error:
                if file is None:
                    raise SMTPException(str(error)) from error
                raise _Untrusted(f"ca_file {file}: {error.strerror or error}") from error
        return self._context

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count one user more, who may still be waiting."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1


@dataclass(slots=True)
class _Attempt:
    """How far it came; `ends_at` is by the monotonic clock."""

    ends_at: float
    waited: bool = False
    session: Session | None = None

    def failure(self, relay: Relay, message: str, fault: Fault = Fault.PROVIDER) -> Failure:
        if not self.waited:
            return Failure(FailureKind.UNSENT, f"{relay.host}: all {relay.connections} connections stayed busy")
        handed_over = self.session is not None and self.session.handed_over
        kind = FailureKind.AMBIGUOUS if handed_over else FailureKind.UNSENT
        return Failure(kind, f"{relay.host}: {message}", fault)


def _words(error: BaseException, fault: Fault) -> str:
    cause = innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{reason_of(cause)}; set host to the name that it is for, or ca_file to the authority that it is from"
    words = reason_of(cause) if fault is Fault.HOST else one_line(str(error))
    return words or type(error).__name__


def _relay(request: Request) -> Relay:
    parts = urlsplit(request.url)
    settings = parse_qs(parts.query)
    if parts.scheme not in SECURITY or not parts.hostname or not parts.port:
        raise ValueError
    kind, _, login = request.headers.get("Authorization", "Basic ").partition(" ")
    user, _, password = b64decode(login, validate=True).decode().partition(":")
    if kind != "Basic":
        raise ValueError
    return Relay(
        parts.hostname,
        parts.port,
        SECURITY[parts.scheme],
        unquote(user),
        unquote(password),
        settings.get("ca_file", [None])[0],
        int(settings.get("connections", [str(CONNECTIONS)])[0]),
        settings.get("ehlo", [None])[0],
    )


def _mail(request: Request) -> Mail:
    headers = request.headers
    recipients = tuple(each.strip("<>") for each in headers["Rcpt-To"].split())
    if request.method != "MAIL" or not recipients:
        raise ValueError
    return Mail(headers["Mail-From"].strip("<>"), recipients, headers.get("Message-Id", ""), request.body)
