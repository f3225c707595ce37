"""What is in a received message, whichever provider's it is; never fails, whatever was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from notifyctl.core.frozen import dataclass
from notifyctl.sandbox.exchange import dig, parse_object
from notifyctl.sandbox.inbox import Received

MOST = 200
"""How many fields, headers and attachments are shown at most."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A message for a person to read: `html` is None where it has none, attachments are names and sizes in bytes."""

    subject: str = ""
    text: str = ""
    html: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[tuple[str, int], ...] = ()


def contents_of(received: Received) -> Contents:
    """Return what is in the message; where it cannot be read, the body as text."""
    reader = {"sendgrid": _sendgrid, "twilio": _twilio, "fcm": _fcm, "smtp": _smtp}.get(received.provider)
    found = reader(received.call.body) if reader else None
    return found or Contents(text=received.call.body.decode(errors="replace"))


def subject_of(received: Received) -> str:
    """Return the subject, or the words of a message that has none."""
    contents = contents_of(received)
    return contents.subject or contents.text


def _sendgrid(body: bytes) -> Contents | None:
    mail = parse_object(body)
    if mail is None:
        return None
    envelope = dig(mail, "personalizations", 0)
    parts = {str(dig(part, "type")): dig(part, "value") for part in _list(mail.get("content"))}
    headers = {**_object(mail.get("headers")), **_object(dig(envelope, "headers"))}
    return Contents(
        str(dig(envelope, "subject") or mail.get("subject") or mail.get("template_id") or ""),
        _text(parts.get("text/plain")) or "",
        _text(parts.get("text/html")),
        _shown({**_object(envelope), **_without(mail, "content", "attachments", "headers", "personalizations")}),
        _shown(headers),
        tuple(
            (str(dig(item, "filename")), len(str(dig(item, "content") or "").rstrip("=")) * 3 // 4)
            for item in _list(mail.get("attachments"))[:MOST]
        ),
    )


def _twilio(body: bytes) -> Contents | None:
    fields: dict[str, str] = {}
    for name, value in parse_qsl(body.decode(errors="replace")):
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return Contents(text=fields.get("Body", ""), fields=_shown(fields)) if fields else None


def _fcm(body: bytes) -> Contents | None:
    request = parse_object(body)
    message = _object(request.get("message")) if request else {}
    if request is None or not message:
        return None
    seen = _object(message.get("notification"))
    words = str(seen.get("body") or "") or (_json(message["data"]) if "data" in message else "")
    return Contents(str(seen.get("title") or ""), words, fields=_shown({**message, **_without(request, "message")}))


def _smtp(body: bytes) -> Contents | None:
    try:
        # Its headers and parts are parsed when they are looked at, and what is no mail may fail in many ways.
        return _letter(message_from_bytes(body, _class=EmailMessage, policy=policy.default))
    except Exception:
        return None


def _letter(mail: EmailMessage) -> Contents:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return Contents(
        str(mail.get("Subject", "")),
        str(text.get_content()) if text else "",
        str(html.get_content()) if html else None,
        headers=_shown({f"{number}. {name}": value for number, (name, value) in enumerate(mail.items(), 1)}),
        attachments=tuple(
            (part.get_filename() or part.get_content_type(), len(part.get_payload(decode=True) or b""))
            for part in islice(mail.iter_attachments(), MOST)
        ),
    )


def _shown(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): _json(value) for name, value in islice(values.items(), MOST)}


def _json(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (RecursionError, ValueError, TypeError):
        return "(too deep to be shown)"


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
