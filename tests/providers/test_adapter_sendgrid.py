"""SendGrid: requests written out as its API wants them, and its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Blame, Kind
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response
from notifyctl.providers.reading import LONGEST_WAIT_MS
from notifyctl.providers.sendgrid import SendGrid
from notifyctl.providers.sendgrid.mail import MAX_BYTES

ADAPTER = SendGrid()
ID = "11111111-2222-4333-8444-555555555555"
CREDENTIALS = Credentials("SG.key", config={"from": "Shop <shop@shop.example>"})
MAIL = {"subject": "Hello", "text": "Hello!"}
FILE = {"filename": "a.txt", "content": "eA=="}


def build(
    content: dict[str, Any], to: str | None = "ann@example.com", credentials: Credentials = CREDENTIALS
) -> Request:
    return ADAPTER.build(Message(ID, Channel.EMAIL, to, content), credentials)


def read(status: int, body: object = None, **headers: str) -> Any:
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return ADAPTER.read(Response(status, {key.replace("_", "-"): value for key, value in headers.items()}, encoded))


def errors(*found: tuple[str, str | None]) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None} for message, field in found]}


def test_whole_mail() -> None:
    """Every supported field stands where the API wants it; text before HTML; custom args with the envelope."""
    request = build(
        {
            "v": 1,
            "to": "ann@example.com",
            "subject": "Grüße 👍",
            "text": "Hello!",
            "html": "<p>Hello!</p>",
            "from": '"Shop, the" <shop@shop.example>',
            "reply_to": "Help <help@shop.example>",
            "cc": ["bob@example.com", "ANN@example.com"],
            "bcc": "Carl <carl@example.com>",
            "headers": {"X-Campaign": "spring", "X-Try": 2},
            "categories": ["news", "news", "spring"],
            "custom_args": {"order": 7, "gift": True, "name": "Ann"},
        }
    )
    assert request.method == "POST"
    assert request.url == "https://api.sendgrid.com/v3/mail/send"
    assert request.headers == {
        "Authorization": "Bearer SG.key",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert json.loads(request.body) == {
        "personalizations": [
            {
                "to": [{"email": "ann@example.com"}],
                "cc": [{"email": "bob@example.com"}],
                "bcc": [{"email": "carl@example.com", "name": "Carl"}],
                "headers": {"X-Campaign": "spring", "X-Try": "2"},
                "custom_args": {"order": "7", "gift": "true", "name": "Ann", "notification_id": ID},
            }
        ],
        "from": {"email": "shop@shop.example", "name": "Shop, the"},
        "reply_to": {"email": "help@shop.example", "name": "Help"},
        "subject": "Grüße 👍",
        "content": [{"type": "text/plain", "value": "Hello!"}, {"type": "text/html", "value": "<p>Hello!</p>"}],
        "categories": ["news", "spring"],
    }


def test_attachments() -> None:
    """A file goes as it is, with what is said of it; what is not said is left to SendGrid."""
    picture = {**FILE, "filename": "ä b.png", "type": "image/png", "disposition": "inline", "content_id": "logo"}
    mail = json.loads(build(MAIL | {"attachments": [FILE, picture]}).body)
    assert mail["attachments"] == [FILE, picture]
    assert "attachments" not in json.loads(build(MAIL | {"attachments": []}).body)


def test_largest_mail() -> None:
    """30 MB count for the whole request, to the byte."""
    spare = MAX_BYTES - len(build(MAIL | {"html": "x"}).body)
    assert len(build(MAIL | {"html": "x" * (spare + 1)}).body) == MAX_BYTES
    with pytest.raises(InvalidMessage, match="text and html"):
        build(MAIL | {"html": "x" * (spare + 2)})


def test_options() -> None:
    """Unsubscribe groups, tracking and the mail's settings go as they are; several can be answered."""
    options = {
        "asm": {"group_id": 7, "groups_to_display": [7, 8]},
        "tracking_settings": {"click_tracking": {"enable": False, "enable_text": False}},
        "mail_settings": {"bypass_list_management": {"enable": True}},
        "ip_pool_name": "transactional",
    }
    mail = json.loads(build(MAIL | options | {"reply_to": ["a@b.example", "C <c@d.example>"]}).body)
    assert {key: mail[key] for key in options} == options
    assert mail["reply_to_list"] == [{"email": "a@b.example"}, {"email": "c@d.example", "name": "C"}]
    assert "reply_to" not in mail


