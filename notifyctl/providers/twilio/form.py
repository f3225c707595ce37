"""What Twilio is asked: the form of one new message.

Source: twilio.com/docs/messaging/api/message-resource, for senders .../docs/glossary/what-alphanumeric-sender-id
and .../docs/whatsapp/api.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers import shapes
from notifyctl.providers.contract import Credentials, InvalidMessage

MAX_BODY_CHARS = 1_600
MAX_MEDIA = 10
MAX_VALIDITY_SECONDS = 36_000
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
NOTIFICATION, ATTEMPT = "notification_id", "attempt"
"""What the address of a status callback says: whom it is about, by our ids."""

_WHATSAPP = "whatsapp:"
_TEMPLATE = re.compile(r"HX[0-9a-fA-F]{32}")
# What else may be said of a message, as Twilio calls it.
OPTIONS = {
    "smart_encoded": ("SmartEncoded", shapes.flag),
    "shorten_urls": ("ShortenUrls", shapes.flag),
    "send_as_mms": ("SendAsMms", shapes.flag),
    "risk_check": ("RiskCheck", shapes.one_of("enable", "disable")),
    "content_retention": ("ContentRetention", shapes.one_of("retain", "discard")),
    "address_retention": ("AddressRetention", shapes.one_of("retain", "obfuscate")),
}
# A number, a short code, a name with a letter in it, or an address of another kind ("whatsapp:+14155552345").
_SENDER = re.compile(r"\+[1-9]\d{1,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}|[a-z]+:\S+", re.ASCII)


def form(message: Message, credentials: Credentials) -> bytes:
    """Return the form; raise InvalidMessage naming the field that cannot be sent."""
    content = message.content
    if not message.to:
        raise InvalidMessage("to: missing")
    source = sender(content, credentials)
    pairs = [("To", reached(message.to, source[1])), source, *_words(content), *_options(content)]
    if content.get("shorten_urls") and source[0] != "MessagingServiceSid":
        raise InvalidMessage("shorten_urls: goes with a Messaging Service")
    if (validity := _validity(content)) is not None:
        pairs.append(("ValidityPeriod", str(validity)))
    if (callback := status_callback(content, credentials)) is not None:
        pairs.append(("StatusCallback", naming(callback, message.notification_id, message.attempt)))
    try:
        return urlencode(pairs).encode()
    except UnicodeEncodeError:
        raise InvalidMessage("body: holds half a surrogate pair, which is no character") from None


def reached(number: str, sender: str) -> str:
    """Return the recipient as this sender reaches it: over WhatsApp both have its prefix."""
    prefix = _WHATSAPP if sender.startswith(_WHATSAPP) and not number.startswith(_WHATSAPP) else ""
    return prefix + number


def sender(content: Mapping[str, Any], credentials: Credentials) -> tuple[str, str]:
    """Return the parameter that names the sender: the content's own, else the service, else the number."""
    config = credentials.config
    value = fields.text(content, "from") or fields.text(config, "messaging_service_sid") or fields.text(config, "from")
    if value is None:
        raise InvalidMessage("from: missing, in the content and in the provider's settings")
    if SERVICE.fullmatch(value):
        return "MessagingServiceSid", value
    if not _SENDER.fullmatch(value):
        raise InvalidMessage(
            "from: must be a number such as +14155552345, a short code, 11 letters and digits or MG..."
        )
    return "From", value


def status_callback(content: Mapping[str, Any], credentials: Credentials) -> str | None:
    """Return where Twilio reports what becomes of the message: the content's own address, else the configured one."""
    value = fields.text(content, "status_callback") or fields.text(credentials.config, "status_callback")
    if value is not None and not _is_public_url(value):
        raise InvalidMessage("status_callback: must be an http or https address, its host without an underscore")
    return value


def naming(callback: str, notification_id: str, attempt: int | str) -> str:
    """Return the address with what the call is about in its query: the message's SID may not be known here.

    A fragment is Twilio's own (its connection overrides) and stays at the end.
    """
    base, sign, fragment = callback.partition("#")
    more = "&" if "?" in base else "?"
    return f"{base}{more}{NOTIFICATION}={notification_id}&{ATTEMPT}={attempt}{sign}{fragment}"


def _words(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what it says: a template with its variables, or text and media."""
    body, media, template = fields.text(content, "body"), _media(content), fields.text(content, "template_id")
    if template is not None:
        return _template(template, content, alone=body is None and not media)
    if content.get("template_data"):
        raise InvalidMessage("template_data: goes with template_id")
    if body is None and not media:
        raise InvalidMessage("body or media: missing")
    if body is not None and len(body) > MAX_BODY_CHARS:
        raise InvalidMessage(f"body: {len(body)} characters, Twilio takes {MAX_BODY_CHARS}")
    words = [] if body is None else [("Body", body)]
    return [*words, *(("MediaUrl", url) for url in media)]


def _template(template: str, content: Mapping[str, Any], *, alone: bool) -> list[tuple[str, str]]:
    if not _TEMPLATE.fullmatch(template):
        raise InvalidMessage("template_id: must be HX and 32 hexadecimal digits")
    if not alone:
        raise InvalidMessage("template_id: excludes body and media, which the template has")
    variables = fields.strings(content, "template_data")
    given = [("ContentVariables", fields.encode_json(variables).decode())] if variables else []
    return [("ContentSid", template), *given]


def _options(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, (name, check) in OPTIONS.items():
        if (value := content.get(field)) is not None:
            check(field, value)
            yield name, value.lower() if isinstance(value, str) else json.dumps(value)


def _media(content: Mapping[str, Any]) -> list[str]:
    media = fields.texts(content, "media")
    if len(media) > MAX_MEDIA or not all(fields.is_web_address(url) for url in media):
        raise InvalidMessage(f"media: must be at most {MAX_MEDIA} http or https addresses")
    return media


def _validity(content: Mapping[str, Any]) -> int | None:
    seconds = content.get("validity_seconds")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_VALIDITY_SECONDS:
        raise InvalidMessage(f"validity_seconds: must be a whole number from 1 to {MAX_VALIDITY_SECONDS}")
    return seconds


def _is_public_url(value: str) -> bool:
    return fields.is_web_address(value) and "_" not in (urlsplit(value).hostname or "")
