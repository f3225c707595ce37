"""The SMTP adapter: the mail it makes, and what each reply means, over a real socket."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifyctl.core.model import Category, Channel, Message
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response
from notifyctl.providers.smtp import Smtp
from notifyctl.providers.wire import Wire
from tests.support.mailserver import MailServer

ID = "11111111-2222-4333-8444-555555555555"
CONFIG = {"host": "mail.example.com", "from": "Shop <shop@example.com>"}
SMTP = Smtp()
PICTURE = {"filename": "a", "content": "YQ==", "disposition": "inline", "content_id": "a"}
STAGES = ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "end")


def build(content: dict[str, Any] | None = None, to: str | None = "anna@example.org", **config: Any) -> Request:
    whole = {"v": 1, "subject": "Hello", "text": "Hello!", **(content or {})}
    return SMTP.build(Message(ID, Channel.EMAIL, to, whole), Credentials("", config={**CONFIG, **config}))


def parsed(request: Request) -> EmailMessage:
    mail = message_from_bytes(request.body, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def bodies(mail: EmailMessage) -> dict[str, Any]:
    return {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}


# What is handed in


def test_the_mail_says_what_the_content_says() -> None:
    """Every field comes back out of the mail as it went in, in ASCII on the way."""
    content = {
        "subject": "Grüße, und eine sehr lange Betreffzeile, die gefaltet werden muss: " + "äöü " * 40 + "Ende",
        "text": "Hällo\nFrom here\n.\n" + "lang " * 400,
        "html": "<p>Hällo <img src='cid:logo'></p>",
        "cc": ["Bob, the Second <bob@example.org>", "joe@bücher.example"],
        "bcc": "eve@example.org",
        "reply_to": "Hilfe <help@example.com>",
        "headers": {"List-Unsubscribe": "<https://example.com/u>", "X-Name": "Zoë"},
        "categories": ["welcome", "büro"],
        "custom_args": {"order": 7, "vip": True},
        "attachments": [
            {"filename": "Rechnung Ä.pdf", "content": b64encode(b"%PDF").decode(), "type": "application/pdf"},
            {
                "filename": "logo.png",
                "content": b64encode(b"PNG").decode(),
                "type": "image/png",
                "disposition": "inline",
                "content_id": "logo",
            },
        ],
    }
    request = build(content)
    request.body.decode("ascii")
    assert max(map(len, request.body.splitlines())) <= 998
    mail = parsed(request)
    assert (mail["Subject"], str(mail["To"])) == (content["subject"], "anna@example.org")
    assert [box.addr_spec for box in mail["Cc"].addresses] == ["bob@example.org", "joe@xn--bcher-kva.example"]
    assert mail["Cc"].addresses[0].display_name == "Bob, the Second"
    assert (str(mail["Reply-To"]), mail["Bcc"], mail["Date"]) == ("Hilfe <help@example.com>", None, None)
    assert (mail["List-Unsubscribe"], mail["X-Name"]) == ("<https://example.com/u>", "Zoë")
    assert (mail["X-Categories"], mail["X-Custom-Args"]) == ("welcome, büro", '{"order":"7","vip":"true"}')
    found = bodies(mail)
    assert found["text/plain"].splitlines() == content["text"].splitlines()
    assert found["text/html"].splitlines() == [content["html"]]
    assert (found["application/pdf"], found["image/png"]) == (b"%PDF", b"PNG")
    assert [part.get_filename() for part in mail.iter_attachments()] == ["Rechnung Ä.pdf"]
    assert "<logo>" in [part["Content-ID"] for part in mail.walk()]
    recipients = "<anna@example.org> <bob@example.org> <joe@xn--bcher-kva.example> <eve@example.org>"
    assert (request.headers["Mail-From"], request.headers["Rcpt-To"]) == ("<shop@example.com>", recipients)


def raw_header(request: Request, name: str) -> str:
    """Return a header's value from the mail's bytes, its lines joined as RFC 5322, 2.2.3 has it."""
    head = request.body.partition(b"\r\n\r\n")[0].decode("ascii")
    assert max(map(len, head.split("\r\n"))) <= 998
    lines = head.replace("\r\n ", " ").split("\r\n")
    [value] = [line.partition(":")[2] for line in lines if line.startswith(f"{name}:")]
    return value.strip()


@pytest.mark.parametrize("length", [1, 490, 520, 975])
@pytest.mark.parametrize("further", ["", "?a=?b", ">, <mailto:u@example.com"])
def test_a_long_address_in_a_header_stays_one(length: int, further: str) -> None:
    """What reads List-Unsubscribe decodes no words: the address is in the mail's bytes as it is."""
    address = f"<https://e.example/{'u' * (length - len(further.partition('>')[0]))}{further}>"
    assert raw_header(build({"headers": {"List-Unsubscribe": address}}), "List-Unsubscribe") == address