def test_template() -> None:
    """A dynamic template goes with its data and without content, which the template has."""
    request = build({"template_id": "d-0123", "template_data": {"name": "Ann", "items": [1, 2]}})
    assert json.loads(request.body) == {
        "personalizations": [
            {
                "to": [{"email": "ann@example.com"}],
                "dynamic_template_data": {"name": "Ann", "items": [1, 2]},
                "custom_args": {"notification_id": ID},
            }
        ],
        "from": {"email": "shop@shop.example", "name": "Shop"},
        "template_id": "d-0123",
    }


def test_sandbox_mode() -> None:
    """The setting `sandbox_mode` is a JSON boolean in the mail (SendGrid refuses "true"), and no mail undoes it."""
    credentials = Credentials("SG.key", config={"from": "a@shop.example", "sandbox_mode": True})
    mail = json.loads(build(MAIL, credentials=credentials).body)
    assert mail["mail_settings"] == {"sandbox_mode": {"enable": True}}
    undone = {"mail_settings": {"sandbox_mode": {"enable": False}, "footer": {"enable": False}}}
    mail = json.loads(build(MAIL | undone, credentials=credentials).body)
    assert mail["mail_settings"] == {"sandbox_mode": {"enable": True}, "footer": {"enable": False}}


def test_notification_id_wins() -> None:
    """The id by which a duplicate is found afterwards cannot be overwritten by the content."""
    mail = json.loads(build(MAIL | {"custom_args": {"notification_id": "other"}}).body)
    assert mail["personalizations"][0]["custom_args"] == {"notification_id": ID}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subject": None}, "subject: missing"),
        ({"subject": ""}, "subject: missing"),
        ({"subject": "a\r\nBcc: b@example.com"}, "subject: must be on one line"),
        ({"text": None}, "text or html: missing"),
        ({"text": 5}, "text: must be text"),
        ({"text": "\ud83d"}, "surrogate"),
        ({"from": "not an address"}, "from: not an e-mail address"),
        ({"from": "jürgen@shop.example"}, "from: SendGrid takes only ASCII"),
        ({"cc": ["b@example.com", 5]}, "cc: must be text"),
        ({"bcc": "nobody"}, "bcc: not an e-mail address"),
        ({"bcc": "a@b.example,c"}, "bcc: not an e-mail address"),
        ({"reply_to": "Help <a;b@c.example>"}, "reply_to: not an e-mail address"),
        ({"cc": [f"a{number}@example.com" for number in range(1000)]}, "more than 1000 recipients"),
        ({"headers": {"subject": "x"}}, "headers.subject: reserved"),
        ({"headers": {"X-A": "a\nb"}}, "headers.X-A: not a header"),
        ({"headers": {"X A": "a"}}, "headers.X A: not a header"),
        ({"headers": ["X-A"]}, "headers: must be an object"),
        ({"categories": [str(number) for number in range(11)]}, "categories: at most 10"),
        ({"categories": "x" * 256}, "categories: at most 10"),
        ({"custom_args": {"a": None}}, "custom_args.a: must be text"),
        ({"custom_args": {"a": "x" * 10_000}}, "custom_args: more than 10000 bytes"),
        ({"template_id": "d-1"}, "template_id: excludes text"),
        ({"template_data": {"a": float("nan")}}, "cannot be written as JSON"),
        ({"attachments": "a.pdf"}, "attachments: must be a list"),
        ({"attachments": ["a.pdf"]}, "attachments.0: must be an object"),
        ({"attachments": [{"content": "eA=="}]}, "attachments.0.filename: missing"),
        ({"attachments": [FILE | {"content": ""}]}, "attachments.0.content: missing"),
        ({"attachments": [FILE, FILE | {"content": "eA=\n="}]}, "attachments.1.content: must be base64"),
        ({"attachments": [FILE | {"content": "ä"}]}, "attachments.0.content: must be base64"),
        ({"attachments": [FILE | {"name": "x"}]}, "attachments.0.name: unknown, perhaps filename"),
        ({"attachments": [FILE | {"filename": "a\r\nb"}]}, "attachments.0.filename: must be text on one line"),
        ({"attachments": [FILE | {"type": "text/plain; charset=x"}]}, "attachments.0.type: must be a media type"),
        ({"attachments": [FILE | {"disposition": "aside"}]}, "attachments.0.disposition: must be attachment or"),
        ({"attachments": [FILE | {"disposition": "inline"}]}, "attachments.0.content_id: missing"),
        ({"attachments": [FILE | {"content": "A" * MAX_BYTES}]}, r"attachments: .* a.txt 23,592,960"),
        ({"html": "x" * MAX_BYTES}, "text and html: the mail has .* bytes, SendGrid takes 31,457,280"),
        ({"cc": "Doe, Jane <jane@example.com>"}, "cc: SendGrid takes no comma"),
        ({"reply_to": ["a@b.example", "nobody"]}, "reply_to: not an e-mail address"),
        ({"asm": {"groups_to_display": [1]}}, "asm.group_id: missing"),
        ({"asm": {"group_id": "7"}}, "asm.group_id: must be a whole number"),
        ({"asm": {"group_id": 7, "groups_to_display": list(range(26))}}, "asm.groups_to_display: 26 groups"),
        ({"tracking_settings": {"click_tracking": False}}, "tracking_settings.click_tracking: must be an object"),
        ({"tracking_settings": {"clicktracking": {}}}, "clicktracking: unknown, perhaps click_tracking"),
        ({"mail_settings": {"footer": {"enable": "yes"}}}, "mail_settings.footer.enable: must be true or false"),
        ({"ip_pool_name": "x"}, "ip_pool_name: must be 2 to 64 characters"),
    ],
)
def test_refused_before_sending(change: dict[str, Any], reason: str) -> None:
    """What SendGrid would refuse is refused here, with the field's name, before it costs a call."""
    with pytest.raises(InvalidMessage, match=reason):
        build(MAIL | change)


