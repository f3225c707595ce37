"""What Twilio's answers mean.

Source: twilio.com/docs/api/errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Category
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import reading
from notifyctl.providers.contract import Response

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


def read(response: Response) -> Outcome:
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


def _code(answer: Mapping[str, Any]) -> int | None:
    """Return Twilio's error code; nothing for a number that is none of theirs, such as a status."""
    code = answer.get("code")
    return code if isinstance(code, int) and 10_000 <= code <= 99_999 else None
