"""The tables of the providers' answers, each row over a real socket through the whole program.

A row is what a provider answers and what has to become of the notification: the act, and its cost in attempts. The
notifications of a table are submitted on the command line and sent by one run of `dispatch --once`, in which each gets
its own answer; rows that pause the provider are run once more, one at a time.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import suppressions
from tests.support import seed
from tests.support.command import Cli
from tests.support.scripted import TOKEN, Answer, Asked, Peer, Scripted, reply, token
from tests.support.threefold import add_providers


@dataclass(frozen=True)
class Act:
    """What becomes of a notification: its status, what the attempt was, what it cost, and what else is written.

    `wait_s` bounds the time from the attempt's end to the next one.
    """

    outcome: str
    status: str
    attempts: int
    category: str | None = None
    suppressed: bool = False
    wait_s: tuple[float, float] | None = None
    says: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    what: str
    answer: Answer
    act: Act

    @property
    def is_doubtful(self) -> bool:
        """Whether it is the configuration's fault only where somebody else is told the same."""
        return (self.act.outcome, self.act.attempts) == ("config", 1)


# The acts


def sent() -> Act:
    return Act("accepted", "sent", 1)


def again(outcome: str, least_s: float = 0, most_s: float = 2) -> Act:
    """Pending again, one attempt the less; without a wish of the provider's within the backoff's first two seconds."""
    return Act(outcome, "pending", 1, wait_s=(least_s, most_s))


def throttled(least_s: float = 2, most_s: float = 4) -> Act:
    """Pending again, and the attempt is given back; jitter only lengthens the wait."""
    return Act("throttled", "pending", 0, wait_s=(least_s, most_s))


def dead(says: str = "", category: str = "provider_rejected") -> Act:
    return Act("permanent", "failed", 1, category=category, says=says)


def address(says: str = "") -> Act:
    """A dead letter, and nothing more is sent to the address."""
    return Act("recipient", "failed", 1, category="invalid_recipient", suppressed=True, says=says)


def config(says: str) -> Act:
    """Pending again at once, the attempt is given back, and the provider is paused for the reason."""
    return Act("config", "pending", 0, wait_s=(0, 0), says=says)


def doubt(says: str) -> Act:
    """Pending again, one attempt the less; refused to somebody else as well, the provider is paused for the reason."""
    return Act("config", "pending", 1, wait_s=(0, 2), says=says)


# The bodies


def errors(*found: tuple[str, str | None]) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None} for message, field in found]}


def twilio(status: int, code: int, **headers: str) -> bytes:
    body = {"code": code, "message": "what is wrong", "more_info": "https://twilio.example", "status": status}
    return reply(status, body, **headers)


def fcm(status: int, google: str, *details: dict[str, Any], message: str = "what is wrong", **headers: str) -> bytes:
    error = {"code": status, "message": message, "status": google, "details": list(details)}
    return reply(status, {"error": error}, **headers)


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def fcm_error(code: str) -> dict[str, Any]:
    return detail("google.firebase.fcm.v1.FcmError", errorCode=code)


def bad_field(field: str) -> dict[str, Any]:
    return detail("google.rpc.BadRequest", fieldViolations=[{"field": field, "description": "what is wrong"}])


def quota(subject: str) -> dict[str, Any]:
    return detail("google.rpc.QuotaFailure", violations=[{"subject": subject, "description": "what is wrong"}])


HTML = b"<html><body>An error that is a page</body></html>"
NOON = {"Date": "Wed, 21 Oct 2026 12:00:00 GMT"}
SID = {"sid": f"SM{'1' * 32}", "status": "queued"}
OVERSIZED = b'{"padding": "' + b"x" * 300_000 + b'", "sid": "SM1", "name": "projects/p/messages/1"}'