def test_long_words_and_names_arrive() -> None:
    """A text of one word longer than any line, or a name, is encoded on several lines; a shorter one is not."""
    request = build({"subject": "x" * 2_000, "cc": f"{'n' * 1_200} <bob@example.org>", "headers": {"X-A": "y" * 900}})
    assert parsed(request)["Subject"] == "x" * 2_000
    # The library reads a space between two words of a name, which RFC 2047, 6.2 forbids.
    assert parsed(request)["Cc"].addresses[0].display_name.replace(" ", "") == "n" * 1_200
    assert raw_header(request, "Subject").startswith("=?utf-8?") and raw_header(request, "X-A") == "y" * 900


@pytest.mark.parametrize("content_id", ["logo", "a%20b+c@example.com", "x" * 75])
def test_content_ids_stand_as_they_are(content_id: str) -> None:
    """Nobody decodes words in a Content-ID: whatever is taken is in the mail's bytes as the HTML names it."""
    body = build({"html": "<p>", "attachments": [PICTURE | {"content_id": content_id}]}).body
    assert f"\r\nContent-ID: <{content_id}>\r\n".encode() in body


@pytest.mark.parametrize("kind", ["message/rfc822", "Message/partial", "multipart/mixed"])
def test_an_attached_mail_is_mere_bytes(kind: str) -> None:
    """A mail within a mail must not be base64: it arrives as a file, byte for byte, with its name."""
    inner = b"From: a@example.org\nSubject: \xfcml\r\n\r\nHello\n"
    file = {"filename": "mail.eml", "type": kind, "content": b64encode(inner).decode()}
    request = build({"attachments": [file]})
    assert kind.encode() not in request.body.partition(b"\r\n\r\n")[2]
    [part] = parsed(request).iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == ("application/octet-stream", "mail.eml")
    assert part.get_content() == inner


def heads(body: bytes) -> list[str]:
    """Return the lines of all that is a header or continues one, in a mail of parts."""
    lines, found, inside = body.decode("ascii").split("\r\n"), [], True
    for line in lines:
        inside = line.startswith("--=_") or (inside and line != "")
        found += [line] if inside else []
    return found


_NAMES = st.from_regex(r"X-[A-Za-z-]{1,90}", fullmatch=True)
_LONG = st.text(st.sampled_from("xyz  ä.-"), min_size=1, max_size=1_200).filter(str.strip)


@given(subject=_LONG, name=_NAMES, value=_LONG, words=st.integers(1, 1_200))
@settings(max_examples=60)
def test_no_header_is_folded_straight_behind_its_colon(subject: str, name: str, value: str, words: int) -> None:
    """Each header's first line says something, and so does each that continues it: else servers see none."""
    file = PICTURE | {"content_id": "x" * 75, "filename": "n" * 120 + ".png"}
    content = {"html": "<p>", "attachments": [file], "headers": {name: value, "X-Word": "w" * words}}
    request = build({**content, "subject": subject, "reply_to": f"{'R' * 90} <{'r' * 60}@example.org>"})
    for line in heads(request.body):
        assert not re.fullmatch(r"([!-9;-~]+:)?[ \t]*", line), line
        assert len(line) <= 998
    mail = parsed(request)
    assert (mail["Subject"].split(), mail[name].split()) == (subject.split(), value.split())


