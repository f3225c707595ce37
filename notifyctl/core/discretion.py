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
_OTHERS = ("content_hash", "idempotency_key", "kid")
_OF = ("actor", "audit", "batch", "group", "key", "lease", "new", "notification", "provider_message", "resource")
_PLAIN = frozenset({"id", *_OTHERS, *(f"{each}_id" for each in (*_OF, "template", "user", "webhook"))})
"""Columns of ids and digests, some of which look like an address; members of JSON may be anything."""
_FREE = frozenset(("reason", "pause_reason", "detail", "why", "note", "timeline", "problem", "hint"))
"""Columns in which a person or a provider says what they like."""
_FORM = "application/x-www-form-urlencoded"


def discreet(column: str, value: Any) -> Any:
    """Return what may be shown of a record's column, at any depth."""
    return value if column in _PLAIN and isinstance(value, str) else _member(column, value)


def discreet_record(record: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what may be shown of a record."""
    return _keyed({name: discreet(str(name), value) for name, value in record.items()})


def unreserved(column: str, value: Any) -> Any:
    """Return what may be shown of a column in which addresses are no secret, but for what is said in free words."""
    return _member("", value) if column in _FREE else value


def _member(name: str, value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return _text(name, value)
    if kind in (list, tuple):
        return [_member(name, each) for each in value]
    if isinstance(value, Mapping):
        return _keyed({inner: _member(str(inner), each) for inner, each in value.items()})
    return value


def _keyed(value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the same with no address among its keys; two of one outline stay two."""
    found: dict[Any, Any] = {}
    for name, each in value.items():
        shown = masked_addresses(name) if type(name) is str else name
        while shown in found:
            shown += "*"
        found[shown] = each
    return found


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
    if value[:1] in ("{", "["):
        said = lenient(value)
        if isinstance(said, dict | list):
            return json.dumps(_member(name, said), ensure_ascii=False)
    if (key in ADDRESSES or key in _MANY) and value and " " not in value:
        return masked_address(value)
    return masked_addresses(value)
