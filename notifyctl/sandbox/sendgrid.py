"""SendGrid's Mail Send, scopes and Email Activity, as its API answers; the errors' texts are SendGrid's own."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from notifyctl.sandbox import activity, lists, maillimits
from notifyctl.sandbox.activity import PER_MINUTE, Activity
from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply, as_json, dig, page, parse_object
from notifyctl.sandbox.identity import SENDGRID_KEYS, webhook_headers
from notifyctl.sandbox.maillimits import ErrorEntry

PATH = "/v3/mail/send"
SCOPES_PATH = "/v3/scopes"
EVENTS_PATH = "/sendgrid/events"
"""Not SendGrid's: what its Event Webhook would post, to be fetched."""
SCOPES = ("mail.send", "messages.read", "sender_verification_eligible", "2fa_required")
MAX_BYTES = 30 * 1024 * 1024
HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"

_METHODS = {PATH: "POST", **dict.fromkeys((SCOPES_PATH, activity.PATH, *lists.PATHS), "GET")}
_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(\.[^@\s<>,;.]+)+")
_RESERVED = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)
_ORDER = {"text/plain": 0, "text/html": 1}
_MESSAGES = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "access forbidden",
    404: "not found",
    405: "method not allowed",
    406: "only application/json is produced here",
    415: "Content-Type should be application/json.",
    429: "too many requests",
    500: "internal server error",
    503: "service unavailable",
}
_UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. "
    "Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity "
    "requirements"
)

# SendGrid has no codes, only texts; these are the sandbox's names for those that matter.
CODES: Mapping[str, tuple[int, ErrorEntry]] = {
    "address": (
        400,
        ("Does not contain a valid address.", "personalizations.0.to.0.email", "message.personalizations.to"),
    ),
    "credits": (401, ("Maximum credits exceeded", None, None)),
    "forbidden": (403, (_MESSAGES[403], None, None)),
    "revoked": (401, (_MESSAGES[401], None, None)),
    "unverified": (403, (_UNVERIFIED, "from", None)),
}


class SendGridServer:
    """Answers as SendGrid does; a sender whose address begins with `unverified` is no verified Sender Identity.

    `final_s` is how long it takes until a mail is delivered, in seconds.
    """

    name = "sendgrid"
    challenge = 'Bearer realm="SendGrid"'

    def __init__(self, random: Random, final_s: float) -> None:
        self._random = random
        self._activity = Activity(final_s)

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""
        return path.startswith("/v3/") or path == EVENTS_PATH

    def handle(self, call: IncomingRequest) -> Handled:
        """Return the answer to a request."""
        if call.path == EVENTS_PATH:
            return Handled(self._signed_events(call), sends=False)
        refused = _refused_by_headers(call)
        if call.method == "GET":
            return Handled(refused or self._told(call), sends=False)
        if refused is not None:
            return Handled(refused)
        mail = parse_object(call.body)
        if mail is None:
            return Handled(_error(400))
        checks = dig(mail, "mail_settings", "sandbox_mode", "enable") is True
        recipient, id_ = (
            dig(mail, "personalizations", 0, "to", 0, "email"),
            dig(mail, "personalizations", 0, "custom_args", "notification_id"),
        )
        reply = self._reply(mail, call.now)
        message_id = reply.headers.get("X-Message-Id")

        def accept(fate: str | None) -> None:
            if message_id is not None:
                self._activity.keep(message_id, mail, call.now, fate)

        return Handled(reply, _text(recipient), _text(id_), checks=checks, accept=accept if message_id else None)

    def _told(self, call: IncomingRequest) -> Reply:
        if call.path == SCOPES_PATH:
            return as_json(200, {"scopes": list(SCOPES)})
        if call.path in lists.PATHS:
            return lists.answer(call, self._activity.listed(call.now))
        reply, wait = self._activity.answer(call)
        return reply or too_many(PER_MINUTE, wait or int(call.now))

    def _signed_events(self, call: IncomingRequest) -> Reply:
        """Return a call of the Event Webhook, as it would be posted; its headers are in those of the answer."""
        if call.method != "GET" or not call.is_local():
            return _error(405)
        body = json.dumps(self._activity.calls(call.now), ensure_ascii=False).encode()
        return Reply(200, body, headers=webhook_headers(body, call.now))

    def _reply(self, mail: dict[str, Any], now: float) -> Reply:
        problems = [*_problems(mail), *maillimits.problems(mail, now)]
        if problems:
            return as_json(400, _body(problems))
        if str(dig(mail, "from", "email")).startswith("unverified"):
            return as_json(403, _body([(_UNVERIFIED, "from", None)]))
        if dig(mail, "mail_settings", "sandbox_mode", "enable") is True:
            return Reply(200)
        message_id = urlsafe_b64encode(self._random.randbytes(16)).decode().rstrip("=")
        return Reply(202, headers={"X-Message-Id": message_id})


def refusal(what: str, now: float) -> Reply | None:
    """Return what SendGrid answers with this status, or by one of `CODES`; None when it is neither."""
    if what in CODES:
        status, problem = CODES[what]
        return as_json(status, _body([problem]))
    if not what.isdecimal():
        return None
    status = int(what)
    if status in (413, 502, 504):
        return page(status)
    return too_many(600, int(now) + 1) if status == 429 else _error(status)


def too_many(limit: int, reset: int) -> Reply:
    """Return the 429 of a limit that is used up until `reset`, in seconds since the epoch."""
    limits = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    return as_json(429, _body([(_MESSAGES[429], None, None)]), limits)


