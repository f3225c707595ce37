"""What every adapter owes its caller, whichever it is: the same suite over all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Described, InvalidMessage, Response

CREDENTIALS = {
    "sendgrid": Credentials("SG.key", config={"from": "Shop <shop@shop.example>"}),
    "twilio": Credentials("AC" + "0" * 32, "token", {"from": "+14155552345"}),
    "fcm": Credentials(
        "key-id",
        service_account={
            "project_id": "shop",
            "client_email": "a@b.example",
            "private_key": "a key",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        access_token="ya29.token",
    ),
    "smtp": Credentials("anna", "token", {"host": "mail.example", "from": "Shop <shop@shop.example>"}),
}
CONTENT: dict[str, dict[str, Any]] = {
    "sendgrid": {"v": 1, "subject": "Hello", "text": "Hello!"},
    "twilio": {"v": 1, "body": "Hello!"},
    "fcm": {"v": 1, "title": "Hello"},
    "smtp": {"v": 1, "subject": "Hello", "text": "Hello!"},
}
ADDRESS = {"sendgrid": "ann@example.com", "twilio": "+15558675310", "fcm": "device-token", "smtp": "ann@example.com"}
# The only statuses by which each says that it took a message.
ACCEPTING = {"sendgrid": {200, 202}, "twilio": {201}, "fcm": {200}, "smtp": {250}}
FIELDS = (
    *(
        "subject",
        "text",
        "html",
        "from",
        "reply_to",
        "cc",
        "bcc",
        "headers",
        "categories",
        "custom_args",
        "attachments",
    ),
    *(
        "template_id",
        "template_data",
        "body",
        "media",
        "validity_seconds",
        "token",
        "fid",
        "topic",
        "condition",
        "title",
    ),
    *("asm", "tracking_settings", "mail_settings", "ip_pool_name", "status_callback", "fcm_options", "filename"),
    *("smart_encoded", "shorten_urls", "send_as_mms", "risk_check", "content_retention", "address_retention"),
    *("disposition", "content", "type", "group_id", "headers", "notification", "ttl", "priority"),
    *("image", "data", "android", "apns", "webpush", "validate_only", "errors", "error", "details", "code", "message"),
    *("status", "sid", "name", "field", "fieldViolations", "@type", "errorCode"),
)

adapters = pytest.mark.parametrize("name", sorted(CREDENTIALS))
over_http = pytest.mark.parametrize("name", sorted(CREDENTIALS.keys() - {"smtp"}))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=6)
bodies = st.binary(max_size=200) | (anything | objects).map(lambda value: json.dumps(value).encode())
dates = st.text(max_size=40) | st.sampled_from(["Wed, 21 Oct 2026 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 +9999"])
headers = st.fixed_dictionaries(
    {},
    optional={
        "x-message-id": st.text(max_size=300),
        "retry-after": dates | st.integers().map(str),
        "date": dates,
        "x-ratelimit-reset": dates | st.integers().map(str),
        "content-type": st.text(max_size=10),
        "stage": st.text(max_size=5) | st.sampled_from(["auth", "rcpt", "end"]),
    },
)
responses = st.builds(Response, st.integers(100, 599), headers, bodies)


def message(name: str, content: dict[str, Any]) -> Message:
    return Message("11111111-2222-4333-8444-555555555555", registry.get(name).channel, ADDRESS[name], content)


@adapters
@given(response=responses)
@settings(max_examples=150)
def test_read_takes_any_answer(name: str, response: Response) -> None:
    """Whatever a provider, a proxy or an attacker answers becomes an outcome that can be stored; nothing raises."""
    outcome = registry.get(name).read(response)
    assert isinstance(outcome, Outcome)
    assert outcome.http_status == response.status
    for text in (outcome.message, outcome.code or "", outcome.provider_message_id or "", outcome.response or ""):
        assert "\x00" not in text
        text.encode()
    assert len(outcome.message) <= 300 and "\n" not in outcome.message
    assert len((outcome.response or "").encode()) <= 2048
    assert outcome.retry_after_ms is None or outcome.retry_after_ms >= 0


@adapters
@given(response=responses)
@settings(max_examples=150)
def test_only_a_known_success_is_one(name: str, response: Response) -> None:
    """No notification counts as sent by an answer that does not say so: another status, or one without an id."""
    outcome = registry.get(name).read(response)
    if outcome.kind is Kind.ACCEPTED:
        assert response.status in ACCEPTING[name]
        assert outcome.provider_message_id or name in ("sendgrid", "smtp")


@over_http
def test_every_status_has_a_class(name: str) -> None:
    """Even with an empty body, what is no success is a failure, and of one that may have sent it, unknown."""
    for status in range(100, 600):
        outcome = registry.get(name).read(Response(status, {}, b""))
        if status < 400:
            assert outcome.kind is (Kind.ACCEPTED if name == "sendgrid" and status in (200, 202) else Kind.UNKNOWN)
        elif status >= 500 and status != 503:
            assert outcome.kind is Kind.UNKNOWN
        else:
            assert outcome.kind not in (Kind.ACCEPTED, Kind.RECIPIENT)
        assert outcome.message or outcome.kind is Kind.ACCEPTED


@over_http
def test_deep_nesting_is_read(name: str) -> None:
    """A body of brackets cannot overflow the stack."""
    assert registry.get(name).read(Response(400, {}, b"[" * 65_536)).kind is Kind.PERMANENT
    assert registry.get(name).read(Response(400, {}, b'{"error":' * 9_000)).kind is Kind.PERMANENT


@adapters
@given(content=objects)
@settings(max_examples=150)
def test_build_refuses_or_builds(name: str, content: dict[str, Any]) -> None:
    """Any content becomes a request or an InvalidMessage that names a reason; no other exception reaches the loop."""
    for whole in (content, CONTENT[name] | content):
        try:
            request = registry.get(name).build(message(name, whole), CREDENTIALS[name])
        except InvalidMessage as problem:
            assert str(problem)
        else:
            request.body.decode()
            assert request.method == ("MAIL" if name == "smtp" else "POST")


@over_http
def test_request_is_authorised_and_typed(name: str) -> None:
    """Each request carries the credentials and says what it is and what it wants back (SendGrid answers 406 else)."""
    request = registry.get(name).build(message(name, CONTENT[name]), CREDENTIALS[name])
    assert request.headers["Authorization"].split()[0] in ("Bearer", "Basic")
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Content-Type"].startswith("application/")
    assert request.url.startswith(registry.get(name).default_url + "/")


@over_http
@pytest.mark.parametrize("base", ["http://127.0.0.1:1234", "http://127.0.0.1:1234/", "https://gateway.example/mail/"])
def test_base_url_can_be_set(name: str, base: str) -> None:
    """The setting `base_url` leads to the sandbox or a gateway, with or without a slash at its end."""
    known = CREDENTIALS[name]
    moved = Credentials(
        known.api_key, known.api_secret, {**known.config, "base_url": base}, known.service_account, known.access_token
    )
    usual = registry.get(name).build(message(name, CONTENT[name]), known)
    request = registry.get(name).build(message(name, CONTENT[name]), moved)
    assert request.url == base.rstrip("/") + usual.url.removeprefix(registry.get(name).default_url)
    assert request.body == usual.body


@adapters
def test_secrets_are_not_shown(name: str) -> None:
    """Neither credentials nor request show a secret when they end up in a log or a traceback."""
    request = registry.get(name).build(message(name, CONTENT[name]), CREDENTIALS[name])
    shown = repr(CREDENTIALS[name]) + repr(request)
    for secret in ("SG.key", "'token'", "ya29.token", "a key", request.headers["Authorization"]):
        assert secret not in shown


@adapters
def test_good_settings_pass(name: str) -> None:
    """`check` finds nothing in settings that work."""
    assert registry.get(name).check(CREDENTIALS[name]) == []


@over_http
@pytest.mark.parametrize("base", ["ftp://x", "nonsense", "http://", 7, "http://[::1", "https://x:99999", "https://x\n"])
def test_bad_base_url_is_found(name: str, base: object) -> None:
    """`check` finds a base URL to which nothing could be sent, and does not trip over it."""
    known = CREDENTIALS[name]
    broken = Credentials(known.api_key, known.api_secret, {**known.config, "base_url": base}, known.service_account)
    assert registry.get(name).check(broken) == ["base_url must be an http or https address"]


@over_http
@pytest.mark.parametrize("base", ["https://x/?a=b", "https://x?", "https://x/#a", "https://user@x/", "https://@x"])
def test_base_url_is_host_and_path(name: str, base: str) -> None:
    """What would be lost, or would swallow the path that is put behind it, is refused."""
    known = CREDENTIALS[name]
    broken = Credentials(known.api_key, known.api_secret, {**known.config, "base_url": base}, known.service_account)
    assert registry.get(name).check(broken) == ["base_url must be host and path: no user, no ? and no #"]


@adapters
def test_settings_are_described(name: str) -> None:
    """Each adapter of ours says which settings it has, those of the examples among them."""
    adapter = registry.get(name)
    assert isinstance(adapter, Described)
    assert CREDENTIALS[name].config.keys() <= adapter.settings.keys()
    assert all(adapter.settings.values())


@adapters
def test_empty_settings_are_found(name: str) -> None:
    """`check` of a provider without settings names what is missing, one sentence each."""
    problems = registry.get(name).check(Credentials(""))
    assert problems and all("missing" in problem or "not" in problem for problem in problems)


def test_every_channel_has_a_provider() -> None:
    """Each channel can be delivered out of the box."""
    assert all(registry.for_channel(channel) for channel in Channel)
