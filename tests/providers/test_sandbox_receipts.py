"""What the sandbox says later of a message, and what it says of credentials."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from notifyctl.core import address
from notifyctl.core.model import Channel
from notifyctl.sandbox import (
    SENDGRID_KEY,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_KEY_SECRET,
    TWILIO_TOKEN,
    webhook_public_key,
)
from notifyctl.sandbox import receipts as sandbox_receipts
from notifyctl.sandbox.callbacks import is_ours_to_call, signature
from notifyctl.sandbox.exchange import Handled, IncomingRequest
from notifyctl.sandbox.query import BadQuery, parse
from notifyctl.sandbox.receipts import RecentMessages, RequestLimit
from notifyctl.sandbox.sendgrid import SendGridServer
from notifyctl.sandbox.twilio import TwilioServer
from tests.providers.conftest import Running, started

HERE = f"/2010-04-01/Accounts/{TWILIO_ACCOUNT}"
LOGIN = {"authorization": f"Basic {b64encode(f'{TWILIO_ACCOUNT}:{TWILIO_TOKEN}'.encode()).decode()}"}
BEARER = {"authorization": f"Bearer {SENDGRID_KEY}", "accept": "*/*"}
NOW = 1_800_000_000.0
MAIL = {
    "from": {"email": "shop@b.example"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "x"}],
}
TEXT = {"To": "+15558675310", "From": "+15005550006", "Body": "Hello!"}


def text(twilio: TwilioServer, form: dict[str, str], fate: str | None = None) -> dict[str, Any]:
    """Have a text accepted at NOW, and return what is answered."""
    headers = {**LOGIN, "content-type": "application/x-www-form-urlencoded"}
    handled = twilio.handle(IncomingRequest("POST", f"{HERE}/Messages.json", headers, urlencode(form).encode(), NOW))
    assert handled.accept is not None
    handled.accept(fate)
    return json.loads(handled.reply.body)


def look(twilio: TwilioServer, sid: str, after_s: float) -> dict[str, Any]:
    """Return the message as it is so many seconds later."""
    handled = twilio.handle(IncomingRequest("GET", f"{HERE}/Messages/{sid}.json", LOGIN, b"", NOW + after_s))
    assert handled.reply.status == 200 and not handled.sends
    return json.loads(handled.reply.body)


@pytest.mark.parametrize(
    ("form", "fate", "statuses", "code"),
    [
        ({}, None, ["queued", "queued", "sent", "sent", "delivered", "delivered"], None),
        ({"MessagingServiceSid": "MG" + "c" * 32}, None, ["accepted", "accepted", "sent", "sent", "delivered"], None),
        ({}, "30005", ["queued", "queued", "sent", "sent", "undelivered"], 30005),
        ({}, "failed", ["queued", "queued", "sent", "sent", "failed"], 30008),
        ({}, "sent", ["queued", "queued", "sent", "sent", "sent", "sent"], None),
        ({"To": "+15005530003"}, None, ["queued", "queued", "sent", "sent", "undelivered"], 30003),
    ],
)
def test_text_progresses(form: dict[str, str], fate: str | None, statuses: list[str], code: int | None) -> None:
    """A text is queued, at half the time sent, in the end delivered; or what a rule or its number wants."""
    twilio = TwilioServer(random.Random(1), 4.0)
    created = text(twilio, TEXT | form, fate)
    shown = [look(twilio, created["sid"], after_s) for after_s in (0, 1.9, 2, 3.9, 4, 1_000)[: len(statuses)]]
    assert [each["status"] for each in shown] == statuses
    assert shown[0] == created and shown[0]["date_sent"] is None
    assert shown[2]["date_sent"] == "Fri, 15 Jan 2027 08:00:02 +0000"
    assert [each["error_code"] for each in shown[:4]] == [None] * 4
    assert shown[-1]["error_code"] == code and bool(shown[-1]["error_message"]) is (code is not None)


def test_numbers_that_fail_later_are_numbers() -> None:
    """A number for a failure is one that notifyctl takes, too."""
    assert address.normalised(Channel.SMS, "+15005530005") == "+15005530005"


def test_texts_are_listed() -> None:
    """Messages are found by number and day, newest first, as many as asked for."""
    twilio = TwilioServer(random.Random(1), 4.0)
    for number in range(5):
        text(twilio, TEXT | {"To": f"+1555867531{number}", "Body": str(number)})

    def found(**query: str) -> list[str]:
        call = IncomingRequest("GET", f"{HERE}/Messages.json", LOGIN, b"", NOW, urlencode(query))
        return [each["body"] for each in json.loads(twilio.handle(call).reply.body)["messages"]]

    assert found() == ["4", "3", "2", "1", "0"]
    assert found(PageSize="2") == ["4", "3"]
    assert found(To="+15558675313") == ["3"]
    assert found(DateSent="2027-01-15", From="+15005550006") == ["4", "3", "2", "1", "0"]
    assert found(DateSent="2000-01-01", PageSize="1") == []


def test_little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest leave, so that a sandbox that runs for long does not grow."""
    monkeypatch.setattr(sandbox_receipts, "KEPT", 10)
    recent: RecentMessages[int] = RecentMessages()
    for number in range(1_000):
        recent.put(str(number), number)
    assert len(recent) == 10 and recent.get("989") is None
    assert list(recent.newest()) == list(range(999, 989, -1))


