"""The proxy through which webhooks leave, where there is one."""

from __future__ import annotations

import re
from typing import NamedTuple

_URL = re.compile(
    r"http://(?P<host>\[[0-9A-Fa-f:]+\]|[0-9A-Za-z_.-]+)(:(?P<port>[0-9]{1,5}))?/?", re.ASCII | re.IGNORECASE
)
USUAL_PORT = 3128


class Proxy(NamedTuple):
    """Where it listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return authority(self.host, self.port)


def proxy(text: str) -> Proxy:
    """Return what `http://HOST:PORT` says. Raises ValueError, which repeats nothing: it may hold a password."""
    found = _URL.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"] or USUAL_PORT) < 65_536:
        says = "webhook_proxy_login_file names a file with NAME:PASSWORD"
        raise ValueError(f"is no http://HOST:PORT, without user, password and path: {says}")
    return Proxy(found["host"].strip("[]").lower(), int(found["port"] or USUAL_PORT))


def authority(host: str, port: int) -> str:
    """Return host and port as a request's first line has them (RFC 9112, 3.2.3)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
