"""What Twilio's answers mean.

Source: twilio.com/docs/api/errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Category
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.suppression import SuppressionCause
from notifyctl.providers import reading
from notifyctl.providers.contract import Response
from notifyctl.providers.inflate import is_unreadable
from notifyctl.providers.twilio.vocabulary import REFUSED

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
    21212: Kind.CONFIG,
    # Sending to this country is switched off: neither the number's fault nor a reason to stop for the others.
    21408: Kind.PERMANENT,
    21602: Kind.PERMANENT,
    21603: Kind.CONFIG,
    21606: Kind.CONFIG,
    21608: Kind.PERMANENT,  # a trial account, and this number is not one of those verified
    21611: Kind.THROTTLED,
    21612: Kind.PERMANENT,  # this sender does not reach this number; another one may
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
    63038: Kind.THROTTLED,
    **dict.fromkeys(REFUSED, Kind.RECIPIENT),
}
# Whom the codes blame that do not blame the account. A sender may be refused for a destination or altogether, and
# nothing in the answer says which.
_BLAMES: Mapping[int, Blame] = {
    **dict.fromkeys((21212, 21603, 21611, 21701, 21702, 21703, 21704, 21705, 30034), Blame.SENDER),
    **dict.fromkeys((21606, 21612, 21659, 21660, 21661), Blame.PAIR),
}
_LASTS_MS: Mapping[int, int] = {63038: 24 * 3_600_000}  # a window of 24 hours: "wait until the next day"
_QUEUE_FULL = 21611
_CATEGORIES: Mapping[int, Category] = {21408: Category.INVALID_RECIPIENT}
# What an operator has to know, where the account or its settings are at fault.
_LOGIN = "the login is refused: the SID or its token is mistyped, revoked or of another account"
_CLOSED = "the account is not active: it is suspended or closed at Twilio"
_ELSEWHERE = "there is no such account, or that is not Twilio: check account_sid and base_url"
_SENDER = "the sender cannot send: set another one as from"
_SERVICE = "the Messaging Service cannot send: check messaging_service_sid, and the service's senders at Twilio"
_UNREGISTERED = "the sender is not registered for A2P 10DLC: register it at Twilio"
_EXPLANATIONS: Mapping[int, str] = {
    **dict.fromkeys((401, 20003), _LOGIN),
    403: "the login may not send: check the API key's permissions, and whether the account is active",
    **dict.fromkeys((10001, 20005), _CLOSED),
    **dict.fromkeys((404, 405, 415, 20404), _ELSEWHERE),
    **dict.fromkeys((21212, 21603, 21606, 21659, 21660, 21661), _SENDER),
    **dict.fromkeys((21701, 21702, 21703, 21704, 21705), _SERVICE),
    20008: "these are test credentials, with which nothing is delivered and little can be asked",
    21408: "sending to this country is switched off: allow it in Twilio's geographic permissions",
    21608: "a trial account sends only to numbers verified at Twilio: verify them, or upgrade it",
    21611: "the queue of this sender is full at Twilio: it takes more when that has become shorter",
    21612: "this sender does not reach this number: send with another from, or by another provider",
    30034: _UNREGISTERED,
    63038: "the account's messages of a day are used up: they go out when the day is over, or Twilio raises the limit",
}


def read(response: Response) -> Outcome:
    """Return what the answer means; only a 201 that names the new message's SID is a success.

    Or whose body nobody here can read: a proxy that compresses it would have every message sent again.
    """
    answer = reading.json_object(response.body)
    if response.status == 201:
        sid = reading.identifier(answer.get("sid"))
        if sid is None and not is_unreadable(response.body):
            return reading.outcome(Kind.UNKNOWN, response, "answered 201 without a message SID")
        return reading.accepted(response, sid)
    code = _code(answer) if response.status >= 400 else None
    kind = _ANSWERS.get(code or 0) or _ANSWERS.get(response.status) or reading.kind_of_status(response.status)
    # A code that is not known here says more than its status, but not that it is about the account.
    unknown = Blame.ACCOUNT if code is None or kind is not Kind.CONFIG else Blame.PAIR
    blames = _BLAMES.get(code or 0, Blame.ACCOUNT if code in _ANSWERS else unknown)
    explanation = _EXPLANATIONS.get(code or 0) or (None if code in _ANSWERS else _EXPLANATIONS.get(response.status))
    return reading.outcome(
        kind,
        response,
        reading.explained(explanation, reading.text(answer.get("message"))),
        code=str(code) if code else None,
        retry_after=reading.retry_after_ms(response.headers),
        category=_CATEGORIES.get(code or 0, Category.PROVIDER_REJECTED),
        blames=blames,
        field="from" if explanation in (_SENDER, _SERVICE, _UNREGISTERED) or code == _QUEUE_FULL else None,
        lasts_ms=_LASTS_MS.get(code or 0, 0),
        cause=REFUSED.get(code or 0, SuppressionCause.BOUNCE),
    )


def _code(answer: Mapping[str, Any]) -> int | None:
    """Return Twilio's error code; nothing for a number that is none of theirs, such as a status."""
    code = answer.get("code")
    return code if isinstance(code, int) and 10_000 <= code <= 99_999 else None