def _refused_by_headers(call: IncomingRequest) -> Reply | None:
    """Return what is answered before the body is looked at, None when the request may come in."""
    authorization = call.headers.get("authorization")
    method = "GET" if call.path.startswith(f"{activity.PATH}/") else _METHODS.get(call.path)
    if method != call.method:
        return _error(405 if method else 404)
    if authorization is None:
        return as_json(401, _body([("authorization required", None, None)]))
    if authorization.removeprefix("Bearer ") not in SENDGRID_KEYS or not authorization.startswith("Bearer "):
        return _error(401)
    if "accept" not in call.headers:
        return _error(406)
    if call.method == "POST" and not call.has_content_type("application/json"):
        return _error(415)
    return page(413) if len(call.body) > MAX_BYTES else None


def _problems(mail: dict[str, Any]) -> Iterator[ErrorEntry]:
    personalizations = mail.get("personalizations")
    if not isinstance(personalizations, list) or not personalizations:
        yield (
            "The personalizations field is required and must have at least one personalization.",
            "personalizations",
            "-Personalizations-Errors",
        )
        personalizations = []
    for number, envelope in enumerate(personalizations):
        yield from _envelope(envelope if isinstance(envelope, dict) else {}, f"personalizations.{number}")
    yield from _from(mail.get("from"))
    if mail.get("reply_to") is not None:
        yield from _mailbox(mail["reply_to"], "reply_to")
    if not mail.get("template_id"):
        yield from _content(mail, personalizations)
    yield from _settings(mail)


def _envelope(envelope: dict[str, Any], field: str) -> Iterator[ErrorEntry]:
    to = envelope.get("to")
    if not isinstance(to, list) or not to:
        yield (
            "The to array is required for all personalization objects, and must have at least one email object with "
            "a valid email address.",
            f"{field}.to",
            "message.personalizations.to",
        )
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        boxes = envelope.get(kind)
        for number, box in enumerate(boxes if isinstance(boxes, list) else []):
            yield from _mailbox(box, f"{field}.{kind}.{number}")
            address = str(dig(box, "email")).casefold()
            if address in seen:
                yield (
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{address}] in the {field}.{kind} field.",
                    field,
                    "message.recipient-errors",
                )
            seen.add(address)
    yield from _strings(envelope.get("custom_args"), f"{field}.custom_args", "Custom arguments must be strings.")
    yield from _headers(envelope.get("headers"), f"{field}.headers")


def _mailbox(box: object, field: str) -> Iterator[ErrorEntry]:
    address = dig(box, "email")
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        anchor = re.sub(r"\.\d+", "", field)
        yield "Does not contain a valid address.", f"{field}.email", f"message.{anchor}"


def _from(sender: object) -> Iterator[ErrorEntry]:
    if not dig(sender, "email"):
        yield (
            "The from object must be provided for every email send. It is an object that requires the email "
            "parameter, but may also contain a name parameter.  e.g. "
            '{"email" : "example@example.com"}  or {"email" : "example@example.com", "name" : "Example Recipient"}.',
            "from.email",
            "message.from",
        )
    elif not str(dig(sender, "email")).isascii():
        yield "The from email does not contain a valid address.", "from.email", "message.from"
    else:
        yield from _mailbox(sender, "from")


def _content(mail: dict[str, Any], personalizations: list[Any]) -> Iterator[ErrorEntry]:
    if not mail.get("subject") and not all(dig(envelope, "subject") for envelope in personalizations or [None]):
        yield (
            "The subject is required. You can get around this requirement if you use a template with a subject "
            "defined or if every personalization has a subject defined.",
            "subject",
            "message.subject",
        )
    parts = mail.get("content")
    parts = parts if isinstance(parts, list) else []
    if not parts:
        yield (
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
            "defined content block. We typically suggest both text/plain and text/html blocks are included, but only "
            "one block is required.",
            "content",
            "message.content",
        )
    for number, part in enumerate(parts):
        value = dig(part, "value")
        if not isinstance(value, str) or not value:
            yield (
                "The content value must be a string at least one character in length.",
                f"content.{number}.value",
                None,
            )
    order = [_ORDER.get(str(dig(part, "type")), 2) for part in parts]
    if order != sorted(order):
        yield (
            "If present, text/plain must be first, followed by text/html, followed by any other content.",
            "content",
            "message.content",
        )


def _settings(mail: dict[str, Any]) -> Iterator[ErrorEntry]:
    categories = mail.get("categories")
    if isinstance(categories, list) and len(set(map(str, categories))) > 10:
        yield "The maximum number of categories is 10.", "categories", "message.categories"
    sandbox = dig(mail, "mail_settings", "sandbox_mode", "enable")
    if sandbox is not None and not isinstance(sandbox, bool):
        yield "The sandbox_mode enable parameter should be a boolean.", "mail_settings.sandbox_mode.enable", None
    yield from _headers(mail.get("headers"), "headers")


def _strings(values: object, field: str, message: str) -> Iterator[ErrorEntry]:
    for key, value in (values if isinstance(values, dict) else {}).items():
        if not isinstance(value, str):
            yield message, f"{field}.{key}", f"message.{field.rpartition('.')[2]}"


def _headers(values: object, field: str) -> Iterator[ErrorEntry]:
    yield from _strings(values, field, "Header values must be strings.")
    for key in values if isinstance(values, dict) else {}:
        if str(key).lower() in _RESERVED:
            yield f"The header {key} is reserved and may not be set.", f"{field}.{key}", "message.headers"


def _error(status: int) -> Reply:
    return as_json(status, _body([(_MESSAGES.get(status, "error"), None, None)]))


def _body(problems: list[ErrorEntry]) -> dict[str, Any]:
    return {
        "errors": [
            {"message": message, "field": field, "help": HELP + anchor if anchor else None}
            for message, field, anchor in problems
        ]
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
