"""What SendGrid's answers mean.

Source: twilio.com/docs/sendgrid/api-reference/mail-send/errors and .../how-to-use-the-sendgrid-v3-api/rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import reading
from notifyctl.providers.contract import Response

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


def read(response: Response) -> Outcome:
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