@pytest.mark.parametrize("field", ["text", "html"])
def test_nul_is_never_sent(field: str) -> None:
    """No encoding of a mail has U+0000 (RFC 2045, 2.7 to 2.9, RFC 5321, 4.5.2): what holds it is refused."""
    with pytest.raises(InvalidMessage, match=f"{field}: holds NUL"):
        build({field: "a\0b"})


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200)


@given(subject=texts, name=texts, text=texts, html=st.none() | texts)
@settings(max_examples=100)
def test_texts_survive(subject: str, name: str, text: str, html: str | None) -> None:
    """Whatever is written arrives as it was written, or is refused by the field's name; no line breaks the format."""
    try:
        request = build({"subject": subject, "text": text, "html": html, "headers": {"X-Name": name}})
    except InvalidMessage:
        assert not subject.strip() or not name.strip() or name.startswith("<")
        return
    mail = parsed(request)
    assert " ".join(mail["Subject"].split()) == " ".join(subject.split())
    found = bodies(mail)
    # A mail ends in a line break, and its lines end in one way.
    assert found["text/plain"].splitlines() == text.splitlines()
    assert ("text/html" in found) == (html is not None)


def test_the_same_notification_is_the_same_mail() -> None:
    """A repeated attempt has the same Message-ID and body: mail systems and people can tell a duplicate."""
    content = {"html": "<p>Hello</p>", "attachments": [{"filename": "a", "content": "YQ=="}]}
    assert build(content) == build(content)
    assert parsed(build(content))["Message-ID"] == f"<{ID}@example.com>" == build(content).headers["Message-Id"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"template_id": "d-1"}, "template_id: SMTP knows nothing like it"),
        ({"template_data": {"a": 1}}, "template_data: SMTP knows nothing like it"),
        ({"text": None}, "text or html: missing"),
        ({"subject": None}, "subject: missing"),
        ({"subject": "a\r\nBcc: eve@example.org"}, "subject: must be on one line"),
        ({"cc": ["nobody"]}, "cc: not an e-mail address"),
        ({"from": "jürgen@example.org"}, "from: only plain ASCII before the @"),
        ({"cc": ["eve,bob@example.org"]}, "cc: not an e-mail address"),
        ({"cc": ["bob@example.org,eve"]}, "cc: not an e-mail address"),
        ({"from": "a@" + "ä" * 80 + ".example"}, "from: the domain is none"),
        ({"headers": {"Date": "today"}}, "headers.Date: reserved"),
        ({"headers": {"content-type": "x"}}, "headers.content-type: reserved"),
        ({"headers": {"X-A": "a\nBcc: eve@example.org"}}, "headers.X-A: not a header"),
        ({"headers": {"X A": "a"}}, "headers.X A: not a header"),
        ({"text": "\ud800"}, "half a surrogate pair"),
        ({"attachments": [{"filename": "a"}]}, "attachments"),
        ({"attachments": [PICTURE, PICTURE | {"content_id": "ä.png"}]}, "attachments.1.content_id: up to 75 of"),
        ({"attachments": [PICTURE | {"content_id": "p q.png"}]}, "attachments.0.content_id: up to 75 of"),
        ({"attachments": [PICTURE | {"content_id": "a>b"}]}, "attachments.0.content_id: up to 75 of"),
        ({"attachments": [PICTURE | {"content_id": "x" * 76}]}, "attachments.0.content_id: up to 75 of"),
        ({"headers": {"List-Unsubscribe": f"<https://e.example/{'u' * 980}>"}}, "headers.List-Unsubscribe: <...> must"),
        ({"headers": {"List-Unsubscribe": "<https://e.example/ü>"}}, "headers.List-Unsubscribe: <...> must"),
    ],
)
def test_refused(content: dict[str, Any], problem: str) -> None:
    """What cannot be a mail is refused by the name of the field, and no header is smuggled in."""
    with pytest.raises(InvalidMessage) as raised:
        build(content)
    assert problem in str(raised.value)


