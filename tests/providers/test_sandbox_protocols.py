"""The sandbox speaks as the providers do: asked by the real adapters over the real wire, and by hand."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode, urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from notifyctl.core.model import Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Response
from notifyctl.providers.google_token import fetch
from notifyctl.providers.oauth import Token
from notifyctl.providers.wire import Wire
from notifyctl.sandbox import (
    FCM_PROJECT,
    SENDGRID_KEY,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_KEY_SECRET,
    TWILIO_TOKEN,
)
from tests.providers.conftest import Running

ID = "11111111-2222-4333-8444-555555555555"
MAIL = {"subject": "Hello", "text": "Hello!", "html": "<p>Hello!</p>", "custom_args": {"order": 7}}
SERVICE = "MG" + "c" * 32


@pytest.fixture(scope="module")
def access_token(sandbox: Running) -> str:
    """A token of the sandbox's own token endpoint."""
    token = fetch(sandbox.account, 5)
    assert isinstance(token, Token)
    return token.value


@pytest.fixture
def credentials(sandbox: Running, access_token: str) -> dict[str, Credentials]:
    """What signs in at the sandbox."""
    base = {"base_url": sandbox.url}
    return {
        "sendgrid": Credentials(SENDGRID_KEY, config={**base, "from": "Shop <shop@shop.example>"}),
        "twilio": Credentials(TWILIO_ACCOUNT, TWILIO_TOKEN, {**base, "from": "+14155552345"}),
        "fcm": Credentials("id", config=base, service_account=sandbox.account, access_token=access_token),
    }


def send(name: str, to: str | None, content: dict[str, Any], credentials: Credentials) -> Outcome:
    """Send with the provider's adapter over the wire, and read the answer."""

    async def main() -> Outcome:
        adapter, wire = registry.get(name), Wire()
        try:
            response = await wire.send(adapter.build(Message(ID, adapter.channel, to, content), credentials), 10)
        finally:
            await wire.aclose()
        assert isinstance(response, Response)
        return adapter.read(response)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "to", "content", "kind", "code"),
    [
        ("sendgrid", "ann@example.com", MAIL, Kind.ACCEPTED, None),
        ("sendgrid", "ann@example.com", {"template_id": "d-1", "template_data": {"a": 1}}, Kind.ACCEPTED, None),
        ("sendgrid", "ann@example.com", MAIL | {"cc": ["b@example.com"], "bcc": "c@example.com"}, Kind.ACCEPTED, None),
        ("sendgrid", "nobody", MAIL, Kind.RECIPIENT, "personalizations.0.to.0.email"),
        ("sendgrid", "a@b@example.com", MAIL, Kind.RECIPIENT, "personalizations.0.to.0.email"),
        (
            "sendgrid",
            "ann@example.com",
            MAIL | {"cc": "bob@localhost"},
            Kind.PERMANENT,
            "personalizations.0.cc.0.email",
        ),
        ("sendgrid", "ann@example.com", MAIL | {"from": "unverified@shop.example"}, Kind.CONFIG, "from"),
        ("twilio", "+15558675310", {"body": "Hello! 👍"}, Kind.ACCEPTED, None),
        ("twilio", "+15558675310", {"body": "x", "from": "+15005550006"}, Kind.ACCEPTED, None),
        ("twilio", "+15558675310", {"body": "x", "from": "Shop"}, Kind.ACCEPTED, None),
        ("twilio", "+15558675310", {"media": ["https://shop.example/a.png"], "from": SERVICE}, Kind.ACCEPTED, None),
        ("twilio", "+15005550001", {"body": "x"}, Kind.RECIPIENT, "21211"),
        ("twilio", "+15005550002", {"body": "x"}, Kind.PERMANENT, "21612"),
        ("twilio", "+15005550003", {"body": "x"}, Kind.PERMANENT, "21408"),
        ("twilio", "+15005550004", {"body": "x"}, Kind.RECIPIENT, "21610"),
        ("twilio", "+15005550009", {"body": "x"}, Kind.RECIPIENT, "21614"),
        ("twilio", "12", {"body": "x"}, Kind.RECIPIENT, "21211"),
        ("twilio", "+15558675310", {"body": "x", "from": "+15005550001"}, Kind.CONFIG, "21212"),
        ("twilio", "+15558675310", {"body": "x", "from": "+15005550007"}, Kind.CONFIG, "21606"),
        ("twilio", "+15558675310", {"body": "x", "from": "+15005550008"}, Kind.THROTTLED, "21611"),
        ("twilio", "+15558675310", {"body": "x", "from": "+15005550010"}, Kind.CONFIG, "21606"),
        ("fcm", "device", {"title": "Hello", "data": {"order": 7}}, Kind.ACCEPTED, None),
        ("fcm", "device", {"title": "Hello", "validate_only": True}, Kind.ACCEPTED, None),
        ("fcm", None, {"title": "Hello", "topic": "news"}, Kind.ACCEPTED, None),
        ("fcm", None, {"title": "Hello", "fid": "installation"}, Kind.ACCEPTED, None),
        ("fcm", "unregistered-1", {"title": "Hello"}, Kind.RECIPIENT, "UNREGISTERED"),
        ("fcm", "invalid-1", {"title": "Hello"}, Kind.RECIPIENT, "INVALID_ARGUMENT"),
        ("fcm", "mismatch-1", {"title": "Hello"}, Kind.RECIPIENT, "SENDER_ID_MISMATCH"),
    ],
)
def test_adapters_and_sandbox_understand_each_other(
    credentials: dict[str, Credentials],
    name: str,
    to: str | None,
    content: dict[str, Any],
    kind: Kind,
    code: str | None,
) -> None:
    """Each way a message can go, from the content to the outcome, over a socket."""
    outcome = send(name, to, content, credentials[name])
    assert (outcome.kind, outcome.code) == (kind, code), outcome
    assert outcome.provider_message_id or kind is not Kind.ACCEPTED


