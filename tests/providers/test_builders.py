"""The short ways of the adapters: what is built for many messages with the same credentials is what `build` builds.

No mark in the database says that a message was checked: each is checked whenever it is built, and these tests hold the
quick look to the thorough one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifyctl.core.model import Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import (
    Builder,
    Credentials,
    InvalidMessage,
    Preparing,
    Response,
    builder,
    checker,
)
from notifyctl.providers.fcm import plain as push
from notifyctl.providers.sendgrid import plain as mail
from notifyctl.providers.sendgrid.mail import MAX_BYTES
from notifyctl.providers.twilio import plain as sms
from tests.providers.scenarios import ACCOUNT, ID, KEY, MAILS, PUSHES, SERVICE, TEXTS, Scenario
from tests.support.adapters import Second

SETTINGS: dict[str, list[Credentials]] = {
    "sendgrid": [
        Credentials("SG.key", config=config)
        for config in (
            {"from": "Shop <shop@shop.example>"},
            {"from": "shop@shop.example", "reply_to": "Help <help@shop.example>", "sandbox_mode": True},
            {
                "from": "shop@shop.example",
                "reply_to": ["a@b.example", "c@d.example"],
                "base_url": "http://127.0.0.1/x/",
            },
            {"from": "nobody"},
            {"from": "shop@shop.example", "reply_to": "nobody"},
            {},
        )
    ],
    "twilio": [
        Credentials(login, "token", config)
        for login, config in (
            (ACCOUNT, {"from": "+14155552345"}),
            (ACCOUNT, {"from": "whatsapp:+14155552345", "status_callback": "https://shop.example/a?b=c&d=é"}),
            (KEY, {"account_sid": ACCOUNT, "messaging_service_sid": SERVICE, "base_url": "http://127.0.0.1:80"}),
            (ACCOUNT, {"from": "much too long a name"}),
            (ACCOUNT, {"from": "Shop", "status_callback": "ftp://shop.example"}),
            (ACCOUNT, {}),
        )
    ],
    "fcm": [
        Credentials("key-id", service_account={"project_id": "shop"}, access_token="ya29.token"),
        Credentials("key-id", config={"project_id": "a b"}),
        Credentials("key-id"),
    ],
    "smtp": [Credentials("anna", "token", {"host": "mail.example", "from": "Shop <shop@shop.example>"})],
}
ADDRESSES = {
    "sendgrid": ["ann@example.com", "ä<\x00>", "\ud800", "", None],
    "twilio": ["+15558675310", "whatsapp:+1555", "ä &=+%\n", "\ud800", "", None],
    "fcm": ["device-token", "ä\x00", "\ud800", "", None],
    "smtp": ["ann@example.com", "ann@exämple.com", "ann", "", None],
}
USUAL = {
    "sendgrid": ("subject", "text", "html", "from"),
    "twilio": ("body", "from"),
    "fcm": ("title", "body", "image", "data", "token"),
    "smtp": ("subject", "text", "html", "from"),
}
UNUSUAL = (
    *("to", "cc", "reply_to", "headers", "categories", "custom_args", "attachments", "template_id", "template_data"),
    *("asm", "mail_settings", "media", "validity_seconds", "status_callback", "fid", "topic", "android", "apns"),
    *("validate_only", "smart_encoded", "unknown"),
)
LINES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)
HOSTILE = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", " ", "a\r\nBcc: b@example.com", "\x00", "\x7f", "\x85", "\u2028", "\ud800", "\udfff\ud800", "null", "%", "+"]
)
SENDERS = st.sampled_from(
    ["a@b.example", "A <a@b.example>", "jürgen@b.example", "a\n@b.example", "+1415", SERVICE, "whatsapp:+1415", "a b"]
)
LONG = st.integers(-3, 3).flatmap(
    lambda more: st.sampled_from(
        [(1_600, "x"), (1_600, "😀"), (4_096, "x"), (2_048, "ü"), (3_800, "y"), (3_900, '"')]
    ).map(lambda kind: kind[1] * (kind[0] + more))
)
WRONG = st.none() | st.booleans() | st.integers() | st.floats() | st.lists(LINES, max_size=2)
TEXTS_OR_WORSE = LINES | HOSTILE | SENDERS | LONG
PAIRS = st.dictionaries(
    LINES | HOSTILE | st.sampled_from(["from", "fromage", "message_type", "google.a", "gcm.notification.b", "g"]),
    TEXTS_OR_WORSE | WRONG,
    max_size=3,
)
ANYTHING = TEXTS_OR_WORSE | WRONG | PAIRS


@st.composite
def messages(draw: st.DrawFn, name: str) -> Message:
    """A message as it usually is, but for what may be wrong with it."""
    usual = {key: LINES if key != "from" else SENDERS for key in USUAL[name]} | {"data": PAIRS}
    fields = draw(st.just(USUAL[name]) | st.lists(st.sampled_from(USUAL[name]), unique=True))
    content: dict[str, Any] = {"v": 1} | {key: draw(usual[key]) for key in fields}
    content |= draw(st.dictionaries(st.sampled_from(USUAL[name]), ANYTHING, max_size=1))
    content |= draw(st.just({}) | st.dictionaries(st.sampled_from(UNUSUAL), ANYTHING, max_size=1))
    to = draw(st.sampled_from(ADDRESSES[name][:1] * 4 + ADDRESSES[name]))
    return Message(ID, registry.get(name).channel, to, content)


def built(build: Builder, message: Message) -> object:
    """Return all of the request, or why there is none."""
    try:
        request = build(message)
    except InvalidMessage as refused:
        return str(refused)
    return request.method, request.url, dict(request.headers), request.body


@pytest.mark.parametrize("name", sorted(SETTINGS))
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_short_way_leads_where_the_long_one_does(name: str, data: st.DataObject) -> None:
    """Byte for byte the same request, or the same refusal, whatever a message holds and in whatever order they come."""
    adapter, credentials = registry.get(name), data.draw(st.sampled_from(SETTINGS[name]))
    build = builder(adapter, credentials)
    for message in data.draw(st.lists(messages(name), min_size=1, max_size=4)):
        assert built(build, message) == built(lambda each: adapter.build(each, credentials), message)


@pytest.mark.parametrize("name", sorted(SETTINGS))
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_taken_can_be_built(name: str, data: st.DataObject) -> None:
    """Looked at before it is stored, a message is refused for what its request would be refused for, and no other."""
    adapter, credentials = registry.get(name), data.draw(st.sampled_from(SETTINGS[name]))
    check = checker(adapter, credentials)
    for message in data.draw(st.lists(messages(name), min_size=1, max_size=4)):
        refusals = list[str]()
        for look in (check, lambda each: adapter.build(each, credentials)):
            try:
                look(message)
                refusals.append("")
            except InvalidMessage as refused:
                refusals.append(str(refused))
        assert refusals[0] == refusals[1]


SHORT = [
    ("sendgrid", {"v": 1, "subject": "Grüße 👍", "text": "Hello!\n"}),
    ("sendgrid", {"v": 1, "to": "b@example.com", "subject": "Hello", "html": "<p>", "from": "A <a@b.example>"}),
    ("sendgrid", {"v": 1, "subject": "Hello", "text": "Hello!", "html": None, "from": None}),
    ("twilio", {"v": 1, "body": "Grüße 👍"}),
    ("twilio", {"v": 1, "body": "x" * 1_600, "from": "Shop"}),
    ("fcm", {"v": 1, "title": "Hello", "body": "World 👍", "image": None}),
    ("fcm", {"v": 1, "data": {"order": "7"}, "token": "device"}),
]
NASTY = (
    *(None, "", 0, 7, False, True, 1.5, float("nan"), [], ["x"], {}, {"a": "b"}, {"a": 1}, {"a": None}, {1: "b"}),
    *(
        "a\r\nBcc: b@example.com",
        "a\tb",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "\u200b",
        "\ud800",
        " ",
        "%",
        "null",
        "x" * 999,
    ),
    *("x" * 1_600, "x" * 1_601, "😀" * 1_600, "x" * 4_096, "x" * 4_097, "ü" * 2_048, "ü" * 2_049, '"' * 4_090),
    *({"from": "x"}, {"fromage": "x"}, {"message_type": "x"}, {"google.x": "y"}, {"googley": "x"}, {"x": "\ud800"}),
    *("b@shop.example", "B <b@shop.example>", "B\n <b@shop.example>", "+14155552346", SERVICE, "whatsapp:+14155552346"),
)


@pytest.mark.parametrize("name", ["sendgrid", "twilio", "fcm"])
def test_each_field_may_hold_anything(name: str) -> None:
    """One field of an else usual message, absent or with each kind of thing that could slip through a quick look."""
    adapter, credentials = registry.get(name), SETTINGS[name][0]
    build, to = builder(adapter, credentials), ADDRESSES[name][0]
    for plain in SHORT:
        if plain[0] != name:
            continue
        for field in {*USUAL[name], *UNUSUAL, *plain[1]}:
            changed = [{key: value for key, value in plain[1].items() if key != field}]
            for content in changed + [plain[1] | {field: value} for value in NASTY]:
                message = Message(ID, adapter.channel, to, content)
                assert built(build, message) == built(lambda each: adapter.build(each, credentials), message)


@pytest.mark.parametrize("scenario", MAILS + TEXTS + PUSHES, ids=lambda each: each.name)
def test_what_people_send(scenario: Scenario) -> None:
    """Templates, attachments, options and all."""
    adapter = registry.get(scenario.provider)
    credentials = Credentials(scenario.login, "token", scenario.config)
    message = Message(ID, adapter.channel, scenario.to, {"v": 1, **scenario.content})
    assert built(builder(adapter, credentials), message) == built(
        lambda each: adapter.build(each, credentials), message
    )


@pytest.mark.parametrize(("name", "content"), SHORT)
def test_the_usual_takes_the_short_way(name: str, content: dict[str, Any]) -> None:
    """Or the tests above would compare the long way with itself."""
    credentials = SETTINGS[name][0]
    ways = {"sendgrid": mail.encoder(credentials), "twilio": sms.encoder(credentials), "fcm": push.encoded}
    adapter = registry.get(name)
    message = Message(ID, adapter.channel, ADDRESSES[name][0], content)
    assert ways[name](message) == adapter.build(message, credentials).body


def test_the_largest_mail_is_no_larger() -> None:
    """30 MB count to the byte, on the short way too."""
    adapter, credentials = registry.get("sendgrid"), SETTINGS["sendgrid"][0]
    build = builder(adapter, credentials)

    def of(length: int) -> Message:
        return Message(ID, adapter.channel, "ann@example.com", {"v": 1, "subject": "Hello", "text": "x" * length})

    most = MAX_BYTES - len(build(of(1)).body) + 1
    assert len(build(of(most)).body) == MAX_BYTES
    with pytest.raises(InvalidMessage, match="text and html"):
        build(of(most + 1))


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("%25 +%2B~&=\x00ä€😀")
def test_forms_are_quoted_as_everybody_does(text: str) -> None:
    """No character of a text is another one at the other end."""
    assert sms.quoted(text).decode() == quote_plus(text)


class Twice(Second):
    """Has a short way of its own."""

    def builder(self, credentials: Credentials) -> Builder:
        """Return one that puts a mark on it."""
        build = super().builder(credentials)
        return lambda message: replace(build(message), method="TWICE")


def test_whoever_overrides_build_is_asked() -> None:
    """A third party's adapter made from one of ours must not lose its own checks to the short way of ours."""
    message = Message(ID, Second.channel, "ann@example.com", {"v": 1, "subject": "Hello", "template_id": "d-1"})
    credentials = SETTINGS["sendgrid"][0]
    assert isinstance(Second(), Preparing)
    with pytest.raises(InvalidMessage, match="there are no templates here"):
        builder(Second(), credentials)(message)
    with pytest.raises(InvalidMessage, match="there are no templates here"):
        checker(Second(), credentials)(message)
    assert builder(Twice(), credentials)(message).method == "TWICE"


