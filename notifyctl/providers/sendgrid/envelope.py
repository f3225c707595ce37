"""To whom a mail of SendGrid goes, and what goes with it there: one personalization.

Source: twilio.com/docs/sendgrid/for-developers/sending-email/personalizations and the API's page on limitations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.mailbox import Mailbox
from notifyctl.core.model import Message
from notifyctl.core.patterns import pattern
from notifyctl.providers import content as fields
from notifyctl.providers.contract import InvalidMessage

MAX_RECIPIENTS = 1_000
MAX_CUSTOM_ARGS_BYTES = 10_000
RESERVED_HEADERS = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_DELIMITER = pattern(r"[,;]")
_HEADER_NAME = pattern(r"[!-9;-~]+")  # RFC 5322, 3.6.8


def envelope(message: Message) -> dict[str, Any]:
    """Return the one envelope. The recipient is not checked: what SendGrid says of it is worth more."""
    content = message.content
    if not message.to:
        raise InvalidMessage("to: missing")
    one: dict[str, Any] = {"to": [_recipient("to", Mailbox(message.to, fields.recipient_name(content)))]}
    seen = {message.to.casefold()}
    for field in ("cc", "bcc"):
        if boxes := _unseen(field, content, seen):
            one[field] = boxes
    if len(seen) > MAX_RECIPIENTS:
        raise InvalidMessage(f"to, cc and bcc: more than {MAX_RECIPIENTS} recipients")
    if headers := _headers(content):
        one["headers"] = headers
    if data := fields.mapping(content, "template_data"):
        one["dynamic_template_data"] = data
    one["custom_args"] = _custom_args(message)
    return one


def person(box: Mailbox) -> dict[str, str]:
    """Return a mailbox as SendGrid has it."""
    return {"email": box.address, "name": box.name} if box.name else {"email": box.address}


def _unseen(field: str, content: Mapping[str, Any], seen: set[str]) -> list[dict[str, str]]:
    """Return the mailboxes in `field` that are not in `seen`, and add them: twice makes SendGrid refuse the mail."""
    values = fields.texts(content, field)
    if not values:
        return []
    boxes = {box.address.casefold(): box for box in (fields.mailbox(field, value) for value in values)}
    once = [_recipient(field, box) for address, box in boxes.items() if address not in seen]
    seen.update(boxes)
    return once


def _recipient(field: str, box: Mailbox) -> dict[str, str]:
    if _DELIMITER.search(box.name):
        raise InvalidMessage(f"{field}: SendGrid takes no comma or semicolon in a recipient's name")
    return person(box)


def _headers(content: Mapping[str, Any]) -> dict[str, str]:
    headers = fields.strings(content, "headers")
    for name, value in headers.items():
        if name.casefold() in RESERVED_HEADERS:
            raise InvalidMessage(f"headers.{name}: reserved, it has a field of its own")
        if not _HEADER_NAME.fullmatch(name) or "\r" in value or "\n" in value:
            raise InvalidMessage(f"headers.{name}: not a header")
    return headers


def _custom_args(message: Message) -> dict[str, str]:
    """Return what comes back in SendGrid's events; the id among it is the only way to find a duplicate afterwards."""
    arguments = fields.strings(message.content, "custom_args") | {"notification_id": message.notification_id}
    if len(fields.encode_json(arguments)) > MAX_CUSTOM_ARGS_BYTES:
        raise InvalidMessage(f"custom_args: more than {MAX_CUSTOM_ARGS_BYTES} bytes")
    return arguments
