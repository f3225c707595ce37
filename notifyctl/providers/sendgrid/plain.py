"""The usual mail, encoded in little time: a subject and text for one person.

It is the body that `mail` makes, byte for byte. Whatever is unusual is left to `mail`: so what that refuses is never
built here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from notifyctl.core.model import Message
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.sendgrid.mail import MAX_BYTES, replies, sender
from notifyctl.providers.sendgrid.options import mail_settings

_FIELDS = frozenset({"v", "to", "subject", "text", "html", "from"})
_SENDERS, _SENDER_CHARS = 64, 320  # how many of the messages' own are remembered, and how long they may be


def encoder(credentials: Credentials) -> Callable[[Message], bytes | None]:
    """Return what encodes usual mails with these credentials, and returns None for others."""
    try:
        configured = sender({}, credentials)
        answers, settings = replies({}, credentials), mail_settings({}, credentials)
    except InvalidMessage:
        return lambda message: None

    @lru_cache(_SENDERS)
    def own_sender(value: str) -> dict[str, str] | None:
        try:
            return sender({"from": value}, credentials)
        except InvalidMessage:
            return None

    def encoded(message: Message) -> bytes | None:
        content, to = message.content, message.to
        if not to or message.group or not _FIELDS.issuperset(content) or "<" in str(content.get("to")):
            return None
        subject, own, parts = content.get("subject"), content.get("from"), _parts(content)
        # What cannot be printed may be a control character, of which a header has none.
        if type(subject) is not str or not subject or not subject.isprintable() or not parts:
            return None
        if own is not None and (type(own) is not str or len(own) > _SENDER_CHARS):
            return None
        source = configured if own is None else own_sender(own)
        if source is None:
            return None
        person = {"to": [{"email": to}], "custom_args": {"notification_id": message.notification_id}}
        mail = {"personalizations": [person], "from": source, **answers, "subject": subject, "content": parts}
        try:
            body = orjson.dumps(mail | settings if settings else mail)
        except orjson.JSONEncodeError:  # half a surrogate pair
            return None
        return body if len(body) <= MAX_BYTES else None

    return encoded


def _parts(content: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """Return text and HTML; None where one of them is something else."""
    text, html = content.get("text"), content.get("html")
    if (text is not None and type(text) is not str) or (html is not None and type(html) is not str):
        return None
    parts = [{"type": "text/plain", "value": text}] if text else []
    if html:
        parts.append({"type": "text/html", "value": html})
    return parts