def test_sender_must_come_from_somewhere() -> None:
    """Without a sender in content or settings there is no mail; `check` says so before."""
    with pytest.raises(InvalidMessage, match="from: missing"):
        build(MAIL, credentials=Credentials("SG.key"))
    assert ADAPTER.check(Credentials("SG.key")) == ['the sender "from" is missing']
    assert ADAPTER.check(Credentials("SG.key", config={"from": "me"})) == [
        "from: not an e-mail address: it needs one @"
    ]
    replies = {"from": "a@b.example", "reply_to": "nobody"}
    assert ADAPTER.check(Credentials("SG.key", config=replies)) == ["reply_to: not an e-mail address: it needs one @"]
    assert ADAPTER.check(Credentials("SG key", config={"from": "a@b.example"})) == [
        "the API key holds a space, a line break or another character that no key has"
    ]


def test_recipient_is_left_to_sendgrid() -> None:
    """A bad address is sent, so that SendGrid's own verdict makes it a dead recipient rather than a bad payload."""
    assert json.loads(build(MAIL, to="nobody").body)["personalizations"][0]["to"] == [{"email": "nobody"}]
    with pytest.raises(InvalidMessage, match="to: missing"):
        build(MAIL, to=None)


def test_accepted() -> None:
    """202 is the success, its id in a header; without the id the mail was taken all the same."""
    outcome = read(202, x_message_id="14c5d75ce93.dfd.64b469")
    assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, "14c5d75ce93.dfd.64b469")
    assert read(202).kind is Kind.ACCEPTED
    assert read(202, x_message_id="x" * 256).provider_message_id is None


def test_200_is_sandbox_mode_or_nothing() -> None:
    """200 is what sandbox mode answers, with nothing in it; a captive portal's page is no success."""
    assert read(200).kind is Kind.ACCEPTED
    assert read(200, {}).kind is Kind.ACCEPTED
    assert read(200, b"<html>Please log in</html>").kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, errors(("Bad Request", None)), Kind.PERMANENT),
        (400, errors(("Does not contain a valid address.", "personalizations.0.to.0.email")), Kind.RECIPIENT),
        (400, errors(("Does not contain a valid address.", "personalizations.0.cc.0.email")), Kind.PERMANENT),
        (
            400,
            errors(("The to array is required for all personalization objects", "personalizations.0.to")),
            Kind.PERMANENT,
        ),
        (
            400,
            errors(
                ("Does not contain a valid address.", "personalizations.0.to.0.email"),
                ("The subject is required.", "subject"),
            ),
            Kind.PERMANENT,
        ),
        (401, errors(("The provided authorization grant is invalid, expired, or revoked", None)), Kind.CONFIG),
        (401, errors(("Maximum credits exceeded", None)), Kind.CONFIG),
        (403, errors(("The from address does not match a verified Sender Identity.", "from")), Kind.CONFIG),
        (403, errors(("access forbidden", None)), Kind.CONFIG),
        (404, errors(("not found", None)), Kind.CONFIG),
        (405, errors(("method not allowed", None)), Kind.CONFIG),
        (406, None, Kind.CONFIG),
        (413, b"<html>413 Request Entity Too Large</html>", Kind.PERMANENT),
        (415, None, Kind.CONFIG),
        (422, None, Kind.PERMANENT),
        (408, None, Kind.TRANSIENT),
        (429, errors(("too many requests", None)), Kind.THROTTLED),
        (500, errors(("internal server error", None)), Kind.UNKNOWN),
        (502, b"<html>502 Bad Gateway</html>", Kind.UNKNOWN),
        (503, None, Kind.TRANSIENT),
        (504, b"<html>504 Gateway Time-out</html>", Kind.UNKNOWN),
        (302, None, Kind.UNKNOWN),
    ],
)
def test_failures(status: int, body: object, kind: Kind) -> None:
    """Each answer leads to the right act: retry, dead letter, drop the address, pause the provider, or say unknown."""
    assert read(status, body).kind is kind