def test_sandbox_mode_of_sendgrid(credentials: dict[str, Credentials]) -> None:
    """SendGrid's own sandbox mode answers 200 without an id."""
    known = credentials["sendgrid"]
    outcome = send(
        "sendgrid", "a@b.example", MAIL, Credentials(known.api_key, config={**known.config, "sandbox_mode": True})
    )
    assert (outcome.kind, outcome.http_status, outcome.provider_message_id) == (Kind.ACCEPTED, 200, None)


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("sendgrid", {"api_key": "SG.wrong"}, None),
        ("twilio", {"api_key": "AC" + "0" * 32}, "20003"),
        ("twilio", {"api_secret": "wrong"}, "20003"),
        ("fcm", {"access_token": "ya29.wrong"}, "UNAUTHENTICATED"),
        ("fcm", {"access_token": None}, "UNAUTHENTICATED"),
    ],
)
def test_wrong_credentials(
    credentials: dict[str, Credentials], name: str, change: dict[str, Any], code: str | None
) -> None:
    """Anybody else is refused as the real ones do, which pauses the provider and blames no message."""
    known = {key: getattr(credentials[name], key) for key in ("api_key", "api_secret", "config", "service_account")}
    other = Credentials(**{**known, "access_token": credentials[name].access_token, **change})
    content = {"sendgrid": MAIL, "twilio": {"body": "x"}, "fcm": {"title": "x"}}[name]
    outcome = send(name, {"sendgrid": "a@b.example", "twilio": "+15558675310", "fcm": "device"}[name], content, other)
    assert (outcome.kind, outcome.http_status, outcome.code) == (Kind.CONFIG, 401, code)


def test_api_key_of_twilio(credentials: dict[str, Credentials]) -> None:
    """An API key signs in for its account."""
    config = {**credentials["twilio"].config, "account_sid": TWILIO_ACCOUNT}
    outcome = send("twilio", "+15558675310", {"body": "x"}, Credentials(TWILIO_KEY, TWILIO_KEY_SECRET, config))
    assert outcome.kind is Kind.ACCEPTED


