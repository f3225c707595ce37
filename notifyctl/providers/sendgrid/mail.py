"""What SendGrid is asked: the body of one Mail Send request.

Source: twilio.com/docs/sendgrid/api-reference/mail-send and its page on limitations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, InvalidMessage

MAX_RECIPIENTS = 1_000
MAX_CATEGORIES = 10
MAX_CATEGORY_CHARS = 255
MAX_CUSTOM_ARGS_BYTES = 10_000
RESERVED_HEADERS = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, 3.6.8


def mail(message: Message, credentials: Credentials) -> dict[str, Any]:
    """Return the request's body; raise InvalidMessage naming the field that cannot be sent."""
    content = message.content
    if content.get("attachments"):
        raise InvalidMessage("attachments: not supported")
    mail: dict[str, Any] = {
        "personalizations": [_personalization(message)],
        "from": sender(content, credentials),
        **_body(content),
    }
    reply_to = fields.text(content, "reply_to") or fields.text(credentials.config, "reply_to")
    if reply_to:
        mail["reply_to"] = fields.mailbox("reply_to", reply_to)
    if categories := _categories(content):
        mail["categories"] = categories
    if credentials.config.get("sandbox_mode") is True:
        mail["mail_settings"] = {"sandbox_mode": {"enable": True}}
    return mail


def _personalization(message: Message) -> dict[str, Any]:
    """Return the one envelope. The recipient is not checked: what SendGrid says of it is worth more."""
    content = message.content
    if not message.to:
        raise InvalidMessage("to: missing")
    envelope: dict[str, Any] = {"to": [{"email": message.to}]}
    seen = {message.to.casefold()}
    for field in ("cc", "bcc"):
        if boxes := _unseen(field, content, seen):
            envelope[field] = boxes
    if len(seen) > MAX_RECIPIENTS:
        raise InvalidMessage(f"to, cc and bcc: more than {MAX_RECIPIENTS} recipients")
    if headers := _headers(content):
        envelope["headers"] = headers
    if data := fields.mapping(content, "template_data"):
        envelope["dynamic_template_data"] = data
    # The id comes back in SendGrid's events, which is the only way to find a duplicate afterwards.
    envelope["custom_args"] = _custom_args(content) | {"notification_id": message.notification_id}
    return envelope


def _unseen(field: str, content: Mapping[str, Any], seen: set[str]) -> list[dict[str, str]]:
    """Return the mailboxes in `field` that are not in `seen`, and add them: twice makes SendGrid refuse the mail."""
    values = fields.texts(content, field)
    if not values:
        return []
    boxes = {box["email"].casefold(): box for box in (fields.mailbox(field, v) for v in values)}
    once = [box for address, box in boxes.items() if address not in seen]
    seen.update(boxes)
    return once


def _body(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return subject and content, or the template, which has both."""
    subject = fields.header_text(content, "subject")
    parts = [
        {"type": kind, "value": value}
        for kind, value in (("text/plain", fields.text(content, "text")), ("text/html", fields.text(content, "html")))
        if value is not None
    ]
    template = fields.text(content, "template_id")
    if template is None:
        if subject is None or not parts:
            raise InvalidMessage(f"{'subject' if subject is None else 'text or html'}: missing")
        return {"subject": subject, "content": parts}
    if parts:
        raise InvalidMessage("template_id: excludes text and html, which the template has")
    return {"template_id": template} | ({"subject": subject} if subject else {})


def sender(content: Mapping[str, Any], credentials: Credentials) -> dict[str, str]:
    """Return the mailbox it comes from: the content's own, else the configured one; raise InvalidMessage for none."""
    value = fields.text(content, "from") or fields.text(credentials.config, "from")
    if value is None:
        raise InvalidMessage("from: missing, in the content and in the provider's settings")
    sender = fields.mailbox("from", value)
    if not sender["email"].isascii():
        raise InvalidMessage("from: SendGrid takes only ASCII in the sender's address")
    return sender


def _headers(content: Mapping[str, Any]) -> dict[str, str]:
    headers = fields.strings(content, "headers")
    for name, value in headers.items():
        if name.casefold() in RESERVED_HEADERS:
            raise InvalidMessage(f"headers.{name}: reserved, it has a field of its own")
        if not _HEADER_NAME.fullmatch(name) or "\r" in value or "\n" in value:
            raise InvalidMessage(f"headers.{name}: not a header")
    return headers


def _categories(content: Mapping[str, Any]) -> list[str]:
    categories = fields.texts(content, "categories")
    if len(categories) > MAX_CATEGORIES or any(len(name) > MAX_CATEGORY_CHARS for name in categories):
        raise InvalidMessage(f"categories: at most {MAX_CATEGORIES}, of at most {MAX_CATEGORY_CHARS} characters")
    return categories


def _custom_args(content: Mapping[str, Any]) -> dict[str, str]:
    arguments = fields.strings(content, "custom_args")
    if arguments and len(fields.encode_json(arguments)) > MAX_CUSTOM_ARGS_BYTES:
        raise InvalidMessage(f"custom_args: more than {MAX_CUSTOM_ARGS_BYTES} bytes")
    return arguments
