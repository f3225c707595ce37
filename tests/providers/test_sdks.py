"""The request means what the provider's own Python SDK sends for the same input; both go over a real socket.

Meaning is method, path, login, kind of body, and the body without the freedoms that its format documents. What
notifyctl adds of its own accord, a scenario's `adds` says; everything else has to be equal.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import firebase_admin
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from firebase_admin import credentials, messaging
from sendgrid import SendGridAPIClient
from sendgrid.helpers import mail as sg
from twilio.rest import Client

from notifyctl.providers.contract import Request, Response
from notifyctl.providers.fcm.options import snake_case
from notifyctl.providers.wire import Wire
from tests.providers import scenarios
from tests.providers.scenarios import ACCOUNT, FILE, KEY, LOGO, SERVICE, TEMPLATE, Scenario
from tests.support.capture import TOKEN, Asked, Capture, capturing


@pytest.fixture(scope="module")
def capture() -> Iterator[Capture]:
    """A server that keeps what it is asked."""
    with capturing() as running:
        yield running


def sent(request: Request, capture: Capture) -> Asked:
    """Send what notifyctl makes by its own engine, and return what arrived."""

    async def send() -> Response:
        wire = Wire()
        try:
            response = await wire.send(request, 30)
        finally:
            await wire.aclose()
        assert isinstance(response, Response) and response.status < 300, response
        return response

    asyncio.run(send())
    return capture.only()


def envelope(asked: Asked) -> tuple[str, str, str, str]:
    """Return method, path, login, and the body's type without its parameters."""
    kind = asked.headers["content-type"].partition(";")[0]
    return asked.method, asked.path, asked.headers["authorization"], kind


def merged(body: Any, more: Any) -> Any:
    """Return `body` with what `more` says at the same place."""
    if isinstance(body, dict) and isinstance(more, dict):
        return {**body, **{key: merged(body.get(key, type(value)()), value) for key, value in more.items()}}
    if isinstance(body, list) and isinstance(more, list):
        return [merged(each, extra) for each, extra in zip(body, more, strict=True)]
    return more


def named(found: tuple[Scenario, ...]) -> Any:
    return pytest.mark.parametrize("scenario", found, ids=[each.name for each in found])


# SendGrid


def plain() -> sg.Mail:
    return sg.Mail("shop@shop.example", "ann@example.com", "Hello", plain_text_content="Hello!")


def html() -> sg.Mail:
    return sg.Mail(("news@shop.example", "Shop"), "ann@example.com", "Hello", html_content="<p>Hello!</p>")


def whole() -> sg.Mail:
    text, page = "Hello!", '<p>Hello! <img src="cid:logo"></p>'
    mail = sg.Mail(("news@shop.example", "Shop"), None, "Grüße 👍", plain_text_content=text, html_content=page)
    person = sg.Personalization()
    person.add_to(sg.To("ann@example.com"))
    person.add_cc(sg.Cc("bob@example.com", "Bob"))
    person.add_cc(sg.Cc("carl@example.com"))
    person.add_bcc(sg.Bcc("dora@example.com"))
    person.add_header(sg.Header("X-Campaign", "spring"))
    person.add_custom_arg(sg.CustomArg("order", "7"))
    mail.add_personalization(person)
    mail.reply_to = sg.ReplyTo("help@shop.example", "Help")
    mail.add_attachment(sg.Attachment(FILE["content"], FILE["filename"], FILE["type"], "attachment"))
    mail.add_attachment(sg.Attachment(LOGO["content"], LOGO["filename"], LOGO["type"], "inline", "logo"))
    for name in ("news", "spring"):
        mail.add_category(sg.Category(name))
    mail.asm = sg.Asm(sg.GroupId(7), sg.GroupsToDisplay([7, 8]))
    mail.tracking_settings = sg.TrackingSettings(
        click_tracking=sg.ClickTracking(False, False),
        open_tracking=sg.OpenTracking(True, sg.OpenTrackingSubstitutionTag("%open%")),
        subscription_tracking=sg.SubscriptionTracking(False),
        ganalytics=sg.Ganalytics(True, utm_source=sg.UtmSource("mail"), utm_campaign=sg.UtmCampaign("spring")),
    )
    footer = sg.FooterSettings(True, sg.FooterText("Bye"), sg.FooterHtml("<p>Bye</p>"))
    mail.mail_settings = sg.MailSettings(bypass_list_management=sg.BypassListManagement(True), footer_settings=footer)
    mail.ip_pool_name = sg.IpPoolName("transactional")
    return mail


def template() -> sg.Mail:
    mail = sg.Mail("shop@shop.example", "ann@example.com")
    mail.template_id = "d-0123"
    mail.dynamic_template_data = {"name": "Ann", "items": [{"n": 1}]}
    return mail