def encoded(coding: str, status: int, body: object) -> bytes:
    """An answer in a content coding, which nobody asked for (RFC 9110, 8.4.1)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    for each in coding.split(", "):
        raw = _CODINGS[each](raw)
    return reply(status, raw, Content_Encoding=coding)


_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda raw: b"\x0b\x02\x80\xff" + raw + b"\x03",
}


def broken(status: int) -> Answer:
    """An answer that ends before its body does."""

    async def speak(peer: Peer) -> None:
        await peer.say(f"HTTP/1.1 {status} AddressNews\r\nContent-Length: 100\r\n\r\nhalf".encode())
        peer.writer.close()

    return speak


async def reset(peer: Peer) -> None:
    """The connection is lost before a word is said."""
    peer.reset()


def bodies(accepting: int) -> list[Row]:
    """What nobody should answer, and some proxy will; a body in trouble never makes a success."""
    return [
        Row("a page with 400", reply(400, HTML), dead()),
        Row("nothing with 400", reply(400), dead()),
        Row("oversized with 400", reply(400, OVERSIZED), dead()),
        Row("a list with 400", reply(400, []), dead()),
        Row("no text with 400", reply(400, b"\xff\xfe\x00"), dead()),
        Row("an unknown 4xx", reply(418, HTML), dead()),
        Row("408", reply(408), again("transient")),
        Row("an unknown 5xx", reply(599, HTML), again("unknown")),
        Row("a redirect", reply(307, HTML, Location="http://127.0.0.1:9/"), again("unknown")),
        Row("another 2xx", reply(204), again("unknown")),
        Row("the accepting status, broken off", broken(accepting), again("unknown")),
        Row("a reset", reset, again("unknown")),
        Row("no HTTP", b"220 mail.example ESMTP\r\n", again("unknown")),
    ]


SENDGRID = [
    Row("202", reply(202, X_Message_Id="m-1"), sent()),
    Row("202 without an id", reply(202), sent()),
    Row("200, sandbox mode", reply(200), sent()),
    Row("200 with a page", reply(200, HTML), again("unknown")),
    Row("400", reply(400, errors(("The subject is required.", "subject"))), dead("subject")),
    Row(
        "400 about the recipient",
        reply(400, errors(("Does not contain a valid address.", "personalizations.0.to.0.email"))),
        address("valid address"),
    ),
    Row(
        "400 about a copy's recipient",
        reply(400, errors(("Does not contain a valid address.", "personalizations.0.cc.0.email"))),
        dead(),
    ),
    Row(
        "401",
        reply(401, errors(("The provided authorization grant is invalid, expired, or revoked", None))),
        config("the API key is refused"),
    ),
    Row("401, credits", reply(401, errors(("Maximum credits exceeded", None))), config("the plan's mails are used up")),
    Row(
        "403, sender",
        reply(403, errors(("The from address does not match a verified Sender Identity.", "from"))),
        doubt("the sender is not verified"),
    ),
    Row("403", reply(403, errors(("access forbidden", None))), config("the API key may not send mail")),
    Row("404", reply(404, errors(("not found", None))), config("check base_url")),
    Row("405", reply(405), config("check base_url")),
    Row("406", reply(406), config("check base_url")),
    Row("413", reply(413, HTML), dead()),
    Row("415", reply(415), config("check base_url")),
    Row(
        "429 until its reset",
        reply(429, errors(("too many requests", None)), X_RateLimit_Reset="1792584030", **NOON),
        throttled(30, 60),
    ),
    Row("429", reply(429), throttled()),
    Row("500", reply(500, errors(("internal server error", None))), again("unknown")),
    Row("502", reply(502, HTML), again("unknown")),
    Row("503", reply(503), again("transient")),
    Row("504", reply(504, HTML), again("unknown")),
    *bodies(202),
]
TWILIO = [
    Row("201", reply(201, SID), sent()),
    *(Row(f"201 in {each}", encoded(each, 201, SID), sent()) for each in ("gzip", "deflate", "deflate, gzip")),
    Row("201 in br", encoded("br", 201, SID), sent()),  # taken, whatever its body says; without an id
    Row("201, a bomb", encoded("gzip", 201, bytes(9_000_000)), again("unknown")),
    Row("21610 in gzip", encoded("gzip", 400, {"code": 21610, "message": "what is wrong"}), address("what is wrong")),
    Row("201 with a page", reply(201, HTML), again("unknown")),
    Row("201, oversized", reply(201, OVERSIZED), again("unknown")),
    *(Row(f"{code}", twilio(400, code), address("what is wrong")) for code in (21211, 21614, 21635, 21610)),
    Row("21612", twilio(400, 21612), dead("this sender does not reach this number")),
    Row("21408", twilio(400, 21408), dead("sending to this country is switched off", "invalid_recipient")),
    *(Row(f"{code}", twilio(400, code), dead("what is wrong")) for code in (21617, 21602, 21619, 21620)),
    Row("401, 20003", twilio(401, 20003), config("20003 the login is refused")),
    Row("403, 20003", twilio(403, 20003), config("20003 the login is refused")),
    Row("20404", twilio(404, 20404), config("check account_sid and base_url")),
    *(Row(f"{code}", twilio(400, code), config("the account is not active")) for code in (10001, 20005)),
    *(Row(f"{code}", twilio(400, code), doubt("the sender cannot send")) for code in (21212, 21606, 21603)),
    *(Row(f"{code}", twilio(400, code), doubt("the sender cannot send")) for code in (21659, 21660, 21661)),
    Row("21608", twilio(400, 21608), dead("a trial account")),
    *(Row(f"{code}", twilio(400, code), doubt("the Messaging Service")) for code in range(21701, 21706)),
    Row("30034", twilio(400, 30034), doubt("not registered for A2P")),
    Row("403 without a code", reply(403, HTML), config("the login may not send")),
    Row("20429", twilio(429, 20429), throttled()),
    Row("20429 that says when", twilio(429, 20429, Retry_After="7"), throttled(7, 14)),
    Row("20429 that says when, at length", twilio(429, 20429, Retry_After="9" * 400), throttled(3_600, 7_200)),
    Row("21611", twilio(400, 21611), throttled()),
    Row("63038", twilio(429, 63038), throttled()),
    Row("20500", twilio(500, 20500), again("unknown")),
    Row("503", reply(503, HTML), again("unknown")),
    *bodies(201),
]
FCM = [
    Row("200", reply(200, {"name": "projects/shop/messages/1"}), sent()),
    Row("200 in gzip", encoded("gzip", 200, {"name": "projects/shop/messages/1"}), sent()),
    Row("200 with a page", reply(200, HTML), again("unknown")),
    Row("200, oversized", reply(200, OVERSIZED), again("unknown")),
    Row("UNREGISTERED", fcm(404, "NOT_FOUND", fcm_error("UNREGISTERED")), address("not registered any more")),
    Row(
        "UNREGISTERED, not the first detail",
        fcm(404, "NOT_FOUND", detail("google.rpc.Help"), fcm_error("UNREGISTERED")),
        address("UNREGISTERED"),
    ),
    Row(
        "SENDER_ID_MISMATCH",
        fcm(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH")),
        address("another Firebase project"),
    ),
    Row("403", fcm(403, "PERMISSION_DENIED"), config("may not send for this project")),
    Row(
        "403, API disabled",
        fcm(403, "PERMISSION_DENIED", detail("google.rpc.ErrorInfo", reason="SERVICE_DISABLED")),
        config("Messaging API is switched off"),
    ),
    Row("404", fcm(404, "NOT_FOUND"), doubt("check project_id and base_url")),
    Row(
        "400 about the token",
        fcm(400, "INVALID_ARGUMENT", bad_field("message.token"), fcm_error("INVALID_ARGUMENT")),
        address(),
    ),
    Row(
        "400 that says so",
        fcm(400, "INVALID_ARGUMENT", message="The registration token is not a valid FCM registration token"),
        address(),
    ),
    Row("400", fcm(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT")), dead("what is wrong")),
    Row("401", fcm(401, "UNAUTHENTICATED"), config("the access token is refused")),
    Row("401 with a page", reply(401, HTML), config("the access token is refused")),
    Row(
        "THIRD_PARTY_AUTH_ERROR",
        fcm(401, "UNAUTHENTICATED", fcm_error("THIRD_PARTY_AUTH_ERROR")),
        dead("upload it in the Firebase console"),
    ),
    Row(
        "QUOTA_EXCEEDED",
        fcm(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")),
        throttled(60, 120),
    ),
    Row(
        "QUOTA_EXCEEDED that says when",
        fcm(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED"), Retry_After="5"),
        throttled(5, 10),
    ),
    *(
        Row(
            f"QUOTA_EXCEEDED of one {what}",
            fcm(429, "RESOURCE_EXHAUSTED", quota(f"{what} message rate exceeded"), fcm_error("QUOTA_EXCEEDED")),
            again("transient", 60, 120),
        )
        for what in ("device", "topic")
    ),
    *(
        Row(
            f"QUOTA_EXCEEDED of {subject}",
            fcm(429, "RESOURCE_EXHAUSTED", quota(subject), fcm_error("QUOTA_EXCEEDED")),
            again("transient", 60, 120),
        )
        for subject in ("DeviceMessageRateExceeded", "messages_per_topic")
    ),
    Row("503", fcm(503, "UNAVAILABLE", fcm_error("UNAVAILABLE")), again("transient", 10, 20)),
    Row("503 that says when", fcm(503, "UNAVAILABLE", Retry_After="3"), again("transient", 3, 6)),
    Row("500", fcm(500, "INTERNAL", fcm_error("INTERNAL")), again("unknown", 10, 20)),
    Row("502", reply(502, HTML), again("unknown", 10, 20)),
    Row("504", reply(504, HTML), again("unknown", 10, 20)),
    *bodies(200),
]
TABLES = {"sendgrid": SENDGRID, "twilio": TWILIO, "fcm": FCM}
CHANNELS = {"sendgrid": "email", "twilio": "sms", "fcm": "push"}
ADDRESSES = {"sendgrid": "row{}@example.com", "twilio": "+1415555{:04d}", "fcm": "device-{}"}
SOMEBODY_ELSE = 1_000
"""Added to a row's number: the same answer for another recipient."""
# Where a request says to whom it goes.
_RECIPIENT = {
    "sendgrid": re.compile(rb"row(\d+)@example"),
    "twilio": re.compile(rb"To=%2B1415555(\d{4})"),
    "fcm": re.compile(rb"device-(\d+)"),
}