def test_nobody_to_write_to() -> None:
    """Without an address or a sender there is no mail."""
    with pytest.raises(InvalidMessage, match="to: missing"):
        build(to=None)
    with pytest.raises(InvalidMessage, match="from: missing"):
        build(**{"from": None})


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "smtp://mail.example.com:587"),
        ({"security": "tls"}, "smtps://mail.example.com:465"),
        ({"security": "none"}, "smtp+plain://mail.example.com:25"),
        ({"port": "2525"}, "smtp://mail.example.com:2525"),
        ({"host": "2001:db8::1"}, "smtp://[2001:db8::1]:587"),
        ({"connections": "3", "ca_file": "/etc/my ca.pem"}, "?ca_file=%2Fetc%2Fmy+ca.pem&connections=3"),
    ],
)
def test_address(config: dict[str, str], url: str) -> None:
    """The settings say which server and how; the ports are the registered ones."""
    credentials = Credentials("", config={**CONFIG, **config})
    assert SMTP.check(credentials) == []
    assert build(**config).url.endswith(url)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"host": None}, "the server's host is missing"),
        ({"host": "mail.example.com:25"}, "host must be a name or an address, without a port"),
        ({"host": "user@host"}, "host must be a name or an address, without a port"),
        ({"from": None}, 'the sender "from" is missing'),
        *(
            ({"ehlo": odd}, "ehlo must be a domain such as mail.example.com, or an address such as [192.0.2.1]")
            for odd in ("my_host", "a b", "[192.0.2]", "192.0.2.1", "-a", "x" * 300, "a..b", "[]", "[::1", "a\r\nMAIL")
        ),
        ({"from": "nobody"}, "from: not an e-mail address: it needs one @"),
        ({"reply_to": "nobody"}, "reply_to: not an e-mail address: it needs one @"),
        ({"port": "0"}, "port must be a number from 1 to 65535"),
        ({"port": "25x"}, "port must be a number from 1 to 65535"),
        ({"connections": "65"}, "connections must be a number from 1 to 64"),
        ({"security": "ssl"}, "security must be one of starttls, tls, none"),
        ({"ca_file": "ca.pem"}, "ca_file must be a whole path: dispatchers run in other folders"),
        ({"base_url": "http://127.0.0.1"}, "base_url is not for SMTP: set host and port"),
    ],
)
def test_settings_are_checked(config: dict[str, Any], problem: str) -> None:
    """Each wrong setting is said in a sentence when it is set."""
    assert SMTP.check(Credentials("", config={**CONFIG, **config})) == [problem]


# What the replies mean: (command, reply) → outcome, code, category

