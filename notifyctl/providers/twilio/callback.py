"""What Twilio calls a webhook with: status callbacks, and messages that came in.

Source: twilio.com/docs/messaging/guides/track-outbound-message-status, .../webhook-request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from notifyctl.core.receipt import Arrival
from notifyctl.providers import reading
from notifyctl.providers.contract import Call, Credentials, MalformedCall, Unread, Unsigned
from notifyctl.providers.twilio import signature
from notifyctl.providers.twilio.form import ATTEMPT, NOTIFICATION
from notifyctl.providers.twilio.receipts import receipt
from notifyctl.providers.twilio.signature import Pairs
from notifyctl.providers.twilio.vocabulary import inbound

_MOST_FIELDS = 1_000


def read(call: Call) -> list[Arrival | Unread]:
    """Return what the callbacks say, one a line. The address is that of one call: to several it says nothing.

    A call by GET has no body: all that it says is in the address.
    """
    lines = list(_lines(call.body))
    query = _query(call.url) if len(lines) < 2 else []
    if not lines and query:
        return [_line(b"", 1, query)]
    return [_line(line, number, query) for number, line in lines]


def is_genuine(call: Call, credentials: Credentials) -> bool:
    """Return whether Twilio signed it; raise Unsigned where that cannot be seen."""
    lines = list(_lines(call.body))
    if not lines:  # a GET: the address has it all, and is signed
        return signature.is_genuine(call, [], credentials)
    if len(lines) != 1:
        raise Unsigned(f"the headers are those of one call, and there are {len(lines)}")
    return signature.is_genuine(call, _pairs(lines[0][1], lines[0][0]), credentials)


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    numbered = enumerate(reading.unmarked(body).split(b"\n"), 1)
    return ((number, line.strip()) for number, line in numbered if line.strip())


def _line(line: bytes, number: int, query: Pairs) -> Arrival | Unread:
    try:
        return _arrival([*query, *_pairs(line, number)], number)
    except MalformedCall as problem:
        return Unread(str(problem))


def _pairs(line: bytes, number: int) -> Pairs:
    if not line:
        return []
    try:
        return parse_qsl(
            line.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise MalformedCall(f"line {number}: no form as Twilio posts it") from None


def _query(url: str | None) -> Pairs:
    """Return what the address that was called says; whoever received the call may also have put it into the form."""
    try:
        query = urlsplit(url or "").query
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def _arrival(pairs: Pairs, number: int) -> Arrival:
    form = dict(pairs)
    sid = reading.identifier(form.get("MessageSid") or form.get("SmsSid"))
    if _came_in(form):
        return Arrival(inbound(form), provider_message_id=sid)
    status = form.get("MessageStatus") or form.get("SmsStatus")
    if sid is None or not status:
        raise MalformedCall(f"line {number}: MessageSid and MessageStatus are missing")
    moment = _moment(form.get("RawDlrDoneDate", ""))
    found = receipt(status, form.get("ErrorCode"), form.get("ErrorMessage"), form.get("To"), moment)
    attempt = form.get(ATTEMPT, "")
    return Arrival(
        found,
        notification_id=reading.identifier(form.get(NOTIFICATION)),
        provider_message_id=sid,
        attempt=int(attempt) if attempt.isascii() and attempt.isdecimal() and len(attempt) < 10 else None,
    )


def _came_in(form: Mapping[str, str]) -> bool:
    """Return whether it is a message that somebody sent to us: it has a body, or says so, and no status of ours."""
    if form.get("MessageStatus"):
        return False
    return form.get("SmsStatus") in ("received", "receiving") or "Body" in form or "OptOutType" in form


def _moment(done: str) -> int | None:
    """Return the carrier's date (YYMMDDhhmm) in milliseconds since the epoch."""
    try:
        return int(datetime.strptime(done, "%y%m%d%H%M").replace(tzinfo=UTC).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
