"""Twilio: requests written out as its API wants them, and its answers."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl

import pytest

from notifyctl.core.model import Category, Channel, Message
from notifyctl.core.outcome import Blame, Kind
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response
from notifyctl.providers.inflate import readable
from notifyctl.providers.twilio import Twilio

ADAPTER = Twilio()
ACCOUNT = "AC" + "a" * 32
KEY = "SK" + "b" * 32
SERVICE = "MG" + "c" * 32
TEMPLATE = "HX" + "d" * 32
CREDENTIALS = Credentials(ACCOUNT, "token", {"from": "+14155552345"})


def build(content: dict[str, Any], credentials: Credentials = CREDENTIALS, to: str | None = "+15558675310") -> Request:
    return ADAPTER.build(Message("id", Channel.SMS, to, content), credentials)


def form(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.body.decode(), keep_blank_values=True)


def read(status: int, body: object = None, **headers: str) -> Any:
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return ADAPTER.read(Response(status, {key.replace("_", "-"): value for key, value in headers.items()}, encoded))


def error(status: int, code: int) -> Any:
    return read(status, {"code": code, "message": "what is wrong", "more_info": "https://...", "status": status})


def test_whole_message() -> None:
    """Every supported field becomes a form parameter under Twilio's name; JSON would be refused."""
    request = build(
        {
            "v": 1,
            "body": "Hello! 👍 & more",
            "from": "+15005550006",
            "media": ["https://shop.example/a.png", "https://shop.example/b.png"],
            "validity_seconds": 600,
            "status_callback": "https://shop.example/status?a=1&b=2",
        }
    )
    assert request.method == "POST"
    assert request.url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == f"{ACCOUNT}:token"
    assert request.body.isascii()
    assert form(request) == [
        ("To", "+15558675310"),
        ("From", "+15005550006"),
        ("Body", "Hello! 👍 & more"),
        ("MediaUrl", "https://shop.example/a.png"),
        ("MediaUrl", "https://shop.example/b.png"),
        ("ValidityPeriod", "600"),
        ("StatusCallback", "https://shop.example/status?a=1&b=2&notification_id=id&attempt=1"),
    ]


def test_template() -> None:
    """A template of Twilio's goes with its variables, which are texts in JSON, and without text of one's own."""
    request = build({"template_id": TEMPLATE, "template_data": {"1": "Änne", "2": 7}})
    assert form(request)[2:] == [("ContentSid", TEMPLATE), ("ContentVariables", '{"1":"Änne","2":"7"}')]
    assert form(build({"template_id": TEMPLATE}))[2:] == [("ContentSid", TEMPLATE)]


def test_status_callback() -> None:
    """The content's own address for reports goes before the configured one; without both Twilio's settings hold.

    It names the notification and the attempt, so that a report finds it whose SID nobody here learned.
    """
    configured = Credentials(ACCOUNT, "token", {**CREDENTIALS.config, "status_callback": "https://a.example/"})
    own = {"body": "x", "status_callback": "https://b.example/?a#rc=2"}
    asked = [
        dict(form(build(*each))).get("StatusCallback") for each in (({"body": "x"}, configured), (own, configured))
    ]
    named = "notification_id=id&attempt=1"
    assert asked == [f"https://a.example/?{named}", f"https://b.example/?a&{named}#rc=2"]
    assert "StatusCallback" not in dict(form(build({"body": "x"})))


@pytest.mark.parametrize("sender", ["+14155552345", "12345", "Shop 24", "B&B_+-x", "whatsapp:+14155552345"])
def test_senders(sender: str) -> None:
    """Numbers, short codes, names and addresses of other kinds may send."""
    assert ("From", sender) in form(build({"body": "x", "from": sender}))


@pytest.mark.parametrize(
    ("sender", "to", "asked"),
    [
        ("whatsapp:+14155552345", "+15558675310", "whatsapp:+15558675310"),
        ("whatsapp:+14155552345", "whatsapp:+15558675310", "whatsapp:+15558675310"),
        ("+14155552345", "+15558675310", "+15558675310"),
    ],
)
def test_whatsapp(sender: str, to: str, asked: str) -> None:
    """Over WhatsApp a user's number is reached as an address of WhatsApp's, as its sender is."""
    for content, config in (({"from": sender}, CREDENTIALS.config), ({}, {"from": sender})):
        request = build({"body": "x", **content}, Credentials(ACCOUNT, "token", config), to)
        assert dict(form(request))["To"] == asked


def test_api_key() -> None:
    """An API key signs in with its own SID and secret; the path still names the account."""
    request = build({"body": "x"}, Credentials(KEY, "secret", {"account_sid": ACCOUNT, "from": "+14155552345"}))
    assert f"/Accounts/{ACCOUNT}/" in request.url
    assert b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == f"{KEY}:secret"


