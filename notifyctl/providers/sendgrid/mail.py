"""What SendGrid is asked: the body of one Mail Send request.

Source: twilio.com/docs/sendgrid/api-reference/mail-send and its page on limitations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers.attachments import attachments
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.sendgrid.envelope import envelope, person
from notifyctl.providers.sendgrid.options import mail_settings, options

MAX_BYTES = 30 * 1024 * 1024
MAX_REPLY_TO = 1_000
MAX_CATEGORIES = 10
MAX_CATEGORY_CHARS = 255


def encoded(message: Message, credentials: Credentials) -> bytes:
    """Return the request's body; raise InvalidMessage naming the field that cannot be sent."""
    body = fields.encode_json(mail(message, credentials))
    if len(body) > MAX_BYTES:
        raise InvalidMessage(_too_large(message.content, len(body)))
    return body


def mail(message: Message, credentials: Credentials) -> dict[str, Any]:
    """Return the mail; raise InvalidMessage naming the field that cannot be sent."""
    content = message.content
    return {
        "personalizations": [envelope(message)],
        "from": sender(content, credentials),
        **replies(content, credentials),
        **_body(content),
        **_attachments(content),
        **_categories(content),
        **options(message),
        **mail_settings(content, credentials),
    }


def replies(content: Mapping[str, Any], credentials: Credentials) -> dict[str, Any]:
    """Return where answers go: one mailbox, several under a name of their own, or nothing; raise InvalidMessage."""
    values = fields.texts(content, "reply_to") or fields.texts(credentials.config, "reply_to")
    boxes = [person(fields.mailbox("reply_to", value)) for value in values]
    if len(boxes) > MAX_REPLY_TO:
        raise InvalidMessage(f"reply_to: more than {MAX_REPLY_TO}")
    return {"reply_to_list": boxes} if len(boxes) > 1 else {"reply_to": boxes[0]} if boxes else {}


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
    box = fields.mailbox("from", value)
    if not box.address.isascii():
        raise InvalidMessage("from: SendGrid takes only ASCII in the sender's address")
    return person(box)


def _attachments(content: Mapping[str, Any]) -> dict[str, Any]:
    files = [
        {
            "content": each.content,
            "filename": each.filename,
            **({"type": each.type} if each.type else {}),
            **({"disposition": each.disposition} if each.disposition else {}),
            **({"content_id": each.content_id} if each.content_id else {}),
        }
        for each in attachments(content)
    ]
    return {"attachments": files} if files else {}


def _categories(content: Mapping[str, Any]) -> dict[str, Any]:
    categories = fields.texts(content, "categories")
    if len(categories) > MAX_CATEGORIES or any(len(name) > MAX_CATEGORY_CHARS for name in categories):
        raise InvalidMessage(f"categories: at most {MAX_CATEGORIES}, of at most {MAX_CATEGORY_CHARS} characters")
    return {"categories": categories} if categories else {}


def _too_large(content: Mapping[str, Any], size: int) -> str:
    """Say which field it is, and how large each file."""
    says = f"the mail has {size:,} bytes, SendGrid takes {MAX_BYTES:,}"
    files = ", ".join(f"{each.filename} {each.size:,}" for each in attachments(content))
    return f"attachments: {says}; files, a third larger as base64: {files}" if files else f"text and html: {says}"
