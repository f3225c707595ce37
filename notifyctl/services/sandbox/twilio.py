"""Twilio's side of the Messages resource, with the magic numbers of its test credentials."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from email.utils import formatdate
from random import Random
from urllib.parse import parse_qs

from notifyctl.core.segments import segments
from notifyctl.services.sandbox.exchange import Call, Handled, Reply, as_json, page
from notifyctl.services.sandbox.identity import TWILIO_ACCOUNT, TWILIO_KEY, TWILIO_KEY_SECRET, TWILIO_TOKEN

MORE = "https://www.twilio.com/docs/errors/"

_MESSAGES_PATH = re.compile(r"/2010-04-01/Accounts/(?P<account>[^/]+)/Messages\.json")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}|(?:whatsapp|messenger):.+")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_LOGINS = frozenset({f"{TWILIO_ACCOUNT}:{TWILIO_TOKEN}", f"{TWILIO_KEY}:{TWILIO_KEY_SECRET}"})
_MAGIC_TO = {
    "+15005550001": (21211, "The 'To' number {} is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number: {}, is not currently reachable using the 'From' phone number"),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
                     "number: {}."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number: {}, is not a valid mobile number"),
}  # fmt: skip
_MAGIC_FROM = {
    "+15005550001": (21212, "The 'From' number {} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of queued messages"),
}
_NOT_OURS = (21606, "The 'From' phone number {} is not a valid, SMS-capable inbound phone number or short code for "
             "your account.")  # fmt: skip
_FAULTS = {
    400: (20001, "Bad request"),
    401: (20003, "Authenticate"),
    403: (20003, "Permission denied"),
    404: (20404, "The requested resource was not found"),
    405: (20004, "Method not allowed"),
    429: (20429, "Too Many Requests"),
    500: (20500, "An internal server error has occurred"),
    503: (20503, "Service unavailable"),
}


class Twilio:
    """Answers as Twilio does, to any number but the magic ones."""

    name = "twilio"

    def __init__(self, random: Random) -> None:
        self._random = random

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""
        return path.startswith("/2010-04-01/")

    def handle(self, call: Call) -> Handled:
        """Return the answer to a request."""
        place = _MESSAGES_PATH.fullmatch(call.path)
        if not _may_enter(call, place["account"] if place else TWILIO_ACCOUNT):
            return Handled(_error(401, 20003, "Authenticate"))
        if call.method != "POST":
            # What the test credentials get for everything but a POST.
            return Handled(_error(403, 20008, "Resource not accessible with Test Account Credentials"))
        if place is None:
            return Handled(_error(404, 20404, f"The requested resource {call.path} was not found"))
        form = _form(call)
        refused = _refusal(form)
        reply = _error(400, *refused) if refused else self._accepted(form, call.now)
        return Handled(reply, form.get("To"))

    def fault(self, status: int, now: float) -> Reply:
        """Return what Twilio answers with this status."""
        del now
        return _error(status, *_FAULTS[status]) if status in _FAULTS else page(status)

    def _accepted(self, form: Mapping[str, str], now: float) -> Reply:
        service, media = form.get("MessagingServiceSid"), int(form.get("MediaCount", "0"))
        sid = ("MM" if media else "SM") + f"{self._random.getrandbits(128):032x}"
        here, moment = (
            f"/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages/{sid}",
            formatdate(now).replace("-0000", "+0000"),
        )
        body = form.get("Body", "")
        return as_json(
            201,
            {
                "account_sid": TWILIO_ACCOUNT,
                "api_version": "2010-04-01",
                "body": body,
                "date_created": moment,
                "date_sent": None,
                "date_updated": moment,
                "direction": "outbound-api",
                "error_code": None,
                "error_message": None,
                "from": form.get("From"),
                "messaging_service_sid": service,
                "num_media": str(media),
                "num_segments": "0" if service else str(segments(body).count),
                "price": None,
                "price_unit": "USD",
                "sid": sid,
                "status": "accepted" if service else "queued",
                "subresource_uris": {"media": f"{here}/Media.json"},
                "to": form["To"],
                "uri": f"{here}.json",
            },
            {"Twilio-Concurrent-Requests": "1"},
        )


def _may_enter(call: Call, account: str) -> bool:
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    try:
        login = b64decode(encoded, validate=True).decode()
    except ValueError:
        return False
    return scheme.lower() == "basic" and login in _LOGINS and account == TWILIO_ACCOUNT


def _form(call: Call) -> dict[str, str]:
    """Return the parameters, of several with one name the first; a JSON body has none, as with the real one."""
    if not call.has_content_type("application/x-www-form-urlencoded"):
        return {}
    fields = parse_qs(call.body.decode(errors="replace"), keep_blank_values=False)
    media = {"MediaCount": str(len(fields["MediaUrl"]))} if "MediaUrl" in fields else {}
    return {name: values[0] for name, values in fields.items()} | media


def _refusal(form: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the code and message of what is wrong with the parameters, None when nothing is."""
    to, sender, service = form.get("To"), form.get("From"), form.get("MessagingServiceSid")
    if not to:
        return 21604, "A 'To' phone number is required."
    if not sender and not service:
        return 21603, "A 'From' phone number is required."
    if service and not _SERVICE.fullmatch(service):
        return 21701, "The Messaging Service does not exist."
    if sender and (problem := _sender_problem(sender)):
        return problem
    if not form.get("Body") and "MediaUrl" not in form and "ContentSid" not in form:
        return 21602, "Message body is required."
    if len(form.get("Body", "")) > 1_600:
        return 21617, "The concatenated message body exceeds the 1600 character limit"
    return _recipient_problem(to)


def _sender_problem(sender: str) -> tuple[int, str] | None:
    magic = _MAGIC_FROM.get(sender)
    if magic is None and sender.startswith("+1500555") and sender != "+15005550006":
        magic = _NOT_OURS
    if magic is None and not _SENDER.fullmatch(sender):
        magic = _MAGIC_FROM["+15005550001"]
    return (magic[0], magic[1].format(sender)) if magic else None


def _recipient_problem(to: str) -> tuple[int, str] | None:
    magic = _MAGIC_TO.get(to)
    if magic is None and not _NUMBER.fullmatch(to.rpartition(":")[2]):
        magic = _MAGIC_TO["+15005550001"]
    return (magic[0], magic[1].format(to)) if magic else None


def _error(status: int, code: int, message: str) -> Reply:
    return as_json(status, {"code": code, "message": message, "more_info": f"{MORE}{code}", "status": status})
