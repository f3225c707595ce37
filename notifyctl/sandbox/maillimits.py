"""How much a mail to SendGrid may hold, and what its attachments have to be.

Source: twilio.com/docs/sendgrid/api-reference/mail-send/errors and its page on limitations.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from typing import Any

from notifyctl.sandbox.exchange import dig

MOST_PERSONALIZATIONS = 1_000
MOST_RECIPIENTS = 1_000
MOST_ARGUMENT_BYTES = 10_000
LONGEST_AHEAD_S = 72 * 3_600
LONGEST_CATEGORY = 255
LONGEST_POOL_NAME = 64
MOST_GROUPS_SHOWN = 25

ErrorEntry = tuple[str, str | None, str | None]
"""What is wrong, in which field, and the anchor of the help on it."""


def problems(mail: dict[str, Any], now: float) -> Iterator[ErrorEntry]:
    """Yield what is too much in a mail, or no attachment; `now` in seconds since the epoch."""
    envelopes = _list(mail.get("personalizations"))
    yield from _people(envelopes)
    yield from _time(mail.get("send_at"), "send_at", now)
    for number, envelope in enumerate(envelopes):
        field = f"personalizations.{number}"
        yield from _time(dig(envelope, "send_at"), f"{field}.send_at", now)
        yield from _arguments(dig(envelope, "custom_args"), f"{field}.custom_args")
        for kind in ("to", "cc", "bcc"):
            yield from _names(_list(dig(envelope, kind)), f"{field}.{kind}")
    yield from _arguments(mail.get("custom_args"), "custom_args")
    yield from _groupings(mail)
    for number, each in enumerate(_list(mail.get("attachments"))):
        yield from _attachment(each, f"attachments.{number}")


def _people(envelopes: list[Any]) -> Iterator[ErrorEntry]:
    if (number := len(envelopes)) > MOST_PERSONALIZATIONS:
        yield (
            "The personalization block is limited to 1000 personalizations per API request. You have provided "
            f"{number} personalizations. Please consider splitting this into multiple requests and resending your "
            "request.",
            "personalizations",
            "message.personalizations",
        )
        return
    people = sum(len(_list(dig(each, kind))) for each in envelopes for kind in ("to", "cc", "bcc"))
    if people > MOST_RECIPIENTS:
        text = "There is a limit of 1000 total recipients (to + cc + bcc) per request."
        yield text, "personalizations", "message.personalizations"


def _time(value: object, field: str, now: float) -> Iterator[ErrorEntry]:
    if value is None:
        return
    if type(value) is not int:
        yield "The send_at parameter must be an integer: a Unix timestamp.", field, "message.send_at"
    elif value > now + LONGEST_AHEAD_S:
        yield "The send_at parameter may not be more than 72 hours in the future.", field, "message.send_at"


def _arguments(values: object, field: str) -> Iterator[ErrorEntry]:
    if isinstance(values, dict) and len(json.dumps(values, ensure_ascii=False).encode()) > MOST_ARGUMENT_BYTES:
        yield "The custom_args may not exceed 10,000 bytes.", field, "message.custom_args"


def _groupings(mail: dict[str, Any]) -> Iterator[ErrorEntry]:
    """Yield what is wrong with what a mail is counted, left and sent by: categories, unsubscribe group, IP pool."""
    asm, pool = mail.get("asm"), mail.get("ip_pool_name")
    categories = [] if mail.get("categories") is None else mail["categories"]
    if not isinstance(categories, list) or not all(isinstance(each, str) for each in categories):
        yield "Categories must be an array of strings.", "categories", "message.categories"
    elif any(len(each) > LONGEST_CATEGORY for each in categories):
        yield "The length of a category name may not exceed 255 characters.", "categories", "message.categories"
    elif twice := next((each for each in categories if categories.count(each) > 1), None):
        text = f"You cannot have duplicate category values: category name [{twice}] was repeated."
        yield text, "categories", "message.categories"
    if asm is not None and type(dig(asm, "group_id")) is not int:
        yield "The asm object, if present, requires the group_id parameter: an integer.", "asm.group_id", "message.asm"
    elif len(_list(dig(asm, "groups_to_display"))) > MOST_GROUPS_SHOWN:
        yield "You can only display up to 25 groups.", "asm.groups_to_display", "message.asm"
    if pool is not None and not (isinstance(pool, str) and 2 <= len(pool) <= LONGEST_POOL_NAME):
        text = "The ip_pool_name must be a string of at least 2 and at most 64 characters."
        yield text, "ip_pool_name", "message.ip_pool_name"


def _names(boxes: list[Any], field: str) -> Iterator[ErrorEntry]:
    for number, box in enumerate(boxes):
        if not {";", ","}.isdisjoint(str(dig(box, "name") or "")):
            yield (
                "The name may not include the ; or , characters.",
                f"{field}.{number}.name",
                "message.personalizations",
            )


def _attachment(each: object, field: str) -> Iterator[ErrorEntry]:
    yield from _file(dig(each, "content"), f"{field}.content")
    if dig(each, "filename") is None:
        yield "The attachment filename is required.", f"{field}.filename", "message.attachments.filename"
    for name in ("type", "filename", "content_id"):
        value = dig(each, name)
        if value is not None and (not isinstance(value, str) or not value or not {"\r", "\n"}.isdisjoint(value)):
            text = f"The attachment {name} must be a string without CR or LF characters."
            yield text, f"{field}.{name}", f"message.attachments.{name}"
    if dig(each, "disposition") not in (None, "inline", "attachment"):
        text = 'The disposition of your attachment can be either "inline" or "attachment".'
        yield text, f"{field}.disposition", "message.attachments.disposition"


def _file(content: object, field: str) -> Iterator[ErrorEntry]:
    if not isinstance(content, str) or not content:
        yield "The attachment content is required.", field, "message.attachments.content"
    elif not _is_base64(content):
        yield "The attachment content must be base64 encoded.", field, "message.attachments.content"


def _is_base64(content: str) -> bool:
    try:
        binascii.a2b_base64(content, strict_mode=True)
    except ValueError:
        return False
    return True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