class Stage:
    """The three providers as one server that gives each recipient the answer of its row."""

    def __init__(self, server: Scripted, url: str, home: Path) -> None:
        self.server, self.db, self.cli = server, Database(url), Cli(home, url)
        add_providers(self.cli, server.url)
        self.cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        self.token: Answer = token()
        server.script = self._answer

    def send(self, provider: str, number: int) -> str:
        """Submit the notification of a row."""
        to, subject = ADDRESSES[provider].format(number), () if provider == "twilio" else ("--subject", "Hello")
        args = ("--channel", CHANNELS[provider], "--to", to, *subject, "--body", "Hello there", "-o", "id")
        return self.cli.call("send", "anna", *args).ok().stdout.strip()

    def dispatch(self) -> str:
        """Send what is due, all in one claim, and return what was said on stderr."""
        return self.cli.call("dispatch", "--once", "--concurrency", "200", "--batch-size", "200").ok().stderr

    def check(self, row: Row, id_: str, provider: str, number: int) -> None:
        """Compare what became of a row's notification with the table."""
        act, found, letter = row.act, seed.notification(self.db, id_), seed.dead_letter(self.db, id_)
        assert (found.status, found.attempt_count) == (act.status, act.attempts), (row.what, found)
        assert (letter and letter.failure_reason) == act.category, row.what
        assert self._suppressed(ADDRESSES[provider].format(number)) is act.suppressed, row.what
        assert act.says in (found.error_message or ""), (row.what, found.error_message)
        assert len((found.provider_response or "").encode()) <= 2_048, row.what
        if act.status == "sent":
            return
        (attempt,) = json.loads(found.retry_history)
        assert attempt["outcome"] == act.outcome, (row.what, attempt)
        if act.wait_s is not None:
            wait_s = (found.due_at - attempt["ended_at"]) / 1_000
            assert act.wait_s[0] <= wait_s <= act.wait_s[1], (row.what, wait_s)

    def _suppressed(self, to: str) -> bool:
        with self.db.read() as tx:
            return tx.execute(select(suppressions.c.address).where(suppressions.c.address == to)).first() is not None

    def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return self.token
        provider = next(name for name, path in _PATHS.items() if asked.path.startswith(path))
        found = _RECIPIENT[provider].search(asked.body)
        assert found, asked
        return TABLES[provider][int(found[1]) % SOMEBODY_ELSE].answer


