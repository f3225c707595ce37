"""What the real providers refuse, the sandbox refuses: by their own pages of errors and descriptions."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from notifyctl.providers.google_token import fetch
from notifyctl.providers.oauth import Token
from notifyctl.sandbox import (
    FCM_PROJECT,
    SENDGRID_KEY,
    SENDGRID_KEYS,
    TWILIO_ACCOUNT,
    TWILIO_TOKEN,
    TWILIO_TOKENS,
    fcmshape,
)
from notifyctl.sandbox.exchange import IncomingRequest
from notifyctl.sandbox.twilio import TwilioServer
from tests.providers.conftest import Running, started
from tests.support.command import REPOSITORY

NOW = 1_800_000_000.0
HERE = f"/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json"
LOGIN = {"authorization": "Basic " + b64encode(f"{TWILIO_ACCOUNT}:{TWILIO_TOKEN}".encode()).decode()}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MAIL: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
    "from": {"email": "shop@shop.example"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Hello"}],
}


# Twilio's lists


class Texting:
    """A Twilio whose clock is ours."""

    def __init__(self) -> None:
        self.server = TwilioServer(random.Random(1), 0.0)

    def send(self, body: str, now: float, to: str = "+15558675310") -> str:
        form = urlencode({"To": to, "From": "+15005550006", "Body": body}).encode()
        handled = self.server.handle(IncomingRequest("POST", HERE, {**LOGIN, **FORM}, form, now))
        assert handled.accept is not None
        handled.accept(None)
        return str(json.loads(handled.reply.body)["sid"])

    def get(self, uri: str, now: float = NOW) -> dict[str, Any]:
        parts = urlsplit(uri)
        call = IncomingRequest("GET", parts.path, LOGIN, b"", now, parts.query)
        return dict(json.loads(self.server.handle(call).reply.body))


def words(page: dict[str, Any]) -> list[str]:
    """Return what the messages of a page say."""
    return [each["body"] for each in page["messages"]]


def test_pages_are_walked_in_both_directions() -> None:
    """By the addresses in each page: as the description's examples have them, none twice, also while others arrive."""
    texting = Texting()
    for number in range(7):
        texting.send(str(number), NOW + number)
    first = texting.get(f"{HERE}?PageSize=3", NOW + 100)
    assert (words(first), first["previous_page_uri"]) == (["6", "5", "4"], None)
    assert [first[name] for name in ("page", "page_size", "start", "end")] == [0, 3, 0, 2]
    texting.send("new", NOW + 101)
    second = texting.get(first["next_page_uri"], NOW + 102)
    assert (words(second), second["start"], second["end"], second["page"]) == (["3", "2", "1"], 3, 5, 1)
    third = texting.get(second["next_page_uri"], NOW + 103)
    assert (words(third), third["next_page_uri"], third["end"]) == (["0"], None, 6)
    back = texting.get(third["previous_page_uri"], NOW + 104)
    assert words(back) == ["3", "2", "1"]
    token = dict(parse_qsl(urlsplit(first["next_page_uri"]).query))["PageToken"]
    assert token == f"PA{first['messages'][-1]['sid']}"


def test_filters_go_along_with_the_pages() -> None:
    """The next page is of the same question."""
    texting = Texting()
    for number in range(6):
        texting.send(str(number), NOW, to=f"+1555867531{number % 2}")
    first = texting.get(
        f"{HERE}?{urlencode({'To': '+15558675311', 'DateSent>': '2027-01-01', 'PageSize': 2})}", NOW + 9
    )
    assert words(first) == ["5", "3"]
    assert "To=%2B15558675311&DateSent%3E=2027-01-01&PageSize=2&Page=1&PageToken=PA" in first["next_page_uri"]
    assert words(texting.get(first["next_page_uri"], NOW + 9)) == ["1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"DateSent": "2027-01-15"}, ["b", "a"]),
        ({"DateSent>": "2027-01-16"}, ["d", "c"]),
        ({"DateSent<": "2027-01-15"}, ["b", "a"]),
        ({"DateSent<": "2027-01-16", "DateSent>": "2027-01-16"}, ["c"]),
        ({"DateSent>": "2027-01-15T08:00:01Z"}, ["d", "c", "b"]),
        ({"DateSent<": "2027-01-15T08:00:00+00:00"}, ["a"]),
        ({"DateSent>": "2028-01-01"}, []),
    ],
)
def test_dates_are_compared(query: dict[str, str], found: list[str]) -> None:
    """On a day, on and before, on and after; a moment compares as such."""
    texting = Texting()
    for body, after_s in (("a", 0), ("b", 3_600), ("c", 86_400), ("d", 172_800)):
        texting.send(body, NOW + after_s)
    assert words(texting.get(f"{HERE}?{urlencode(query)}", NOW + 200_000)) == found


