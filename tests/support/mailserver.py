"""A mail server that does as it is told: what it answers to each command, and what it heard."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

# What it answers unless it is told otherwise; "." is the answer to a whole mail.
USUAL: Mapping[str, str] = {
    "greeting": "220 mail.example ESMTP",
    "EHLO": "250-mail.example\r\n250-SIZE 1000000\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS",
    "STARTTLS": "220 go ahead",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    ".": "250 2.0.0 Ok: queued as 4XyZ12Abc",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}
CLOSE, RESET, HANG, TRICKLE, LATE = b"<close>", b"<reset>", b"<hang>", b"<trickle>", b"<late>"
LATE_SECONDS = 0.5

Answer = str | bytes
"""A text is a reply, bytes are sent as they are. Those above: see their names; a byte now and then; the usual, late."""


@dataclass
class Heard:
    """One connection: its commands, the mails it brought, whether it was encrypted at the end."""

    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    encrypted: bool = False
    ended: bool = False


class MailServer:
    """Listens on loopback while the block runs.

    `answers` are by command; a list is used up, its last entry stays. `context` makes STARTTLS work, `implicit` begins
    with it. `part` closes the connection after so many bytes of a mail, `stall` reads nothing of it.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer | Sequence[Answer]] | None = None,
        context: ssl.SSLContext | None = None,
        implicit: bool = False,
        part: int | None = None,
        stall: bool = False,
    ) -> None:
        self._answers = {
            verb: list(given) if isinstance(given, list | tuple) else [given]
            for verb, given in {**USUAL, **(answers or {})}.items()
        }
        self._context, self._implicit, self._part, self._stall = context, implicit, part, stall
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[Heard] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> MailServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, when what was sent has been heard to its end."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    @property
    def commands(self) -> list[str]:
        """The verbs of all connections."""
        return [command.partition(" ")[0] for heard in self.heard for command in heard.commands]

    @property
    def mails(self) -> list[bytes]:
        """The mails of all connections."""
        return [mail for heard in self.heard for mail in heard.mails]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                heard = Heard()
                self.heard.append(heard)
                thread = threading.Thread(target=self._serve, args=(client, heard), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self, client: socket.socket, heard: Heard) -> None:
        with ExitStack() as open_, suppress(OSError, EOFError):
            open_.enter_context(client)
            self._talk(client, heard, open_)
        heard.ended = True

    def _talk(self, client: socket.socket, heard: Heard, open_: ExitStack) -> None:
        if self._implicit:
            client = self._encrypted(client, heard, open_)
        self._answer(client, "greeting")
        buffer = bytearray()
        while True:
            line = _until(client, buffer, b"\r\n").decode()
            heard.commands.append(line)
            verb = line.partition(" ")[0].upper()
            said = self._answer(client, verb)
            if verb == "STARTTLS" and said.startswith("220") and self._context is not None:
                client, buffer = self._encrypted(client, heard, open_), bytearray()
            elif verb == "DATA" and said.startswith("354"):
                if self._part is not None:
                    _take(client, buffer, self._part)
                    return
                if self._stall:
                    self._over.wait(120)
                    return
                mail = b"\r\n" + _until(client, buffer, b"\r\n.\r\n")
                heard.mails.append(re.sub(rb"\r\n\.", rb"\r\n", mail)[2:] + b"\r\n")
                self._answer(client, ".")
            elif verb == "QUIT":
                return

    def _encrypted(self, client: socket.socket, heard: Heard, open_: ExitStack) -> socket.socket:
        assert self._context is not None
        wrapped = open_.enter_context(self._context.wrap_socket(client, server_side=True))
        heard.encrypted = True
        return wrapped

    def _answer(self, client: socket.socket, verb: str) -> str:
        with self._lock:
            left = self._answers.get(verb, ["500 5.5.1 what?"])
            answer = left.pop(0) if len(left) > 1 else left[0]
        if answer == RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        if answer in (CLOSE, RESET):
            client.close()
            raise EOFError
        if answer == LATE:
            self._over.wait(LATE_SECONDS)
            answer = USUAL[verb]
        if answer == HANG:
            self._over.wait(120)
            raise EOFError
        while answer == TRICKLE and not self._over.wait(0.02):
            client.sendall(b"2")
        client.sendall(answer if isinstance(answer, bytes) else answer.encode() + b"\r\n")
        return answer if isinstance(answer, str) else ""


def _until(client: socket.socket, buffer: bytearray, end: bytes) -> bytes:
    while (at := buffer.find(end)) < 0:
        _more(client, buffer)
    found = bytes(buffer[:at])
    del buffer[: at + len(end)]
    return found


def _take(client: socket.socket, buffer: bytearray, size: int) -> None:
    while len(buffer) < size:
        _more(client, buffer)


def _more(client: socket.socket, buffer: bytearray) -> None:
    chunk = client.recv(65_536)
    if not chunk:
        raise EOFError
    buffer += chunk