def slowly_accepted(name: str, response: Response) -> Outcome | None:
    """What an acceptance says, written with the standard library alone; None where it is none."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    said = {
        "sendgrid": response.headers.get("x-message-id"),
        "twilio": answer.get("sid"),
        "fcm": answer.get("name"),
    }[name]
    forbidden = {
        *map(chr, range(0x20)),
        *map(chr, range(0x7F, 0xA0)),
        "\u2028",
        "\u2029",
        *map(chr, range(0xD800, 0xE000)),
    }

    def clean(text: str) -> str:
        return "".join(each for each in text if each in "\t\n" or each not in forbidden)

    line = " ".join(clean(said).split()) if isinstance(said, str) else ""
    message_id = line if 0 < len(line) <= 255 else None
    if name == "sendgrid":
        sandbox = response.status == 200 and (message_id is not None or response.body.strip() in (b"", b"{}"))
        accepted = response.status == 202 or sandbox
    else:
        accepted = response.status == {"twilio": 201, "fcm": 200}[name] and message_id is not None
    kept = clean(response.body.decode(errors="replace")).encode()[:2_048].decode(errors="ignore") or None
    accepting = Outcome(Kind.ACCEPTED, http_status=response.status, provider_message_id=message_id, response=kept)
    return accepting if accepted else None


IDS = st.from_regex(r"[!-~]{1,40}", fullmatch=True) | HOSTILE | st.sampled_from(["x" * 255, "x" * 256, " a  b\n"])
ANSWERS = (
    st.fixed_dictionaries({}, optional={"sid": IDS | WRONG, "name": IDS | WRONG, "other": ANYTHING})
    | WRONG
    | st.lists(PAIRS, max_size=2)
)
BODIES = (
    st.tuples(ANSWERS, st.sampled_from([None, 2]), st.booleans()).map(
        lambda how: json.dumps(how[0], indent=how[1], ensure_ascii=how[2]).encode(errors="surrogatepass")
    )
    | st.binary(max_size=60)
    | st.sampled_from(
        [b"", b" {} ", b"{}", b"x" * 3_000, "é".encode() * 1_500, b'{"sid": "S", "n": ' + b"9" * 25 + b"}"]
    )
)


@pytest.mark.parametrize("name", ["fcm", "sendgrid", "twilio"])
@given(
    response=st.builds(
        Response,
        st.sampled_from([200, 201, 202]) | st.integers(100, 599),
        st.fixed_dictionaries({}, optional={"x-message-id": IDS, "retry-after": HOSTILE}),
        BODIES,
    )
)
@settings(max_examples=100, deadline=None)
def test_acceptance_is_read_as_it_always_was(name: str, response: Response) -> None:
    """The quick look at the usual answer sees all that a slow one does, and takes nothing else for an acceptance."""
    outcome, expected = registry.get(name).read(response), slowly_accepted(name, response)
    assert (outcome.kind is Kind.ACCEPTED) == (expected is not None)
    assert expected is None or outcome == expected