def test_an_empty_list_and_odd_questions() -> None:
    """As the description's example of an empty list; what is no date or no token is refused."""
    texting = Texting()
    empty = texting.get(f"{HERE}?PageSize=25")
    assert [empty[name] for name in ("messages", "start", "end", "next_page_uri")] == [[], 0, 0, None]
    assert texting.get(f"{HERE}?PageSize=5000")["page_size"] == 1_000
    assert texting.get(f"{HERE}?PageSize=0&Page=x")["page_size"] in (1, 50)
    for query in ("DateSent=yesterday", "PageToken=PAnone", "PageToken=x"):
        assert texting.get(f"{HERE}?{query}")["code"] == 20001


# What is refused


def post_text(sandbox: Running, form: list[tuple[str, str]]) -> dict[str, Any]:
    """Send a text as a form, and return the answer's body."""
    url, login = f"{sandbox.url}{HERE}", httpx.BasicAuth(TWILIO_ACCOUNT, TWILIO_TOKEN)
    return dict(httpx.post(url, content=urlencode(form).encode(), headers=FORM, auth=login).json())


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ([("MediaUrl", f"https://shop.example/{number}.png") for number in range(11)], 21623),
        ([("ValidityPeriod", "36001")], 90007),
        ([("ValidityPeriod", "0")], 90007),
        ([("ValidityPeriod", "soon")], 90007),
        ([("MediaUrl", "https://shop.example/1.png"), ("MediaUrl", "shop.example/2.png")], 21620),
        ([("StatusCallback", "nowhere")], 21609),
        ([("StatusCallback", "https://shop.example/told?a=b")], None),
        ([("ContentSid", "HX1")], 21655),
        ([("ContentSid", f"HX{'0' * 32}"), ("ContentVariables", "{")], 21656),
        ([("ContentSid", f"HX{'0' * 32}"), ("ContentVariables", '{"1": "x"}')], None),
        ([("MediaUrl", f"https://shop.example/{number}.png") for number in range(10)], None),
        ([("ValidityPeriod", "36000")], None),
    ],
)
def test_twilio_refuses(sandbox: Running, more: list[tuple[str, str]], code: int | None) -> None:
    """By its list of errors: 21623 for more than 10 media, 90007 for a validity outside of 1 to 36,000 seconds.

    21609 and 21620 are for addresses that are none, 21655 and 21656 for a template's id and variables.
    """
    text = [("To", "+15558675310"), ("From", "+15005550006"), ("Body", "x")]
    assert post_text(sandbox, text + more).get("code") == code


@pytest.mark.parametrize(
    ("to", "sender", "code"),
    [
        ("+15558675310", "+15558675310", 21266),
        ("whatsapp:+15558675310", "+15005550006", 21910),
        ("+15558675310", "whatsapp:+15005550006", 21910),
        ("whatsapp:+15558675310", "whatsapp:+15005550006", None),
    ],
)
def test_twilio_refuses_pairs(sandbox: Running, to: str, sender: str, code: int | None) -> None:
    """By its list of errors: 21266 for a text to oneself, 21910 for two numbers of different channels."""
    assert post_text(sandbox, [("To", to), ("From", sender), ("Body", "x")]).get("code") == code


def post_mail(sandbox: Running, mail: dict[str, Any], key: str = SENDGRID_KEY) -> httpx.Response:
    """Send a mail."""
    return httpx.post(f"{sandbox.url}/v3/mail/send", json=mail, headers={"Authorization": f"Bearer {key}"})


