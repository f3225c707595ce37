"""What the adapters make of receipts: the providers' own words, and their signatures by the providers' own vectors."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

from notifyctl.core.outcome import Kind
from notifyctl.core.receipt import Arrival, Stage
from notifyctl.providers import registry
from notifyctl.providers.contract import (
    Call,
    Calling,
    Credentials,
    MalformedCall,
    Response,
    Traceable,
    Unread,
    Unsigned,
)
from notifyctl.providers.sendgrid import SendGrid, webhook
from notifyctl.providers.twilio import Twilio, signature

ACCOUNT = "AC" + "a" * 32
SID = "SM" + "b" * 32
TWILIO = Credentials(ACCOUNT, "12345", {"from": "+15005550006"})
MAIL = "LRzXl_NHStOGhQ4kofSm_A"

# Twilio's documentation (docs/usage/security): token, address, five parameters, signature.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+12349013030",
    "Digits": "1234",
    "From": "+12349013030",
    "To": "+18005551212",
}
BODY = urlencode(FORM).encode()
SIGNED = "0/KCTR6DLpKmkAf8muzZqo1nDgQ="

# The official SendGrid SDK's test of its webhook (sendgrid-python, test/unit/test_eventwebhook.py): facts only.
PUBLIC_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6"
    "wEA3F+g=="
)
ECDSA = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
TIMESTAMP = "1600112502"
EVENT = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": f"{MAIL}.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": f"<{MAIL}@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1_600_112_492,
}
EVENTS = json.dumps([EVENT], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"
SENDGRID = Credentials("SG.key", None, {"from": "a@example.com", "webhook_public_key": PUBLIC_KEY})


def twilio_call(body: bytes = BODY, url: str = URL, signed: str = SIGNED) -> Call:
    """Return a call as Twilio makes it."""
    return Call(body, {"x-twilio-signature": signed}, url)


def sendgrid_call(body: bytes = EVENTS, timestamp: str = TIMESTAMP, signature: str = ECDSA) -> Call:
    """Return a call as SendGrid makes it."""
    return Call(body, {webhook.SIGNATURE: signature, webhook.TIMESTAMP: timestamp})


def flipped(data: bytes, at: int, bits: int) -> bytes:
    """Return the bytes with one of them changed."""
    place = at % len(data)
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


def genuine(adapter: Calling, call: Call, credentials: Credentials) -> bool:
    """Return whether it is taken for genuine; what is no call, or more than one, is not."""
    try:
        return adapter.is_genuine(call, credentials)
    except (MalformedCall, Unsigned):
        return False


def arrivals(adapter: Calling, body: bytes) -> list[Arrival]:
    """Return what a call says, all of which can be read."""
    found = adapter.read_call(Call(body))
    assert not [each for each in found if isinstance(each, Unread)]
    return [each for each in found if isinstance(each, Arrival)]


# Signatures


def test_twilios_own_vector() -> None:
    """The signature that Twilio's documentation gives is the one."""
    assert Twilio().is_genuine(twilio_call(), TWILIO)
    assert not Twilio().is_genuine(twilio_call(), Credentials(ACCOUNT, "12346"))


PATH = "/myapp.php?foo=1&bar=2"
SPELLINGS = [
    f"{scheme}://{user}{host}{port}{PATH}"
    for scheme in ("https", "http")
    for user in ("", "ann:secret@", "ann@")
    for host in ("mycompany.com", "[2001:db8::1]")
    for port in ("", ":443", ":80", ":8443")
]


@pytest.mark.parametrize("url", [each for each in SPELLINGS if "@" not in each and "[" not in each])
@pytest.mark.parametrize("called", ["", ":443", ":80", ":8443"])
@pytest.mark.parametrize("algorithm", [HMAC_SHA1, HMAC_SHA256])
def test_twilios_own_validator_agrees(url: str, called: str, algorithm: str) -> None:
    """With and without a port, by either algorithm, the same calls are genuine as to Twilio's SDK, and no others."""
    known_as = re.sub(r"(mycompany\.com)(:\d+)?", rf"\1{called}", url)
    signed = RequestValidator("12345").compute_signature(url, FORM, algorithm)
    theirs = RequestValidator("12345").validate(known_as, FORM, signed, algorithm)
    headers = {signature.HEADER: signed, signature.SETTINGS_HEADER: f"key=webhooks_sharedkey_1,algorithm={algorithm}"}
    assert Twilio().is_genuine(Call(BODY, headers, known_as, token="12345"), TWILIO) is theirs
    assert not Twilio().is_genuine(Call(BODY, headers, known_as, token="12346"), TWILIO)