def test_other_project_of_fcm(credentials: dict[str, Credentials]) -> None:
    """A token of this project may not send in another: a matter of permissions, not of the device."""
    known = credentials["fcm"]
    account = {**known.service_account, "project_id": "other"} if known.service_account else None
    outcome = send("fcm", "device", {"title": "x"}, Credentials("id", None, known.config, account, known.access_token))
    assert (outcome.kind, outcome.code) == (Kind.CONFIG, "PERMISSION_DENIED")


def test_twilio_message_has_the_documented_fields(sandbox: Running) -> None:
    """The answer to a new message has the fields of Twilio's own example, no more and no less."""
    answer = _twilio(sandbox, {"To": "+14155552345", "From": "+15005550006", "Body": "Hello! 👍" * 30})
    assert answer.status_code == 201
    message = answer.json()
    assert set(message) == {
        *("account_sid", "api_version", "body", "date_created", "date_sent", "date_updated", "direction", "error_code"),
        *("error_message", "from", "messaging_service_sid", "num_media", "num_segments", "price", "price_unit", "sid"),
        *("status", "subresource_uris", "to", "uri"),
    }
    assert (message["status"], message["num_segments"]) == ("queued", "5")
    assert message["sid"].startswith("SM") and len(message["sid"]) == 34
    assert message["date_created"].endswith("+0000")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21604),
        ({"To": "+14155552345", "Body": "x"}, 21603),
        ({"To": "+14155552345", "From": "+14155550000"}, 21602),
        ({"To": "+14155552345", "From": "+14155550000", "Body": "x" * 1601}, 21617),
        ({"To": "+14155552345", "MessagingServiceSid": "MG1", "Body": "x"}, 21701),
        ({"To": "+14155552345", "From": "not a sender!", "Body": "x"}, 21212),
    ],
)
def test_twilio_checks(sandbox: Running, form: dict[str, str], code: int) -> None:
    """What Twilio needs, it asks for by its codes."""
    answer = _twilio(sandbox, form)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert set(answer.json()) == {"code", "message", "more_info", "status"}


def test_twilio_refuses_json(sandbox: Running) -> None:
    """A JSON body holds no parameters for Twilio."""
    url = f"{sandbox.url}/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json"
    answer = httpx.post(url, json={"To": "+14155552345"}, auth=(TWILIO_ACCOUNT, TWILIO_TOKEN))
    assert answer.json()["code"] == 21604


def test_twilio_elsewhere(sandbox: Running) -> None:
    """Another resource is not there, another method not allowed, and nobody comes in without a login."""
    base, auth = f"{sandbox.url}/2010-04-01/Accounts/{TWILIO_ACCOUNT}", (TWILIO_ACCOUNT, TWILIO_TOKEN)
    assert httpx.post(f"{base}/Nothing.json", auth=auth).json()["code"] == 20404
    assert httpx.get(f"{base}/Messages/SMnone.json", auth=auth).json()["code"] == 20404
    assert httpx.delete(f"{base}/Messages.json", auth=auth).json()["code"] == 20004
    assert httpx.post(f"{base}/Messages.json", headers={"Authorization": "Basic ???"}).status_code == 401


def _twilio(sandbox: Running, form: dict[str, str]) -> httpx.Response:
    login = b64encode(f"{TWILIO_ACCOUNT}:{TWILIO_TOKEN}".encode()).decode()
    return httpx.post(
        f"{sandbox.url}/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json",
        content=urlencode(form),
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/x-www-form-urlencoded"},
    )


