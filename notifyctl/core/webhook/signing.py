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
import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass

SECRET_BYTES = 24
PREFIX = "whsec_"
TOLERANCE_S = 300
"""How old, or how far ahead, a timestamp may be that a receiver accepts, as the standard's libraries have it."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_VERSION = "v1"
_REWRITTEN = "of another body with the same JSON"


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
    return next((each.problem for each in checks(given, body, secrets, now_s, tolerance_s) if each.problem), None)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """One thing that a receiver looks at; `problem` says what is wrong with it."""

    check: str
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


def checks(
    given: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now_s: float, tolerance_s: float = TOLERANCE_S
) -> list[SignatureCheck]:
    """Return what a receiver looks at in a request, in its order, as far as it can go on looking."""
    found = {name.lower(): value.strip() for name, value in given.items()}
    lacking = [name for name in (ID, TIMESTAMP, SIGNATURE) if not found.get(name)]
    if lacking:
        return [SignatureCheck("headers", f"it has no {' and no '.join(lacking)}")]
    at = found[TIMESTAMP]
    if not (at.isascii() and at.isdecimal() and len(at) <= 12):
        return [SignatureCheck("headers"), SignatureCheck("timestamp", f"its {TIMESTAMP} is no number of seconds")]
    signed = _objection_to_signature(found[ID], at, body, secrets, found[SIGNATURE].split())
    return [
        SignatureCheck("headers"),
        SignatureCheck("timestamp", _objection_to_age(int(at), now_s, tolerance_s)),
        SignatureCheck("signature", signed),
    ]


def _objection_to_age(at: int, now_s: float, tolerance_s: float) -> str | None:
    if abs(now_s - at) <= tolerance_s:
        return None
    when = "old" if at < now_s else "far ahead"
    return f"its {TIMESTAMP} is too {when}: {abs(now_s - at):,.0f} s, at most {tolerance_s:,.0f}"


def _objection_to_signature(
    id_: str, at: str, body: bytes, secrets: Sequence[bytes], claimed: Sequence[str]
) -> str | None:
    if _is_signed(id_, at, body, secrets, claimed):
        return None
    if not any(each.startswith(f"{_VERSION},") for each in claimed):
        return f"its {SIGNATURE} has none of {_VERSION}"
    # What people feed to a check by mistake: text files end in a newline, and frameworks hand over JSON that was read.
    for other, what in _mistaken(body):
        if _is_signed(id_, at, other, secrets, claimed):
            return f"it is signed by this secret, but {what}: the bytes that came are what counts"
    return "none of its signatures is by this secret, of this body"


def _mistaken(body: bytes) -> Iterator[tuple[bytes, str]]:
    yield body.rstrip(b"\r\n"), "without the newline at the body's end"
    yield body.removeprefix(BOM_UTF8), "without the mark (BOM) at the body's beginning"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    for characters in (False, True):
        yield json.dumps(value, separators=(",", ":"), ensure_ascii=characters).encode(errors="replace"), _REWRITTEN


def _is_signed(id_: str, at: str, body: bytes, secrets: Sequence[bytes], claimed: Sequence[str]) -> bool:
    expected = [f"{_VERSION},{_signature(id_, at, body, secret)}".encode() for secret in secrets]
    theirs = [each.encode(errors="replace") for each in claimed]
    return any(hmac.compare_digest(one, other) for one in expected for other in theirs)


def _signature(id_: str, at: str, body: bytes, secret: bytes) -> str:
    # Not hmac.digest: that lets other threads run, and then waits for them.
    signed = b".".join((id_.encode(), at.encode(), body))
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