def several() -> sg.Mail:
    mail = plain()
    mail.reply_to_list = [sg.ReplyTo("a@b.example"), sg.ReplyTo("c@d.example", "C")]
    return mail


def sandboxed() -> sg.Mail:
    mail = plain()
    mail.reply_to = "help@shop.example"
    mail.mail_settings = sg.MailSettings(sandbox_mode=sg.SandBoxMode(True))
    return mail


MAILS: dict[str, Callable[[], sg.Mail]] = {
    "plain mail": plain,
    "HTML alone": html,
    "whole mail": whole,
    "template of SendGrid's": template,
    "several to answer": several,
    "sandbox mode": sandboxed,
}


@named(scenarios.MAILS)
def test_sendgrid(scenario: Scenario, capture: Capture) -> None:
    """The same JSON but for our notification's id, by which a duplicate is found; the SDK turns some lists around."""
    SendGridAPIClient("SG.key", host=capture.url).send(MAILS[scenario.name]())
    theirs = capture.only()
    ours = sent(scenario.request(capture.url), capture)
    assert envelope(ours) == envelope(theirs)
    assert mail(ours.body) == mail(json.dumps(merged(json.loads(theirs.body), scenario.adds)).encode())


def mail(body: bytes) -> Any:
    """Return a mail's meaning."""
    found = json.loads(body)
    files = sorted(found.get("attachments", []), key=lambda file: str(file["filename"]))
    return {**found, "categories": sorted(found.get("categories", [])), "attachments": files}


# Twilio

TO = "+15558675310"
REPORTS = f"https://shop.example/status?notification_id={scenarios.ID}&attempt=1"
TEXTS: dict[str, dict[str, Any]] = {
    "text from a number": {"from_": "+14155552345", "body": "Hello! 👍 & more"},
    "text from a name, with an API key": {"from_": "Shop", "body": "Hello"},
    "text from a service": {
        "messaging_service_sid": SERVICE,
        "body": "Hello",
        "media_url": ["https://shop.example/a.png", "https://shop.example/b.png?x=1&y=2"],
        "validity_period": 600,
        "status_callback": REPORTS,
        "smart_encoded": True,
        "shorten_urls": True,
        "send_as_mms": False,
        "risk_check": "disable",
        "content_retention": "discard",
        "address_retention": "obfuscate",
    },
    "picture alone": {
        "from_": "+14155552345",
        "media_url": ["https://shop.example/a.png"],
        "status_callback": REPORTS,
    },
    "template of Twilio's": {
        "messaging_service_sid": SERVICE,
        "content_sid": TEMPLATE,
        "content_variables": '{"1": "Änne"}',
    },
}


@named(scenarios.TEXTS)
def test_twilio(scenario: Scenario, capture: Capture) -> None:
    """The same pairs, in any order but for those of one name; variables of a template are JSON in a text."""
    client = Client(KEY, "token", ACCOUNT) if scenario.login == KEY else Client(ACCOUNT, "token")
    client.api.base_url = capture.url
    client.messages.create(to=TO, **TEXTS[scenario.name])
    client.http_client.session.close()
    theirs = capture.only()
    ours = sent(scenario.request(capture.url), capture)
    assert envelope(ours) == envelope(theirs)
    assert form(ours.body) == form(theirs.body)


def form(body: bytes) -> tuple[Any, list[str]]:
    """Return a form's meaning: its pairs, the variables parsed, and the order of the media."""
    pairs = dict[str, str]()
    counted = Counter[tuple[str, str]]()
    for name, value in parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True):
        written = json.dumps(json.loads(value), sort_keys=True) if name == "ContentVariables" else value
        counted[name, written] += 1
        pairs.setdefault(name, value)
    return counted, [value for name, value in parse_qsl(body.decode()) if name == "MediaUrl"]


# FCM


def android() -> messaging.AndroidConfig:
    given = scenarios.ANDROID
    shown = given["notification"]
    kept = ("title", "body", "icon", "color", "sound", "tag", "click_action", "channel_id", "image", "ticker", "sticky")
    notification = messaging.AndroidNotification(
        **{key: shown[key] for key in kept},
        **{key: shown[key] for key in ("body_loc_key", "body_loc_args", "title_loc_key", "title_loc_args")},
        event_timestamp=datetime(2026, 11, 23, 9, tzinfo=UTC),
        local_only=True,
        priority="high",
        vibrate_timings_millis=[200, 1_000],
        light_settings=messaging.LightSettings("#ff0000", 500, 1_000),
        visibility="public",
        notification_count=3,
        proxy="deny",
    )
    return messaging.AndroidConfig(
        collapse_key="orders",
        priority="high",
        ttl=3_600.5,
        restricted_package_name="example.shop",
        data={"order": "7"},
        direct_boot_ok=True,
        notification=notification,
        fcm_options=messaging.AndroidFCMOptions("android"),
    )


