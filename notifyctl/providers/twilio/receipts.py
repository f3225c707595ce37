"""What becomes of a message that Twilio took, when it is asked and when it calls.

Source: twilio.com/docs/messaging/api/message-resource (statuses), twilio.com/docs/api/errors (codes 30001 to 30036).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from notifyctl.core.outcome import Kind
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.core.suppression import SuppressionCause
from notifyctl.core.text import one_line
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, Request, Response, Trace
from notifyctl.providers.twilio.account import authorization, url
from notifyctl.providers.twilio.vocabulary import REFUSED

# `received` and `receiving` are of messages that came in.
_STAGES: Mapping[str, Stage] = {
    "accepted": Stage.UNDERWAY,
    "scheduled": Stage.UNDERWAY,
    "queued": Stage.UNDERWAY,
    "sending": Stage.UNDERWAY,
    "sent": Stage.UNDERWAY,
    "delivered": Stage.DELIVERED,
    "partially_delivered": Stage.DELIVERED,
    "read": Stage.DELIVERED,
    "undelivered": Stage.BOUNCED,
    "failed": Stage.BOUNCED,
    "canceled": Stage.BOUNCED,
}
_CODES: Mapping[int, str] = {
    21610: "Attempt to send to unsubscribed recipient",
    30001: "Queue overflow",
    30002: "Account suspended",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
    30036: "Validity period expired",
}
_SUSPENDED = 30002
_REFUSED = (401, 403)


def question(message_ids: Sequence[str], credentials: Credentials, default: str) -> Request:
    """Return the request for the one message."""
    (sid,) = message_ids
    resource = f"/Messages/{quote(sid, safe='')}.json"
    headers = {"Authorization": authorization(credentials), "Accept": "application/json"}
    return Request("GET", url(credentials, default, resource), headers, b"")


def read(response: Response, message_ids: Sequence[str]) -> Trace:
    """Return what the answer says of the one message."""
    answer = reading.json_object(response.body)
    if response.status == 200:
        moment = _moment(answer.get("date_updated"))
        found = receipt(
            answer.get("status"), answer.get("error_code"), answer.get("error_message"), answer.get("to"), moment
        )
        if found is None or answer.get("sid") not in message_ids:
            return Trace(Kind.UNKNOWN, message="answered 200 with something that is no message of ours")
        return Trace(Kind.ACCEPTED, (Arrival(found, provider_message_id=str(answer["sid"])),))
    message = one_line(f"HTTP {response.status} {reading.text(answer.get('message'))}".strip())
    if response.status == 429:
        return Trace(Kind.THROTTLED, message=message, retry_after_ms=reading.retry_after_ms(response.headers))
    if response.status in _REFUSED:
        return Trace(Kind.CONFIG, message=message)
    return Trace(Kind.PERMANENT if response.status == 404 else Kind.UNKNOWN, message=message)


def receipt(status: object, code: object, explained: object, to: object, at: int | None) -> Receipt | None:
    """Return the receipt that a message's status and error code make; None for a status that says nothing of it.

    Whatever the code, it is over: a number that could not be reached (30003, 30008) may be tried again by a person.
    """
    word = reading.text(status)
    stage = _STAGES.get(word)
    if stage is None:
        return None
    number = _number(code) if stage is Stage.BOUNCED else None
    parts = [word] if number is None else [word, str(number), _CODES.get(number) or reading.text(explained)]
    return Receipt(
        stage,
        one_line(" ".join(parts)).strip(),
        at=at,
        address=reading.text(to) or None,
        dead=number in REFUSED,
        pause=f"{number} {_CODES[number]}" if number == _SUSPENDED else None,
        cause=REFUSED.get(number or 0, SuppressionCause.BOUNCE),
    )


def _number(code: object) -> int | None:
    text = str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 and int(text) else None


def _moment(date: object) -> int | None:
    """Return a date as RFC 2822 has it, in milliseconds since the epoch."""
    try:
        moment = parsedate_to_datetime(reading.text(date))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
