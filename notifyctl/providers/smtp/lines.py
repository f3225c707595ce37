"""A message as it goes over the wire: lines that end in CRLF, a dot before a dot, a piece at a time.

Source: RFC 5321, 2.3.8 and 4.5.2. A mail of many megabytes would be in memory once more for each step otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PIECE_BYTES = 1 << 20

_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")


def pieces(message: bytes) -> Iterator[bytes]:
    """Yield a message in pieces of whole lines, each of which ends in CRLF."""
    begin = 0
    while begin < len(message):
        found = message.find(b"\n", begin + PIECE_BYTES)
        end = len(message) if found < 0 else found + 1
        piece = _LINE_END.sub(b"\r\n", message[begin:end])
        yield piece if piece.endswith(b"\r\n") else piece + b"\r\n"
        begin = end


def size(message: bytes) -> int:
    """Return how many octets the message has, as RFC 1870, 5, counts: without the dots that are added on the way."""
    return sum(map(len, pieces(message)))


def stuffed(piece: bytes) -> bytes:
    """Return lines with another dot before those that begin with one."""
    return _LEADING_DOT.sub(b"..", piece)
