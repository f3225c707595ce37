"""What becomes of a mail that SendGrid took, when it is asked: the Email Activity API.

The API is an add-on that costs extra, the key needs its scope, and EU subusers' mails are not in it. An answer about
many tells only how each stands; why one came back, it says when asked about that mail alone.

Source: twilio.com/docs/sendgrid/api-reference/email-activity, and support.sendgrid.com article 35804743679259 on the
query by X-Message-Id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from notifyctl.core.outcome import Kind
from notifyctl.core.patterns import pattern
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.core.text import one_line
from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, Request, Response, Trace
from notifyctl.providers.sendgrid import vocabulary
from notifyctl.providers.sendgrid.vocabulary import Event

AT_ONCE = 20
PER_MINUTE = 6
MOST_MAILS = 150  # of a mail to many each recipient's is one; more would not fit into what is read of an answer

_STAGES: Mapping[str, Stage] = {
    "processed": Stage.UNDERWAY,
    "delivered": Stage.DELIVERED,
    "not_delivered": Stage.BOUNCED,
}
_ID = pattern(r"[A-Za-z0-9_-]+")
_FULL_ID = pattern(r"[A-Za-z0-9_-]+\.[A-Za-z0-9._-]+")
_REFUSED = (401, 403)


def question(message_ids: Sequence[str], credentials: Credentials, default: str) -> Request:
    """Return the request for these mails, by their X-Message-Id; for one by its full id, if it is one."""
    headers = {"Authorization": f"Bearer {credentials.api_key}", "Accept": "application/json"}
    base = fields.base_url(credentials, default) + "/v3/messages"
    if len(message_ids) == 1 and _FULL_ID.fullmatch(message_ids[0]):
        return Request("GET", f"{base}/{quote(message_ids[0], safe='')}", headers, b"")
    # What else it may be never came from SendGrid, and could be more than an id in the query.
    wanted = " OR ".join(f"msg_id LIKE '{each}%'" for each in message_ids if _ID.fullmatch(each))
    query = urlencode({"query": wanted or "msg_id LIKE '-'", "limit": MOST_MAILS}, quote_via=quote)
    return Request("GET", f"{base}?{query}", headers, b"")


def read(response: Response, message_ids: Sequence[str]) -> Trace:
    """Return what the answer says of them."""
    answer = reading.json_object(response.body)
    if response.status == 200:
        alone = isinstance(answer.get("msg_id"), str)
        if not alone and not isinstance(answer.get("messages"), list):
            return Trace(Kind.UNKNOWN, message="answered 200 with something that is not SendGrid's")
        mails = [answer] if alone else reading.objects(answer["messages"])
        found = {reading.text(mail.get("msg_id")): _arrivals(mail, message_ids) for mail in mails}
        unclear = {} if alone else {full: some[0] for full, some in found.items() if some and _came_back(some[0])}
        clear = tuple(each for full, some in found.items() if full not in unclear for each in some)
        return Trace(Kind.ACCEPTED, clear, unclear=unclear)
    errors = "; ".join(reading.text(each.get("message")) for each in reading.objects(answer.get("errors")))
    message = one_line(f"HTTP {response.status} {errors}".strip())
    if response.status == 429:
        wait = reading.retry_after_ms(response.headers) or reading.rate_limit_reset_ms(response.headers)
        return Trace(Kind.THROTTLED, message=message, retry_after_ms=wait)
    if response.status in _REFUSED:
        return Trace(Kind.CONFIG, message=message)
    return Trace(Kind.PERMANENT if response.status in (400, 404) else Kind.UNKNOWN, message=message)


def _arrivals(mail: Mapping[str, Any], message_ids: Sequence[str]) -> list[Arrival]:
    """Return how a mail stands, and what its recipient wishes; nothing for one that was not asked about."""
    full, stage = reading.text(mail.get("msg_id")), _STAGES.get(reading.text(mail.get("status")))
    asked = any(full == each or full.startswith(f"{each}.") for each in message_ids)
    if stage is None or not asked:
        return []
    told = [_event(each, mail) for each in reading.objects(mail.get("events"))]
    read = [found for each in told if (found := vocabulary.receipt(each)) is not None]
    wishes = [each for each in read if each.stage is None]
    return [_of(full, each) for each in (_state(mail, stage, told), *wishes)]


def _state(mail: Mapping[str, Any], stage: Stage, told: Sequence[Event]) -> Receipt:
    """Return how a mail stands by its status; of one that came back, why by the last event that says so."""
    reason = next((each.reason for each in reversed(told) if each.reason), "")
    at = _moment(mail.get("last_event_time")) or next((each.at for each in reversed(told) if each.at), None)
    address = reading.text(mail.get("to_email")) or None
    known = (vocabulary.receipt(each) for each in reversed(told))
    why = next((each for each in known if each is not None and each.stage is stage), None)
    why = why or vocabulary.receipt(Event("bounce", reason=reason))  # no event is named: as one without a type
    text = one_line(f"{reading.text(mail.get('status'))} {reason}").strip()
    if why is None or stage is not Stage.BOUNCED:
        return Receipt(stage, text, at, address)
    return replace(why, text=text, at=at, address=address)


def _event(event: Mapping[str, Any], mail: Mapping[str, Any]) -> Event:
    return Event(
        reading.text(event.get("event_name")),
        reading.text(event.get("bounce_type")),
        reading.text(event.get("reason")),
        reading.text(mail.get("to_email")) or None,
        _moment(event.get("processed")),
        vocabulary.group_id(event.get("asm_group_id")) or vocabulary.group_id(mail.get("asm_group_id")),
    )


def _of(full: str, receipt: Receipt) -> Arrival:
    return Arrival(receipt, provider_message_id=full.partition(".")[0])


def _came_back(arrival: Arrival) -> bool:
    return arrival.receipt is not None and arrival.receipt.stage is Stage.BOUNCED


def _moment(date: object) -> int | None:
    """Return a date as ISO 8601 has it, in milliseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(reading.text(date))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
