"""One connection: one request after the other, each with one answer."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from typing import cast

from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Fault
from notifyctl.providers.contract import Response
from notifyctl.providers.fault import fault_of, reason_of
from notifyctl.providers.http.answer import AnswerReader, BadAnswer
from notifyctl.providers.http.request import Origin
from notifyctl.providers.http.secure import Tls

CLOSED = "the connection was closed"
PIECE_BYTES = 64 * 1024
NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why no answer came to a request that was written."""

    reason: str
    fault: Fault = Fault.PROVIDER


class Connection(asyncio.Protocol):
    """A connection over `plug`, a connected socket, secured by `tls` where there is one.

    `usable`: it can take a request. `gone`: nothing is left of it. `made_at`, `idle_since`: the loop's time.
    """

    def __init__(
        self, origin: Origin, plug: socket.socket, tls: Tls | None, lost: Callable[[Connection], None]
    ) -> None:
        self.origin = origin
        self.usable = False
        self.gone = False
        loop = asyncio.get_running_loop()
        self.made_at = self.idle_since = loop.time()
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when the first request can be written; raises OSError."""
        self._tls = tls
        self._lost = lost
        self._reader = AnswerReader()
        self._answer: asyncio.Future[Response | NoAnswer] | None = None
        self._rest = NOTHING
        self._full = False
        self._transport: asyncio.Transport
        self._has_input = _input_of(plug)

    def ask(
        self, request: bytes, rest: bytes, loop: asyncio.AbstractEventLoop, *, bodiless: bool
    ) -> asyncio.Future[Response | NoAnswer]:
        """Write the request, and return what will hold its answer. Only for a connection that is usable.

        `rest` is the long end of a long one: it is written, and encrypted, as fast as the other side reads.
        """
        self.usable = False
        self._reader.begin(bodiless=bodiless)
        self._answer = loop.create_future()
        self._write(request)
        if rest:
            self._rest = memoryview(rest)
            self._write_on()
        return self._answer

    def give_up(self) -> None:
        """End a connection that nobody waits for any more."""
        self.ready.cancel()
        if hasattr(self, "_transport"):
            self._transport.abort()

    def expire(self, timeout_s: float) -> None:
        """End the request under way: its time is over."""
        self.fail(NoAnswer(f"no whole answer within {timeout_s:.3g} s"))

    def fail(self, trouble: NoAnswer) -> None:
        """End the request under way, if any, and the connection."""
        self._resolve(trouble)
        self.close()

    def close(self) -> None:
        """Close at once: with a farewell, where TLS wants one, but none that the other side could delay."""
        usable, self.usable = self.usable, False
        if usable and self._tls is not None and not self._transport.is_closing():
            self._tls.say_goodbye()
            self._transport.write(self._tls.to_send())
            self._transport.close()
        else:
            self._transport.abort()

    def is_quiet(self) -> bool:
        """Return whether nothing came while nobody asked, not even the end: also what the loop has not seen yet."""
        return self.usable and not self._has_input()

    # What the loop calls.

    def pause_writing(self) -> None:
        """Write no more for now: the other side reads more slowly."""
        self._full = True

    def resume_writing(self) -> None:
        """Write on."""
        self._full = False
        self._write_on()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and begin the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        if self._tls is None:
            self._get_ready()
        else:
            self._shake_hands(self._tls, b"")

    def data_received(self, data: bytes) -> None:
        """Read on; what nobody asked for ends the connection."""
        if self._tls is not None:
            if not self._tls.ready:
                self._shake_hands(self._tls, data)
                return
            try:
                data = self._tls.decrypt(data)
            except ssl.SSLError as error:
                self.fail(NoAnswer(f"no whole answer: {reason_of(error)}"))
                return
            if reply := self._tls.to_send():
                self._transport.write(reply)
        if data:
            self._read(data)
        if self._tls is not None and self._tls.ended:
            self.eof_received()

    def eof_received(self) -> None:
        """Take the other side's orderly end, which for some answers is theirs too."""
        response = None
        if self._answer is not None and (self._tls is None or self._tls.ended):
            response = self._reader.end()
        self._resolve(response or NoAnswer(f"no whole answer: {CLOSED}"))
        self._not_ready(ConnectionResetError(CLOSED))
        self.usable = False
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self.usable = False
        self.gone = True
        self._rest = NOTHING
        reason = CLOSED if exc is None else reason_of(exc)
        fault = Fault.PROVIDER if exc is None else fault_of(exc)
        self._resolve(NoAnswer(f"no whole answer: {reason}", fault))
        self._not_ready(exc or ConnectionResetError(CLOSED))
        self._reader.close()
        self._lost(self)

    def _write(self, data: bytes | memoryview) -> None:
        self._transport.write(data if self._tls is None else self._tls.encrypt(data))

    def _write_on(self) -> None:
        while self._rest and not self._full and not self._transport.is_closing():
            piece, rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
            self._rest = rest or NOTHING  # even an empty part keeps the whole in memory
            self._write(piece)

    def _read(self, data: bytes) -> None:
        if self._answer is None:
            self.close()
            return
        try:
            response = self._reader.feed(data)
        except BadAnswer as error:
            self.fail(NoAnswer(f"no whole answer: {error}"))
            return
        if response is not None:
            # An answer that came before all of the request went out leaves a connection in the middle of it.
            self.usable = self._reader.reusable and not (self._rest or self._transport.get_write_buffer_size())
            self._resolve(response)
            if not self.usable:
                self._transport.abort()

    def _shake_hands(self, tls: Tls, data: bytes) -> None:
        try:
            tls.shake_hands(data)
        except ssl.SSLError as error:
            self._not_ready(error)
            self._transport.write(tls.to_send())  # the alert
            self._transport.close()
            return
        if greeting := tls.to_send():
            self._transport.write(greeting)
        if tls.ready:
            self._get_ready()

    def _get_ready(self) -> None:
        self.usable = True
        if not self.ready.done():
            self.ready.set_result(None)

    def _not_ready(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)

    def _resolve(self, result: Response | NoAnswer) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(result)


def _input_of(plug: socket.socket) -> Callable[[], object]:
    """Return what tells whether the system has something to read, be it the end."""
    if not hasattr(select, "poll"):  # Windows
        return lambda: select.select([plug], [], [], 0)[0]
    poll = select.poll()
    poll.register(plug, select.POLLIN)
    return lambda: poll.poll(0)