def people(number: int) -> list[dict[str, Any]]:
    """Return personalizations for so many people."""
    return [{"to": [{"email": f"p{each}@example.com"}]} for each in range(number)]


FILE = {"content": "QUJD", "filename": "a.txt"}


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"personalizations": people(1_001)}, "personalizations", "limited to 1000 personalizations"),
        ({"personalizations": [{"to": [each["to"][0] for each in people(1_001)]}]}, "personalizations", "1000 total"),
        ({"send_at": 4_000_000_000}, "send_at", "72 hours"),
        ({"send_at": "tomorrow"}, "send_at", "integer"),
        (
            {"personalizations": [{"to": [{"email": "a@b.example"}], "send_at": 4_000_000_000}]},
            "personalizations.0.send_at",
            "72 hours",
        ),
        ({"attachments": [{**FILE, "content": "NOT BASE64"}]}, "attachments.0.content", "base64 encoded"),
        ({"attachments": [FILE, {**FILE, "content": "QUJ"}]}, "attachments.1.content", "base64 encoded"),
        ({"attachments": [{"filename": "a"}]}, "attachments.0.content", "required"),
        ({"attachments": [{"content": "QUJD"}]}, "attachments.0.filename", "required"),
        ({"attachments": [{**FILE, "disposition": "aside"}]}, "attachments.0.disposition", "inline"),
        ({"attachments": [{**FILE, "type": "text/plain\r\nX: y"}]}, "attachments.0.type", "CR or LF"),
        ({"custom_args": {"a": "x" * 10_000}}, "custom_args", "10,000 bytes"),
        ({"categories": "news"}, "categories", "array of strings"),
        ({"categories": ["news", 1]}, "categories", "array of strings"),
        ({"categories": ["x" * 256]}, "categories", "255 characters"),
        ({"categories": ["news", "news"]}, "categories", "[news] was repeated"),
        ({"asm": {}}, "asm.group_id", "group_id"),
        ({"asm": {"group_id": "7"}}, "asm.group_id", "integer"),
        ({"asm": {"group_id": 7, "groups_to_display": list(range(26))}}, "asm.groups_to_display", "25 groups"),
        ({"ip_pool_name": "x"}, "ip_pool_name", "at least 2"),
        (
            {"personalizations": [{"to": [{"email": "a@b.example", "name": "A; B"}]}]},
            "personalizations.0.to.0.name",
            "; or ,",
        ),
    ],
)
def test_sendgrid_refuses(sandbox: Running, more: dict[str, Any], field: str, words: str) -> None:
    """By its page of errors and the one of limitations, with the field's name."""
    answer = post_mail(sandbox, MAIL | more)
    assert answer.status_code == 400
    assert [(each["field"], words in each["message"]) for each in answer.json()["errors"]] == [(field, True)]


def test_sendgrid_takes_as_much_as_it_says(sandbox: Running) -> None:
    """A thousand of everything, and files as they should be."""
    mail = MAIL | {"personalizations": people(1_000), "attachments": [{**FILE, "type": "text/plain"}]}
    assert post_mail(sandbox, mail).status_code == 202


def shown(**fields: object) -> dict[str, Any]:
    """Return what an Android device shows."""
    return {"android": {"notification": fields}}