@pytest.mark.parametrize("url", SPELLINGS)
def test_who_logs_in_to_the_receiver_is_not_signed(url: str) -> None:
    """Twilio takes user and password out of the address before it signs it; that of a configured one has them."""
    bare = re.sub(r"//[^/@]*@", "//", url)
    for spelled in (bare, url):
        call = twilio_call(url=url, signed=RequestValidator("12345").compute_signature(spelled, FORM))
        assert Twilio().is_genuine(call, TWILIO)
    other = twilio_call(url=url, signed=RequestValidator("12345").compute_signature(bare + "x", FORM))
    assert not Twilio().is_genuine(other, TWILIO)


def test_a_shared_key_is_needed_where_it_signed() -> None:
    """The header says with what and how it was signed: the stored token is not tried instead, nor another algorithm."""
    signed = RequestValidator("shared").compute_signature(URL, FORM, HMAC_SHA256)
    headers = {signature.HEADER: signed, signature.SETTINGS_HEADER: "key=webhooks_sharedkey_1, algorithm=HMAC_SHA256"}
    with pytest.raises(Unsigned, match="shared key webhooks_sharedkey_1"):
        Twilio().is_genuine(Call(BODY, headers, URL), TWILIO)
    assert Twilio().is_genuine(Call(BODY, headers, URL, token="shared"), TWILIO)
    assert not Twilio().is_genuine(Call(BODY, {signature.HEADER: signed}, URL, token="shared"), TWILIO)
    headers[signature.SETTINGS_HEADER] = "key=1,algorithm=HMAC_MD5"
    with pytest.raises(Unsigned, match="HMAC_MD5"):
        Twilio().is_genuine(Call(BODY, headers, URL, token="shared"), TWILIO)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_changed_form_is_refused(at: int, bits: int) -> None:
    """Whatever byte of the form is changed, unless it spells the same values, it is not Twilio's."""
    changed = flipped(BODY, at, bits)
    try:
        same = sorted(parse_qsl(changed.decode("ascii"), keep_blank_values=True)) == sorted(FORM.items())
    except UnicodeDecodeError:
        same = False
    assert genuine(Twilio(), twilio_call(changed), TWILIO) is same


@given(st.integers(0, len(URL) - 1), st.integers(1, 127))
def test_a_changed_address_is_refused(at: int, bits: int) -> None:
    """The address is signed as well, byte for byte."""
    changed = flipped(URL.encode(), at, bits).decode(errors="replace")
    assert genuine(Twilio(), twilio_call(url=changed), TWILIO) is (changed.lower() == URL and changed[8:] == URL[8:])


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 127))
def test_a_changed_signature_of_twilios_is_refused(at: int, bits: int) -> None:
    """There is one way only to write the signature."""
    changed = flipped(SIGNED.encode(), at, bits).decode(errors="replace")
    assert not genuine(Twilio(), twilio_call(signed=changed), TWILIO)


def test_sendgrids_own_vector() -> None:
    """The signature, key, timestamp and payload of SendGrid's own SDK fit; with its other key they do not."""
    other = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1N"
        "Ge1OPzpA=="
    )
    assert SendGrid().is_genuine(sendgrid_call(), SENDGRID)
    assert not webhook.verifies(other, ECDSA, TIMESTAMP, EVENTS)
    assert not webhook.verifies(PUBLIC_KEY, ECDSA, "timestamp", EVENTS)


@given(st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["body", "signature", "timestamp"]))
def test_a_changed_event_is_refused(at: int, bits: int, what: str) -> None:
    """Whatever byte of body, signature or timestamp is changed, it is not SendGrid's."""
    body = flipped(EVENTS, at, bits) if what == "body" else EVENTS
    signature = b64encode(flipped(b64decode(ECDSA), at, bits)).decode() if what == "signature" else ECDSA
    timestamp = flipped(TIMESTAMP.encode(), at, bits % 128 or 1).decode() if what == "timestamp" else TIMESTAMP
    assert not genuine(SendGrid(), sendgrid_call(body, timestamp, signature), SENDGRID)


