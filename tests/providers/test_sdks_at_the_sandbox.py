"""The providers' own Python SDKs use the sandbox as they use the real services: they send, look, list and page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import firebase_admin
import pytest
from firebase_admin import credentials, exceptions, messaging
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers import mail as sg
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from notifyctl.sandbox import FCM_PROJECT, SENDGRID_KEY, TWILIO_ACCOUNT, TWILIO_TOKEN
from tests.providers.conftest import Running

SENDER = "+15005550006"


# Twilio


@pytest.fixture
def client(sandbox: Running) -> Iterator[Client]:
    """Twilio's client, its one address changed to the sandbox's."""
    made = Client(TWILIO_ACCOUNT, TWILIO_TOKEN)
    made.api.base_url = sandbox.url
    yield made
    made.http_client.session.close()


def seen(message: Any) -> dict[str, Any]:
    """Return what the SDK made of a message, without what changes while it is on its way."""
    names = (
        "sid",
        "to",
        "from_",
        "body",
        "account_sid",
        "direction",
        "num_segments",
        "num_media",
        "date_created",
        "uri",
    )
    return {name: getattr(message, name) for name in names}


def test_twilio_sends_and_looks(client: Client) -> None:
    """What was made, what is fetched and what is listed are the same objects."""
    made = client.messages.create(to="+15558675310", from_=SENDER, body="Hello! 👍")
    fetched = client.messages(made.sid).fetch()
    [listed] = client.messages.list(to="+15558675310", limit=1)
    assert seen(made) == seen(fetched) == seen(listed)
    assert made.date_created.tzinfo is UTC or made.date_created.utcoffset() == timedelta(0)


def test_twilio_lists_and_pages(client: Client) -> None:
    """`list`, `stream` and pages by hand return all of them once, newest first, however they are cut."""
    to = "+15558675399"
    sids = [client.messages.create(to=to, from_=SENDER, body=str(number)).sid for number in range(7)][::-1]
    assert [each.sid for each in client.messages.list(to=to, page_size=2)] == sids
    assert [each.sid for each in client.messages.list(to=to, limit=5, page_size=3)] == sids[:5]
    assert [each.sid for each in client.messages.stream(to=to, page_size=4)] == sids
    page = client.messages.page(to=to, page_size=3)
    pages = []
    while page is not None:
        pages.append([each.sid for each in page])
        last, page = page, page.next_page()
    assert pages == [sids[:3], sids[3:6], sids[6:]]
    assert [each.sid for each in last.previous_page()] == sids[3:6]


def test_twilio_filters_by_date(client: Client) -> None:
    """The SDK's three comparisons of the day or moment of sending."""
    to = "+15558675398"
    sid = client.messages.create(to=to, from_=SENDER, body="x").sid
    now = datetime.now(UTC)

    def found(**when: Any) -> list[str]:
        return [each.sid for each in client.messages.list(to=to, **when)]

    assert found(date_sent_after=now - timedelta(days=1)) == [sid]
    assert found(date_sent_before=now + timedelta(days=1)) == [sid]
    assert found(date_sent_after=now + timedelta(days=1)) == []
    assert found(date_sent_before=now - timedelta(days=2)) == []


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [
        ({"to": "+15005550001", "from_": SENDER, "body": "x"}, 21211, 400),
        ({"to": "+15558675310", "from_": SENDER, "body": "x", "validity_period": 40_000}, 90007, 400),
        (
            {"to": "+15558675310", "from_": SENDER, "media_url": [f"https://a.example/{n}" for n in range(11)]},
            21623,
            400,
        ),
    ],
)
def test_twilio_refusals_are_the_sdks_own_errors(client: Client, given: dict[str, Any], code: int, status: int) -> None:
    """The SDK reads code, status and text of what is refused."""
    with pytest.raises(TwilioRestException) as caught:
        client.messages.create(**given)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_twilio_refuses_a_wrong_token(sandbox: Running) -> None:
    """As the SDK shows it."""
    wrong = Client(TWILIO_ACCOUNT, "wrong")
    wrong.api.base_url = sandbox.url
    with pytest.raises(TwilioRestException) as caught:
        wrong.messages.create(to="+15558675310", from_=SENDER, body="x")
    wrong.http_client.session.close()
    assert (caught.value.code, caught.value.status) == (20003, 401)


# SendGrid


def letter(subject: str = "Hello") -> sg.Mail:
    """Return a mail of the SDK's."""
    return sg.Mail("shop@shop.example", "ann@example.com", subject, plain_text_content="Hello!")


def test_sendgrid_sends_and_finds(sandbox: Running) -> None:
    """The id that it is given finds the mail in the Email Activity; the limit bounds the page."""
    client = SendGridAPIClient(SENDGRID_KEY, host=sandbox.url)
    ids = [client.send(letter(f"Hello {number}")).headers["X-Message-Id"] for number in range(3)]
    query = {"query": f"msg_id LIKE '{ids[1]}%'", "limit": 10}
    [found] = client.client.messages.get(query_params=query).to_dict["messages"]
    assert (found["subject"], found["to_email"]) == ("Hello 1", "ann@example.com")
    page = client.client.messages.get(query_params={"query": "subject LIKE 'Hello %'", "limit": 2}).to_dict["messages"]
    assert [each["subject"] for each in page] == ["Hello 2", "Hello 1"]


def test_sendgrid_refusals_are_the_sdks_own_errors(sandbox: Running) -> None:
    """A bad attachment and a wrong key, as the SDK raises them."""
    bad = letter()
    bad.add_attachment(sg.Attachment("NOT BASE64", "a.txt"))
    with pytest.raises(BadRequestsError) as refused:
        SendGridAPIClient(SENDGRID_KEY, host=sandbox.url).send(bad)
    assert [each["field"] for each in refused.value.to_dict["errors"]] == ["attachments.0.content"]
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient("SG.wrong", host=sandbox.url).send(letter())


# FCM


@pytest.fixture
def firebase(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Google's SDK, its one address of FCM changed to the sandbox's."""
    url = f"{sandbox.url}/v1/projects/{{0}}/messages:send"
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
    app = firebase_admin.initialize_app(credentials.Certificate(sandbox.account), name="sandbox")
    yield app
    firebase_admin.delete_app(app)


# The SDK says of its own field that another one will replace it; the service takes both.
@pytest.mark.filterwarnings("ignore:Message.token is deprecated:DeprecationWarning")
def test_fcm_sends(firebase: Any) -> None:
    """One, several at once, and one that is only looked at; what is refused is the SDK's own error."""
    shown = messaging.Notification("Hello", "World")
    name = messaging.send(messaging.Message(topic="news", notification=shown), app=firebase)
    assert name.startswith(f"projects/{FCM_PROJECT}/messages/")
    assert messaging.send(messaging.Message(topic="news"), dry_run=True, app=firebase).endswith("fake_message_id")
    several = [
        messaging.Message(token=token, notification=shown) for token in ("device", "unregistered-1", "mismatch-1")
    ]
    answers = messaging.send_each(several, app=firebase).responses
    assert [each.success for each in answers] == [True, False, False]
    assert isinstance(answers[1].exception, messaging.UnregisteredError)
    assert isinstance(answers[2].exception, messaging.SenderIdMismatchError)
    with pytest.raises(exceptions.InvalidArgumentError):
        messaging.send(messaging.Message(topic="news", data={"from": "x"}), app=firebase)