def apns() -> messaging.APNSConfig:
    alert = messaging.ApsAlert(title="Order", subtitle="7", body="On its way", loc_key="way", loc_args=["7"])
    aps = messaging.Aps(
        alert=alert,
        badge=1,
        sound=messaging.CriticalSound("ring", True, 0.5),
        category="orders",
        thread_id="order-7",
        content_available=True,
        mutable_content=True,
    )
    return messaging.APNSConfig(
        headers=scenarios.APNS["headers"],
        payload=messaging.APNSPayload(aps, order=7),
        fcm_options=messaging.APNSFCMOptions("apns", "https://shop.example/van.png"),
    )


def webpush() -> messaging.WebpushConfig:
    notification = messaging.WebpushNotification(
        title="Order",
        body="On its way",
        icon="https://shop.example/van.png",
        require_interaction=True,
        actions=[messaging.WebpushNotificationAction("open", "Open")],
        vibrate=[200, 100],
    )
    link = messaging.WebpushFCMOptions("https://shop.example/orders/7")
    return messaging.WebpushConfig({"TTL": "15", "Urgency": "high"}, {"order": "7"}, notification, link)


def pushes() -> dict[str, dict[str, Any]]:
    """Return the arguments of each message."""
    hello = messaging.Notification("Hello")
    world = messaging.Notification("Hello", "World 👍", "https://shop.example/a.png")
    orders = messaging.AndroidNotification(channel_id="orders")
    return {
        "push to a token": {"token": "token", "notification": world},
        "push to an installation": {"fid": "installation", "notification": hello},
        "data alone": {"fid": "installation", "data": {"order": "7", "gift": "true"}},
        "topic, Android": {"topic": "news", "notification": hello, "android": android(), "apns": apns()},
        "condition, Apple": {
            "condition": "'news' in topics && !('de' in topics)",
            "apns": apns(),
            "android": messaging.AndroidConfig(priority="normal"),
        },
        "web, in camel case, only to be looked at": {
            "fid": "installation",
            "notification": hello,
            "webpush": webpush(),
            "android": messaging.AndroidConfig(collapse_key="orders", notification=orders),
            "fcm_options": messaging.FCMOptions("spring"),
        },
    }


@pytest.fixture(scope="module")
def account(capture: Capture) -> dict[str, str]:
    """A service account whose token comes from the capture."""
    key = generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "shop-1",
        "private_key_id": "key-id",
        "private_key": pem,
        "client_email": "a@shop-1.iam.gserviceaccount.com",
        "token_uri": f"{capture.url}/token",
    }


@pytest.fixture
def firebase(account: dict[str, str], capture: Capture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The SDK, its one address of FCM changed to the capture's."""
    url = f"{capture.url}/v1/projects/{{0}}/messages:send"
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
    app = firebase_admin.initialize_app(credentials.Certificate(account), name="test")
    yield app
    firebase_admin.delete_app(app)


@named(scenarios.PUSHES)
# The SDK says of its own field that another one will replace it; the service takes both.
@pytest.mark.filterwarnings("ignore:Message.token is deprecated:DeprecationWarning")
def test_fcm(scenario: Scenario, capture: Capture, account: dict[str, str], firebase: Any) -> None:
    """The same JSON but for what makes a duplicate replace the first; spelling, case and lengths of time are free."""
    dry = bool(scenario.content.get("validate_only"))
    messaging.send(messaging.Message(**pushes()[scenario.name]), dry_run=dry, app=firebase)
    theirs = capture.only()
    ours = sent(scenario.request(capture.url, service_account=account, access_token=TOKEN), capture)
    assert envelope(ours) == envelope(theirs)
    assert push(json.loads(ours.body)) == push(merged(json.loads(theirs.body), scenario.adds))


FREE_CASE = {"priority"}
SECONDS = {"ttl", "light_on_duration", "light_off_duration"}


def push(value: Any, key: str = "") -> Any:
    """Return a body's meaning, by the JSON mapping of protocol buffers: names, words, durations and moments."""
    if isinstance(value, dict):
        return {snake_case(name): push(each, snake_case(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [float(each[:-1]) for each in value] if key == "vibrate_timings" else [push(each) for each in value]
    if key in SECONDS:
        return float(value[:-1])
    if key == "event_time":
        return datetime.fromisoformat(value)
    return value.upper() if key in FREE_CASE else value
