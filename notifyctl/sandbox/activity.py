"""SendGrid's Email Activity: what became of the mails, for those who ask.

Source: SendGrid's OpenAPI description of `GET /v3/messages` and `GET /v3/messages/{msg_id}`.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, unquote

from notifyctl.core.frozen import dataclass
from notifyctl.sandbox.exchange import IncomingRequest, Reply, as_json, dig
from notifyctl.sandbox.lists import ListedMail
from notifyctl.sandbox.query import BadQuery, parse
from notifyctl.sandbox.receipts import Progress, RecentMessages, RequestLimit, progress

PATH = "/v3/messages"
PER_MINUTE = 6
MAGIC = {
    "bounce": "not_delivered",
    "blocked": "blocked",
    "invalid": "dropped",
    "spamreport": "spamreport",
    "unsubscribe": "unsubscribe",
    "groupunsubscribe": "group_unsubscribe",
}
"""How an address begins to which no mail can be delivered (it is none, or its server does not want), or whose owner
says no to what was delivered."""

_NOTIFICATION = "unique_args['notification_id']"
_STATUSES = {"processed": "processed", "bounce": "not_delivered", "dropped": "not_delivered"}
_ACTIVITY_NAMES = {"bounce": "bounced", "spamreport": "spam_report"}
_FIELDS = frozenset({"msg_id", "from_email", "to_email", "subject", "status", "last_event_time", _NOTIFICATION})
_WISHES = frozenset({"spamreport", "unsubscribe", "group_unsubscribe"})
_DELIVERED = {"response": "250 2.0.0 OK"}
_BOUNCES: Mapping[str, Mapping[str, str]] = {
    "not_delivered": {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
    },
    "blocked": {"type": "blocked", "status": "5.7.1", "reason": "550 5.7.1 Message rejected as spam by content filter"},
}


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail to one person, as far as it is remembered; `created` in seconds since the epoch."""

    msg_id: str
    sender: str
    to: str
    subject: str
    notification_id: str
    created: float
    fate: str | None
    group: str = ""


@dataclass(frozen=True, slots=True)
class _Event:
    """What happened to a mail; `more` is what the Event Webhook tells besides."""

    name: str
    moment: float
    more: Mapping[str, str] = field(default_factory=dict)


