"""Twilio's Messages and Account resources, as its API answers, with the magic numbers of its test credentials."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from urllib.parse import parse_qs, urlsplit

from notifyctl.sandbox.callbacks import Callbacks
from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply, as_json, page, parse_object
from notifyctl.sandbox.identity import TWILIO_ACCOUNT, TWILIO_KEY, TWILIO_KEY_SECRET, TWILIO_TOKEN, TWILIO_TOKENS
from notifyctl.sandbox.textlist import BadList
from notifyctl.sandbox.texts import Texts

MORE = "https://www.twilio.com/docs/errors/"
MOST_MEDIA = 10
LONGEST_VALIDITY_S = 36_000

_PATH = re.compile(r"/2010-04-01/Accounts/(?P<account>[^/.]+)(?P<messages>/Messages(?:/(?P<sid>[^/.]+))?)?\.json")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}|(?:whatsapp|messenger):.+")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_TEMPLATE = re.compile(r"HX[0-9a-fA-F]{32}")
_LOGINS = frozenset({*(f"{TWILIO_ACCOUNT}:{token}" for token in TWILIO_TOKENS), f"{TWILIO_KEY}:{TWILIO_KEY_SECRET}"})
# The refusals by their codes: HTTP status and text; {} stands for the number they are about.
CODES: Mapping[int, tuple[int, str]] = {
    10001: (401, "Account is not active"),
    20001: (400, "Bad request"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20005: (401, "Account not active"),
    20008: (403, "Resource not accessible with Test Account Credentials"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service unavailable"),
    21211: (400, "The 'To' number {} is not a valid phone number."),
    21212: (400, "The 'From' number {} is not a valid phone number, shortcode, or alphanumeric sender ID."),
    21266: (400, "'To' and 'From' number cannot be the same: {}"),
    21408: (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {}."),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number {} is not a valid, SMS-capable inbound phone number or short code for "
                 "your account."),
    21608: (400, "The number {} is unverified. Trial accounts cannot send messages to unverified numbers."),
    21609: (400, "The 'StatusCallback' URL {} is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (400, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' phone number: {}, is not currently reachable using the 'From' phone number"),
    21614: (400, "'To' number: {}, is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21619: (400, "A text message body or media urls must be specified."),
    21620: (400, "Invalid media URL(s)"),
    21623: (400, "Number of media files exceeds allowed limit"),
    21655: (400, "The ContentSid is Invalid"),
    21656: (400, "The Content Variables parameter is invalid."),
    21659: (400, "'From' {} is not a Twilio phone number or short code country mismatch"),
    21660: (400, "Mismatch between the 'From' number {} and the account"),
    21661: (400, "The 'From' number {} is not SMS-capable"),
    21701: (400, "The Messaging Service does not exist."),
    21703: (400, "The Messaging Service contains no phone numbers."),
    21910: (400, "Invalid 'From' and 'To' pair. 'From' and 'To' should be of the same channel"),
    30034: (400, "Message from an Unregistered Number"),
    63038: (429, "Account exceeded the daily messages limit"),
    90007: (400, "Invalid validity period value"),
}  # fmt: skip
_MAGIC_TO = {
    "+15005550001": 21211, "+15005550002": 21612, "+15005550003": 21408, "+15005550004": 21610, "+15005550009": 21614,
}  # fmt: skip
_MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
_BY_STATUS = {400: 20001, 401: 20003, 403: 20003, 404: 20404, 405: 20004, 429: 20429, 500: 20500, 503: 20503}
_ANYBODY = "+15005550000"


class TwilioServer:
    """Answers as Twilio does, to any number but the magic ones.

    `final_s` is how long it takes until a message is delivered, in seconds; with `callbacks`, addresses on this machine
    are told about it where a message names one.
    """

    name = "twilio"
    challenge = 'Basic realm="Twilio API"'

    def __init__(self, random: Random, final_s: float, callbacks: Callbacks | None = None) -> None:
        self._texts = Texts(random, final_s, callbacks)

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""
        return path.startswith("/2010-04-01/")

    def handle(self, call: IncomingRequest) -> Handled:
        """Return the answer to a request."""
        place = _PATH.fullmatch(call.path)
        login = _login(call)
        if login is None or (place and place["account"] != TWILIO_ACCOUNT):
            return Handled(_error(20003), sends=call.method == "POST")
        if place is None:
            return Handled(_error(20404), sends=False)
        if call.method == "GET":
            return Handled(self._told(call, login, place), sends=False)
        if call.method != "POST" or not place["messages"] or place["sid"]:
            return Handled(_error(20004), sends=False)
        form = _form(call)
        refused = _refusal(form)
        if refused is not None:
            return Handled(refused, form.get("To"))
        text = self._texts.make(form, call.now)
        reply = as_json(201, self._texts.show(text, call.now), {"Twilio-Concurrent-Requests": "1"})
        return Handled(reply, text.to, accept=lambda fate: self._texts.keep(replace(text, fate=fate) if fate else text))

    def _told(self, call: IncomingRequest, login: str, place: re.Match[str]) -> Reply:
        if place["sid"]:
            return self._texts.find(place["sid"], call.now) or _error(20404)
        if place["messages"]:
            try:
                return self._texts.list(call)
            except BadList as problem:
                return _error(20001, text=str(problem))
        # A key of the usual kind may not ask about the account.
        return _account(call.path) if login.startswith("AC") else _error(20003)


def refusal(what: str, now: float) -> Reply | None:
    """Return what Twilio answers with this status, or by one of `CODES`; None when it is neither."""
    del now
    if not what.isdecimal():
        return None
    number = int(what)
    if number in CODES:
        return _error(number)
    if number > 999:
        return None
    return _error(_BY_STATUS[number], status=number) if number in _BY_STATUS else page(number)


def _login(call: IncomingRequest) -> str | None:
    """Return the SID that signs in, None when nobody does."""
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    try:
        login = b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    return login.partition(":")[0] if scheme.lower() == "basic" and login in _LOGINS else None


def _account(path: str) -> Reply:
    began = "Thu, 30 Jul 2015 20:00:00 +0000"
    return as_json(
        200,
        {
            "auth_token": TWILIO_TOKEN,
            "date_created": began,
            "date_updated": began,
            "friendly_name": "notifyctl sandbox",
            "owner_account_sid": TWILIO_ACCOUNT,
            "sid": TWILIO_ACCOUNT,
            "status": "active",
            "subresource_uris": {"messages": path.removesuffix(".json") + "/Messages.json"},
            "type": "Full",
            "uri": path,
        },
    )


def _form(call: IncomingRequest) -> dict[str, str]:
    """Return the parameters, of several with one name the first; a JSON body has none, as with the real one."""
    if not call.has_content_type("application/x-www-form-urlencoded"):
        return {}
    fields = parse_qs(call.body.decode(errors="replace"), keep_blank_values=False)
    urls = fields.get("MediaUrl", [])
    odd = [each for each in urls if not _is_web_address(each)]
    media = {"MediaCount": str(len(urls)), "MediaUrl": (odd or urls)[0]} if urls else {}
    # Of several addresses one that is none, as one is enough to be refused.
    return {name: values[0] for name, values in fields.items()} | media


def _refusal(form: Mapping[str, str]) -> Reply | None:
    """Return what is wrong with the parameters, None when nothing is."""
    to, sender, service = form.get("To"), form.get("From"), form.get("MessagingServiceSid")
    if not to:
        return _error(21604)
    if not sender and not service:
        return _error(21603)
    if service and not _SERVICE.fullmatch(service):
        return _error(21701)
    if sender and (code := _sender_problem(sender)):
        return _error(code, sender)
    if not form.get("Body") and "MediaUrl" not in form and "ContentSid" not in form:
        return _error(21602)
    if len(form.get("Body", "")) > 1_600:
        return _error(21617)
    if int(form.get("MediaCount", "0")) > MOST_MEDIA:
        return _error(21623)
    if not _is_validity(form.get("ValidityPeriod", "1")):
        return _error(90007)
    if (code := _option_problem(form)) is not None:
        return _error(code, form.get("StatusCallback", ""))
    code = _recipient_problem(to) or _pair_problem(to, sender)
    return _error(code, to) if code else None


def _option_problem(form: Mapping[str, str]) -> int | None:
    """Return the code of an option that is malformed: an address that is none, a template that cannot be."""
    if "StatusCallback" in form and not _is_web_address(form["StatusCallback"]):
        return 21609
    if "MediaUrl" in form and not _is_web_address(form["MediaUrl"]):
        return 21620
    if "ContentSid" in form and not _TEMPLATE.fullmatch(form["ContentSid"]):
        return 21655
    return 21656 if "ContentVariables" in form and parse_object(form["ContentVariables"].encode()) is None else None


def _pair_problem(to: str, sender: str | None) -> int | None:
    """Return the code of a sender and a recipient that do not go together."""
    if sender is None:
        return None
    if to == sender:
        return 21266
    return None if to.rpartition(":")[0] == sender.rpartition(":")[0] else 21910


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _is_validity(seconds: str) -> bool:
    return seconds.isascii() and seconds.isdecimal() and len(seconds) < 9 and 1 <= int(seconds) <= LONGEST_VALIDITY_S


def _sender_problem(sender: str) -> int | None:
    if sender.startswith("+1500555") and sender != "+15005550006":
        return _MAGIC_FROM.get(sender, 21606)
    return None if _SENDER.fullmatch(sender) else 21212


def _recipient_problem(to: str) -> int | None:
    if to in _MAGIC_TO:
        return _MAGIC_TO[to]
    return None if _NUMBER.fullmatch(to.rpartition(":")[2]) else 21211


def _error(code: int, number: str = _ANYBODY, status: int | None = None, text: str | None = None) -> Reply:
    usual, message = CODES[code]
    status = status or usual
    body = {"code": code, "message": text or message.format(number), "more_info": f"{MORE}{code}", "status": status}
    return as_json(status, body)
