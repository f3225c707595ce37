"""TLS from bytes to bytes, without any I/O.

The loops' own TLS reads until an exception says that there is no more, for every answer; that costs several times what
the encryption does.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

RECORD_BYTES = 16_384  # RFC 8446, 5.1


class Tls:
    """The client's side of one TLS connection.

    `ready`: the handshake is over, certificate and host name were checked. `ended`: the other side has said goodbye
    (close_notify), without which an end is none that can be trusted.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "ended", "ready")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.ready = False
        self.ended = False

    def shake_hands(self, data: bytes = b"") -> None:
        """Take the other side's part of the handshake. Raises SSLError where it fails."""
        self._incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self.ready = True

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return what has to be sent for `data` to be read."""
        written = self._tls.write(data)
        while written < len(data):  # a record at a time
            written += self._tls.write(memoryview(data)[written:])
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """Return what can be read by now. Raises SSLError where it was tampered with."""
        self._incoming.write(data)
        parts = []
        try:
            while not self.ended and (self._incoming.pending or self._tls.pending()):
                parts.append(self._tls.read(RECORD_BYTES))
                self.ended = not parts[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def say_goodbye(self) -> None:
        """Announce the end; RFC 9112, 9.8."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()

    def to_send(self) -> bytes:
        """Return what has to be sent besides: parts of the handshake, alerts, new keys."""
        return self._outgoing.read() if self._outgoing.pending else b""
