"""Reads answers from bytes, without any I/O (RFC 9112, 4 to 7). What is read is bounded, whatever comes."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from notifyctl.providers.contract import Response
from notifyctl.providers.inflate import BODY_BYTES, readable

HEAD_BYTES = 65_536
KNOWN_NAMES = 64
ANSWER_BYTES = HEAD_BYTES + 8 * BODY_BYTES
"""Head, body and framing; a body in chunks of one byte each is still within it."""


class BadAnswer(Exception):
    """What came is no answer of HTTP/1.1, or one that is longer than any should be."""


class _Enough(Exception):
    """No more has to be read; stops the parser."""


class AnswerReader:
    """Reads the answers on one connection, each after its `begin`.

    `reusable`: after the last answer the connection can take another request (RFC 9112, 9.3).
    """

    __slots__ = (
        *("_bodiless", "_body", "_found", "_headers", "_modern", "_names", "_parser", "_response", "_seen", "_status"),
        *("on_header", "reusable"),
    )

    def __init__(self) -> None:
        # The parser writes the headers into a dictionary by itself: a function called for each would cost most of all.
        self._found: dict[bytes, bytes] = {}
        self.on_header = self._found.__setitem__
        self._names: dict[bytes, str] = {}
        self._parser = HttpResponseParser(self)
        # Old servers pad a chunk's size with spaces; no other leniency, since each lets two sides disagree on framing.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self.begin(bodiless=False)

    def begin(self, *, bodiless: bool) -> None:
        """Expect the next answer; one to HEAD is `bodiless`, whatever length it names."""
        self._bodiless = bodiless
        self._headers: dict[str, str] = {}
        self._found.clear()
        self._body = bytearray()
        self._status = self._seen = 0
        self._response: Response | None = None
        self._modern = self.reusable = False

    def feed(self, data: bytes) -> Response | None:
        """Take the next bytes; return the answer once it is whole or cut. Raises BadAnswer."""
        if not self._seen:
            self._modern = data.startswith(b"HTTP/1.1 ")
        self._seen += len(data)
        try:
            if self._seen <= HEAD_BYTES:
                self._parser.feed_data(data)
            else:
                self._feed_much(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.reusable = False
            if self._response is None:
                raise BadAnswer(str(error.__context__ or error) or "no HTTP/1.1") from error
        return self._response

    def end(self) -> Response | None:
        """Return the answer that the other side's orderly closing makes whole (RFC 9112, 6.3, 8.), else None."""
        coding = self._headers.get("transfer-encoding", "").rpartition(",")[2].strip().lower()
        if self._status < 200 or "content-length" in self._headers or coding == "chunked":
            return None
        return self._answer()

    def close(self) -> None:
        """Let go of the parser, which holds this object in a circle."""
        del self._parser

    def _feed_much(self, data: bytes) -> None:
        if self._status < 200:
            room = max(0, HEAD_BYTES - (self._seen - len(data)))
            self._parser.feed_data(data[:room])
            if self._status < 200:
                raise BadAnswer(f"a head of more than {HEAD_BYTES} bytes")
            data = data[room:]
        self._parser.feed_data(data)
        if self._seen > ANSWER_BYTES and self._response is None:
            raise BadAnswer(f"more than {ANSWER_BYTES} bytes around a small body")

    def _answer(self) -> Response:
        body = bytes(self._body[:BODY_BYTES])
        if (encoding := self._headers.get("content-encoding")) is not None:
            body = readable(body, encoding)
        self._response = Response(self._status, self._headers, body)
        return self._response

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        """Stop where more follows the answer: nobody asked for that."""
        if self._response is not None:
            raise _Enough

    def on_headers_complete(self) -> None:
        """Take the headers that are text, of several with one name the last; refuse what is no answer to a request.

        Trailers come later, and are left out (RFC 9110, 6.5.1).
        """
        names, headers = self._names, self._headers
        for name, value in self._found.items():
            if value.isascii():
                headers[names.get(name) or self._named(name)] = value.decode()
        status = self._status = self._parser.get_status_code()
        if not self._modern:
            self._check_version()
        if status < 200 and (status < 100 or status == 101):
            raise BadAnswer(f"status {status}")
        if self._bodiless and status >= 200:
            self._answer()
            raise _Enough

    def on_body(self, part: bytes) -> None:
        """Keep the body up to its limit."""
        self._body += part
        if len(self._body) > BODY_BYTES:
            self._answer()
            raise _Enough

    def on_message_complete(self) -> None:
        """End the answer, or go on to it where this was only an interim one (RFC 9110, 15.2)."""
        if self._status < 200:
            self._status = 0
            self._headers = {}
            self._found.clear()
            self._modern = False
            return
        self._answer()
        # RFC 9112, 6.1: an old server that sends chunks has faulty framing.
        faulty = not self._modern and "transfer-encoding" in self._headers
        self.reusable = self._parser.should_keep_alive() and not faulty

    def _named(self, name: bytes) -> str:
        text = name.decode().lower()
        if len(self._names) < KNOWN_NAMES:  # one connection's answers have the same few
            self._names[name] = text
        return text

    def _check_version(self) -> None:
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadAnswer(f"HTTP/{version}")
        self._modern = version == "1.1"
