"""The text messages that Twilio remembers, as its Message resource shows them while time passes.

Source: Twilio's OpenAPI description of `/2010-04-01/Accounts/{AccountSid}/Messages`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from random import Random
from time import gmtime, strftime
from typing import Any

from notifyctl.core.frozen import dataclass
from notifyctl.core.segments import segments
from notifyctl.sandbox import textlist
from notifyctl.sandbox.callbacks import Callbacks
from notifyctl.sandbox.exchange import IncomingRequest, Reply, as_json
from notifyctl.sandbox.identity import TWILIO_ACCOUNT
from notifyctl.sandbox.receipts import Progress, RecentMessages, progress
from notifyctl.sandbox.textlist import Listed

VERSION = "2010-04-01"
UNKNOWN_ERROR = 30008
ERRORS: Mapping[int, str] = {
    30001: "Queue overflow",
    30002: "Account suspended",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Carrier violation",
    30008: "Unknown error",
    30034: "Message from an Unregistered Number",
    30036: "Validity Period Expired",
}
_UNDELIVERABLE = re.compile(r"\+150055(3\d{4})")
"""A number for which a text is accepted and fails later: its end is the code, as in +15005530005."""


@dataclass(frozen=True, slots=True)
class Text:
    """One message; `created` in seconds since the epoch, `fate` the last status or the error code it comes to."""

    sid: str
    created: float
    to: str
    sender: str | None
    service: str | None
    body: str
    media: int
    callback: str | None
    fate: str | None = None


@dataclass(frozen=True, slots=True)
class _State:
    status: str
    code: int | None
    sent: float | None
    updated: float


class Texts:
    """Makes and remembers messages; `final_s` is how long it takes until one is delivered, in seconds."""

    def __init__(self, random: Random, final_s: float, callbacks: Callbacks | None) -> None:
        self._random = random
        self._final_s = final_s
        self._callbacks = callbacks
        self._texts: RecentMessages[Text] = RecentMessages()

    def make(self, form: Mapping[str, str], now: float) -> Text:
        """Return a new message; it is not remembered yet."""
        media = int(form.get("MediaCount", "0"))
        return Text(
            ("MM" if media else "SM") + f"{self._random.getrandbits(128):032x}",
            now,
            form["To"],
            form.get("From"),
            form.get("MessagingServiceSid"),
            form.get("Body", ""),
            media,
            form.get("StatusCallback"),
            _magic_fate(form["To"]),
        )

    def keep(self, text: Text) -> None:
        """Remember an accepted message, and plan its status callbacks if it names an address for them."""
        self._texts.put(text.sid, text)
        if text.callback and self._callbacks:
            steps = [
                (self._final_s / 2, self._told(text, Progress.SENT)),
                (self._final_s, self._told(text, Progress.FINAL)),
            ]
            self._callbacks.plan(text.callback, steps[:1] if text.fate == "sent" else steps)

    def show(self, text: Text, now: float) -> dict[str, Any]:
        """Return the message as it is now."""
        state = self._state(text, progress(now - text.created, self._final_s))
        here = f"/{VERSION}/Accounts/{TWILIO_ACCOUNT}/Messages/{text.sid}"
        return {
            "account_sid": TWILIO_ACCOUNT,
            "api_version": VERSION,
            "body": text.body,
            "date_created": _date(text.created),
            "date_sent": None if state.sent is None else _date(state.sent),
            "date_updated": _date(state.updated),
            "direction": "outbound-api",
            "error_code": state.code,
            "error_message": None if state.code is None else ERRORS.get(state.code),
            "from": text.sender,
            "messaging_service_sid": text.service,
            "num_media": str(text.media),
            "num_segments": "0" if text.service and state.sent is None else str(segments(text.body).count),
            "price": None,
            "price_unit": "USD",
            "sid": text.sid,
            "status": state.status,
            "subresource_uris": {"media": f"{here}/Media.json"},
            "to": text.to,
            "uri": f"{here}.json",
        }

    def find(self, sid: str, now: float) -> Reply | None:
        """Return the message of that SID, None when there is none."""
        text = self._texts.get(sid)
        return as_json(200, self.show(text, now)) if text else None

    def list(self, call: IncomingRequest) -> Reply:
        """Return the messages that are asked for, newest first: one page of them. Raises BadList."""
        fits = textlist.matching(call.query)
        found = [text for text in self._texts.newest() if fits(self._listed(text, call.now))]
        place, around = textlist.page(call.path, call.query, [text.sid for text in found])
        return as_json(200, {**around, "messages": [self.show(text, call.now) for text in found[place]]})

    def _listed(self, text: Text, now: float) -> Listed:
        sent = self._state(text, progress(now - text.created, self._final_s)).sent
        return Listed(text.sid, text.to, text.sender, text.created if sent is None else sent)

    def _state(self, text: Text, where: Progress) -> _State:
        sent_at = text.created + self._final_s / 2
        if where is Progress.ACCEPTED:
            return _State("accepted" if text.service else "queued", None, None, text.created)
        if where is Progress.SENT or text.fate == "sent":
            return _State("sent", None, sent_at, sent_at)
        end = text.created + self._final_s
        if text.fate is None:
            return _State("delivered", None, sent_at, end)
        if text.fate == "failed":
            return _State("failed", UNKNOWN_ERROR, sent_at, end)
        return _State("undelivered", int(text.fate), sent_at, end)

    def _told(self, text: Text, where: Progress) -> dict[str, str]:
        state = self._state(text, where)
        known = {
            "AccountSid": TWILIO_ACCOUNT,
            "ApiVersion": VERSION,
            "From": text.sender,
            "MessageSid": text.sid,
            "MessageStatus": state.status,
            "MessagingServiceSid": text.service,
            "SmsSid": text.sid,
            "SmsStatus": state.status,
            "To": text.to,
            "ErrorCode": None if state.code is None else str(state.code),
            "RawDlrDoneDate": strftime("%y%m%d%H%M", gmtime(state.updated)) if where is Progress.FINAL else None,
        }
        return {name: value for name, value in known.items() if value is not None}


def _magic_fate(to: str) -> str | None:
    found = _UNDELIVERABLE.fullmatch(to)
    return found[1] if found else None


def _date(moment: float) -> str:
    return formatdate(moment).replace("-0000", "+0000")
