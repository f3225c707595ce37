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

from notifyctl.core.patterns import pattern
from notifyctl.core.receipt import Arrival, Receipt
from notifyctl.providers import reading
from notifyctl.providers.contract import Call, Credentials, MalformedCall, Unread, Unsigned
from notifyctl.providers.sendgrid import vocabulary
from notifyctl.providers.sendgrid.vocabulary import Event

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
PUBLIC_KEY = "webhook_public_key"

_NO_ARRAY = "it is no JSON array, as SendGrid posts it"
_SECONDS = pattern(r"[0-9]{1,13}(\.[0-9]{1,9})?", re.ASCII)


def read(body: bytes) -> list[Arrival | Unread]:
    """Return what the events say: of one array, or of an array or event a line; raise MalformedCall for none.

    SendGrid posts arrays; it is what receives them that writes one event a line.
    """
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
    text = reading.unmarked(body).decode(errors="replace")  # bytes that are none cost the one event they are in
    if (whole := _array(text)) is not None:
        yield from (_arrival(event, f"element {number}") for number, event in enumerate(whole, 1))
        return
    calls = [(f"line {number}", _events(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not any(events is not None for _, events in calls):
        raise MalformedCall(_NO_ARRAY)
    for where, events in calls:
        if events is None:
            yield Unread(f"{where}: {_NO_ARRAY}")
        for number, event in enumerate(events or (), 1):
            yield _arrival(event, f"{where}, element {number}")


def _array(text: str) -> list[Any] | None:
    value = _decoded(text)
    return value if isinstance(value, list) else None


def _events(line: str) -> list[Any] | None:
    value = _decoded(line)
    if isinstance(value, dict) and "event" in value:
        return [value]
    return value if isinstance(value, list) else None


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> float:
    """Return a whole number; one with more digits than anything here has only costs the event that it is in."""
    return int(digits) if len(digits) < 20 else float(digits)


def _arrival(event: object, where: str) -> Arrival | Unread:
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return Unread(f"{where}: it is no event: an object with `event`")
    if reading.text(event.get("email")) and reading.address(event["email"]) is None:
        return Unread(f"{where}: its `email` has characters that are in no address")
    full = reading.identifier(event.get("sg_message_id")) or ""
    return Arrival(
        _receipt(event),
        notification_id=reading.identifier(event.get("notification_id")),
        provider_message_id=full.partition(".")[0] or None,
    )


def _receipt(event: Mapping[str, Any]) -> Receipt | None:
    return vocabulary.receipt(
        Event(
            event["event"],
            reading.text(event.get("type")),
            reading.text(event.get("reason")) or reading.text(event.get("response")),
            reading.address(event.get("email")),
            _moment(event.get("timestamp")),
            vocabulary.group_id(event.get("asm_group_id")),
        )
    )


def _moment(seconds: object) -> int | None:
    """Return seconds since the epoch, which also come as text, in milliseconds."""
    if isinstance(seconds, str):
        seconds = float(seconds) if _SECONDS.fullmatch(seconds.strip()) else None
    fine = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 2**40
    return int(float(seconds) * 1_000) if fine else None  # type: ignore[arg-type]
