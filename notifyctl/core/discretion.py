"""What is shown to whoever may not see people's addresses: everything else, and of each address its outline.

Addresses are found by the names of fields, and wherever they stand in texts: in messages of providers, in reasons, in
the content of notifications.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from notifyctl.core.audit.masking import ADDRESSES, masked_address, masked_addresses
from notifyctl.core.json_codec import lenient

_MANY = {"addresses", "phones", "tokens", "allowed", "email", "folded", "recipient"}
_PLAIN = ("id", "ids", "_id", "hash", "key", "version")
_FORM = "application/x-www-form-urlencoded"


def discreet(name: str, value: Any) -> Any:
    """Return what may be shown of a field's value, at any depth."""
    kind = type(value)
    if kind is str:
        return _text(name, value)
    if kind in (list, tuple):
        return [discreet(name, each) for each in value]
    if isinstance(value, Mapping):
        return {inner: discreet(str(inner), each) for inner, each in value.items()}
    if isinstance(value, str):  # a word of an enumeration
        return value
    return value


def discreet_text(text: str) -> str:
    """Return a text of which no address can be read."""
    return masked_addresses(text)


def discreet_body(body: bytes, content_type: str) -> bytes:
    """Return a request's body of which no address can be read: JSON, a form, or a text."""
    text = body.decode(errors="replace")
    if content_type.startswith(_FORM):
        return urlencode([(name, discreet(name, value)) for name, value in parse_qsl(text)]).encode()
    return _text("", text).encode()


def _text(name: str, value: str) -> str:
    key = name.lower()
    if key.endswith(_PLAIN):
        return value
    if value[:1] in ("{", "["):
        said = lenient(value)
        if isinstance(said, dict | list):
            return json.dumps(discreet(name, said), ensure_ascii=False)
    if (key in ADDRESSES or key in _MANY) and value and " " not in value:
        return masked_address(value)
    return masked_addresses(value)
