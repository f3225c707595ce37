"""What goes over the wire before a request's body (RFC 9112, 2 to 3; RFC 9110, 5.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from notifyctl import __version__
from notifyctl.core.frozen import dataclass

DEFAULT_PORTS = {"http": 80, "https": 443}
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
LONG_BYTES = 256 * 1024
NAMES = 256
"""Of so many headers it is known whether their names may be sent."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_NAME = re.compile(r"[0-9A-Za-z._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SAFE_IN_TARGET = "!#$%&'()*+,/:;=?@[]~"
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "expect"})


class Origin(NamedTuple):
    """Whom a connection leads to; the host in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body; `start` lacks the body's length and the empty line."""

    origin: Origin
    method: str
    start: bytes

    def with_lines(self, headers: Sequence[tuple[str, str]]) -> Head:
        """Return the head with more headers. Raises ValueError, without the values, for what cannot be sent so."""
        lines = "".join([f"{_line(name, value)}\r\n" for name, value in headers])
        return Head(self.origin, self.method, self.start + lines.encode("ascii"))

    def with_body(self, body: bytes) -> tuple[bytes, bytes]:
        """Return the whole request in two parts; the second is empty where the body is short."""
        if len(body) > LONG_BYTES:  # in one part it would be in memory twice
            return b"%bContent-Length: %d\r\n\r\n" % (self.start, len(body)), body
        if body or self.method in WITH_BODY:
            return b"%bContent-Length: %d\r\n\r\n%b" % (self.start, len(body), body), b""
        return self.start + b"\r\n", b""


def head(method: str, url: str, headers: Sequence[tuple[str, str]]) -> Head:
    """Return the head. Raises ValueError, without the values, where it cannot be sent as it is."""
    if not _TOKEN.fullmatch(method) or _CONTROL.search(url):
        raise ValueError("an impossible method or address")
    parts = urlsplit(url)
    origin = _origin(parts)
    target = quote((parts.path or "/") + ("?" + parts.query if parts.query else ""), safe=_SAFE_IN_TARGET)
    defaults = {
        "Host": _authority(origin),
        "User-Agent": f"notifyctl/{__version__}",
        "Accept": "*/*",
        # Without it any coding could come back (RFC 9110, 12.5.3).
        "Accept-Encoding": "identity",
    }
    given = {name.lower() for name, _ in headers}
    lines = [f"{name}: {value}" for name, value in defaults.items() if name.lower() not in given]
    lines += [_line(name, value) for name, value in headers]
    text = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, ""])
    return Head(origin, method, text.encode("ascii"))


def _origin(parts: SplitResult) -> Origin:
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("an impossible address")
    return Origin(parts.scheme, _host(parts.hostname), parts.port or DEFAULT_PORTS[parts.scheme])


def _host(host: str) -> str:
    if ":" in host:
        IPv6Address(host)
    elif not host.isascii():
        import idna  # only here: it brings its tables along

        host = idna.encode(host, uts46=True).decode()
    elif not _NAME.fullmatch(host):
        raise ValueError("an impossible host")
    return host


def _authority(origin: Origin) -> str:
    host = f"[{origin.host.partition('%')[0]}]" if ":" in origin.host else origin.host
    return host if origin.port == DEFAULT_PORTS[origin.scheme] else f"{host}:{origin.port}"


def _line(name: str, value: str) -> str:
    # Printable characters of ASCII need no look at each: all that a value may have besides is the tab.
    if not _is_name(name) or not ((value.isascii() and value.isprintable()) or _VALUE.fullmatch(value)):
        raise ValueError("an impossible header")
    return f"{name}: {value.strip()}"


@lru_cache(NAMES)
def _is_name(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _FRAMING
