"""What SendGrid's answers mean.

Source: twilio.com/docs/sendgrid/api-reference/mail-send/errors and .../how-to-use-the-sendgrid-v3-api/rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.patterns import pattern
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
# What an operator has to know, where the account or its settings are at fault.
_EXPLANATIONS: Mapping[int, str] = {
    401: "the API key is refused: it is mistyped, revoked or of another region",
    403: "the API key may not send mail, or the account is blocked: give the key the scope Mail Send",
    **dict.fromkeys((404, 405, 406, 415), "that is not how Mail Send answers: check base_url"),
}
_SENDER = "the sender is not verified at SendGrid: verify it there, or set another one as from"
_REFUSED: Mapping[str, str] = {
    "from": "the sender is refused: set another one as from",
    "reply_to": "where answers go is refused: set another address as reply_to",
}
_CREDITS = "the plan's mails are used up: they go out when the plan begins anew or is upgraded"
_NO_CREDITS = pattern(r"\bcredits\b", re.IGNORECASE)
_NO_SENDER = pattern(r"sender identity", re.IGNORECASE)
_SETTING = pattern(r"(from|reply_to)(?:_list)?(?![a-z_])")
_TO_FIELD = pattern(r"personalizations\.\d+\.to\b")
_BAD_ADDRESS = pattern(r"valid (e-?mail )?address|invalid.*address", re.IGNORECASE)


def read(response: Response) -> Outcome:
    """Return what the answer means; a 202 counts even without its `X-Message-Id`."""
    kind = _ANSWERS.get(response.status) or reading.kind_of_status(response.status)
    if kind is Kind.ACCEPTED:
        return _read_success(response)
    errors = reading.objects(reading.json_object(response.body).get("errors"))
    blamed = _blamed(response.status, errors)
    if response.status == 400 and errors and all(_names_recipient(error) for error in errors):
        kind = Kind.RECIPIENT
    elif response.status == 400 and blamed:
        kind = Kind.CONFIG
    wait = reading.retry_after_ms(response.headers)
    if kind is Kind.THROTTLED and wait is None:
        wait = reading.rate_limit_reset_ms(response.headers)
    code = _field(errors[0]) or None if errors else None
    message = reading.explained(_explanation(response.status, errors, blamed), _summary(errors))
    blames = Blame.SENDER if blamed else Blame.ACCOUNT
    return reading.outcome(kind, response, message, code=code, retry_after=wait, blames=blames, field=blamed)


def _read_success(response: Response) -> Outcome:
    message_id = reading.identifier(response.headers.get("x-message-id"))
    # Something in between (a captive portal, a misconfigured proxy) also says 200, with a page.
    if response.status == 200 and message_id is None and response.body.strip() not in (b"", b"{}"):
        return reading.outcome(Kind.UNKNOWN, response, "answered 200 with something that is not SendGrid's")
    return reading.accepted(response, message_id)


def _blamed(status: int, errors: list[dict[str, Any]]) -> str | None:
    """Return the field that alone is at fault of those that the settings have as well; None where there is none.

    With a bad address in the settings every mail is refused: they, not the mails, have to change.
    """
    if status == 403 and (_NO_SENDER.search(_words(errors)) or any(_field(error) == "from" for error in errors)):
        return "from"
    found = [_SETTING.match(_field(error)) for error in errors]
    named = {match[1] for match in found if match}
    if status != 400 or not found or not all(found):
        return None
    return "from" if "from" in named else "reply_to"


def _explanation(status: int, errors: list[dict[str, Any]], blamed: str | None) -> str | None:
    if status == 401 and _NO_CREDITS.search(_words(errors)):
        return _CREDITS
    if blamed:
        return _SENDER if status == 403 else _REFUSED[blamed]
    return _EXPLANATIONS.get(status)


def _words(errors: list[dict[str, Any]]) -> str:
    return " ".join(reading.text(error.get("message")) for error in errors)


def _names_recipient(error: Mapping[str, Any]) -> bool:
    return bool(_TO_FIELD.match(_field(error)) and _BAD_ADDRESS.search(reading.text(error.get("message"))))


def _field(error: Mapping[str, Any]) -> str:
    field = reading.text(error.get("field"))
    return "" if field == "null" else field  # SendGrid's description shows the word as well as JSON's null


def _summary(errors: list[dict[str, Any]]) -> str:
    return "; ".join(
        reading.text(error.get("message")) + (f" ({field})" if (field := _field(error)) else "") for error in errors
    )
