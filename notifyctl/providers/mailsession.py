"""One SMTP connection: opened, secured and logged in, then used for one mail after another.

Sources: RFC 5321 (SMTP), 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE), 8314 (TLS from the start).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from email.utils import formatdate
from typing import cast

from aiosmtplib import SMTP, SMTPException, SMTPResponse, SMTPResponseException

from notifyctl.core.frozen import dataclass
from notifyctl.providers.contract import Response
from notifyctl.providers.smtp import greeting, lines

TAKEN = frozenset({250, 251, 252})
"""The replies by which a server takes a recipient."""
REPLY_BYTES = 4_096
REFUSAL_CHARS = 200
"""What is kept of the reply to a recipient who gets no copy."""
PEEK_SECONDS = 0.01
READY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed in, and as whom. `security` is `starttls`, `tls` or `none`; `connections` the most at once.

    `ca_file` is trusted instead of the system's authorities; `ehlo` is the name to greet by (None: our own).
    """

    host: str
    port: int
    security: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    ca_file: str | None
    connections: int
    ehlo: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: the envelope and the message. The first recipient is whom it is for; the id is the header's."""

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    message: bytes = field(repr=False)


class Refused(Exception):
    """The server said no before any mail was begun; `response` is what it said."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Session:
    """An open connection. `handed_over`: the server may have the present mail. `usable`: it can send another."""

    def __init__(self, client: SMTP) -> None:
        self._client = client
        # The client forgets it when the connection is lost, and then it tells whether that is over.
        self._protocol = client.protocol
        self.handed_over = False
        self.usable = True
        self.idle_since = 0.0

    @classmethod
    async def open(cls, relay: Relay, context: ssl.SSLContext | None) -> Session:
        """Connect, secure the connection and log in. Raises Refused, SMTPException, OSError and ValueError."""
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname="localhost",  # never said: `_introduce` names us
            use_tls=relay.security == "tls",
            start_tls=False,
            tls_context=context,
            timeout=None,  # the whole has a deadline
        )
        try:
            with _at("greeting"):
                await client.connect()
            await _introduce(client, relay)
            if relay.security == "starttls":
                await _secure(client)
                await _introduce(client, relay)
            if relay.user or relay.password:
                await _log_in(client, relay)
        except BaseException:
            client.close()
            raise
        return cls(client)

    async def ready(self) -> bool:
        """Return whether the connection, which was used before, can be used again; what was before is forgotten."""
        self.handed_over = False
        if not self._client.is_connected:
            return False
        try:
            async with asyncio.timeout(READY_SECONDS):  # it may have been dropped on the way without a word
                return (await self._say(b"RSET"))[0] == 250
        except (SMTPException, OSError):
            return False

    async def check(self) -> Response:
        """Return what the server says to a command that does nothing."""
        return _response("noop", *await self._say(b"NOOP"))

    async def deliver(self, mail: Mail, ends_at: float) -> Response:
        """Hand the mail over and return the reply that decided; raises when the connection fails.

        Raises TimeoutError where it is past `ends_at`, by the monotonic clock, when all but the last line is said.
        Recipients after the first may be refused: the answer to a mail that was sent names them.
        """
        date = f"Date: {formatdate(time.time(), localtime=True)}\r\n".encode()
        whole = len(date) + lines.size(mail.message)
        size = f"SIZE={whole}".encode() if self._client.supports_extension("size") else b""
        code, text = await self._say(b"MAIL", f"FROM:<{mail.sender}>".encode("ascii"), size)
        if code != 250:
            return _response("mail", code, text)
        refusals = []
        for number, recipient in enumerate(mail.recipients):
            code, text = await self._say(b"RCPT", f"TO:<{recipient}>".encode("ascii"))
            if code not in TAKEN:
                if number == 0:
                    return _response("rcpt", code, text)
                refusals.append(f"{recipient}: {code} {' '.join(_cut(text).split())[:REFUSAL_CHARS]}")
        code, text = await self._say(b"DATA")
        if code != 354:
            return _response("data", code, text)
        code, text = await self._hand_over(date, mail.message, ends_at)
        facts = {"message-id": mail.message_id, "recipients": str(len(mail.recipients) - len(refusals))}
        return _response("end", code, text, facts, refusals)

    def close(self) -> None:
        """Close the connection: with a farewell where nothing is under way, else at once."""
        if not self.usable:
            self.abort()
        elif self._client.is_connected and self._protocol is not None:
            with suppress(SMTPException):
                self._protocol.write(b"QUIT\r\n")
        self._client.close()

    def abort(self) -> None:
        """Drop the connection with all that was not sent yet: to a server that reads nothing, it never would be."""
        if self._protocol is not None and self._protocol.transport is not None:
            cast(asyncio.WriteTransport, self._protocol.transport).abort()

    @property
    def closed(self) -> bool:
        """Whether nothing of the connection is left."""
        return self._protocol is None or self._protocol.transport is None

    async def _say(self, *words: bytes) -> tuple[int, str]:
        self._refuse_surplus()
        code, text = _checked(await self._client.execute_command(*filter(None, words)))
        if code == 421:  # "closing transmission channel"
            self.usable = False
        return code, text

    def _refuse_surplus(self) -> None:
        """Raise where the server said more than it was asked for: the library would take that for the next reply."""
        if getattr(self._protocol, "_buffer", None):
            raise SMTPException("the server answers what nobody asked")

    async def _hand_over(self, date: bytes, message: bytes, ends_at: float) -> tuple[int, str]:
        """Send the message, dated, and return the reply.

        The library's own way sends it with the dot that ends it. Here the dot goes last: a connection that is lost
        before is no mail that may have been taken.
        """
        protocol, transport = self._client.protocol, cast(asyncio.WriteTransport | None, self._client.transport)
        if protocol is None or transport is None:
            raise SMTPException("the connection is closed")
        self._refuse_surplus()
        reply = asyncio.ensure_future(protocol.read_response())
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, whoever leaves first
        try:
            await asyncio.sleep(0)  # from here on it listens
            for piece in lines.pieces(message):
                if reply.done():
                    break
                protocol.write(date + lines.stuffed(piece))
                date = b""
                await _written(transport, reply)
            if reply.done():  # refused in the middle: the rest would be taken for commands
                self.usable = False
            elif time.monotonic() >= ends_at:  # this process stood still, and the loop has not yet heard of it
                raise TimeoutError
            else:
                protocol.write(b".\r\n")  # raises when the connection is lost by now
                self.handed_over = True
            code, text = _checked(await reply)
        finally:
            reply.cancel()
        if not self.handed_over and code < 400:
            self.handed_over = True
            raise SMTPException("the server answered before it had the mail")
        self.usable = self.usable and code != 421
        return code, text


async def _introduce(client: SMTP, relay: Relay) -> None:
    """Say who we are: by the configured name, else this machine's full one, else the address the server sees."""
    name = relay.ehlo or greeting.own(socket.gethostname(), str(client.get_transport_info("sockname")[0]))
    with _at("ehlo"):
        await client.ehlo(hostname=name)