def mail(sendgrid: SendGridServer, to: str, fate: str | None = None) -> str:
    """Have a mail accepted at NOW, and return its id."""
    body = MAIL | {"personalizations": [{"to": [{"email": to}], "custom_args": {"notification_id": f"n-{to}"}}]}
    headers = {**BEARER, "content-type": "application/json"}
    handled = sendgrid.handle(IncomingRequest("POST", "/v3/mail/send", headers, json.dumps(body).encode(), NOW))
    assert handled.accept is not None
    handled.accept(fate)
    return handled.reply.headers["X-Message-Id"]


def search(sendgrid: SendGridServer, query: str, after_s: float, limit: str = "10") -> Handled:
    """Ask for mails so many seconds later."""
    asked = urlencode({"query": query, "limit": limit})
    return sendgrid.handle(IncomingRequest("GET", "/v3/messages", BEARER, b"", NOW + after_s, asked))


def test_mail_progresses() -> None:
    """A mail is processed, then delivered or not, in the shape of SendGrid's description."""
    sendgrid = SendGridServer(random.Random(1), 4.0)
    good, bad, stuck = (
        mail(sendgrid, "ann@b.example"),
        mail(sendgrid, "bounce.bob@b.example"),
        mail(sendgrid, "cy@b.example", fate="processed"),
    )
    for after_s, statuses in ((3.9, ["processed"] * 3), (4, ["processed", "not_delivered", "delivered"])):
        query = " OR ".join(f"msg_id LIKE '{message_id}%'" for message_id in (good, bad, stuck))
        messages = json.loads(search(sendgrid, query, after_s).reply.body)["messages"]
        assert [message["status"] for message in messages] == statuses
    assert messages[2].pop("msg_id").startswith(good + ".")
    assert messages[2] == {
        "from_email": "shop@b.example",
        "to_email": "ann@b.example",
        "subject": "Hello",
        "status": "delivered",
        "opens_count": 0,
        "clicks_count": 0,
        "last_event_time": "2027-01-15T08:00:04Z",
    }


@pytest.mark.parametrize(
    ("to", "status", "event", "reason"),
    [
        ("ann@b.example", "delivered", "delivered", None),
        ("bounce@b.example", "not_delivered", "bounced", "550 5.1.1 "),
        ("blocked.bob@b.example", "not_delivered", "bounced", "550 5.7.1 "),
    ],
)
def test_details_of_a_mail(to: str, status: str, event: str, reason: str | None) -> None:
    """Asked about one mail, SendGrid tells what happened to it and why it came back; of no other mail anything."""
    sendgrid = SendGridServer(random.Random(1), 4.0)
    mail(sendgrid, to)
    [found] = json.loads(search(sendgrid, f"to_email='{to}'", 5).reply.body)["messages"]

    def ask(msg_id: str) -> Any:
        return sendgrid.handle(
            IncomingRequest("GET", f"/v3/messages/{quote(msg_id, safe='')}", BEARER, b"", NOW + 5)
        ).reply

    details = json.loads(ask(found["msg_id"]).body)
    assert (details["status"], details["to_email"]) == (status, to)
    assert [each["event_name"] for each in details["events"]] == ["processed", event]
    assert details["events"][1].get("reason", "").startswith(reason or "")
    assert ("reason" in details["events"][1]) is (reason is not None)
    assert json.loads(details["unique_args"]) == {"notification_id": f"n-{to}"}
    missing = ask("../x")
    assert (missing.status, json.loads(missing.body)["errors"][0]["message"]) == (404, "not found")