_PATHS = {"sendgrid": "/v3/", "twilio": "/2010-04-01/", "fcm": "/v1/"}


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that says nothing yet."""
    with Scripted(lambda _: b"") as running:
        yield running


@pytest.fixture
def stage(server: Scripted, database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """The stage, on both databases."""
    made = Stage(server, database_url, tmp_path)
    yield made
    made.db.close()


@pytest.mark.slow
# The answers have nothing to do with the database: all of them on the one, of each act one on the other.
@pytest.mark.parametrize(
    ("backend", "every"),
    [
        pytest.param("sqlite", True, id="sqlite"),
        pytest.param("postgresql", False, id="postgresql"),
        pytest.param("postgresql", True, id="postgresql-full", marks=pytest.mark.full),
    ],
)
def test_tables(stage: Stage, every: bool) -> None:
    """Every row ends in its act, at its cost in attempts, whatever else is sent beside it."""
    sent = [
        (row, stage.send(provider, number), provider, number)
        for provider, table in TABLES.items()
        for number, row in _chosen(table, every, lambda row: (row.act.outcome, row.act.category))
        if not row.is_doubtful  # what becomes of them depends on what goes out beside them
    ]
    stage.dispatch()
    for each in sent:
        stage.check(*each)


def _chosen(table: Iterable[Row], every: bool, kind: Callable[[Row], object]) -> list[tuple[int, Row]]:
    """Return a table's rows with their numbers: every one, or one of each kind."""
    rows = list(enumerate(table))
    return rows if every else list({kind(row): (number, row) for number, row in rows}.values())