@given(st.text(max_size=200))
def test_no_signature_raises(noise: str) -> None:
    """Noise in the headers is a wrong signature and nothing worse."""
    assert not genuine(SendGrid(), sendgrid_call(signature=noise or "-"), SENDGRID)
    assert not genuine(SendGrid(), sendgrid_call(timestamp=noise), SENDGRID)
    assert not genuine(Twilio(), twilio_call(signed=noise or "-"), TWILIO)


def test_an_api_keys_secret_signs_nothing() -> None:
    """Twilio signs with the account's token: where an API key is stored, it says that the token is needed."""
    stored = Credentials("SK" + "c" * 32, "secret", {"account_sid": ACCOUNT})
    with pytest.raises(Unsigned, match="API key"):
        Twilio().is_genuine(twilio_call(), stored)
    assert Twilio().is_genuine(Call(BODY, {signature.HEADER: SIGNED}, URL, token="12345"), stored)


@pytest.mark.parametrize(
    ("adapter", "call", "credentials"),
    [
        (Twilio(), Call(BODY, {}, URL), TWILIO),
        (Twilio(), Call(BODY, {signature.HEADER: SIGNED}), TWILIO),
        (Twilio(), twilio_call(BODY + b"\n" + BODY), TWILIO),
        (SendGrid(), Call(EVENTS), SENDGRID),
        (SendGrid(), sendgrid_call(), Credentials("SG.key")),
    ],
)
def test_what_cannot_be_checked_is_not_genuine(adapter: Calling, call: Call, credentials: Credentials) -> None:
    """Without signature, address or key, or with several calls under one signature, nothing is taken for checked."""
    with pytest.raises(Unsigned):
        adapter.is_genuine(call, credentials)


def test_the_public_key_is_checked_when_it_is_set() -> None:
    """A setting that is no key on P-256 is refused when it is entered, not when the first call comes."""
    assert SendGrid().check(SENDGRID) == []
    rsa_or_noise = {"from": "a@example.com", "webhook_public_key": b64encode(b"noise").decode()}
    [problem] = SendGrid().check(Credentials("SG.key", None, rsa_or_noise))
    assert "webhook_public_key" in problem


# Calls


def test_sendgrids_events() -> None:
    """Each event's stage, text and address; opens say nothing of the delivery; the custom argument comes back."""
    events: list[dict[str, Any]] = [
        {"event": "processed", "sg_message_id": f"{MAIL}.x.0", "notification_id": "n-1", "email": "a@b.c"},
        {"event": "deferred", "response": "421 busy", "timestamp": 5},
        {"event": "delivered", "response": "250 OK"},
        {"event": "bounce", "type": "bounce", "reason": "550 5.1.1 no such user"},
        {"event": "bounce", "type": "blocked", "reason": "554 5.7.1 refused"},
        {"event": "dropped", "reason": "Bounced Address"},
        {"event": "open"},
    ]
    found = arrivals(SendGrid(), json.dumps(events).encode())
    assert [(each.receipt.stage, each.receipt.text, each.receipt.dead) for each in found if each.receipt] == [
        (Stage.UNDERWAY, "processed", False),
        (Stage.UNDERWAY, "deferred 421 busy", False),
        (Stage.DELIVERED, "delivered", False),
        (Stage.BOUNCED, "bounce 550 5.1.1 no such user", True),
        (Stage.BOUNCED, "blocked 554 5.7.1 refused", False),
        (Stage.BOUNCED, "dropped Bounced Address", True),
    ]
    assert found[-1].receipt is None
    assert (found[0].notification_id, found[0].provider_message_id) == ("n-1", MAIL)
    assert found[1].receipt is not None and found[1].receipt.at == 5_000


def test_a_callback_by_get() -> None:
    """Twilio calls with GET where that is configured: the address has the parameters, and it alone is signed."""
    url = f"https://example.com/twilio?a=&MessageSid={SID}&MessageStatus=delivered&To=%2B14155552345"
    call = Call(b"", {"x-twilio-signature": RequestValidator("12345").compute_signature(url, {})}, url)
    [arrival] = Twilio().read_call(call)
    assert isinstance(arrival, Arrival) and arrival.receipt is not None
    assert (arrival.provider_message_id, arrival.receipt.address) == (SID, "+14155552345")
    assert Twilio().is_genuine(call, Credentials("AC" + "a" * 32, "12345"))
    assert not Twilio().is_genuine(replace(call, url=f"{url}1"), Credentials("AC" + "a" * 32, "12345"))


