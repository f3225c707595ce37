"""Twilio: text messages over the Messages resource of the API of 2010-04-01.

Source: twilio.com/docs/messaging/api/message-resource and twilio.com/docs/api/errors.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from notifyctl.core.model import Category, Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response

MAX_BODY_CHARS = 1_600
MAX_MEDIA = 10
MAX_VALIDITY_SECONDS = 36_000

# Twilio's codes (five digits) and, for an answer without a listed one, the HTTP status (three digits). The code
# decides, because for some (21611) the status is documented nowhere.
_ANSWERS: Mapping[int, Kind] = {
    201: Kind.ACCEPTED,
    400: Kind.PERMANENT,
    401: Kind.CONFIG,
    403: Kind.CONFIG,
    404: Kind.CONFIG,
    405: Kind.CONFIG,
    415: Kind.CONFIG,
    429: Kind.THROTTLED,
    # The POST is documented as not idempotent: after any 5xx the message may be on its way.
    500: Kind.UNKNOWN,
    10001: Kind.CONFIG,
    20003: Kind.CONFIG,
    20005: Kind.CONFIG,
    20404: Kind.CONFIG,
    20429: Kind.THROTTLED,
    20500: Kind.UNKNOWN,
    21211: Kind.RECIPIENT,
    21212: Kind.CONFIG,
    # Sending to this country is switched off: neither the number's fault nor a reason to stop for the others.
    21408: Kind.PERMANENT,
    21602: Kind.PERMANENT,
    21603: Kind.CONFIG,
    21606: Kind.CONFIG,
    21608: Kind.CONFIG,
    21610: Kind.RECIPIENT,
    21611: Kind.THROTTLED,
    21612: Kind.RECIPIENT,
    21614: Kind.RECIPIENT,
    21617: Kind.PERMANENT,
    21619: Kind.PERMANENT,
    21620: Kind.PERMANENT,
    21659: Kind.CONFIG,
    21660: Kind.CONFIG,
    21661: Kind.CONFIG,
    21701: Kind.CONFIG,
    21702: Kind.CONFIG,
    21703: Kind.CONFIG,
    21704: Kind.CONFIG,
    21705: Kind.CONFIG,
    30034: Kind.CONFIG,
}
_CATEGORIES: Mapping[int, Category] = {21408: Category.INVALID_RECIPIENT}
_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY = re.compile(r"(?:AC|SK)[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


class Twilio:
    """The adapter. Settings: `from` or `messaging_service_sid` (one is needed), `account_sid`, `base_url`.

    `api_key` is the account's SID, or an API key's (SK...), and then `account_sid` is needed.
    """

    name = "twilio"
    channel = Channel.SMS
    default_url = "https://api.twilio.com"

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("SID (api_key)", credentials.api_key)
        problems += fields.problems_with_secret("token (api_secret)", credentials.api_secret)
        problems += fields.problems_with_base_url(credentials)
        if credentials.api_key and not _KEY.fullmatch(credentials.api_key):
            problems.append("the SID (api_key) is not AC or SK and 32 hexadecimal digits")
        if not _ACCOUNT.fullmatch(_account(credentials)):
            problems.append("account_sid is missing or not AC and 32 hexadecimal digits")
        service = credentials.config.get("messaging_service_sid")
        if service and not _SERVICE.fullmatch(str(service)):
            problems.append("messaging_service_sid is not MG and 32 hexadecimal digits")
        if not service and not credentials.config.get("from"):
            problems.append('the sender is missing: "from" or "messaging_service_sid"')
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that texts `message`; raise InvalidMessage when none can."""
        login = b64encode(f"{credentials.api_key}:{credentials.api_secret or ''}".encode()).decode()
        return Request(
            "POST",
            f"{fields.base_url(credentials, self.default_url)}"
            f"/2010-04-01/Accounts/{quote(_account(credentials), safe='')}/Messages.json",
            {
                "Authorization": f"Basic {login}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            _form(message, credentials),
        )

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; only a 201 that names the new message's SID is a success."""
        answer = reading.json_object(response.body)
        if response.status == 201:
            sid = reading.identifier(answer.get("sid"))
            if sid is None:
                return reading.outcome(Kind.UNKNOWN, response, "answered 201 without a message SID")
            return reading.outcome(Kind.ACCEPTED, response, message_id=sid)
        code = _code(answer) if response.status >= 400 else None
        kind = _ANSWERS.get(code or 0) or _ANSWERS.get(response.status) or reading.kind_of_status(response.status)
        return reading.outcome(
            kind,
            response,
            reading.text(answer.get("message")),
            code=str(code) if code else None,
            retry_after=reading.retry_after_ms(response.headers),
            category=_CATEGORIES.get(code or 0, Category.PROVIDER_REJECTED),
        )


def _account(credentials: Credentials) -> str:
    configured = credentials.config.get("account_sid")
    if configured:
        return str(configured)
    return credentials.api_key if credentials.api_key.startswith("AC") else ""


def _form(message: Message, credentials: Credentials) -> bytes:
    content = message.content
    body, media = fields.text(content, "body"), _media(content)
    if not message.to:
        raise InvalidMessage("to: missing")
    if body is None and not media:
        raise InvalidMessage("body or media: missing")
    if body is not None and len(body) > MAX_BODY_CHARS:
        raise InvalidMessage(f"body: {len(body)} characters, Twilio takes {MAX_BODY_CHARS}")
    pairs = [("To", message.to), _sender(content, credentials)]
    if body is not None:
        pairs.append(("Body", body))
    pairs += [("MediaUrl", url) for url in media]
    if (validity := _validity(content)) is not None:
        pairs.append(("ValidityPeriod", str(validity)))
    try:
        return urlencode(pairs).encode()
    except UnicodeEncodeError:
        raise InvalidMessage("body: holds half a surrogate pair, which is no character") from None


def _sender(content: Mapping[str, Any], credentials: Credentials) -> tuple[str, str]:
    """Return the parameter that names the sender: the content's own, else the service, else the number."""
    config = credentials.config
    value = fields.text(content, "from") or fields.text(config, "messaging_service_sid") or fields.text(config, "from")
    if value is None:
        raise InvalidMessage("from: missing, in the content and in the provider's settings")
    return ("MessagingServiceSid" if _SERVICE.fullmatch(value) else "From", value)


def _media(content: Mapping[str, Any]) -> list[str]:
    media = fields.texts(content, "media")
    if len(media) > MAX_MEDIA or not all(url.startswith(("https://", "http://")) for url in media):
        raise InvalidMessage(f"media: must be at most {MAX_MEDIA} http or https addresses")
    return media


def _validity(content: Mapping[str, Any]) -> int | None:
    seconds = content.get("validity_seconds")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_VALIDITY_SECONDS:
        raise InvalidMessage(f"validity_seconds: must be a whole number from 1 to {MAX_VALIDITY_SECONDS}")
    return seconds


def _code(answer: Mapping[str, Any]) -> int | None:
    """Return Twilio's error code; nothing for a number that is none of theirs, such as a status."""
    code = answer.get("code")
    return code if isinstance(code, int) and 10_000 <= code <= 99_999 else None
