"""What Twilio is asked: the form of one new message.

Source: twilio.com/docs/messaging/api/message-resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, InvalidMessage

MAX_BODY_CHARS = 1_600
MAX_MEDIA = 10
MAX_VALIDITY_SECONDS = 36_000
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


def form(message: Message, credentials: Credentials) -> bytes:
    """Return the form; raise InvalidMessage naming the field that cannot be sent."""
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
    return ("MessagingServiceSid" if SERVICE.fullmatch(value) else "From", value)


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