@pytest.mark.parametrize(
    ("config", "content_from", "sender"),
    [
        ({"from": "+14155552345"}, None, ("From", "+14155552345")),
        ({"messaging_service_sid": SERVICE}, None, ("MessagingServiceSid", SERVICE)),
        ({"messaging_service_sid": SERVICE, "from": "+14155552345"}, None, ("MessagingServiceSid", SERVICE)),
        ({"messaging_service_sid": SERVICE}, "Shop", ("From", "Shop")),
        ({"from": "+14155552345"}, SERVICE, ("MessagingServiceSid", SERVICE)),
    ],
)
def test_sender(config: dict[str, str], content_from: str | None, sender: tuple[str, str]) -> None:
    """Exactly one sender is named: the content's own, else the Messaging Service, else the number."""
    request = build({"body": "x", "from": content_from}, Credentials(ACCOUNT, "token", config))
    assert [pair for pair in form(request) if pair[0] in ("From", "MessagingServiceSid")] == [sender]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "body or media: missing"),
        ({"body": ""}, "body or media: missing"),
        ({"body": 7}, "body: must be text"),
        ({"body": "x" * 1601}, "body: 1601 characters"),
        ({"body": "\udc00"}, "surrogate"),
        (
            {"media": ["https://x.example/a"] * 2 + [f"https://x.example/{n}" for n in range(10)]},
            "media: must be at most 10",
        ),
        ({"media": "file:///etc/passwd"}, "media: must be"),
        ({"body": "x", "from": "12"}, "from: must be"),
        ({"body": "x", "from": "(415) 555-2345"}, "from: must be"),
        ({"body": "x", "from": "twelve chars"}, "from: must be"),
        ({"body": "x", "from": "Shop\n"}, "from: must be"),
        ({"body": "x", "status_callback": "shop.example"}, "status_callback: must be"),
        ({"body": "x", "status_callback": "https://my_shop.example/"}, "status_callback: must be"),
        ({"body": "x", "status_callback": "https://[::1"}, "status_callback: must be"),
        ({"body": "x", "status_callback": "https://shop.example/\n"}, "status_callback: must be"),
        ({"body": "x", "status_callback": "https://shop.example/a b"}, "status_callback: must be"),
        ({"media": "https://shop.example/a.png\n"}, "media: must be"),
        ({"template_id": "HX1"}, "template_id: must be HX"),
        ({"body": "x", "smart_encoded": "yes"}, "smart_encoded: must be true or false"),
        ({"body": "x", "shorten_urls": True}, "shorten_urls: goes with a Messaging Service"),
        ({"body": "x", "risk_check": "off"}, "risk_check: must be enable or disable"),
        ({"template_id": TEMPLATE, "body": "x"}, "template_id: excludes body"),
        ({"template_id": TEMPLATE, "template_data": {"1": None}}, "template_data.1: must be text"),
        ({"body": "x", "template_data": {"1": "x"}}, "template_data: goes with template_id"),
        ({"body": "x", "validity_seconds": 0}, "validity_seconds"),
        ({"body": "x", "validity_seconds": 36_001}, "validity_seconds"),
        ({"body": "x", "validity_seconds": True}, "validity_seconds"),
        ({"body": "x", "validity_seconds": "60"}, "validity_seconds"),
    ],
)
def test_refused_before_sending(content: dict[str, Any], reason: str) -> None:
    """What Twilio would refuse, and charge for nothing, is refused here with the field's name."""
    with pytest.raises(InvalidMessage, match=reason):
        build(content)


def test_limits_are_exact() -> None:
    """The longest body and the longest validity that Twilio takes are sent."""
    assert build({"body": "x" * 1600, "validity_seconds": 36_000})


def test_address_and_sender_must_be_there() -> None:
    """Without a number to send to or from there is no request."""
    with pytest.raises(InvalidMessage, match="to: missing"):
        build({"body": "x"}, to=None)
    with pytest.raises(InvalidMessage, match="from: missing"):
        build({"body": "x"}, Credentials(ACCOUNT, "token"))


def test_check_names_each_problem() -> None:
    """`check` tells an operator everything that is wrong with the settings in one go."""
    assert ADAPTER.check(Credentials(KEY, "s", {"from": "+14155552345"})) == [
        "account_sid is missing or not AC and 32 hexadecimal digits"
    ]
    assert ADAPTER.check(Credentials(ACCOUNT, None, {"messaging_service_sid": "MG1"})) == [
        "the token (api_secret) is missing",
        "messaging_service_sid is not MG and 32 hexadecimal digits",
    ]
    assert ADAPTER.check(Credentials(ACCOUNT, "token")) == ['the sender is missing: "from" or "messaging_service_sid"']
    settings = {"from": "twelve chars", "status_callback": "shop.example"}
    assert [problem.partition(":")[0] for problem in ADAPTER.check(Credentials(ACCOUNT, "token", settings))] == [
        "from",
        "status_callback",
    ]
    assert "the SID (api_key) is not AC or SK and 32 hexadecimal digits" in ADAPTER.check(Credentials("me", "token"))


def test_accepted() -> None:
    """201 with a SID is the success, whatever the message's status in Twilio's queue."""
    for status, sid in (("queued", "SM" + "1" * 32), ("accepted", "MM" + "2" * 32)):
        outcome = read(201, {"sid": sid, "status": status, "error_code": None})
        assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, sid)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br"])