TABLE = [
    ("greeting", "421 4.3.2 too busy", Kind.TRANSIENT, "4.3.2"),
    ("greeting", "421 4.7.0 Try again later", Kind.THROTTLED, "4.7.0"),
    ("greeting", "554 no service for you", Kind.CONFIG, "554"),
    ("EHLO", "550 5.7.1 go away", Kind.CONFIG, "5.7.1"),
    ("AUTH", "530 5.7.0 Must issue a STARTTLS command first", Kind.CONFIG, "5.7.0"),
    ("AUTH", "534 5.7.9 too weak", Kind.CONFIG, "5.7.9"),
    ("AUTH", "535 5.7.8 wrong", Kind.CONFIG, "5.7.8"),
    ("AUTH", "538 5.7.11 encryption required", Kind.CONFIG, "5.7.11"),
    ("AUTH", "454 4.7.0 Temporary authentication failure", Kind.TRANSIENT, "4.7.0"),
    ("MAIL", "421 4.4.2 timeout", Kind.TRANSIENT, "4.4.2"),
    ("MAIL", "451 4.3.0 try later", Kind.TRANSIENT, "4.3.0"),
    ("MAIL", "452 4.3.1 no space", Kind.TRANSIENT, "4.3.1"),
    ("MAIL", "454 Throttling failure: Maximum sending rate exceeded.", Kind.THROTTLED, "454"),
    ("MAIL", "450 4.7.28 unusual rate", Kind.THROTTLED, "4.7.28"),
    ("MAIL", "530 5.7.0 Authentication required", Kind.CONFIG, "5.7.0"),
    ("MAIL", "550 sender rejected", Kind.CONFIG, "550"),
    ("MAIL", "550 5.7.60 no permission to send as this sender", Kind.CONFIG, "5.7.60"),
    ("MAIL", "550 5.1.0 Sender denied", Kind.CONFIG, "5.1.0"),
    ("MAIL", "554 5.7.1 Access denied", Kind.CONFIG, "5.7.1"),
    ("MAIL", "552 5.3.4 too big", Kind.PERMANENT, "5.3.4"),
    ("MAIL", "553 5.7.1 not owned by user", Kind.CONFIG, "5.7.1"),
    ("MAIL", "553 5.1.7 bad sender", Kind.CONFIG, "5.1.7"),
    ("MAIL", "501 5.1.8 no such domain", Kind.CONFIG, "5.1.8"),
    ("MAIL", "555 5.5.4 unknown parameter", Kind.PERMANENT, "5.5.4"),
    ("RCPT", "450 4.2.2 mailbox full", Kind.TRANSIENT, "4.2.2"),
    ("RCPT", "450 4.7.1 greylisted", Kind.TRANSIENT, "4.7.1"),
    ("RCPT", "450 busy", Kind.TRANSIENT, "450"),
    ("RCPT", "452 4.5.3 too many", Kind.TRANSIENT, "4.5.3"),
    ("RCPT", "550 5.1.1 no such user", Kind.RECIPIENT, "5.1.1"),
    ("RCPT", "550 5.1.2 no such domain", Kind.RECIPIENT, "5.1.2"),
    ("RCPT", "553 5.1.3 no such address", Kind.RECIPIENT, "5.1.3"),
    ("RCPT", "551 5.1.6 moved", Kind.RECIPIENT, "5.1.6"),
    ("RCPT", "556 5.1.10 null MX", Kind.RECIPIENT, "5.1.10"),
    ("RCPT", "550 blocked", Kind.PERMANENT, "550"),
    ("RCPT", "550 5.7.1 relaying denied", Kind.CONFIG, "5.7.1"),
    ("RCPT", "554 5.7.1 relay access denied", Kind.CONFIG, "5.7.1"),
    ("RCPT", "550 relay not permitted", Kind.CONFIG, "550"),
    ("RCPT", "550 5.7.64 TenantAttribution; Relay Access Denied", Kind.CONFIG, "5.7.64"),
    ("RCPT", "553 not in my list of allowed rcpthosts (#5.7.1)", Kind.CONFIG, "5.7.1"),
    ("RCPT", "550 Authentication is required to send mail", Kind.CONFIG, "550"),
    ("RCPT", "503 5.5.1 Error: authentication required", Kind.CONFIG, "5.5.1"),
    ("RCPT", "550 5.1.0 Sender address rejected: User unknown", Kind.CONFIG, "5.1.0"),
    ("RCPT", "550 Sender verify failed", Kind.CONFIG, "550"),
    ("RCPT", "550 sorry, no mailbox here by that name (#5.1.1)", Kind.RECIPIENT, "5.1.1"),
    ("RCPT", "454 4.7.1 relay access denied", Kind.TRANSIENT, "4.7.1"),
    ("RCPT", "454 try later", Kind.TRANSIENT, "454"),
    ("RCPT", "552 5.2.2 full for good", Kind.PERMANENT, "5.2.2"),
    ("RCPT", "501 syntax", Kind.PERMANENT, "501"),
    ("DATA", "451 4.3.0 try later", Kind.TRANSIENT, "4.3.0"),
    ("DATA", "554 5.5.1 no valid recipients", Kind.PERMANENT, "5.5.1"),
    ("DATA", "554 5.7.1 Relay access denied", Kind.CONFIG, "5.7.1"),
    (".", "554 Message rejected: Email address is not verified.", Kind.CONFIG, "554"),
    (".", "550 5.4.5 Daily sending quota exceeded", Kind.THROTTLED, "5.4.5"),
    (".", "250 2.0.0 Ok: queued as 4XyZ12Abc", Kind.ACCEPTED, None),
    (".", "251 what?", Kind.UNKNOWN, "251"),
    (".", "354 go on", Kind.UNKNOWN, "354"),
    (".", "451 4.7.500 server busy", Kind.THROTTLED, "4.7.500"),
    (".", "452 4.3.1 no space", Kind.TRANSIENT, "4.3.1"),
    (".", "550 5.1.1 no such user", Kind.RECIPIENT, "5.1.1"),
    (".", "550 5.7.1 spam", Kind.PERMANENT, "5.7.1"),
    (".", "552 5.3.4 too big", Kind.PERMANENT, "5.3.4"),
    (".", "554 5.6.0 bad content", Kind.PERMANENT, "5.6.0"),
    (".", "550 2.0.0 a class that is none of a failure", Kind.PERMANENT, "550"),
]


