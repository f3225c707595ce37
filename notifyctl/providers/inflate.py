"""Bodies that come encoded although that was not asked for, made readable within a bound.

Source: RFC 9110, 8.4.1 (content codings), RFC 1950 to 1952. A request says `Accept-Encoding: identity`; what stands
between it and the provider may encode the answer all the same, and an acceptance must not be lost by that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

BODY_BYTES = 65_536
MOST_CODINGS = 3
_UNREADABLE = b"not readable: in "
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class _Unreadable(Exception):
    """The body is not in the coding that it is said to be in."""


def readable(body: bytes, encoding: str) -> bytes:
    """Return the body as it was before `encoding` (the header's value), cut at `BODY_BYTES`.

    One that is not in that coding, but text, is returned as it is; else what it is in, in words.
    """
    codings = [each for each in (part.strip().lower() for part in encoding.split(",")) if each not in ("", "identity")]
    if not codings or not body:
        return body
    plain = body
    try:
        if len(codings) > MOST_CODINGS:
            raise _Unreadable
        for coding in reversed(codings):  # the last one was applied last
            plain = _DECODERS.get(coding, _unknown)(plain)
    except _Unreadable:
        return body if _is_text(body) else _UNREADABLE + f"{encoding[:80]}, which was not asked for".encode()
    return plain


def is_unreadable(body: bytes) -> bool:
    """Return whether `readable` could make nothing of it (Brotli, say)."""
    return body.startswith(_UNREADABLE)


def _gunzip(body: bytes) -> bytes:
    """Return the members of a gzip file, one after the other (RFC 1952, 2.2)."""
    whole = b""
    while body and len(whole) < BODY_BYTES:
        part, body = _inflate(body, _GZIP, BODY_BYTES - len(whole), begun=bool(whole))
        whole += part
    return whole


def _deflate(body: bytes) -> bytes:
    """Return what was deflated; some servers leave out the frame that RFC 1950 puts around it."""
    try:
        return _inflate(body, _ZLIB, BODY_BYTES)[0]
    except _Unreadable:
        return _inflate(body, _RAW, BODY_BYTES)[0]


def _inflate(body: bytes, format_: int, room: int, *, begun: bool = False) -> tuple[bytes, bytes]:
    """Return what was deflated, as far as there is room and it is sound, and what follows it."""
    decoder = zlib.decompressobj(format_)
    try:
        whole = decoder.decompress(body, room)
    except zlib.error as error:
        if begun:  # trailing rubbish
            return b"", b""
        raise _Unreadable from error
    if not whole and not decoder.eof:
        raise _Unreadable
    return whole, decoder.unused_data


def _unknown(body: bytes) -> bytes:
    raise _Unreadable


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _deflate,
}
