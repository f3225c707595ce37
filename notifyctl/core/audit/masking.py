"""What the audit trail may say of old and new values: no secret, no message, and of an address only its outline.

A row cannot be taken back later without looking as if somebody had tampered with it; so what a person may ask to be
forgotten is not written down in the first place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.patterns import pattern

HIDDEN = "***"
CHANGED = "changed"

ADDRESSES = frozenset(
    ("address", "email", "written", "to", "cc", "bcc", "reply_to", "sent_to", "from", "phone", "token", "fid")
)
_SECRET = pattern(r"secret|password|passphrase|private|credential|api_?key$|service_account|signature|authorization")
_BODIES = frozenset(
    ("body", "text", "html", "subject", "title", "payload", "content", "template_data", "image", "data")
)

# Whatever stands around an @, as no address can be told from other words by less.
# A quoted person and a domain that is an address: RFC 5321, 4.1.2; quotes are escaped where JSON stands in a text.
_MAIL = pattern(
    r"""(?:"(?![,:\]}\\])(?:[^"\n]|\\"){1,64}"|[^\s<>"'(),:;\[\]{}=|/]+)"""
    r"""@(?:\[[^\]\s]{2,60}\]|[^\s<>"'(),:;\[\]{}=|/]+)"""
)
_PHONE = pattern(r"\+\d[\d ().\-]{5,}\d|(?<![\w.\-])\d{10,15}(?![\w\-])")
# As people write them at home: an area in parentheses, a leading zero, or three parts as in North America.
_AT_HOME = pattern(
    r"\(0?\d{1,5}\)[ \-./]{0,2}\d{2,8}(?:[ \-./]\d{2,8}){0,4}(?![\w\-:])"
    r"|(?<![\w.\-:/])0[1-9]\d{0,4}(?: ?[ \-./] ?\d{2,8}){1,5}(?![\w\-:])"
    r"|(?<![\w.\-:/])(?:1[ .\-])?[2-9]\d{2}([ .\-])[2-9]\d{2}\1\d{4}(?![\w\-:])"
)
_FEWEST_AT_HOME = 9
"""What has fewer digits is as likely a date."""
_LOGIN = pattern(r"(?<=://)[^/@\s]+@")
_QUERY = pattern(r"(://[^\s?#]*)\?[^\s#]*")
# Not what is shown of an API key, which has four characters behind its environment.
_KEY = pattern(r"nctl_[A-Za-z0-9]+_[A-Za-z0-9]{5,}|whsec_[A-Za-z0-9+/=_-]+|SG\.[\w-]{6,}\.[\w-]{6,}")
_LEGIBLE = 3
"""From so many characters on the first one may be shown."""
_TOKEN = 20
"""What is longer, and no other address, is a device's token."""


def masked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be written down of `{"field": [old, new]}` or other facts, at any depth."""
    return {name: _of_field(name, value) for name, value in changes.items()}


def masked_text(text: str) -> str:
    """Return a text in which addresses, keys that are known by their form, and what a URL may hide are not legible."""
    if "_" in text or "SG." in text:
        text = _KEY.sub(HIDDEN, text)
    if "://" in text:
        text = _QUERY.sub(rf"\1?{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))
    return masked_addresses(text)


def masked_addresses(text: str) -> str:
    """Return a text in which no address is legible."""
    if "@" in text:
        text = _MAIL.sub(lambda found: masked_address(found[0]), text)
    return _AT_HOME.sub(_masked_at_home, _PHONE.sub(lambda found: masked_address(found[0]), text))


def _masked_at_home(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found[0])
    return masked_address(digits) if len(digits) >= _FEWEST_AT_HOME else found[0]


def masked_address(address: str) -> str:
    """Return the outline of an address: j***@example.org, +4***56; of a token its beginning."""
    person, at, domain = address.rpartition("@")
    if at:
        first = person[0] if len(person) >= _LEGIBLE and person[0].isalnum() else ""
        return f"{first}{HIDDEN}@{domain}"
    bare = re.sub(r"[ ().\-]", "", address)
    if re.fullmatch(r"(\w+:)?\+?\d{7,15}", bare):
        return f"{bare[:2]}{HIDDEN}{bare[-2:]}"
    return f"{address[:4]}{HIDDEN}" if len(address) > _TOKEN else HIDDEN


def _of_field(name: str, value: Any) -> Any:
    key = name.lower()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_of_field(name, each) for each in value]
    if isinstance(value, Mapping):
        hides = _SECRET.search(key) or key in _BODIES
        return HIDDEN if hides else {inner: _of_field(inner, each) for inner, each in value.items()}
    text = str(value)
    if _SECRET.search(key):
        return text if text == CHANGED else HIDDEN
    if key in _BODIES:
        return f"({len(text)} characters)"
    is_bare = key in ADDRESSES and text and " " not in text
    return masked_address(text) if is_bare else masked_text(text)
