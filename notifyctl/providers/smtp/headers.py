"""The head of a mail: addresses and texts as header lines, in ASCII.

Sources: RFC 5322, 2.2 and 3.6 (headers), RFC 2047 (words that are not ASCII), RFC 5891 (domains).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.header import Header
from email.utils import formataddr
from typing import Any

from notifyctl.core.mailbox import Mailbox
from notifyctl.providers import content as fields
from notifyctl.providers.contract import InvalidMessage

CRLF = "\r\n"

_RESERVED = re.compile(
    r"(?:to|from|cc|bcc|subject|reply-to|date|message-id|return-path|received|dkim-signature|mime-version"
    r"|content-.*|resent-.*|x-categories|x-custom-args)",
    re.IGNORECASE,
)
_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, 3.6.8
# Without quotes (RFC 5322, 3.2.3): what needs them is in nobody's address, and would be more than one in a header.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_DOMAIN = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Za-z.:]+\]")
_IN_BRACKETS = re.compile(r"<[^\s<>]+>")  # an address, as those of List-Unsubscribe (RFC 2369, 2)
BEHIND_THE_COLON = re.compile(r"\A([!-9;-~]+:)[ \t]*\r\n[ \t]")
_LINE_CHARS = 998  # RFC 5322, 2.1.1


def lines(content: Mapping[str, Any], people: Mapping[str, list[Mailbox]], message_id: str) -> bytes:
    """Return the head; `people` are by header. Raises InvalidMessage naming the field that cannot stand in it."""
    subject = fields.header_text(content, "subject")
    if subject is None:
        raise InvalidMessage("subject: missing")
    head = [f"{name}: {_joined(boxes)}" for name, boxes in people.items() if boxes]
    head.append(f"Message-ID: {message_id}")
    head += [_header("Subject", subject), *_further_headers(content)]
    return "".join(f"{line}{CRLF}" for line in head).encode("ascii")


def own_mailbox(field: str, value: str) -> Mailbox:
    """Return a mailbox with its domain in ASCII, as headers and envelopes have it; raise InvalidMessage for none."""
    box = fields.mailbox(field, value)
    local, _, domain = box.address.rpartition("@")
    if not _LOCAL_PART.fullmatch(local):
        raise InvalidMessage(f"{field}: only plain ASCII before the @, which is what every server takes")
    return Mailbox(f"{local}@{_domain(field, domain)}", box.name)


def _domain(field: str, domain: str) -> str:
    if domain.isascii():
        if not _DOMAIN.fullmatch(domain):
            raise InvalidMessage(f"{field}: the domain is none")
        return domain
    import idna  # only here: it brings its tables along

    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise InvalidMessage(f"{field}: the domain is none") from None


def _further_headers(content: Mapping[str, Any]) -> list[str]:
    """Return the content's own headers, and what has no place in a mail as headers that a server may read."""
    headers = []
    for name, value in fields.strings(content, "headers").items():
        if _RESERVED.fullmatch(name):
            raise InvalidMessage(f"headers.{name}: reserved, it is made of other fields")
        if not _HEADER_NAME.fullmatch(name) or "\r" in value or "\n" in value:
            raise InvalidMessage(f"headers.{name}: not a header")
        headers.append(_in_brackets(name, value) if _IN_BRACKETS.match(value) else _header(name, value))
    if categories := fields.texts(content, "categories"):
        headers.append(_header("X-Categories", ", ".join(categories)))
    if arguments := fields.strings(content, "custom_args"):
        headers.append(_header("X-Custom-Args", fields.encode_json(arguments).decode()))
    return headers


def _joined(boxes: list[Mailbox]) -> str:
    return ",\r\n ".join(map(_person, boxes))


def _person(box: Mailbox) -> str:
    plain = formataddr((box.name, box.address)) if _is_plain(box.name) else ""
    if plain and len(plain) < _LINE_CHARS - len("Reply-To: ,"):
        return plain
    return f"{_encoded(box.name)} <{box.address}>"


def _header(name: str, value: str) -> str:
    folded = _folded(name, value) if _is_plain(value) else None
    return folded or _begun(f"{name}: {_encoded(value, name)}")


def _in_brackets(name: str, value: str) -> str:
    """Return a header that nobody decodes: what it holds is no text."""
    folded = _folded(name, value) if value.isascii() and value.isprintable() else None
    if folded is None:
        raise InvalidMessage(f"headers.{name}: <...> must be ASCII and fit on a line of {_LINE_CHARS} characters")
    return folded


def _folded(name: str, value: str) -> str | None:
    """Return it on lines broken at spaces; None where one would be too long, or have nothing but spaces."""
    # The newer API of the library loses spaces between words that it encodes, in Python up to 3.12.
    folded = _begun(f"{name}: {Header(value, header_name=name).encode(linesep=CRLF)}")
    lines = folded.split(CRLF)
    fine = all(len(line) <= _LINE_CHARS and line.strip() for line in lines)
    return folded if fine else None


def _begun(header: str) -> str:
    """Return a header whose first line says something: some servers take one that is folded at once for empty.

    But for a word that fits on no line together with the name.
    """
    begun = BEHIND_THE_COLON.sub(r"\1 ", header)
    return begun if len(begun.partition(CRLF)[0]) <= _LINE_CHARS else header


def _is_plain(value: str) -> bool:
    """Return whether it can stand as it is: not if it were read as something encoded."""
    return value.isascii() and value.isprintable() and "=?" not in value


def _encoded(value: str, name: str | None = None) -> str:
    """Return the words of RFC 2047 that say it, on lines of their length."""
    return Header(value, "utf-8", header_name=name).encode(linesep=CRLF)
