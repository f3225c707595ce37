"""The pages of the sandbox: what was received, shown to a person; everything received is hostile."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from notifyctl.sandbox import SENDGRID_KEY, TWILIO_ACCOUNT, TWILIO_TOKEN, inbox, pages
from notifyctl.sandbox.contents import contents_of
from notifyctl.sandbox.exchange import IncomingRequest
from notifyctl.sandbox.inbox import Inbox, Received
from tests.providers.conftest import Running, started

EVIL = "<script>alert(1)</script> \"'><img src=x onerror=alert(1)> &amp; \x00\x1b[31m \u202e{title} [/b]"
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Reads a page: which elements are in it, which attributes, and what stands as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(answer: httpx.Response) -> Page:
    """Check that nothing in a page comes from elsewhere or runs, and return what is in it."""
    assert answer.status_code == 200
    page = Page(answer.text)
    known = "html head meta title style body h1 h2 p a table thead tbody tr th td pre iframe"
    assert set(page.elements) <= set(known.split())
    assert page.elements.count("style") == 1
    assert {name for _, name, _ in page.attributes} <= {
        *("lang", "charset", "name", "content", "scope", "class", "href", "src", "sandbox", "title")
    }
    assert all((value or "").startswith("/") for _, name, value in page.attributes if name in ("href", "src"))
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy and "script-src" not in policy
    assert "\x00" not in answer.text and "\x1b" not in answer.text
    return page


def post_mail(running: Running, **changes: Any) -> httpx.Response:
    """Send a mail."""
    mail = {
        "personalizations": [{"to": [{"email": "ann@b.example"}], "custom_args": {"notification_id": "n-1"}}],
        "from": {"email": "shop@b.example"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello!"}],
    } | changes
    headers = {"Authorization": f"Bearer {SENDGRID_KEY}"}
    return httpx.post(f"{running.url}/v3/mail/send", json=mail, headers=headers, timeout=60)


def post_text(running: Running, body: str, to: str = "+15558675310") -> httpx.Response:
    """Send a text."""
    return httpx.post(
        f"{running.url}/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json",
        content=urlencode({"To": to, "From": "+15005550006", "Body": body}),
        auth=(TWILIO_ACCOUNT, TWILIO_TOKEN),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )


def test_list(tmp_path: Path) -> None:
    """Every message, the newest first: time, provider, recipient, words, what was answered, the fault."""
    with started(tmp_path, "twilio=503x1") as running:
        assert "0 messages" in harmless(httpx.get(f"{running.url}/")).text
        post_mail(running)
        post_text(running, "Your code is 1234")
        httpx.get(f"{running.url}/v3/scopes", headers={"Authorization": f"Bearer {SENDGRID_KEY}"})
        page = harmless(httpx.get(f"{running.url}/"))
        links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
        data = httpx.get(f"{running.url}/messages.json").json()
    assert "2 messages received" in page.text
    assert links == ["/", "/messages.json", "/messages/2", "/messages/1"]
    words = page.text.split("Fault")[-1]
    for shown in ("twilio", "+15558675310", "Your code is 1234", "503", "sendgrid", "ann@b.example", "Hello", "202"):
        assert shown in words
    assert [(line["number"], line["provider"], line["status"], line["fault"], line["subject"]) for line in data] == [
        (2, "twilio", 503, "503", "Your code is 1234"),
        (1, "sendgrid", 202, None, "Hello"),
    ]
    assert data[1]["headers"]["authorization"] == "Bearer ***" and data[1]["notification_id"] == "n-1"
    assert json.loads(data[1]["body"])["subject"] == "Hello"


def test_everything_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, those that were only to be checked, and questions: also what is not kept any more. It looks again."""
    monkeypatch.setattr("notifyctl.sandbox.inbox.KEPT", 3)
    key = {"Authorization": f"Bearer {SENDGRID_KEY}"}
    with started(tmp_path) as running:
        for _ in range(4):
            post_mail(running)
        checked = {"personalizations": [{"to": [{"email": "ann@b.example"}]}], "from": {"email": "a@b.example"}}
        checked |= {"subject": "x", "content": [{"type": "text/plain", "value": "x"}]}
        checked |= {"mail_settings": {"sandbox_mode": {"enable": True}}}
        assert httpx.post(f"{running.url}/v3/mail/send", json=checked, headers=key).status_code == 200
        for _ in range(2):
            httpx.get(f"{running.url}/v3/scopes", headers=key)
        answer = httpx.get(f"{running.url}/")
        older = httpx.get(f"{running.url}/?before=4")
        data = httpx.get(f"{running.url}/messages.json").json()
    page = harmless(answer)
    assert "4 messages received, 1 more only checked, 2 questions answered; the last 3 are shown" in page.text
    assert "200, only checked" in page.text
    assert [line["checks"] for line in data] == [True, False, False]
    assert (answer.headers["refresh"], "refresh" in older.headers) == ("5", False)