def test_several_calls_of_sendgrids_in_a_file() -> None:
    """One array on several lines is one call; an array a line are several."""
    one = json.dumps([EVENT, EVENT], indent=2).encode()
    assert len(arrivals(SendGrid(), one)) == 2
    assert len(arrivals(SendGrid(), EVENTS + EVENTS + b"\n")) == 2


@pytest.mark.parametrize(
    ("code", "text", "dead", "pause"),
    [
        ("", "undelivered", False, None),
        ("30003", "undelivered 30003 Unreachable destination handset", False, None),
        ("30005", "undelivered 30005 Unknown destination handset", True, None),
        ("30006", "undelivered 30006 Landline or unreachable carrier", False, None),
        ("21610", "undelivered 21610 Attempt to send to unsubscribed recipient", True, None),
        ("30007", "undelivered 30007 Message filtered", False, None),
        ("30002", "undelivered 30002 Account suspended", False, "30002 Account suspended"),
        ("12345678901234567890", "undelivered", False, None),
    ],
)
def test_twilios_codes(code: str, text: str, dead: bool, pause: str | None) -> None:
    """Which codes mean that the number is dead, and which that the account is."""
    form = {"MessageSid": SID, "MessageStatus": "undelivered", "ErrorCode": code, "To": "+14155552345"}
    [arrival] = arrivals(Twilio(), urlencode(form).encode())
    receipt = arrival.receipt
    assert receipt is not None and receipt.stage is Stage.BOUNCED
    assert (receipt.text, receipt.dead, receipt.pause, receipt.address) == (text, dead, pause, "+14155552345")


def test_twilios_callbacks() -> None:
    """A form a line; the carrier's date is the delivery's; what a status means that is of no message sent."""
    done = {"MessageSid": SID, "MessageStatus": "delivered", "RawDlrDoneDate": "2511231030"}
    received = {"SmsSid": SID, "SmsStatus": "received"}
    first, second = arrivals(Twilio(), f"{urlencode(done)}\r\n\n{urlencode(received)}\n".encode())
    assert first.receipt is not None
    assert (first.receipt.stage, first.receipt.at) == (Stage.DELIVERED, 1_763_893_800_000)
    assert second == Arrival(None, provider_message_id=SID)


@pytest.mark.parametrize(
    ("adapter", "body", "read", "where"),
    [
        (SendGrid(), b"[{}]", 0, ["element 1"]),
        (SendGrid(), b'[{"event": "open"}, 7, null, {"event": "open"}]', 2, ["element 2", "element 3"]),
        (SendGrid(), b'[]\n[{"event": "open"}]\n[{}, {"event": "open"}]', 2, ["line 3, element 1"]),
        (SendGrid(), b'[{"event": "open"}]\n[', 1, ["line 2"]),
        (SendGrid(), b'{"event": "open"}\n{"event": "open"}\n{', 2, ["line 3"]),
        (SendGrid(), b'[{"event": "open", "n": ' + b"1" * 5_000 + b'}, {"event": "open"}]', 2, []),
        (SendGrid(), b'[{"event": "open", "email": "a\xff@b.de"}, {"event": "open"}]', 1, ["element 1"]),
        (SendGrid(), b'[{"event": "open", "email": "a\\u0000@b.de"}, {"event": "open"}]', 1, ["element 1"]),
        (SendGrid(), b'<html>\n[{"event": "open"}]\n{}\n', 1, ["line 1", "line 3"]),
        (Twilio(), b"MessageSid=x&MessageStatus=sent\nhello\nMessageSid=y&MessageStatus=sent", 2, ["line 2"]),
        (Twilio(), b"MessageSid=x", 0, ["line 1"]),
        (Twilio(), b"MessageSid=\xe4&MessageStatus=sent\nMessageSid=y&MessageStatus=sent", 1, ["line 1"]),
    ],
)
def test_one_bad_part_does_not_cost_the_others(adapter: Calling, body: bytes, read: int, where: list[str]) -> None:
    """What is none of the provider's is said to be, with its place; what stands around it counts."""
    found = adapter.read_call(Call(body))
    assert len([each for each in found if isinstance(each, Arrival)]) == read
    unread = [each.why for each in found if isinstance(each, Unread)]
    assert [each.partition(":")[0] for each in unread] == where