@pytest.fixture(scope="module")
def bearer(sandbox: Running) -> dict[str, str]:
    """A login at FCM."""
    token = fetch(sandbox.account, 5)
    assert isinstance(token, Token)
    return {"Authorization": f"Bearer {token.value}"}


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"ttl": "3600s"}, "message", "Unknown name \"ttl\" at 'message'"),
        ({"android": {"ttl": "3600"}}, "message.android.ttl", "must end with 's'"),
        ({"android": {"ttl": 3_600}}, "message.android.ttl", "Illegal duration"),
        ({"android": {"time_to_live": "3s"}}, "message.android", 'Unknown name "time_to_live"'),
        ({"android": {"notification": {"titel": "x"}}}, "message.android.notification", 'Unknown name "titel"'),
        ({"notification": {"title": 5}}, "message.notification.title", "TYPE_STRING"),
        ({"notification": "hi"}, "message.notification", "TYPE_MESSAGE"),
        ({"android": {"data": {"n": 1}}}, "message.android.data[0].value", "TYPE_STRING"),
        ({"webpush": {"headers": {"TTL": 5}}}, "message.webpush.headers[0].value", "TYPE_STRING"),
        ({"android": {"notification": {"sticky": "yes"}}}, "message.android.notification.sticky", "TYPE_BOOL"),
        (
            {"android": {"notification": {"body_loc_args": ["a", 1]}}},
            "message.android.notification.body_loc_args[1]",
            "ST",
        ),
        ({"android": {"notification": {"event_time": "noon"}}}, "message.android.notification.event_time", "Timestamp"),
    ],
)
def test_fcm_refuses(sandbox: Running, bearer: dict[str, str], more: dict[str, Any], field: str, words: str) -> None:
    """What its discovery document does not have, at any depth, with the field where it stands."""
    answer = httpx.post(send_url(sandbox), json={"message": {"token": "device", **more}}, headers=bearer)
    assert answer.status_code == 400
    [detail] = answer.json()["error"]["details"]
    assert [each["field"] for each in detail["fieldViolations"]] == [field]
    assert words in answer.json()["error"]["message"]


def send_url(sandbox: Running) -> str:
    """Return where messages go."""
    return f"{sandbox.url}/v1/projects/{FCM_PROJECT}/messages:send"


def test_fcm_needs_a_target(sandbox: Running, bearer: dict[str, str]) -> None:
    """A message to nobody is refused."""
    answer = httpx.post(send_url(sandbox), json={"message": {"data": {}}}, headers=bearer)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Recipient of the message is not set.")


def test_fcm_has_the_fields_of_the_discovery_document() -> None:
    """All of them, at every depth, and no others; in both spellings."""
    document = json.loads((REPOSITORY / "tests" / "specs" / "fcm.v1.discovery.json").read_text())

    def fields(name: str) -> dict[str, Any]:
        known = document["schemas"][name].get("properties", {})
        return {key: fields(each["$ref"]) if "$ref" in each else None for key, each in known.items()}

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return "".join([first, *map(str.title, rest)])

    def ours(kind: Any) -> Any:
        return None if isinstance(kind, str) else {camel(name): ours(each) for name, each in kind.items()}

    assert ours(fcmshape.MESSAGE) == fields("Message")
    assert fcmshape.problem({"android": {"collapseKey": "a", "collapse_key": None}}) is None


# Signing in


def test_401_says_how_to_sign_in(sandbox: Running) -> None:
    """RFC 9110, 11.6.1: a 401 has a challenge, whatever the provider."""
    mail = post_mail(sandbox, MAIL, key="SG.wrong")
    text = httpx.get(f"{sandbox.url}{HERE}", auth=httpx.BasicAuth(TWILIO_ACCOUNT, "wrong"))
    push = httpx.post(send_url(sandbox), json={"message": {"token": "x"}}, headers={"Authorization": "Bearer no"})
    assert [each.status_code for each in (mail, text, push)] == [401] * 3
    assert [each.headers["www-authenticate"].partition(" ")[0] for each in (mail, text, push)] == [
        "Bearer",
        "Basic",
        "Bearer",
    ]


def test_several_keys_are_good(sandbox: Running) -> None:
    """So that one can take the other's place without a gap; others are refused."""
    assert [post_mail(sandbox, MAIL, key).status_code for key in (*SENDGRID_KEYS, "SG.sandbox")] == [202, 202, 401]
    logins = [httpx.BasicAuth(TWILIO_ACCOUNT, token) for token in (*TWILIO_TOKENS, "x")]
    assert [httpx.get(f"{sandbox.url}{HERE}", auth=each).status_code for each in logins] == [200, 200, 401]


def test_an_account_may_have_two_keys(tmp_path: Path) -> None:
    """FCM's too: tokens are given for either key, and for no other."""
    with started(tmp_path, fcm=True, next_service_account=tmp_path / "next.json") as running:
        second = json.loads((tmp_path / "next.json").read_text())
        assert second["private_key_id"] != running.account["private_key_id"]
        for account in (running.account, second):
            assert isinstance(fetch(account, 5), Token)
        mixed = {**second, "private_key_id": running.account["private_key_id"]}
        assert not isinstance(fetch(mixed, 5), Token)