def test_mail_is_shown(sandbox: Running) -> None:
    """A mail's fields, text, headers and attachments; its HTML in a frame in which nothing runs and nothing loads."""
    html = "<h1>Hello</h1><script>alert(1)</script><img src='https://tracker.example/x.png'>"
    post_mail(
        sandbox,
        content=[{"type": "text/plain", "value": "In words"}, {"type": "text/html", "value": html}],
        headers={"X-Order": "7"},
        categories=["news"],
        attachments=[{"filename": "bill.pdf", "content": base64.b64encode(b"x" * 1_234).decode()}],
    )
    number = httpx.get(f"{sandbox.url}/messages.json").json()[0]["number"]
    answer = httpx.get(f"{sandbox.url}/messages/{number}")
    page = harmless(answer)
    for shown in ("In words", "X-Order", "news", "bill.pdf", "1,234 bytes", "ann@b.example", "n-1", "202"):
        assert shown in page.text
    assert "base64" not in page.text and "eHh4" not in page.text
    assert ("iframe", "sandbox", "") in page.attributes
    assert ("iframe", "src", f"/messages/{number}.html") in page.attributes
    frame = httpx.get(f"{sandbox.url}/messages/{number}.html")
    assert frame.text == html
    policy = [part.strip() for part in frame.headers["content-security-policy"].split(";")]
    assert {"sandbox", "default-src 'none'", "img-src data:", "form-action 'none'"} <= set(policy)
    assert "allow" not in frame.headers["content-security-policy"]
    assert frame.headers["content-type"] == "text/html; charset=utf-8"
    assert frame.headers["x-content-type-options"] == "nosniff"


def test_nothing_received_is_markup(sandbox: Running) -> None:
    """Markup, quotes, control characters and placeholders in any field stay text, in the list and in the message."""
    post_text(sandbox, EVIL, to=EVIL)
    post_mail(
        sandbox,
        **{
            "subject": EVIL,
            "personalizations": [{"to": [{"email": EVIL}], "custom_args": {EVIL: EVIL, "notification_id": EVIL}}],
            "content": [{"type": "text/plain", "value": EVIL}],
            "headers": {EVIL: EVIL},
            "attachments": [{"filename": EVIL, "content": EVIL}, 5, None],
            EVIL: {EVIL: [EVIL]},
        },
    )
    newest = httpx.get(f"{sandbox.url}/messages.json").json()[:2]
    assert "<script>alert(1)</script>" in harmless(httpx.get(f"{sandbox.url}/")).text
    for line in newest:
        page = harmless(httpx.get(f"{sandbox.url}/messages/{line['number']}"))
        assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("sendgrid", b"{"),
        ("sendgrid", b"[1]"),
        ("sendgrid", b'{"personalizations": 5, "content": {"a": 1}, "attachments": [[]], "headers": []}'),
        ("sendgrid", b'{"content": [{"type": ["x"], "value": {}}], "from": ' + b"[" * 900 + b"]" * 900 + b"}"),
        ("sendgrid", b'{"subject": {"a": "b"}, "content": [{"type": "text/html", "value": 5}]}'),
        ("twilio", b"\xff\xfe&Body=%ff&=&&a"),
        ("twilio", b""),
        ("fcm", b'{"message": {"notification": [], "data": {"a": 1}}}'),
        ("fcm", b'{"message": {"notification": {"title": ["x"], "body": {"y": 1}}, "token": "t"}}'),
        ("fcm", b"null"),
        ("smtp", b"Subject: =?utf-8?b?////?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\xff"),
        ("smtp", b"Content-Type: text/html; charset=nonsense\r\n\r\n<b>x"),
        ("smtp", b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n@@@"),
        ("smtp", b"From: \xff\xff\r\nTo: <<<>>>,,;\r\n\r\nx"),
        ("smtp", b"\x00" * 100),
        ("other", b"\xff whatever"),
    ],
)
def test_broken_messages(provider: str, body: bytes) -> None:
    """Whatever was sent, there is a page for it, and one for all."""
    box, call = Inbox(), IncomingRequest("POST", "/", {}, body, 1.0)
    box.add(Received(1, provider, call, None, None, 400, None))
    contents = contents_of(box.find(1) or pytest.fail("it is kept"))
    assert isinstance(contents.text, str) and isinstance(contents.subject, str)
    for path in ("/", "/messages/1", "/messages.json"):
        shown = pages.show(IncomingRequest("GET", path, {"host": "localhost:1"}, b"", 2.0), box)
        assert shown is not None and shown.status == 200
        if path != "/messages.json":
            Page(shown.body.decode())