NAMED = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("url", "form", "found"),
    [
        (f"https://a.example/?notification_id={NAMED}&attempt=2", "", (NAMED, 2)),
        (f"https://me:pw@a.example:8443/x?a=1&notification_id={NAMED}&attempt=2#f", "", (NAMED, 2)),
        (None, f"&notification_id={NAMED}&attempt=2", (NAMED, 2)),
        ("https://a.example/?notification_id=other", f"&notification_id={NAMED}", (NAMED, None)),
        (f"https://a.example/?notification_id={NAMED}&attempt=x", "", (NAMED, None)),
        (f"https://a.example/?notification_id={NAMED}&attempt={'9' * 30}", "", (NAMED, None)),
        ("https://a.example/?notification_id=", "", (None, None)),
        ("https://[::1", "", (None, None)),
        (None, "", (None, None)),
    ],
)
def test_what_the_address_of_a_callback_says(url: str | None, form: str, found: tuple[str | None, int | None]) -> None:
    """The notification and its attempt come back in the address that was called, or in the form where it was put."""
    line = f"MessageSid={SID}&MessageStatus=sent{form}".encode()
    [arrival] = Twilio().read_call(Call(line, url=url))
    assert isinstance(arrival, Arrival) and (arrival.notification_id, arrival.attempt) == found
    assert arrival.provider_message_id == SID
    if not form:  # the address of one call is not that of others
        for each in Twilio().read_call(Call(line + b"\n" + line, url=url)):
            assert isinstance(each, Arrival) and each.notification_id is None


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'"event"', "no JSON array"),
        (b"\xff[]", "no JSON array"),
        (b"[\n{}", "no JSON array"),
        (b"7", "no JSON array"),
    ],
)
def test_what_is_no_call(body: bytes, where: str) -> None:
    """A body of which nothing is SendGrid's is refused as a whole."""
    with pytest.raises(MalformedCall, match=where):
        SendGrid().read_call(Call(body))


def test_a_listed_address_that_is_none_is_nobodys() -> None:
    """Without the character that no address has, it would be another person who is written to no more."""
    rows = [{"email": "anna\0@example.org"}, {"email": "bob@example.org"}]
    page = SendGrid().read_list("bounces", Response(200, {}, json.dumps(rows).encode()))
    assert ([each.address for each in page.said], page.count) == (["bob@example.org"], 2)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_marks_before_a_text(mark: str) -> None:
    """What an editor or a shell on Windows puts before a text is not part of it (RFC 8259, 8.1)."""
    assert len(arrivals(SendGrid(), EVENTS.decode().encode(mark))) == 1
    [arrival] = arrivals(Twilio(), f"MessageSid={SID}&MessageStatus=sent".encode(mark))
    assert arrival.provider_message_id == SID


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        (1_600_112_492, 1_600_112_492_000),
        ("1600112492", 1_600_112_492_000),
        (" 1600112492 ", 1_600_112_492_000),
        (1_600_112_492.5, 1_600_112_492_500),
        ("1600112492.5", 1_600_112_492_500),
        *((odd, None) for odd in ("", "soon", "-1", "1e9", "nan", "9" * 20, "١٦٠٠١١٢٤٩٢", None, True, [], 2**60)),
    ],
)
def test_timestamps(timestamp: object, at: int | None) -> None:
    """Seconds since the epoch, also as text; what is none is no time, and the event counts."""
    [arrival] = arrivals(SendGrid(), json.dumps([{**EVENT, "timestamp": timestamp}]).encode())
    assert arrival.receipt is not None and arrival.receipt.at == at


# Questions


def message(status: str, **values: Any) -> bytes:
    """Return a message as Twilio shows it."""
    return json.dumps({"sid": SID, "status": status, "error_code": None, "to": "+14155552345", **values}).encode()


def test_twilio_is_asked_about_one_message() -> None:
    """The question names the message in the address, whatever the id holds."""
    request = Twilio().trace(["SM/../x"], TWILIO)
    assert request.method == "GET"
    assert request.url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/SM%2F..%2Fx.json"


def test_twilios_answer() -> None:
    """Status and code as in a callback, with the date of the change."""
    body = message("failed", error_code=30005, date_updated="Thu, 24 Aug 2023 05:01:45 +0000")
    [arrival] = Twilio().read_trace(Response(200, {}, body), [SID]).arrivals
    assert arrival.receipt is not None
    assert (arrival.receipt.dead, arrival.receipt.at) == (True, 1_692_853_305_000)
    assert arrival.provider_message_id == SID


