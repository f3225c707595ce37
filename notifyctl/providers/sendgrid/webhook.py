"""What SendGrid calls a webhook with: events, and how it signs them.

Source: twilio.com/docs/sendgrid/for-developers/tracking-events/event, and .../getting-started-event-webhook-security-
features.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from notifyctl.core.receipt import Arrival, Receipt
from notifyctl.providers import reading
from notifyctl.providers.contract import Call, Credentials, MalformedCall, Unread, Unsigned
from notifyctl.providers.sendgrid import vocabulary
from notifyctl.providers.sendgrid.vocabulary import Event

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
PUBLIC_KEY = "webhook_public_key"

_NO_ARRAY = "it is no JSON array, as SendGrid posts it"
_SECONDS = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?", re.ASCII)


def read(body: bytes) -> list[Arrival | Unread]:
    """Return what the events say: of one array, or of one a line; raise MalformedCall where there is no array."""
    return list(_arrivals(body))


def is_genuine(call: Call, credentials: Credentials) -> bool:
    """Return whether it was signed with the key whose public half is configured; raise Unsigned without one."""
    given, moment = call.headers.get(SIGNATURE), call.headers.get(TIMESTAMP)
    if not given or moment is None:
        raise Unsigned("the headers lack X-Twilio-Email-Event-Webhook-Signature or -Timestamp")
    configured = credentials.config.get(PUBLIC_KEY)
    if not configured:
        raise Unsigned(f"the setting {PUBLIC_KEY} is missing: the verification key of SendGrid's mail settings")
    return verifies(str(configured), given, moment, call.body)


def verifies(public_key: str, signature: str, timestamp: str, body: bytes) -> bool:
    """Return whether the signature (base64 of DER, ECDSA over P-256 with SHA-256) is of timestamp and raw body."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = _key(public_key)
        key.verify(b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def problems(credentials: Credentials) -> list[str]:
    """Return what is wrong with the setting `webhook_public_key`, if it is there."""
    configured = credentials.config.get(PUBLIC_KEY)
    try:
        if configured:
            _key(str(configured))
    except ValueError:
        return [f"{PUBLIC_KEY} is no verification key as SendGrid shows it: base64 of a public key on P-256"]
    return []


def _key(text: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(b64decode(text, validate=True))
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not on P-256")
    return key


def _arrivals(body: bytes) -> Iterator[Arrival | Unread]:
    try:
        text = reading.unmarked(body).decode()
    except UnicodeDecodeError:
        raise MalformedCall("it is no text in UTF-8") from None
    if (whole := _array(text)) is not None:
        yield from (_arrival(event, f"element {number}") for number, event in enumerate(whole, 1))
        return
    calls = [(f"line {number}", _array(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not any(events is not None for _, events in calls):
        raise MalformedCall(_NO_ARRAY)
    for where, events in calls:
        if events is None:
            yield Unread(f"{where}: {_NO_ARRAY}")
        for number, event in enumerate(events or (), 1):
            yield _arrival(event, f"{where}, element {number}")


def _array(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _arrival(event: object, where: str) -> Arrival | Unread:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return Unread(f"{where}: it is no event: an object with `event`")
    full = reading.identifier(event.get("sg_message_id")) or ""
    return Arrival(
        _receipt(event),
        notification_id=reading.identifier(event.get("notification_id")),
        provider_message_id=full.partition(".")[0] or None,
    )


def _receipt(event: Mapping[str, Any]) -> Receipt | None:
    group = event.get("asm_group_id")
    return vocabulary.receipt(
        Event(
            event["event"],
            reading.text(event.get("type")),
            reading.text(event.get("reason")) or reading.text(event.get("response")),
            reading.text(event.get("email")) or None,
            _moment(event.get("timestamp")),
            str(group) if isinstance(group, int | str) and not isinstance(group, bool) else "",
        )
    )


def _moment(seconds: object) -> int | None:
    """Return seconds since the epoch, which also come as text, in milliseconds."""
    if isinstance(seconds, str):
        seconds = float(seconds) if _SECONDS.fullmatch(seconds.strip()) else None
    fine = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 2**40
    return int(float(seconds) * 1_000) if fine else None  # type: ignore[arg-type]