def mail(**changes: Any) -> dict[str, Any]:
    whole = {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "shop@shop.example"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello!"}],
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (mail(personalizations=None), ["personalizations"]),
        (mail(personalizations=[]), ["personalizations"]),
        (mail(personalizations=[{}]), ["personalizations.0.to"]),
        (mail(personalizations=["x"]), ["personalizations.0.to"]),
        (
            mail(personalizations=[{"to": [{"email": "a@b.example"}], "cc": [{"email": "A@b.example"}]}]),
            ["personalizations.0"],
        ),
        (
            mail(personalizations=[{"to": [{"email": "a@b.example"}], "custom_args": {"a": 1}}]),
            ["personalizations.0.custom_args.a"],
        ),
        (
            mail(personalizations=[{"to": [{"email": "a@b.example"}], "headers": {"Subject": "x"}}]),
            ["personalizations.0.headers.Subject"],
        ),
        (mail(**{"from": None}), ["from.email"]),
        (mail(**{"from": {"email": "jürgen@shop.example"}}), ["from.email"]),
        (mail(reply_to={"email": "x"}), ["reply_to.email"]),
        (mail(subject=None, content=None), ["subject", "content"]),
        (mail(content=[{"type": "text/plain", "value": ""}]), ["content.0.value"]),
        (mail(content=[{"type": kind, "value": "x"} for kind in ("text/html", "text/plain")]), ["content"]),
        (mail(categories=[str(number) for number in range(11)]), ["categories"]),
        (mail(mail_settings={"sandbox_mode": {"enable": "true"}}), ["mail_settings.sandbox_mode.enable"]),
    ],
)
def test_sendgrid_checks(sandbox: Running, body: dict[str, Any], fields: list[str]) -> None:
    """What SendGrid requires, it asks for by the names of fields, all at once."""
    answer = _sendgrid(sandbox, json.dumps(body))
    assert answer.status_code == 400
    errors = answer.json()["errors"]
    assert [error["field"] for error in errors] == fields
    assert all(set(error) == {"message", "field", "help"} for error in errors)


@pytest.mark.parametrize(
    ("method", "path", "change", "body", "status"),
    [
        ("POST", "/v3/mail/send", {}, "{", 400),
        ("POST", "/v3/mail/send", {}, "[]", 400),
        ("POST", "/v3/mail/send", {}, "[" * 50_000, 400),
        ("POST", "/v3/mail/send", {"Content-Type": "text/plain"}, "{}", 415),
        ("POST", "/v3/mail/send", {"Authorization": "Bearer x"}, "{}", 401),
        ("GET", "/v3/mail/send", {}, "", 405),
        ("POST", "/v3/mail", {}, "{}", 404),
        ("POST", "/elsewhere", {}, "{}", 404),
    ],
)
def test_sendgrid_door(
    sandbox: Running, method: str, path: str, change: dict[str, str], body: str, status: int
) -> None:
    """What is wrong with the request as such is told by the status, as SendGrid does."""
    assert _sendgrid(sandbox, body, method, path, change).status_code == status