def outcome(server: MailServer, **content: Any) -> Outcome:
    """What becomes of a mail that is sent to this server, with a login."""
    config = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "shop@example.com"}
    message = Message(ID, Channel.EMAIL, "anna@example.org", {"v": 1, "subject": "Hello", "text": "Hello!", **content})

    async def main() -> Outcome:
        wire = Wire()
        try:
            answer = await wire.send(SMTP.build(message, Credentials("anna", "secret", config)), 30)
        finally:
            await wire.aclose()
        assert isinstance(answer, Response), answer
        return SMTP.read(answer)

    return asyncio.run(main())


@pytest.mark.parametrize(("command", "reply", "kind", "code"), TABLE, ids=lambda value: str(value)[:24])
def test_table(command: str, reply: str, kind: Kind, code: str | None) -> None:
    """Every row of the table, as a real server would say it."""
    with MailServer({command: reply}) as server:
        found = outcome(server)
    assert (found.kind, found.code, found.http_status) == (kind, code, int(reply[:3]))
    if kind is not Kind.ACCEPTED:
        assert reply in found.message
    if kind is Kind.CONFIG:
        assert found.message != reply, "an operator needs to know what to do"
    if kind is Kind.PERMANENT:
        dead = Category.INVALID_RECIPIENT if command == "RCPT" else Category.PROVIDER_REJECTED
        assert found.category is dead


@pytest.mark.parametrize(
    ("command", "reply", "blames"),
    [
        ("MAIL", "550 5.7.60 no permission to send as this sender", Blame.SENDER),
        ("RCPT", "550 5.1.0 Sender address rejected: User unknown", Blame.PAIR),
        ("RCPT", "553 not in my list of allowed rcpthosts (#5.7.1)", Blame.PAIR),
        ("DATA", "554 5.7.1 Relay access denied", Blame.PAIR),
        (".", "554 Message rejected: Email address is not verified.", Blame.PAIR),
    ],
)
def test_before_a_recipient_only_the_sender_can_be_meant(command: str, reply: str, blames: Blame) -> None:
    """RFC 5321, 3.3: MAIL names nobody but the sender. Afterwards it may be this recipient, until others fare alike."""
    with MailServer({command: reply}) as server:
        assert outcome(server).blames is blames