def test_mail_of_smtp() -> None:
    """A mail as it goes from server to server is read as one: both bodies, its headers, its attachments."""
    body = (
        b"From: Shop <shop@b.example>\r\nTo: ann@b.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n--o\r\n'
        b'Content-Type: multipart/alternative; boundary="i"\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nIn words\r\n'
        b"--i\r\nContent-Type: text/html\r\n\r\n<b>In bold</b>\r\n--i--\r\n--o\r\n"
        b'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="bill.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--o--\r\n"
    )
    found = contents_of(Received(1, "smtp", IncomingRequest("MAIL", "/", {}, body, 1.0), None, None, 250, None))
    assert (found.subject, found.text.strip(), (found.html or "").strip()) == ("Grüße", "In words", "<b>In bold</b>")
    assert found.headers["1. From"] == "Shop <shop@b.example>"
    assert found.attachments == (("bill.pdf", 5),)


def test_huge_values(sandbox: Running) -> None:
    """A huge value is cut, so that the page stays one that a browser can show."""
    post_mail(
        sandbox,
        subject="x" * 1_000_000,
        content=[{"type": "text/plain", "value": "y" * 5_000_000}],
        headers={f"X-{number}": "z" for number in range(10_000)},
        **{f"field-{number}": "z" * 10_000 for number in range(1_000)},
    )
    number = httpx.get(f"{sandbox.url}/messages.json").json()[0]["number"]
    answer = httpx.get(f"{sandbox.url}/messages/{number}", timeout=60)
    harmless(answer)
    assert len(answer.content) < 5_000_000 and "5,000,000 characters" in answer.text
    assert len(httpx.get(f"{sandbox.url}/").content) < 500_000


@pytest.mark.parametrize("path", ["/messages/999999", "/messages/0.html", "/messages/x", "/messages/", "/nothing"])
def test_pages_that_are_not_there(sandbox: Running, path: str) -> None:
    """What is not there (any more) is 404."""
    assert httpx.get(sandbox.url + path).status_code == 404


def test_only_for_this_machine(sandbox: Running) -> None:
    """A page elsewhere whose name was made to lead here reads nothing, and nothing can be posted."""
    for host in ("evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", ""):
        assert httpx.get(f"{sandbox.url}/messages.json", headers={"Host": host}).status_code == 404
    for host in ("localhost:8025", "127.0.0.1"):
        assert httpx.get(f"{sandbox.url}/messages.json", headers={"Host": host}).status_code == 200
    assert httpx.post(f"{sandbox.url}/").status_code == 404


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many messages and so many bytes are kept, whichever is less, and always the last message."""
    monkeypatch.setattr(inbox, "KEPT", 100)
    monkeypatch.setattr(inbox, "KEPT_BYTES", 1_000)
    box = Inbox()

    def add(number: int, size: int) -> None:
        box.add(Received(number, "twilio", IncomingRequest("POST", "/", {}, b"x" * size, 1.0), None, None, 201, None))

    for number in range(1_000):
        add(number, 1)
    assert len(box) == 100 and box.find(899) is None and box.find(900) is not None
    for number in range(1_000, 1_010):
        add(number, 300)
    assert [received.number for received in box.newest()] == [1_009, 1_008, 1_007]
    add(2_000, 5_000)
    assert [received.number for received in box.newest()] == [2_000]
    add(2_001, 1)
    assert [received.number for received in box.newest()] == [2_001]


def test_long_list_has_pages() -> None:
    """Of many messages a page shows some, and leads to the older ones."""
    box = Inbox()
    for number in range(1, pages.ROWS + 51):
        box.add(Received(number, "twilio", IncomingRequest("POST", "/", {}, b"Body=x", 1.0), None, None, 201, None))

    def numbers(query: str) -> list[int]:
        shown = pages.show(IncomingRequest("GET", "/", {"host": "127.0.0.1:1"}, b"", 2.0, query), box)
        assert shown is not None
        return [int(number) for number in re.findall(r'"/messages/(\d+)"', shown.body.decode())]

    assert numbers("") == list(range(pages.ROWS + 50, 50, -1))
    assert numbers("before=51") == list(range(50, 0, -1))
    assert numbers("before=x") == numbers("")