@pytest.mark.parametrize(
    ("fields", "kind", "blamed"),
    [
        (("from",), Kind.CONFIG, "from"),
        (("from.email",), Kind.CONFIG, "from"),
        (("reply_to",), Kind.CONFIG, "reply_to"),
        (("reply_to.email",), Kind.CONFIG, "reply_to"),
        (("reply_to_list.0.email",), Kind.CONFIG, "reply_to"),
        (("reply_to.email", "from.email"), Kind.CONFIG, "from"),
        (("from.email", "subject"), Kind.PERMANENT, None),
        (("from_name",), Kind.PERMANENT, None),
        (("personalizations.0.from.email",), Kind.PERMANENT, None),
        ((), Kind.PERMANENT, None),
    ],
)
def test_an_address_of_the_settings_is_refused(fields: tuple[str, ...], kind: Kind, blamed: str | None) -> None:
    """A mistyped sender must not turn every mail into a dead letter: the provider waits until the settings are right.

    Whether it was the mail's own sender, the answer does not say; what it names is passed on.
    """
    outcome = read(400, errors(*(("Does not contain a valid address.", field) for field in fields)))
    assert (outcome.kind, outcome.field) == (kind, blamed)
    assert outcome.blames is (Blame.SENDER if blamed else Blame.ACCOUNT)


def test_reason_is_kept() -> None:
    """The operator reads what SendGrid said and about which field; the whole answer is kept beside it."""
    body = errors(("The subject is required.", "subject"), ("Bad content", "null"))
    outcome = read(400, body)
    assert outcome.message == "The subject is required. (subject); Bad content"
    assert outcome.code == "subject"
    assert json.loads(outcome.response) == body
    assert read(502, b"<html>").message == "HTTP 502"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7_000),
        ({"retry_after": "-7"}, None),
        ({"retry_after": "soon"}, None),
        *(({"retry_after": digits}, LONGEST_WAIT_MS) for digits in ("9" * 12, "9" * 13, "9" * 400, "9" * 9_000)),
        ({"retry_after": "0" * 9_000 + "7"}, 7_000),
        ({"retry_after": "0"}, 0),
        *(({"retry_after": odd}, None) for odd in ("7.5", "1e3", "7 s", "7,8", "٧", "0x7", "")),
        ({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, LONGEST_WAIT_MS),
        ({"retry_after": "Fri, 31 Dec 99999 23:59:59 GMT"}, LONGEST_WAIT_MS),
        # The obsolete forms of RFC 9110, 5.6.7
        ({"retry_after": "Wednesday, 21-Oct-26 07:28:00 GMT", "date": "Wed Oct 21 07:27:30 2026"}, 30_000),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 0),
        ({"retry_after": "Wed, 99 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30_000),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0),
        ({"x_ratelimit_reset": "1792567680", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30_000),
        ({"x_ratelimit_reset": "1792567680"}, None),
        ({"x_ratelimit_reset": "30", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, None),
        ({"retry_after": "7", "x_ratelimit_reset": "1792567680", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 7_000),
    ],
)
def test_wait_that_is_asked_for(headers: dict[str, str], wait: int | None) -> None:
    """A wish for a pause is understood in each form, measured by the answer's own clock, and nonsense is no wish."""
    assert read(429, **headers).retry_after_ms == wait


def test_rate_limit_reset_means_nothing_elsewhere() -> None:
    """Every answer may carry the rate limit's headers; only a 429 is about them."""
    headers = {"x_ratelimit_reset": "1792567680", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}
    assert read(503, **headers).retry_after_ms is None