def test_signed_events(tmp_path: Path) -> None:
    """What the Event Webhook would post can be fetched, with the headers that sign it, by a key that is known."""
    with started(tmp_path, receipts_s=0.01) as running:
        for to in ("ann@b.example", "bounce@b.example", "blocked@b.example"):
            httpx.post(
                f"{running.url}/v3/mail/send",
                json=MAIL | {"personalizations": [{"to": [{"email": to}], "custom_args": {"notification_id": to}}]},
                headers=BEARER,
            )
        url = f"{running.url}/sendgrid/events"
        wait_until(lambda: len(httpx.get(url).json()) == 6)
        answer = httpx.get(url)
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 405
    told = {(event["notification_id"], event["event"], event.get("type")) for event in answer.json()}
    assert told == {(to, "processed", None) for to in ("ann@b.example", "bounce@b.example", "blocked@b.example")} | {
        ("ann@b.example", "delivered", None),
        ("bounce@b.example", "bounce", "bounce"),
        ("blocked@b.example", "bounce", "blocked"),
    }
    assert len({event["sg_event_id"] for event in answer.json()}) == 6
    key = load_der_public_key(b64decode(webhook_public_key()))
    assert isinstance(key, EllipticCurvePublicKey)
    signed = b64decode(answer.headers["X-Twilio-Email-Event-Webhook-Signature"])
    moment = answer.headers["X-Twilio-Email-Event-Webhook-Timestamp"].encode()
    key.verify(signed, moment + answer.content, ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signed, moment + answer.content + b" ", ECDSA(SHA256()))


def test_searches_are_few() -> None:
    """Six searches in any minute; the seventh is told when the next may come."""
    sendgrid = SendGridServer(random.Random(1), 4.0)
    statuses = [search(sendgrid, 'status="processed"', after_s).reply.status for after_s in (0, 10, 20, 30, 40, 50)]
    refused = search(sendgrid, 'status="processed"', 59.5).reply
    assert statuses == [200] * 6
    assert refused.status == 429 and json.loads(refused.body)["errors"][0]["message"] == "too many requests"
    assert refused.headers["X-RateLimit-Reset"] == str(int(NOW) + 60)
    assert search(sendgrid, 'status="processed"', 60).reply.status == 200
    assert search(sendgrid, 'status="processed"', 60.1).reply.status == 429


def test_allowance_does_not_grow() -> None:
    """However often somebody asks in vain, nothing is kept of it."""
    allowance = RequestLimit(6, 60)
    assert sum(allowance.take(NOW + number / 1_000) is None for number in range(10_000)) == 6


FIELDS = frozenset({"to_email", "status", "unique_args['notification_id']"})
ROWS = [
    {"to_email": f"{name}@b.example", "status": status, "unique_args['notification_id']": name}
    for name, status in (("ann", "processed"), ("bob", "delivered"), ("cy", "not_delivered"))
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('to_email="ann@b.example"', ["ann"]),
        ("to_email LIKE 'b%' OR status=\"processed\"", ["ann", "bob"]),
        ("to_email LIKE '%b.example' AND NOT status='processed'", ["bob", "cy"]),
        ("(status='processed' OR status='delivered') AND to_email LIKE '%o%'", ["bob"]),
        ("status='processed' OR status='delivered' AND to_email='x'", ["ann"]),
        ("status IN ('delivered', \"not_delivered\")", ["bob", "cy"]),
        ("status != 'processed'", ["bob", "cy"]),
        ("to_email BETWEEN 'b' AND 'c'", ["bob"]),
        ("(unique_args['notification_id']=\"cy\")", ["cy"]),
        ("to_email LIKE 'a.n@b.example'", []),
    ],
)
def test_queries(query: str, found: list[str]) -> None:
    """The language of the searches: AND before OR, LIKE with %, both kinds of quotes."""
    test = parse(query, FIELDS)
    assert [row["unique_args['notification_id']"] for row in ROWS if test(row)] == found


@pytest.mark.parametrize(
    "query",
    [
        *("", "to_email", "bad_field='x'", "status='x' AND", "status=x", "(status='x'", "status='x')", "status LIKE"),
        *("'x'", "status IN 'x'", "status='x' status='y'", "status ~ 'x'"),
        *(
            pytest.param("(" * 9_000, id="deep"),
            pytest.param("NOT " * 4_000, id="NOT"),
            pytest.param("x" * 30_000, id="long"),
        ),
    ],
)
def test_bad_queries(query: str) -> None:
    """What is no query is refused, however long or deep it is."""
    with pytest.raises(BadQuery):
        parse(query, FIELDS)
    assert search(SendGridServer(random.Random(1), 4.0), query, 0).reply.status == 400


@pytest.mark.parametrize("limit", ["0", "1001", "x", "9" * 30])
def test_bad_limits(limit: str) -> None:
    """At least 1 and at most 1,000."""
    assert search(SendGridServer(random.Random(1), 4.0), "status='processed'", 0, limit).reply.status == 400