def test_sendgrid_is_asked_about_many_mails() -> None:
    """One query for many; what is no id of SendGrid's is no part of it; one by its full id has an address."""
    request = SendGrid().trace([MAIL, "x' OR '%", "other_1"], SENDGRID)
    query = parse_qs(urlsplit(request.url).query)
    assert query["query"] == [f"msg_id LIKE '{MAIL}%' OR msg_id LIKE 'other_1%'"]
    assert 1 <= int(query["limit"][0]) <= 1_000
    assert urlsplit(SendGrid().trace([f"{MAIL}.a.0"], SENDGRID).url).path == f"/v3/messages/{MAIL}.a.0"
    assert len(SendGrid().trace(["x" * 22] * SendGrid.traced_at_once, SENDGRID).url) < 4_000


def test_sendgrids_answers() -> None:
    """How each stands; why one came back is known when it is asked about alone; others' mails are nobody's."""
    mails = [
        {
            "msg_id": f"{MAIL}.a.0",
            "status": "delivered",
            "to_email": "a@b.c",
            "last_event_time": "2023-08-24T05:01:45Z",
        },
        {"msg_id": "other_1.a.0", "status": "not_delivered", "to_email": "d@e.f"},
        {"msg_id": f"{MAIL}x.a.0", "status": "delivered"},
        {"msg_id": "otherX1.a.0", "status": "delivered"},
    ]
    trace = SendGrid().read_trace(Response(200, {}, json.dumps({"messages": mails}).encode()), [MAIL, "other_1"])
    assert [(each.provider_message_id, each.receipt and each.receipt.at) for each in trace.arrivals] == [
        (MAIL, 1_692_853_305_000)
    ]
    assert list(trace.unclear) == ["other_1.a.0"]
    alone = {**mails[1], "events": [{"processed": "2023-08-24T05:01:45Z", "reason": "550 5.1.1 no such user"}]}
    [arrival] = SendGrid().read_trace(Response(200, {}, json.dumps(alone).encode()), ["other_1.a.0"]).arrivals
    assert arrival.provider_message_id == "other_1"
    assert arrival.receipt is not None and arrival.receipt.dead
    assert (arrival.receipt.text, arrival.receipt.at) == ("not_delivered 550 5.1.1 no such user", 1_692_853_305_000)


@pytest.mark.parametrize("adapter", [Twilio(), SendGrid()])
@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, Kind.CONFIG),
        (403, {}, Kind.CONFIG),
        (404, {}, Kind.PERMANENT),
        (429, {"retry-after": "7"}, Kind.THROTTLED),
        (500, {}, Kind.UNKNOWN),
        (302, {}, Kind.UNKNOWN),
        (200, {}, Kind.UNKNOWN),
    ],
)
def test_what_is_no_answer(adapter: Traceable, status: int, headers: dict[str, str], kind: Kind) -> None:
    """Neither a refusal nor a page of something in between says anything of a message."""
    trace = adapter.read_trace(Response(status, headers, b"<html>delivered</html>"), [SID])
    assert (trace.kind, trace.arrivals, dict(trace.unclear)) == (kind, (), {})
    assert trace.message
    assert trace.retry_after_ms == (7_000 if status == 429 else None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["delivered", SID, "not_delivered", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sid", "status", "messages", "msg_id", "events", "errors", "to"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["twilio", "sendgrid"])
@given(st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode()), st.integers(100, 599))
def test_no_answer_raises(name: str, body: bytes, status: int) -> None:
    """Whatever comes back, it is read, and nothing but an answer about the message delivers it."""
    adapter = registry.get(name)
    assert isinstance(adapter, Traceable)
    trace = adapter.read_trace(Response(status, {}, body), [SID])
    if trace.arrivals:
        assert status == 200 and SID.encode() in body


@pytest.mark.parametrize("name", ["twilio", "sendgrid"])
@given(_JSON)
def test_no_call_raises_anything_else(name: str, value: Any) -> None:
    """A call is read or is said to be none."""
    adapter = registry.get(name)
    assert isinstance(adapter, Calling)
    for body in (
        json.dumps(value).encode(),
        json.dumps([{"event": "bounce", "reason": value, "type": value}]).encode(),
    ):
        try:
            adapter.read_call(Call(body))
        except MalformedCall as problem:
            assert str(problem)
