"""What every adapter needs to build a request: fields of the content, checked, and settings, checked.

The readers raise InvalidMessage with the field's name; they never change what a text says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from notifyctl.core import json_codec
from notifyctl.core.mailbox import Mailbox, NoMailbox, parse
from notifyctl.core.patterns import pattern
from notifyctl.providers.contract import Credentials, InvalidMessage

ADDRESS_CHARS = 254  # RFC 5321, 4.5.3.1.3: a path of 256 octets with its angle brackets

BASE_URL_HELP = "another address than the provider's own: the sandbox, a proxy"
RECEIPTS_HELP = "poll: the dispatcher asks what became of messages"

_CONTROL = pattern(r"[\x00-\x1f\x7f]")
_BLANK = pattern(r"[\s\x00-\x1f\x7f]")
_TOKEN68 = pattern(r"[!-~]+")  # visible ASCII: what may stand in a header without being encoded


def text(content: Mapping[str, Any], field: str) -> str | None:
    """Return the text in `field`; None when it is absent, null or empty."""
    value = content.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidMessage(f"{field}: must be text")
    return value


def header_text(content: Mapping[str, Any], field: str) -> str | None:
    """Return the text in `field`, which becomes a header and so must be on one line."""
    value = text(content, field)
    if value is not None and _CONTROL.search(value):
        raise InvalidMessage(f"{field}: must be on one line, without control characters")
    return value


def texts(content: Mapping[str, Any], field: str) -> list[str]:
    """Return the texts in `field`, which may hold one or a list of them, each once, in their order."""
    value = content.get(field)
    if value is None or value == "":
        return []
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str) and item for item in items):
        raise InvalidMessage(f"{field}: must be text or a list of texts")
    return list(dict.fromkeys(items))


def mapping(content: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return a copy of the object in `field`; an empty one when it is absent or null."""
    value = content.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidMessage(f"{field}: must be an object")
    return dict(value)


def strings(content: Mapping[str, Any], field: str) -> dict[str, str]:
    """Return the object in `field` with its numbers and booleans written as JSON does; other values are refused."""
    return {key: _string(f"{field}.{key}", value) for key, value in mapping(content, field).items()}


def flag(content: Mapping[str, Any], field: str) -> bool:
    """Return the boolean in `field`; False when it is absent or null."""
    value = content.get(field)
    if value is not None and not isinstance(value, bool):
        raise InvalidMessage(f"{field}: must be true or false")
    return bool(value)


def mailbox(field: str, value: str) -> Mailbox:
    """Return the one mailbox that `value` is ("a@b" or "Name <a@b>"); raise InvalidMessage if it is none.

    Whether there can be such an address is the mail system's business.
    """
    try:
        box = parse(value)
    except NoMailbox as error:
        raise InvalidMessage(f"{field}: {error}") from None
    if len(box.address) > ADDRESS_CHARS:
        raise InvalidMessage(f"{field}: not an e-mail address: it has more than {ADDRESS_CHARS} characters")
    return box


def recipient_name(content: Mapping[str, Any]) -> str:
    """Return the name of whom a mail is for, empty without one; raise InvalidMessage for what cannot be a name."""
    to = content.get("to")
    written = mailbox("to", to).name if isinstance(to, str) and "<" in to else ""
    return header_text(content, "to_name") or written


def encode_json(payload: Mapping[str, Any]) -> bytes:
    """Return compact JSON in UTF-8; raise InvalidMessage for what JSON or UTF-8 cannot hold (NaN, a lone surrogate)."""
    try:
        return json_codec.encode(payload)
    except UnicodeEncodeError:
        raise InvalidMessage("the content holds half a surrogate pair, which is no character") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidMessage(f"the content cannot be written as JSON: {error}") from None


def base_url(credentials: Credentials, default: str) -> str:
    """Return where the provider is: the setting `base_url`, else `default`; without a slash at the end."""
    return str(credentials.config.get("base_url") or default).rstrip("/")


def problems_with_base_url(credentials: Credentials) -> list[str]:
    """Return what is wrong with the setting `base_url`, if it is there."""
    value = credentials.config.get("base_url")
    if not value:
        return []
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is not None and parts.password:
            return ["base_url must hold no password: it is neither encrypted nor sent"]
        if parts is not None and ("@" in parts.netloc or "?" in value or "#" in value):
            return ["base_url must be host and path: no user, no ? and no #"]
        fine = parts is not None and parts.port != 0 and is_web_address(value)
    except ValueError:
        fine = False
    return [] if fine else ["base_url must be an http or https address"]


def is_web_address(value: str) -> bool:
    """Return whether it is an http or https address, with no blank or control character anywhere in it."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not _BLANK.search(value)
    except ValueError:
        return False


def problems_with_receipts(credentials: Credentials) -> list[str]:
    """Return what is wrong with the setting `receipts`, if it is there: `poll` is all that it can be."""
    value = credentials.config.get("receipts")
    return [] if value in (None, "poll") else ['receipts can be "poll", to ask what became of messages, or be absent']


def problems_with_secret(name: str, value: str | None) -> list[str]:
    """Return what is wrong with a credential: absent, or with characters that cannot stand in a header."""
    if not value:
        return [f"the {name} is missing"]
    if not _TOKEN68.fullmatch(value):
        return [f"the {name} holds a space, a line break or another character that no key has"]
    return []


def _string(field: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InvalidMessage(f"{field}: must be text, a number or a boolean")