@pytest.mark.parametrize(
    ("backend", "every"),
    [
        pytest.param("sqlite", False, id="reasons"),
        pytest.param("sqlite", True, id="sqlite-full", marks=pytest.mark.full),
        pytest.param("postgresql", True, id="postgresql-full", marks=pytest.mark.full),
    ],
)
def test_config_pauses_the_provider(stage: Stage, every: bool) -> None:
    """An answer for which no message is to blame pauses its provider, says why, and kills nothing.

    One about the account at once, any other when somebody else is told the same.
    """
    tables = {
        provider: [each for each in _chosen(table, every, lambda row: row.act.says) if each[1].act.outcome == "config"]
        for provider, table in TABLES.items()
    }
    for rows in zip_longest(*tables.values()):
        told = {provider: row for provider, row in zip(tables, rows, strict=True) if row is not None}
        ids = {provider: stage.send(provider, number) for provider, (number, _) in told.items()}
        others = [
            stage.send(provider, number + SOMEBODY_ELSE) for provider, (number, row) in told.items() if row.is_doubtful
        ]
        said = stage.dispatch()
        states = {line["provider_name"]: line for line in stage.cli.call("providers", "list", "-o", "json").json()}
        for provider, (number, row) in told.items():
            stage.check(row, ids[provider], provider, number)
            assert states[provider]["state"] == "paused", (provider, row.what)
            assert row.act.says in states[provider]["pause_reason"], (provider, row.what)
            assert f"{provider} paused: " in said
        assert stage.cli.call("dlq", "list", "-o", "json").json() == []
        stage.cli.call("notifications", "cancel", *ids.values(), *others).ok()
        for provider in told:
            stage.cli.call("providers", "resume", provider).ok()


@pytest.mark.parametrize(
    ("provider", "what"), [("sendgrid", "403, sender"), ("twilio", "21659"), ("twilio", "30034"), ("fcm", "404")]
)
def test_a_refusal_while_others_go_is_the_messages_own(stage: Stage, provider: str, what: str) -> None:
    """The sender works: the one whom it does not reach is a dead letter at once, and all others are sent.

    A 404 of FCM names no cause, so the one that gets it is tried again.
    """
    (number,) = [number for number, row in enumerate(TABLES[provider]) if row.what == what]
    ids = [stage.send(provider, 0), stage.send(provider, number), *(stage.send(provider, 0) for _ in range(3))]
    said = stage.cli.call("dispatch", "--once", "--concurrency", "1").ok().stderr
    found = [seed.notification(stage.db, id_) for id_ in ids]
    one = found.pop(1)
    assert [each.status for each in found] == ["sent"] * 4
    assert (one.status, one.attempt_count) == ("pending" if provider == "fcm" else "failed", 1)
    assert TABLES[provider][number].act.says in one.error_message
    assert "paused" not in said


def test_a_token_is_fetched_anew_once(stage: Stage) -> None:
    """A 401 of FCM may mean that the access token ended early: a second one is tried, and no third."""
    refused = next(number for number, row in enumerate(FCM) if row.what == "401")
    id_ = stage.send("fcm", refused)
    stage.dispatch()
    paths = [asked.path for asked in stage.server.asked]
    assert paths == ["/token", "/v1/projects/shop/messages:send"] * 2
    assert stage.server.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"
    stage.check(FCM[refused], id_, "fcm", refused)


def test_no_token(stage: Stage) -> None:
    """Without an access token nothing is sent: refused it is the configuration's fault, else the moment's."""
    stage.token = reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    id_ = stage.send("fcm", 0)
    assert "fcm paused: " in stage.dispatch()
    stage.check(Row("refused", b"", config("make a new key file")), id_, "fcm", 0)
    stage.cli.call("notifications", "cancel", id_).ok()
    stage.cli.call("providers", "resume", "fcm").ok()
    stage.token = reply(200, HTML)
    id_ = stage.send("fcm", 0)
    stage.dispatch()
    waits = Act("transient", "pending", 0, wait_s=(2, 4))  # it was never sent, so no attempt is used up
    stage.check(Row("in trouble", b"", waits), id_, "fcm", 0)
    assert {asked.path for asked in stage.server.asked} == {"/token"}