class Activity:
    """Remembers the accepted mails; `final_s` is how long it takes until one is delivered, in seconds."""

    def __init__(self, final_s: float) -> None:
        self._final_s = final_s
        self._mails: RecentMessages[_Mail] = RecentMessages()
        self._allowance = RequestLimit(PER_MINUTE, 60)

    def keep(self, message_id: str, mail: dict[str, Any], now: float, fate: str | None) -> None:
        """Remember an accepted mail: one for each recipient."""
        for number, (to, envelope) in enumerate(_recipients(mail)):
            msg_id = f"{message_id}.recvd-sandbox-{number}"
            magic = next((end for beginning, end in MAGIC.items() if to.lower().startswith(beginning)), None)
            kept = _Mail(
                msg_id,
                str(dig(mail, "from", "email"))[:320],
                to[:320],
                str(dig(envelope, "subject") or mail.get("subject") or "")[:998],
                str(dig(envelope, "custom_args", "notification_id") or "")[:100],
                now,
                fate or magic,
                str(dig(mail, "asm", "group_id") or "")[:20],
            )
            self._mails.put(msg_id, kept)

    def answer(self, call: IncomingRequest) -> tuple[Reply | None, int | None]:
        """Return the answer to a question; no answer but the moment of the next one when there were too many."""
        wait = self._allowance.take(call.now)
        if wait is not None:
            return None, wait
        return (self._search(call) if call.path == PATH else self._details(call)), None

    def calls(self, now: float) -> list[dict[str, Any]]:
        """Return what the Event Webhook would have been told so far, the newest mail first."""
        return [
            {
                "email": mail.to,
                "timestamp": int(event.moment),
                "smtp-id": f"<{mail.msg_id.partition('.')[0]}@sandbox.localhost>",
                "event": event.name,
                "sg_event_id": urlsafe_b64encode(sha256(f"{mail.msg_id} {event.name}".encode()).digest()[:16]).decode(),
                "sg_message_id": mail.msg_id,
                **({"notification_id": mail.notification_id} if mail.notification_id else {}),
                **event.more,
            }
            for mail in self._mails.newest()
            for event in self._events(mail, now)
        ]

    def listed(self, now: float) -> Iterator[ListedMail]:
        """Return what may have put addresses on the suppression lists, the newest mail first."""
        for mail in self._mails.newest():
            yield from (ListedMail(event.name, mail.to, event.moment, event.more) for event in self._events(mail, now))

    def _search(self, call: IncomingRequest) -> Reply:
        asked = parse_qs(call.query)
        limit = asked.get("limit", ["10"])[0]
        if not limit.isdecimal() or not 1 <= int(limit[:9]) <= 1_000:
            return _refused(400, "limit must be greater than 0 and less than or equal to 1000")
        try:
            test = parse(asked.get("query", [""])[0], _FIELDS)
        except BadQuery as error:
            return _refused(400, str(error))
        rows = (self._row(mail, call.now) for mail in self._mails.newest())
        found = islice((row for row in rows if test(row)), int(limit))
        counts = {"opens_count": 0, "clicks_count": 0}
        return as_json(200, {"messages": [{**row, **counts} for row in map(_without_arguments, found)]})

    def _details(self, call: IncomingRequest) -> Reply:
        mail = self._mails.get(unquote(call.path.removeprefix(f"{PATH}/")))
        if mail is None:
            return as_json(404, {"errors": [{"message": "not found", "field": "message_id"}]})
        told = [
            {
                "event_name": _ACTIVITY_NAMES.get(event.name, event.name),
                "processed": _date(event.moment),
                "mx_server": "mx.sandbox.localhost",
                **({"reason": event.more["reason"], "bounce_type": _severity(event)} if "reason" in event.more else {}),
            }
            for event in self._events(mail, call.now)
        ]
        row = _without_arguments(self._row(mail, call.now))
        del row["last_event_time"]
        arguments = json.dumps({"notification_id": mail.notification_id} if mail.notification_id else {})
        rest = {"template_id": "", "teammate": "", "api_key_id": "sandbox", "categories": [], "unique_args": arguments}
        return as_json(200, {**row, **rest, "events": told})

    def _row(self, mail: _Mail, now: float) -> dict[str, str]:
        last = self._events(mail, now)[-1]
        return {
            "from_email": mail.sender,
            "msg_id": mail.msg_id,
            "subject": mail.subject,
            "to_email": mail.to,
            "status": _STATUSES.get(last.name, "delivered"),
            "last_event_time": _date(last.moment),
            _NOTIFICATION: mail.notification_id,
        }

    def _events(self, mail: _Mail, now: float) -> list[_Event]:
        """Return what happened to the mail so far, oldest first."""
        events = [_Event("processed", mail.created)]
        if mail.fate != "processed" and progress(now - mail.created, self._final_s) is Progress.FINAL:
            end = mail.created + self._final_s
            bounce = _BOUNCES.get(mail.fate or "")
            if mail.fate == "dropped":
                return [_Event("dropped", end, {"reason": "Invalid"})]
            events.append(_Event("bounce", end, bounce) if bounce else _Event("delivered", end, _DELIVERED))
            if mail.fate in _WISHES:
                events.append(_Event(mail.fate, end, {"asm_group_id": mail.group} if mail.group else {}))
        return events


def _severity(event: _Event) -> str:
    return "hard" if event.more.get("type") == "bounce" else "soft"


def _recipients(mail: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for envelope in mail.get("personalizations") or ():
        for kind in ("to", "cc", "bcc"):
            boxes = dig(envelope, kind)
            for box in boxes if isinstance(boxes, list) else ():
                yield str(dig(box, "email")), envelope


def _without_arguments(row: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name != _NOTIFICATION}


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refused(status: int, message: str) -> Reply:
    return as_json(status, {"errors": [{"message": message}]})