async def _secure(client: SMTP) -> None:
    """Go over to TLS; a server that does not offer it is asked all the same, so that it is the one that says no."""
    with _at("starttls"):
        if client.supports_extension("starttls"):
            await client.starttls()
            return
        code, text = _checked(await client.execute_command(b"STARTTLS"))
    if code >= 400:
        raise Refused(_response("starttls", code, text))
    raise SMTPException("STARTTLS is not offered")


async def _log_in(client: SMTP, relay: Relay) -> None:
    """Log in once: a wrong password tried by every method in turn would lock the account."""
    methods = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    order = ("cram-md5", "plain", "login") if relay.security == "none" else ("plain", "login", "cram-md5")
    chosen = next((name for name in order if name in client.server_auth_methods), "plain")
    with _at("auth"):
        await methods[chosen](relay.user.encode(), relay.password.encode())


@contextmanager
def _at(stage: str) -> Iterator[None]:
    """Turn a refusal into Refused, with the stage it came at."""
    try:
        yield
    except SMTPResponseException as error:
        code, text = _checked((error.code, error.message))
        raise Refused(_response(stage, code, text)) from error


def _checked(reply: tuple[int, str]) -> tuple[int, str]:
    """Return a reply that is one; raise SMTPException for anything else."""
    code, text = reply
    if not 200 <= code <= 599:
        raise SMTPException("no reply of SMTP")
    return code, text


def _response(
    stage: str, code: int, text: str, facts: Mapping[str, str] | None = None, refusals: Sequence[str] = ()
) -> Response:
    body = "\n\n".join((_cut(text), *(["\n".join(refusals)] if refusals else [])))
    return Response(code, {"stage": stage, **(facts or {})}, body.encode(errors="replace"))


def _cut(text: str) -> str:
    return "\n".join(filter(None, (line.strip() for line in text[:REPLY_BYTES].splitlines())))


async def _written(transport: asyncio.WriteTransport, reply: asyncio.Future[SMTPResponse]) -> None:
    """Wait until all is on its way, or a reply came before it was."""
    pause = 0.0
    while transport.get_write_buffer_size() and not reply.done():
        await asyncio.sleep(pause)
        pause = PEEK_SECONDS