def test_rules_say_what_receipts_say(tmp_path: Path) -> None:
    """`receipt:` leaves the acceptance alone, and is what is told later, over the real server."""
    with started(tmp_path, "twilio=receipt:30006x1", "sendgrid=receipt:not_deliveredx1", receipts_s=0.01) as running:
        auth, form = (TWILIO_ACCOUNT, TWILIO_TOKEN), urlencode(TEXT)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        made = [
            httpx.post(f"{running.url}{HERE}/Messages.json", content=form, auth=auth, headers=headers).json()
            for _ in range(2)
        ]
        assert [each["status"] for each in made] == ["queued", "queued"]
        wait_until(lambda: all(_final(running, each["sid"])["status"] != "queued" for each in made))
        wait_until(lambda: _final(running, made[1]["sid"])["status"] == "delivered")
        assert [(each["status"], each["error_code"]) for each in (_final(running, each["sid"]) for each in made)] == [
            ("undelivered", 30006),
            ("delivered", None),
        ]


def _final(running: Running, sid: str) -> dict[str, Any]:
    return httpx.get(f"{running.url}{HERE}/Messages/{sid}.json", auth=(TWILIO_ACCOUNT, TWILIO_TOKEN)).json()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[tuple[str, dict[str, str], str]]]]:
    """Yield an address and what is posted there: path, form, signature."""
    came: queue.Queue[tuple[str, dict[str, str], str]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            came.put((self.path, form, self.headers["X-Twilio-Signature"]))
            self.send_response(500 if self.path.endswith("fail") else 204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        server.server_close()


def test_status_callback(tmp_path: Path) -> None:
    """A text's StatusCallback on this machine is told of every status in turn, signed, also after it failed once."""
    with receiver() as (url, came), started(tmp_path, receipts_s=0.05) as running:
        address = f"{url}/status?a=1&b=fail"
        form = TEXT | {"To": "+15005530003", "StatusCallback": address}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        made = httpx.post(
            f"{running.url}{HERE}/Messages.json",
            content=urlencode(form),
            auth=(TWILIO_ACCOUNT, TWILIO_TOKEN),
            headers=headers,
        ).json()
        told = [came.get(timeout=60) for _ in range(2)]
    assert [form["MessageStatus"] for _, form, _ in told] == ["sent", "undelivered"]
    assert told[1][1]["ErrorCode"] == "30003" and "ErrorCode" not in told[0][1]
    for path, form, signed in told:
        assert path == "/status?a=1&b=fail"
        assert (form["MessageSid"], form["To"], form["AccountSid"]) == (made["sid"], "+15005530003", TWILIO_ACCOUNT)
        assert signed == signature(address, form)


def test_signature() -> None:
    """The signature is that of Twilio's own documentation."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+12349013030",
        "Digits": "1234",
        "From": "+12349013030",
        "To": "+18005551212",
    }
    assert signature("https://mycompany.com/myapp.php?foo=1&bar=2", form, "12345") == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:1/x", True),
        ("https://localhost/x", True),
        ("http://[::1]:8080/", True),
        ("http://127.1.2.3/", True),
        ("http://example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("ftp://127.0.0.1/", False),
        ("http://[", False),
        ("x", False),
    ],
)
def test_only_this_machine_is_called(url: str, ours: bool) -> None:
    """Nothing that a message names leads the sandbox off this machine."""
    assert is_ours_to_call(url) is ours


def test_key_of_sendgrid(sandbox: Running) -> None:
    """The key's scopes are told to the key, and 401 to any other."""
    url = f"{sandbox.url}/v3/scopes"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {SENDGRID_KEY}"})
    assert answer.status_code == 200 and "mail.send" in answer.json()["scopes"]
    refused = httpx.get(url, headers={"Authorization": "Bearer SG.wrong"})
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["message"] == "The provided authorization grant is invalid, expired, or revoked"


def test_account_of_twilio(sandbox: Running) -> None:
    """The account is active for its own token; an API key may only list messages; anybody else is 401, 20003."""
    url = f"{sandbox.url}{HERE}"
    account = httpx.get(f"{url}.json", auth=(TWILIO_ACCOUNT, TWILIO_TOKEN))
    assert account.status_code == 200
    assert (account.json()["sid"], account.json()["status"]) == (TWILIO_ACCOUNT, "active")
    key = (TWILIO_KEY, TWILIO_KEY_SECRET)
    assert httpx.get(f"{url}/Messages.json?PageSize=1&DateSent=2000-01-01", auth=key).json()["messages"] == []
    for login in ((TWILIO_ACCOUNT, "wrong"), key):
        refused = httpx.get(f"{url}.json", auth=login)
        assert (refused.status_code, refused.json()["code"]) == (401, 20003)