def _sendgrid(
    sandbox: Running, body: str, method: str = "POST", path: str = "/v3/mail/send", change: dict[str, str] | None = None
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {SENDGRID_KEY}", "Content-Type": "application/json", **(change or {})}
    return httpx.request(method, sandbox.url + path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Recipient of the message is not set."),
        ({"message": {"notification": {}}}, "Recipient of the message is not set."),
        ({"message": []}, "Recipient of the message is not set."),
        ({"message": {"token": "a", "topic": "b"}}, "oneof field 'target' is already set"),
        ({"message": {"token": "a", "data": {"n": 1}}}, "Invalid value at 'message.data[0].value' (TYPE_STRING), 1"),
        ({"message": {"token": "a", "data": {"from": "x"}}}, "Invalid data payload key: from"),
        ({"message": {"token": "a", "data": {"a": "x" * 4096}}}, "Message is too big"),
        ({"message": {"topic": "a", "data": {"a": "x" * 2048}}}, "Message is too big"),
        ({"message": {"topic": "/topics/a"}}, "Malformed topic name"),
        ({"message": {"token": "a", "titel": "x"}}, "Unknown name \"titel\" at 'message'"),
        ({"message": {"token": "a"}, "dry_run": True}, 'Unknown name "dry_run"'),
        ([], "Invalid JSON payload received."),
    ],
)
def test_fcm_checks(sandbox: Running, access_token: str, body: object, message: str) -> None:
    """What FCM refuses, it refuses as INVALID_ARGUMENT with a reason."""
    answer = _fcm(sandbox, access_token, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert message in answer.json()["error"]["message"]


def _fcm(sandbox: Running, access_token: str, body: object) -> httpx.Response:
    url = f"{sandbox.url}/v1/projects/{FCM_PROJECT}/messages:send"
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {access_token}"})


def signed(claims: dict[str, Any], key: RSAPrivateKey, header: dict[str, Any] | None = None) -> str:
    """Return a JWT as any library would make it."""
    parts = [
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (header or {"alg": "RS256", "typ": "JWT"}, claims)
    ]
    signature = key.sign(".".join(parts).encode(), PKCS1v15(), SHA256())
    return ".".join([*parts, urlsafe_b64encode(signature).decode().rstrip("=")])


@pytest.fixture
def key(sandbox: Running) -> RSAPrivateKey:
    """The private key in the sandbox's key file."""
    found = load_pem_private_key(sandbox.account["private_key"].encode(), None)
    assert isinstance(found, RSAPrivateKey)
    return found


def ask(sandbox: Running, assertion: str) -> httpx.Response:
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return httpx.post(f"{sandbox.url}/token", data={"grant_type": grant, "assertion": assertion})


def claims(sandbox: Running, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": sandbox.account["client_email"],
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": sandbox.account["token_uri"],
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value(now) if callable(value) else value for name, value in (whole | changes).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": "https://oauth2.googleapis.com/token"},
        {"scope": "email https://www.googleapis.com/auth/cloud-platform"},
        {"iat": lambda now: now - 100, "exp": lambda now: now + 100},
    ],
)
def test_token_for_any_library(sandbox: Running, key: RSAPrivateKey, changes: dict[str, Any]) -> None:
    """Both audiences and both scopes that libraries send get a token that works."""
    answer = ask(sandbox, signed(claims(sandbox, **changes), key))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["expires_in"], body["token_type"]) == (3_599, "Bearer")
    sent = _fcm(sandbox, body["access_token"], {"message": {"token": "device", "notification": {"title": "x"}}})
    assert sent.json()["name"].startswith(f"projects/{FCM_PROJECT}/messages/0:")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "stranger@b.example"}, "invalid_grant"),
        ({"aud": "https://elsewhere.example/token"}, "invalid_grant"),
        ({"exp": lambda now: now - 400, "iat": lambda now: now - 4000}, "invalid_grant"),
        ({"exp": lambda now: now + 3700}, "invalid_grant"),
        ({"iat": lambda now: now + 900, "exp": lambda now: now + 1800}, "invalid_grant"),
        ({"iat": lambda now: float(now)}, "invalid_grant"),
        ({"exp": None}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
    ],
)
def test_assertions_are_checked(sandbox: Running, key: RSAPrivateKey, changes: dict[str, Any], error: str) -> None:
    """Issuer, audience, times and scope must be right."""
    answer = ask(sandbox, signed(claims(sandbox, **changes), key))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_signatures_are_checked(sandbox: Running, key: RSAPrivateKey) -> None:
    """Only the key in the file signs; no algorithm `none`, no other key, no rubbish."""
    good = signed(claims(sandbox), key)
    stranger = generate_private_key(public_exponent=65_537, key_size=2_048)
    for assertion in (
        signed(claims(sandbox), stranger),
        signed(claims(sandbox), key, {"alg": "none"}),
        signed(claims(sandbox), key, {"alg": "RS256", "kid": "other"}),
        good.rpartition(".")[0] + ".",
        good[:-20],
        "a.b.c",
        "rubbish",
        signed([], key),  # type: ignore[arg-type]
    ):
        assert ask(sandbox, assertion).json()["error"] == "invalid_grant"


def test_token_requests_are_checked(sandbox: Running) -> None:
    """Another grant type, or none, and a missing assertion are told apart."""
    url = f"{sandbox.url}/token"
    assert httpx.post(url).json()["error"] == "unsupported_grant_type"
    assert httpx.post(url, data={"grant_type": "password"}).json()["error"] == "unsupported_grant_type"
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert httpx.post(url, data=grant).json()["error"] == "invalid_request"
    assert httpx.get(url).status_code == 404
