"""A request and its answer as plain values, without the network, and helpers to read and write JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from notifyctl.core.frozen import dataclass

LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
NGINX = """<html>\r
<head><title>{title}</title></head>\r
<body>\r
<center><h1>{title}</h1></center>\r
<hr><center>nginx</center>\r
</body>\r
</html>\r
"""
TITLES = {
    404: "404 Not Found",
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request: header names in lower case, `path` without the query, which stands in `query` as it was written.

    `now` is in seconds since the epoch.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    now: float
    query: str = ""

    def is_local(self) -> bool:
        """Return whether the Host header is this machine: a page whose foreign name resolves here must read nothing."""
        return re.sub(r":\d+$", "", self.headers.get("host", "")) in LOCAL

    def has_content_type(self, kind: str) -> bool:
        """Return whether the body is declared to be `kind` ("application/json")."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == kind


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Handled:
    """The answer, and what the request was about, for the log and for faults by recipient.

    `sends` tells a message to be sent from a question, `checks` one that is only to be checked. Where there is an
    `accept`, it is called once if the message counts as accepted, with what its receipt is to be (None: as usual): an
    answer may be lost, or a fault refuse it.
    """

    reply: Reply
    recipient: str | None = None
    notification_id: str | None = None
    sends: bool = True
    checks: bool = False
    accept: Callable[[str | None], None] | None = None


def as_json(status: int, body: Mapping[str, Any] | Sequence[Any], headers: Mapping[str, str] | None = None) -> Reply:
    """Return `body` as JSON."""
    return Reply(status, json.dumps(body, ensure_ascii=False).encode(), headers=headers or {})


def page(status: int) -> Reply:
    """Return the page of the proxy in front of a provider."""
    title = TITLES.get(status, f"{status} Error")
    return Reply(status, NGINX.format(title=title).encode(), "text/html")


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `body`, None when it holds none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def dig(value: object, *path: str | int) -> Any:
    """Return what is found in `value` by these keys and positions, None when one of them is missing."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
