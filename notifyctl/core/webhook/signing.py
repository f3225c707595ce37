"""Signatures of Standard Webhooks (https://www.standardwebhooks.com, version 1.0.0): HMAC-SHA256, symmetric.

What is signed is `ID.TIMESTAMP.BODY`, the timestamp in seconds of the attempt. During a rotation there is a signature
by each secret, so that a receiver may know either. A secret is `whsec_` and the base64 of 24 bytes: 32 would not fit
its column once it is encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from notifyctl.core.errors import UsageError

SECRET_BYTES = 24
PREFIX = "whsec_"
TOLERANCE_S = 300
"""How old, or how far ahead, a timestamp may be that a receiver accepts, as the standard's libraries have it."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_VERSION = "v1"


def secret_text(secret: bytes) -> str:
    """Return a secret as people see it, once."""
    return PREFIX + base64.b64encode(secret).decode()


def secret_of(text: str) -> bytes:
    """Return the bytes of a secret. Raises UsageError, without showing it."""
    encoded = text.strip().removeprefix(PREFIX)
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        secret = None
    if secret is None or base64.b64encode(secret).decode() != encoded:
        raise UsageError("the webhook's secret is not base64", f"{PREFIX} and the base64 of {SECRET_BYTES} bytes")
    if len(secret) != SECRET_BYTES:
        raise UsageError(
            f"the webhook's secret has {len(secret)} bytes, not {SECRET_BYTES}",
            f"it is kept encrypted, where {SECRET_BYTES} bytes fit: let webhooks create make one",
        )
    return secret


def headers(id_: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of one attempt; there is a signature by each of the secrets."""
    signatures = " ".join(f"{_VERSION},{_signature(id_, str(at_s), body, secret)}" for secret in secrets)
    return {ID: id_, TIMESTAMP: str(at_s), SIGNATURE: signatures}


def objection(
    given: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now_s: float, tolerance_s: float = TOLERANCE_S
) -> str | None:
    """Return why a receiver must not believe a request; None where it may. Names of headers count in any case."""
    found = {name.lower(): value for name, value in given.items()}
    lacking = [name for name in (ID, TIMESTAMP, SIGNATURE) if not found.get(name)]
    if lacking:
        return f"it has no {' and no '.join(lacking)}"
    id_, at, claimed = found[ID], found[TIMESTAMP].strip(), found[SIGNATURE].split()
    if not (at.isascii() and at.isdecimal() and len(at) <= 12):
        return f"its {TIMESTAMP} is no number of seconds"
    if abs(now_s - int(at)) > tolerance_s:
        when = "old" if int(at) < now_s else "far ahead"
        return f"its {TIMESTAMP} is too {when}: {abs(now_s - int(at)):,.0f} s, at most {tolerance_s:,.0f}"
    expected = [f"{_VERSION},{_signature(id_, at, body, secret)}".encode() for secret in secrets]
    theirs = [each.encode(errors="replace") for each in claimed]
    if not any(hmac.compare_digest(one, other) for one in expected for other in theirs):
        return "none of its signatures is by this secret, of this body"
    return None


def _signature(id_: str, at: str, body: bytes, secret: bytes) -> str:
    signed = b".".join((id_.encode(), at.encode(), body))
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