@pytest.mark.parametrize(
    "reply", ["454 Throttling failure: Daily message quota exceeded.", "550 5.4.5 Daily user sending limit exceeded"]
)
def test_the_limit_of_a_day_lasts_a_day(reply: str) -> None:
    """What Amazon and Google document of their quotas: nothing more goes out before 24 hours are over."""
    with MailServer({".": reply}) as server:
        found = outcome(server)
    assert (found.kind, found.lasts_ms) == (Kind.THROTTLED, 24 * 3_600_000)


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ12Abc", "4XyZ12Abc"),
        ("250 OK id=1rXyz-000abc-2d", "1rXyz-000abc-2d"),
        ("250 2.0.0 41ABCdef012345 Message accepted for delivery", "41ABCdef012345"),
        ("250 Ok 0102018d1f2a3b4c-11111111-2222-3333-000000", "0102018d1f2a3b4c-11111111-2222-3333-000000"),
        ("250 2.6.0 <a@b> [InternalId=123456, Hostname=x] Queued mail for delivery", "123456"),
        ("250 2.0.0 OK  1700000000 d9443c01a7336-1d8 - gsmtp", f"<{ID}@example.com>"),
        ("250 ok", f"<{ID}@example.com>"),
        ("250 queued as " + "x" * 5_000, f"<{ID}@example.com>"),
    ],
)
def test_the_servers_name_for_it(reply: str, name: str) -> None:
    """The queue id finds the mail in the server's log; where none is known, the Message-ID does."""
    with MailServer({".": reply}) as server:
        assert outcome(server).provider_message_id == name


def test_refused_copies_are_told() -> None:
    """The mail was sent; whose copy was not is in the response that is stored."""
    with MailServer({"RCPT": ["250 ok", "550 5.1.1 who?"]}) as server:
        found = outcome(server, cc=["bob@example.org"])
    assert found.kind is Kind.ACCEPTED
    assert found.response == "2.0.0 Ok: queued as 4XyZ12Abc\n\nbob@example.org: 550 5.1.1 who?"


def test_nobody_is_blamed_for_another() -> None:
    """Of several recipients, a refusal of the whole mail names none: no address is taken for dead."""
    with MailServer({".": "550 5.1.1 one of them"}) as server:
        assert outcome(server, cc=["bob@example.org"]).kind is Kind.PERMANENT


replies = st.builds(
    Response,
    st.integers(0, 999),
    st.fixed_dictionaries(
        {}, optional={"stage": st.sampled_from(STAGES) | st.text(max_size=5), "message-id": st.text(max_size=300)}
    ),
    st.binary(max_size=100) | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} .{0,20}").map(str.encode),
)


@given(response=replies)
@settings(max_examples=300)
def test_only_one_reply_is_a_success(response: Response) -> None:
    """Nothing counts as sent but a 250 after the whole mail; nothing before that leaves the outcome open."""
    found = SMTP.read(response)
    stage = response.headers.get("stage")
    assert (found.kind is Kind.ACCEPTED) == (response.status == 250 and stage == "end")
    if stage in STAGES[:-1] and 200 <= response.status <= 599:
        assert found.kind is not Kind.UNKNOWN
    if stage in STAGES[:4]:
        assert found.kind in (Kind.TRANSIENT, Kind.THROTTLED, Kind.CONFIG, Kind.UNKNOWN)


@pytest.mark.parametrize(
    ("stage", "status", "problem"),
    [
        ("noop", 250, None),
        ("auth", 535, "the login is refused"),
        ("starttls", 502, "the server offers no STARTTLS"),
        ("greeting", 554, "the server takes no connection"),
        ("greeting", 421, "the server answered 421"),
        ("noop", 502, "the server answered 502"),
    ],
)
def test_checkup(stage: str, status: int, problem: str | None) -> None:
    """What `providers test` says, without a word of the server's that may be a secret."""
    said = SMTP.read_checkup(Response(status, {"stage": stage}, b"secret"))
    assert said is None if problem is None else said is not None and said.startswith(problem) and "secret" not in said