def test_201_in_a_coding_that_nobody_asked_for_is_sent(coding: str) -> None:
    """RFC 9110, 15.3.2: 201 says that it was created; that a proxy compressed the words must not send it again."""
    outcome = Twilio().read(Response(201, {"content-encoding": coding}, readable(b"\x8b\x05\x80\xff\xfe", coding)))
    assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, None)


@pytest.mark.parametrize("body", [None, {}, {"sid": None}, {"sid": 5}, {"sid": "x" * 300}, b"<html>", ["SM1"]])
def test_201_without_a_sid_is_unknown(body: object) -> None:
    """Who says 201 without naming the message may not be Twilio; it is not taken for sent."""
    assert read(201, body).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        *((400, code, Kind.RECIPIENT) for code in (21211, 21614, 21635, 21610)),
        *((400, code, Kind.PERMANENT) for code in (21408, 21608, 21612, 21617, 21602, 21619, 21620)),
        *((400, code, Kind.CONFIG) for code in (21212, 21606, 21603, 21659, 21660, 21661, 30034)),
        *((400, code, Kind.CONFIG) for code in range(21701, 21706)),
        (401, 20003, Kind.CONFIG),
        (403, 20003, Kind.CONFIG),
        (404, 20404, Kind.CONFIG),
        (400, 10001, Kind.CONFIG),
        (403, 20005, Kind.CONFIG),
        (429, 20429, Kind.THROTTLED),
        (400, 21611, Kind.THROTTLED),
        (429, 21611, Kind.THROTTLED),
        (400, 63038, Kind.THROTTLED),
        (429, 63038, Kind.THROTTLED),
        (500, 20500, Kind.UNKNOWN),
        (400, 99999, Kind.PERMANENT),
        (401, 99999, Kind.CONFIG),
        (503, 20503, Kind.UNKNOWN),
    ],
)
def test_failures(status: int, code: int, kind: Kind) -> None:
    """Twilio's code decides; a code that is not known leaves it to the status, and any 5xx may have been sent."""
    outcome = error(status, code)
    assert (outcome.kind, outcome.code) == (kind, str(code))
    # Where an operator has to act it is said in our words, with Twilio's beside them.
    ours = kind is Kind.CONFIG or code in (21408, 21608, 21611, 21612, 63038)
    assert outcome.message.endswith(" (what is wrong)") if ours else outcome.message == "what is wrong"


@pytest.mark.parametrize(
    ("status", "codes", "blames"),
    [
        # Errors 21606 and 21659: the sender may be wrong for this destination only, as a short code is abroad.
        (400, (21606, 21612, 21659, 21660, 21661), Blame.PAIR),
        (400, (21212, 21603, 21611, 30034, *range(21701, 21706)), Blame.SENDER),
        (401, (20003,), Blame.ACCOUNT),
        (403, (10001, 20005), Blame.ACCOUNT),
        (404, (20404,), Blame.ACCOUNT),
        (429, (20429, 63038), Blame.ACCOUNT),
        # Twilio's dictionary grows: what a new code is about is not known, but that there is one says it is no login.
        (403, (21999,), Blame.PAIR),
        (404, (21999,), Blame.PAIR),
    ],
)
def test_whom_a_code_blames(status: int, codes: tuple[int, ...], blames: Blame) -> None:
    """Only what is about the account may stop all messages at once."""
    assert {code: error(status, code).blames for code in codes} == dict.fromkeys(codes, blames)


def test_a_days_limit_lasts_a_day() -> None:
    """63038: messages of a rolling 24 hours; Twilio says to wait until the next day. 20429 is over in a moment."""
    assert [error(429, code).lasts_ms for code in (63038, 20429)] == [86_400_000, 0]


def test_blocked_country_is_nobodys_fault() -> None:
    """A country that is switched off (21408) buries the message without condemning the number or pausing Twilio."""
    outcome = error(400, 21408)
    assert (outcome.kind, outcome.category) == (Kind.PERMANENT, Category.INVALID_RECIPIENT)
    assert error(400, 21617).category is Category.PROVIDER_REJECTED


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"sid": "SM" + "1" * 32}, Kind.UNKNOWN),
        (302, None, Kind.UNKNOWN),
        (400, {"code": True, "message": []}, Kind.PERMANENT),
        (400, {"code": "21211"}, Kind.PERMANENT),
        (400, {"code": 201}, Kind.PERMANENT),
        (401, b"<html>", Kind.CONFIG),
        (429, None, Kind.THROTTLED),
        (502, b"<html>502 Bad Gateway</html>", Kind.UNKNOWN),
        (503, b"<html>", Kind.UNKNOWN),
    ],
)
def test_answers_without_a_code(status: int, body: object, kind: Kind) -> None:
    """A proxy's page, another type, or a status in the code's place falls back to the status; never to a success."""
    assert read(status, body).kind is kind


def test_wait_that_is_asked_for() -> None:
    """Retry-After is not promised with a 429, and heeded when there."""
    assert read(429, retry_after="3").retry_after_ms == 3_000
    assert read(429).retry_after_ms is None
