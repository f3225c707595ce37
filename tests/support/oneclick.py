"""What RFC 8058 and RFC 2369 ask of a mail that can be left with one click, and where its link leads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

_URIS = re.compile(r"<([^<>\s]*)>")


def link_of(headers: Sequence[tuple[str, str]]) -> str:
    """Return the link of a mail with these headers; fail where it could not be used (RFC 8058, 3.1 and 4)."""
    found = [value for name, value in headers if name.lower() == "list-unsubscribe"]
    posts = [value for name, value in headers if name.lower() == "list-unsubscribe-post"]
    assert len(found) == len(posts) == 1, (found, posts)  # one of each, or nobody knows which holds
    assert posts == ["List-Unsubscribe=One-Click"]  # 3.1: exactly this key and value
    assert found[0].startswith("<")  # RFC 2369, 2
    https = [uri for uri in _URIS.findall(found[0]) if urlsplit(uri).scheme == "https"]
    assert len(https) == 1, found  # 3.1: exactly one HTTPS URI
    assert urlsplit(https[0]).hostname
    assert not urlsplit(https[0]).fragment
    return https[0]


def token_of(link: str) -> str:
    """Return the token in a link."""
    [found] = parse_qs(urlsplit(link).query)["token"]
    return found
