"""The sandbox's mail server: a relay that takes every mail, with or without the login it knows.

It speaks without TLS, as a relay on the same machine does. Faults strike when the mail was handed over.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import cast
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply
from notifyctl.sandbox.faults import SILENCES, Rule
from notifyctl.sandbox.router import Router, SandboxConfig

USER = "sandbox"
PASSWORD = "sandbox-mail-password"  # noqa: S105 - of a server that delivers nothing
MAX_BYTES = 32 * 1024 * 1024
BYTE_SECONDS = 1.0

# What servers say with a code (RFC 3463), where a rule wants that code.
_REFUSALS: Mapping[int, str] = {
    421: "4.3.2 Service not available, closing transmission channel",
    450: "4.2.1 Mailbox unavailable",
    451: "4.3.0 Local error in processing",
    452: "4.3.1 Insufficient system storage",
    454: "Throttling failure: Maximum sending rate exceeded.",
    530: "5.7.0 Authentication required",
    535: "5.7.8 Authentication credentials invalid",
    550: "5.1.1 Mailbox unavailable",
    552: "5.3.4 Message size exceeds the limit",
    553: "5.1.8 Sender address rejected",
    554: "5.7.1 Message rejected under suspicion of spam",
}
_OURS = re.compile(rb"^Message-ID:\s*<([0-9a-f-]{36})@", re.IGNORECASE | re.MULTILINE)


@asynccontextmanager
async def listening(listener: socket.socket, config: SandboxConfig, router: Router) -> AsyncIterator[None]:
    """Take mails while the block runs; `router` says what goes wrong and notes what comes."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of what is meant here
    connections: WeakSet[SMTP] = WeakSet()
    handler = _Handler(config, router)

    def connected() -> SMTP:
        server = SMTP(
            handler,
            hostname="sandbox.localhost",
            ident="notifyctl sandbox",
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=_authenticated,
            loop=asyncio.get_running_loop(),
        )
        connections.add(server)
        return server

    server = await asyncio.get_running_loop().create_server(connected, sock=listener, backlog=1_024)
    try:
        yield
    finally:
        server.close()
        for each in connections:
            if each.transport is not None:
                cast(asyncio.Transport, each.transport).abort()
        await asyncio.sleep(0)


class _Handler:
    """What happens to a mail."""

    def __init__(self, config: SandboxConfig, router: Router) -> None:
        self._ids = Random(config.seed)  # noqa: S311  # nothing here is a secret
        self._latency_s = config.latency_s
        self._router = router

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Return the reply to a whole mail; the library calls it."""
        body = envelope.content if isinstance(envelope.content, bytes) else b""
        recipient = envelope.rcpt_tos[0]
        rule = self._router.strike("smtp", recipient)
        reply = self._reply(rule)
        self._note(body, envelope, recipient, rule, int(reply[:3]))
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return reply if rule is None else await _damaged(server, rule.fault, reply)

    def _reply(self, rule: Rule | None) -> str:
        if rule is None or rule.status is None:
            return f"250 2.0.0 Ok: queued as {self._ids.getrandbits(44):011X}"
        status = rule.status
        return f"{status} {_REFUSALS.get(status, f'{status // 100}.0.0 Refused')}"

    def _note(self, body: bytes, envelope: Envelope, recipient: str, rule: Rule | None, status: int) -> None:
        found = _OURS.search(body[:65_536].replace(b"\r\n", b"\n"))
        headers = {"mail-from": envelope.mail_from or "", "rcpt-to": " ".join(envelope.rcpt_tos)}
        fault = rule.fault if rule else None
        self._router.journal.write(
            "smtp",
            IncomingRequest("MAIL", "/", headers, body, time.time()),
            Handled(Reply(status), recipient, found[1].decode() if found else None),
            None if fault in SILENCES else status,
            fault,
        )


async def _damaged(server: SMTP, fault: str, reply: str) -> str:
    """Return what is left to say of the reply when the fault has had its way with it."""
    transport = cast(asyncio.Transport, server.transport)
    if fault == "cut":
        transport.write(reply[:5].encode())
        transport.close()
    elif fault == "reset":
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    if fault in ("cut", "reset", "timeout", "hang"):
        await asyncio.get_running_loop().create_future()  # cancelled when the connection is gone
    if fault == "slow":
        for letter in reply[:-1]:
            transport.write(letter.encode())
            await asyncio.sleep(BYTE_SECONDS)
        return reply[-1]
    return "%$ not a word of SMTP" if fault == "garbage" else reply


def _authenticated(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False, message=None if known else f"535 {_REFUSALS[535]}")
