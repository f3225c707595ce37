"""SendGrid: e-mail over the Mail Send API, version 3.

Source: twilio.com/docs/sendgrid/api-reference/mail-send and its pages on errors, limitations and rate limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response

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

# 401 is also "Maximum credits exceeded" and 403 also an unverified sender: each is the account's business.
_ANSWERS: Mapping[int, Kind] = {
    200: Kind.ACCEPTED,  # sandbox mode
    202: Kind.ACCEPTED,
    400: Kind.PERMANENT,
    401: Kind.CONFIG,
    403: Kind.CONFIG,
    404: Kind.CONFIG,
    405: Kind.CONFIG,
    406: Kind.CONFIG,
    413: Kind.PERMANENT,
    415: Kind.CONFIG,
    429: Kind.THROTTLED,
    500: Kind.UNKNOWN,
    502: Kind.UNKNOWN,
    503: Kind.TRANSIENT,
    504: Kind.UNKNOWN,
}
_TO_FIELD = re.compile(r"personalizations\.\d+\.to\b")
_BAD_ADDRESS = re.compile(r"valid (e-?mail )?address|invalid.*address", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, 3.6.8


class SendGrid:
    """The adapter. Settings: `from` (needed), `reply_to`, `base_url`, `sandbox_mode` (checked there, never sent)."""

    name = "sendgrid"
    channel = Channel.EMAIL
    default_url = "https://api.sendgrid.com"

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("API key", credentials.api_key)
        problems += fields.problems_with_base_url(credentials)
        sender = credentials.config.get("from")
        if not sender:
            return [*problems, 'the sender "from" is missing']
        try:
            _sender({"from": sender}, credentials)
        except InvalidMessage as problem:
            problems.append(str(problem))
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that mails `message`; raise InvalidMessage when none can."""
        return Request(
            "POST",
            fields.base_url(credentials, self.default_url) + "/v3/mail/send",
            {
                "Authorization": f"Bearer {credentials.api_key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            fields.encode_json(_mail(message, credentials)),
        )

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; a 202 counts even without its `X-Message-Id`."""
        kind = _ANSWERS.get(response.status) or reading.kind_of_status(response.status)
        if kind is Kind.ACCEPTED:
            return _read_success(response)
        errors = reading.objects(reading.json_object(response.body).get("errors"))
        if response.status == 400 and errors and all(_names_recipient(error) for error in errors):
            kind = Kind.RECIPIENT
        wait = reading.retry_after_ms(response.headers)
        if kind is Kind.THROTTLED and wait is None:
            wait = reading.rate_limit_reset_ms(response.headers)
        code = _field(errors[0]) or None if errors else None
        return reading.outcome(kind, response, _summary(errors), code=code, retry_after=wait)


def _mail(message: Message, credentials: Credentials) -> dict[str, Any]:
    content = message.content
    if content.get("attachments"):
        raise InvalidMessage("attachments: not supported")
    mail: dict[str, Any] = {
        "personalizations": [_personalization(message)],
        "from": _sender(content, credentials),
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


def _sender(content: Mapping[str, Any], credentials: Credentials) -> dict[str, str]:
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


def _read_success(response: Response) -> Outcome:
    message_id = reading.identifier(response.headers.get("x-message-id"))
    # Something in between (a captive portal, a misconfigured proxy) also says 200, with a page.
    if response.status == 200 and message_id is None and response.body.strip() not in (b"", b"{}"):
        return reading.outcome(Kind.UNKNOWN, response, "answered 200 with something that is not SendGrid's")
    return reading.outcome(Kind.ACCEPTED, response, message_id=message_id)


def _names_recipient(error: Mapping[str, Any]) -> bool:
    return bool(_TO_FIELD.match(_field(error)) and _BAD_ADDRESS.search(reading.text(error.get("message"))))


def _field(error: Mapping[str, Any]) -> str:
    field = reading.text(error.get("field"))
    return "" if field == "null" else field  # SendGrid's description shows the word as well as JSON's null


def _summary(errors: list[dict[str, Any]]) -> str:
    return "; ".join(
        reading.text(error.get("message")) + (f" ({field})" if (field := _field(error)) else "") for error in errors
    )
