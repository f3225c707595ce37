"""`receipts`: asking the providers, and taking what they posted."""

from __future__ import annotations

import hmac
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from twilio.request_validator import RequestValidator

from notifyctl.core.receipt import GIVEN_UP_MS, LAST_QUESTION_MS
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.providers.test_receipts import ECDSA, EVENTS, MAIL, PUBLIC_KEY, TIMESTAMP
from tests.support import seed
from tests.support.command import Cli
from tests.support.world import KEYS

ACCOUNT = "AC" + "a" * 32
URL = "https://example.com/twilio"
ONE_BY_ONE = 119
"""So many questions a minute that none is put before the last one is answered."""

# What is tested plays outside the database: one of the two is enough.
ON_EITHER = pytest.mark.parametrize("backend", ["sqlite"])


class Stub:
    """A provider on a real socket: `answers` (or what makes one) by a word in the path; `asked` are the paths."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.asked.append(self.path)
                found = (answer for word, answer in stub.answers.items() if word in self.path)
                status, value = next(found, (404, {"message": "not found"}))
                value = value() if callable(value) else value
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in {**stub.headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A provider that knows nothing yet."""
    running = Stub()
    yield running
    running.stop()


@pytest.fixture
def providers(cli: Cli, stub: Stub) -> Stub:
    """Twilio and SendGrid are the stub, and are asked."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    base = ("--set", f"base_url={stub.url}", "--set", "receipts=poll")
    secrets = ("--api-key", "-", "--api-secret", "-")
    cli.call(
        "providers", "add", "twilio", *secrets, *base, "--set", "from=+15005550006", input=f"{ACCOUNT}\n12345\n"
    ).ok()
    mail = ("--set", "from=a@example.com", "--set", f"webhook_public_key={PUBLIC_KEY}")
    cli.call("providers", "add", "sendgrid", "--api-key", "-", *base, *mail, input="SG.key\n").ok()
    return stub


@pytest.fixture
def sent(database: Database) -> Callable[..., str]:
    """Writes a message that a provider took a minute ago and that is to be asked about."""
    anna = seed.user(database)

    def write(message_id: str, provider: str = "twilio", age_ms: int = 60_000, **values: Any) -> str:
        now = database.moment()
        facts = {"status": "sent", "sent_at": now - age_ms, "created_at": now - age_ms, "receipt_due_at": now - 1}
        return seed.pending(database, anna, provider, **{**facts, "provider_message_id": message_id, **values})[0]

    return write


def message(sid: str, status: str, **values: Any) -> tuple[int, dict[str, Any]]:
    """Return Twilio's answer about a message."""
    return 200, {"sid": sid, "status": status, "error_code": None, "to": "+14155552345", **values}


def poll(cli: Cli, *args: str, provider: str = "twilio") -> dict[str, Any]:
    """Run `receipts poll` and return a provider's line."""
    rows = cli.call("receipts", "poll", "--provider", provider, "-o", "json", *args).ok().json()
    return dict(rows[0])


# Asking


def test_poll(cli: Cli, providers: Stub, sent: Callable[..., str], database: Database) -> None:
    """One pass: what arrived, came back and is still on its way is said and written; nobody is asked twice."""
    ids = {word: sent(f"SM{word}") for word in ("delivered", "dead", "way")}
    providers.answers = {
        "SMdelivered": message("SMdelivered", "delivered"),
        "SMdead": message("SMdead", "undelivered", error_code=30005),
        "SMway": message("SMway", "sent"),
    }
    found = poll(cli)
    counts = {"asked": 3, "delivered": 1, "bounced": 1, "underway": 1, "unanswered": 0, "suppressed": 1}
    assert found == {"provider": "twilio", **counts, "problem": None}
    assert poll(cli)["asked"] == 0
    [entry] = cli.call("audit", "list", "--action", "ingest", "-o", "json").ok().json()
    assert entry["changes"] == {"provider": "twilio", "delivered": 1, "bounced": 1, "underway": 1, "suppressed": 1}
    rows = {word: seed.notification(database, id_) for word, id_ in ids.items()}
    assert [row.status for row in rows.values()] == ["sent"] * 3
    assert rows["delivered"].delivered_at is not None
    assert rows["dead"].receipt == "undelivered 30005 Unknown destination handset"
    assert rows["way"].receipt_due_at - rows["way"].sent_at >= 120_000  # its age was a minute at least
    assert cli.call("notifications", "list", "--state", "bounced", "-o", "id").stdout.split() == [ids["dead"]]
    shown = cli.call("notifications", "show", ids["dead"], "-o", "json").ok().json()
    assert shown["state"] == "bounced" and shown["bounced_at"].endswith("Z")
    assert cli.call("notifications", "list", "--provider-id", "SMway", "-o", "id").stdout.split() == [ids["way"]]
    [metric] = cli.call("metrics", "show", "-o", "json").ok().json()
    assert (metric["total_sent"], metric["total_delivered"], metric["total_bounced"]) == (3, 1, 1)


@ON_EITHER
def test_what_is_no_answer_loses_nothing(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database
) -> None:
    """Whatever comes instead of an answer puts the question off; nothing is taken for delivered."""
    statuses = (404, 429, 500, 502, 200)
    ids = {status: sent(f"SM{status}") for status in statuses}
    providers.answers = {f"SM{status}": (status, b'<html>"status": "delivered"</html>') for status in statuses}
    providers.headers = {"Retry-After": "600"}
    before = database.moment()
    found = poll(cli)
    assert (found["asked"], found["unanswered"], found["delivered"]) == (5, 4, 0)
    assert "429" in found["problem"]
    for status, id_ in ids.items():
        row = seed.notification(database, id_)
        assert (row.delivered_at, row.bounced_at, row.receipt) == (None, None, None)
        assert row.receipt_due_at >= before + (600_000 if status == 429 else 60_000)


@ON_EITHER
def test_a_refusal_is_somebodys_business(cli: Cli, providers: Stub, sent: Callable[..., str]) -> None:
    """A key that may not ask: exit 6 with the provider's words, after one question; the messages wait."""
    for number in range(3):
        sent(f"mail{number}", "sendgrid")
    providers.answers = {"/v3/messages": (403, {"errors": [{"message": "access forbidden"}]})}
    done = cli.call("receipts", "poll")
    assert (done.exit_code, done.stdout) == (6, "")
    assert "access forbidden" in done.stderr and "hint: " in done.stderr
    assert len(providers.asked) == 1


@ON_EITHER
def test_the_last_question(cli: Cli, providers: Stub, sent: Callable[..., str], database: Database) -> None:
    """Where carriers give no receipt, `sent` is the last word: three days later nobody asks any more."""
    id_ = sent("SMx", age_ms=LAST_QUESTION_MS)
    providers.answers = {"SMx": message("SMx", "sent")}
    assert poll(cli)["underway"] == 1
    row = seed.notification(database, id_)
    assert (row.receipt, row.receipt_due_at, row.delivered_at) == ("sent", None, None)


@ON_EITHER
def test_limit(cli: Cli, providers: Stub, sent: Callable[..., str]) -> None:
    """At most so many are asked about, the others stay due."""
    for number in range(5):
        sent(f"SM{number}")
    providers.answers = {f"SM{number}": message(f"SM{number}", "delivered") for number in range(5)}
    assert poll(cli, "--limit", "2")["asked"] == 2
    assert poll(cli)["asked"] == 3
    assert len(set(providers.asked)) == len(providers.asked) == 5


@ON_EITHER
def test_why_a_mail_came_back(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many mails SendGrid tells how they stand; why one came back it is asked alone, and that may be the address."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 6_000)
    fine, bad, new = (sent(name, "sendgrid") for name in ("fine", "bad", "new"))
    mails = [
        {"msg_id": "fine.x.0", "status": "delivered", "to_email": "anna@example.org"},
        {"msg_id": "bad.x.0", "status": "not_delivered", "to_email": "anna@example.org"},
    ]
    events = [{"event_name": "bounced", "reason": "550 5.1.1 no such user"}]
    providers.answers = {"/v3/messages/bad.x.0": (200, {**mails[1], "events": events}), "?": (200, {"messages": mails})}
    found = poll(cli, provider="sendgrid")
    assert (found["delivered"], found["bounced"], found["suppressed"], found["unanswered"]) == (1, 1, 1, 0)
    assert len(providers.asked) == 2
    assert seed.notification(database, fine).receipt == "delivered"
    assert seed.notification(database, bad).receipt == "not_delivered 550 5.1.1 no such user"
    assert seed.notification(database, new).receipt is None
    assert seed.notification(database, new).receipt_due_at > database.moment()


def came_back(*names: str) -> tuple[int, dict[str, Any]]:
    """Return SendGrid's answer about many mails: that these came back, but not why."""
    return 200, {"messages": [{"msg_id": f"{name}.x.0", "status": "not_delivered"} for name in names]}


def why(name: str) -> dict[str, Any]:
    """Return SendGrid's answer about one mail alone: there is no such address."""
    events = [{"event_name": "bounced", "reason": "550 5.1.1 no such user"}]
    return {"msg_id": f"{name}.x.0", "status": "not_delivered", "events": events}


@ON_EITHER
def test_why_it_came_back_is_asked_until_it_is_known(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounce counts once its reason is known, which may be the address; an error or a refusal puts it off."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", ONE_BY_ONE)
    ids = {name: sent(name, "sendgrid") for name in ("fine", "error", "busy", "last")}
    week_old = sent("old", "sendgrid", age_ms=GIVEN_UP_MS)
    providers.headers = {"Retry-After": "600"}
    providers.answers = {
        "/fine.x.0": (200, why("fine")),
        "/old.x.0": (500, {}),
        "/error.x.0": (500, {}),
        "/busy.x.0": (429, {}),
        "?": came_back("old", *ids),
    }
    due = {"old": 1, "fine": 2, "error": 3, "busy": 4, "last": 5}
    for name, id_ in {**ids, "old": week_old}.items():
        change(database, id_, receipt_due_at=due[name])
    before = database.moment()
    found = poll(cli, provider="sendgrid")
    assert (found["asked"], found["bounced"], found["suppressed"], found["unanswered"]) == (5, 2, 1, 4)
    assert "429" in found["problem"] and not any("/last" in path for path in providers.asked)
    assert seed.notification(database, week_old).receipt == "not_delivered"  # it is not asked about again
    for name, wait_ms in {"error": 60_000, "busy": 600_000, "last": 600_000}.items():
        row = seed.notification(database, ids[name])
        assert (row.bounced_at, row.receipt) == (None, None)
        assert row.receipt_due_at >= before + wait_ms
        change(database, ids[name], receipt_due_at=1)
    providers.answers = {**{f"/{name}.x.0": (200, why(name)) for name in ids}, "?": came_back(*ids)}
    assert poll(cli, provider="sendgrid")["bounced"] == 3
    assert {seed.notification(database, id_).receipt for id_ in ids.values()} == {
        "not_delivered 550 5.1.1 no such user"
    }


@ON_EITHER
def test_a_pass_without_time_for_the_reasons(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dispatch --once` that ends before it may ask why leaves the bounce for the next one, which asks at once."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 60)
    monkeypatch.setattr("notifyctl.wiring.dispatching.ONCE_ASKING_S", 0.9)
    ids = [sent(name, "sendgrid") for name in ("a", "b")]
    providers.answers = {"/a.x.0": (200, why("a")), "/b.x.0": (200, why("b")), "?": came_back("a", "b")}
    cli.call("dispatch", "--once").ok()
    assert "not_delivered" not in {seed.notification(database, id_).receipt for id_ in ids}
    poll(cli, provider="sendgrid")
    assert {seed.notification(database, id_).receipt for id_ in ids} == {"not_delivered 550 5.1.1 no such user"}


@ON_EITHER
def test_each_reason_is_written_as_it_comes(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few questions are allowed the last answer comes late: the first are not lost with a pass that ends."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", ONE_BY_ONE)
    ids, seen = [sent(name, "sendgrid") for name in ("a", "b", "c")], []

    def told(name: str) -> dict[str, Any]:
        seen.append(sum(seed.notification(database, id_).bounced_at is not None for id_ in ids))
        return why(name)

    answers = {f"/{name}.x.0": (200, lambda name=name: told(name)) for name in ("a", "b", "c")}
    providers.answers = {**answers, "?": came_back("a", "b", "c")}
    assert poll(cli, provider="sendgrid")["bounced"] == 3
    assert seen == [0, 1, 2]


@ON_EITHER
def test_a_job_does_not_tell_every_minute(
    cli: Cli, providers: Stub, sent: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a provider that may not be asked `dispatch --once` under cron says nothing without -v."""
    monkeypatch.setattr("notifyctl.providers.sendgrid.SendGrid.traces_per_minute", 6_000)
    providers.answers = {"/v3/messages": (403, {"errors": [{"message": "access forbidden"}]})}
    sent("a", "sendgrid")
    assert cli.call("dispatch", "--once").ok().stderr == ""
    sent("b", "sendgrid")
    assert "access forbidden" in cli.call("dispatch", "--once", "-v").ok().stderr
    assert len(providers.asked) == 2


@ON_EITHER
def test_of_one_provider_all_is_asked(cli: Cli, providers: Stub, sent: Callable[..., str], database: Database) -> None:
    """With --provider also about what went out while nobody asked, as many as are wanted; never about it twice."""
    cli.call("providers", "update", "twilio", "--set", "receipts=").ok()
    ids = [sent(f"SM{number}", receipt_due_at=None) for number in range(12)]
    sent("SMold", age_ms=LAST_QUESTION_MS, receipt_due_at=None)
    providers.answers = {
        **{f"/SM{number}.json": message(f"SM{number}", "delivered") for number in range(11)},
        "/SM11.json": message("SM11", "sent"),
    }
    assert cli.call("receipts", "poll").ok().stdout == "" and providers.asked == []
    assert poll(cli, "--limit", "3")["asked"] == 3
    found = poll(cli)
    assert (found["asked"], found["underway"], found["unanswered"]) == (9, 1, 0)
    assert len(set(providers.asked)) == len(providers.asked) == 12
    assert sum(seed.notification(database, id_).delivered_at is not None for id_ in ids) == 11


@ON_EITHER
def test_the_dispatcher_asks_too(cli: Cli, providers: Stub, sent: Callable[..., str], database: Database) -> None:
    """`dispatch --once` asks what is due; one that runs on asks again when it is time."""
    first = sent("SMfirst")
    providers.answers = {"SMfirst": message("SMfirst", "delivered"), "SMnext": message("SMnext", "delivered")}
    cli.call("dispatch", "--once").ok()
    assert seed.notification(database, first).delivered_at is not None
    second = sent("SMnext")
    process = cli.start("dispatch")
    try:
        wait_until(lambda: seed.notification(database, second).delivered_at is not None)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@ON_EITHER
def test_only_who_is_asked_has_questions(cli: Cli, make_ready: Callable[..., str], database: Database) -> None:
    """A message that a provider takes is asked about ten seconds later, where the setting says so; else never."""
    asked = make_ready("--set", "receipts=poll")
    row = seed.notification(database, asked)
    assert (row.status, row.receipt_due_at) == ("sent", row.sent_at + 10_000)
    cli.call("providers", "update", "twilio", "--set", "receipts=").ok()
    cli.call("send", "anna", "--channel", "sms", "--body", "hello").ok()
    cli.call("dispatch", "--once").ok()
    with database.read() as tx:
        n = notifications.c
        found = tx.execute(notifications.select().where(n.id != asked, n.status == "sent")).one()
    assert found.receipt_due_at is None and found.provider_message_id is not None


@pytest.fixture
def make_ready(cli: Cli, sandbox: Any) -> Callable[..., str]:
    """Sends a text through the sandbox, with these settings of its provider."""

    def make(*settings: str) -> str:
        cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
        facts = sandbox.facts["twilio"]
        base = ("--set", f"base_url={sandbox.url}", "--set", "from=+15005550006")
        secrets = f"{facts['api_key']}\n{facts['api_secret']}\n"
        cli.call(
            "providers", "add", "twilio", "--api-key", "-", "--api-secret", "-", *base, *settings, input=secrets
        ).ok()
        cli.call("users", "create", "anna", "--email", "anna@example.org").ok()
        cli.call("users", "contacts", "add", "anna", "sms", "+14155552345").ok()
        id_ = cli.call("send", "anna", "--channel", "sms", "--body", "hello", "-o", "id").ok().stdout.strip()
        cli.call("dispatch", "--once").ok()
        return id_

    return make


@ON_EITHER
def test_who_can_be_asked(cli: Cli, providers: Stub) -> None:
    """A provider that is not there: exit 3; a setting that means nothing: exit 2; without a terminal all is quiet."""
    assert cli.call("receipts", "poll", "--provider", "fcm").exit_code == 3
    refused = cli.call("providers", "update", "twilio", "--set", "receipts=push")
    assert refused.exit_code == 2 and "receipts" in refused.stderr
    done = cli.call("receipts", "poll").ok()
    assert (done.stdout, done.stderr) == ("", "")


# Being told


def form(sid: str, status: str, **values: str) -> str:
    """Return a status callback as Twilio posts it."""
    return urlencode({"MessageSid": sid, "MessageStatus": status, "To": "+14155552345", **values})


def signed(body: str, token: str = "12345") -> dict[str, str]:
    """Return the header of a call of Twilio's to URL."""
    pairs = sorted(pair.split("=", 1) for pair in body.split("&"))
    text = URL + "".join(f"{name}{value.replace('%2B', '+')}" for name, value in pairs)
    return {"X-Twilio-Signature": b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()}


def test_ingest(cli: Cli, sent: Callable[..., str], database: Database) -> None:
    """Callbacks, one a line, whoever received them: counted, written, and nothing the second time."""
    first, second = sent("SM1"), sent("SM2")
    lines = [
        form("SM1", "sent"),
        form("SM1", "delivered"),
        form("SM2", "undelivered", ErrorCode="30005"),
        form("SM9", "x"),
    ]
    done = cli.call("receipts", "ingest", "-", "-o", "json", input="\n".join(lines)).ok().json()
    nothing = {"provider": "twilio", "verified": False}
    assert done == {
        **nothing, "delivered": 1, "bounced": 1, "underway": 1, "ignored": 0, "unknown": 1, "suppressed": 1,
        "kept": 0, "unreadable": 0, "lifted": 0,
    }  # fmt: skip
    assert seed.notification(database, first).delivered_at is not None
    assert seed.notification(database, second).bounced_at is not None
    again = cli.call("receipts", "ingest", "-", "-o", "json", input="\n".join(reversed(lines))).ok().json()
    assert again == {
        **nothing, "delivered": 0, "bounced": 0, "underway": 0, "ignored": 3, "unknown": 1, "suppressed": 0,
        "kept": 0, "unreadable": 0, "lifted": 0,
    }  # fmt: skip


@ON_EITHER
def test_ingest_of_events(cli: Cli, sent: Callable[..., str], database: Database, tmp_path: Path) -> None:
    """SendGrid's events name the notification themselves; the file is taken as it is."""
    id_ = sent("lost", "sendgrid", provider_message_id=None)
    bounce = {"event": "bounce", "type": "bounce", "reason": "550 5.1.1", "email": "anna@example.org"}
    file = tmp_path / "events.json"
    file.write_text(json.dumps([{**bounce, "notification_id": id_, "sg_message_id": "x.y.0"}, {"event": "open"}]))
    done = cli.call("receipts", "ingest", str(file), "-o", "json").ok().json()
    assert (done["provider"], done["bounced"], done["suppressed"], done["unknown"]) == ("sendgrid", 1, 1, 1)
    assert seed.notification(database, id_).receipt == "bounce 550 5.1.1"


@ON_EITHER
def test_a_signature_of_sendgrids(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, tmp_path: Path
) -> None:
    """With its own vector it is taken, its headers as lines; with a byte changed: exit 7, and nothing is written."""
    id_ = sent(MAIL, "sendgrid")
    headers = tmp_path / "headers"
    names = "X-Twilio-Email-Event-Webhook"
    headers.write_text(f"POST / HTTP/1.1\r\n{names}-Signature: {ECDSA}\r\n{names.lower()}-timestamp: {TIMESTAMP}\r\n")
    changed = EVENTS.replace(b"dropped", b"Dropped")
    refused = cli.call("receipts", "ingest", "-", "--headers", str(headers), input=changed)
    assert refused.exit_code == 7
    assert seed.notification(database, id_).bounced_at is None
    done = cli.call("receipts", "ingest", "-", "--headers", str(headers), "-o", "json", input=EVENTS).ok().json()
    assert (done["verified"], done["bounced"]) == (True, 1)
    assert seed.notification(database, id_).receipt == "dropped Bounced Address"


@ON_EITHER
def test_a_signature_of_twilios(
    cli: Cli, providers: Stub, sent: Callable[..., str], database: Database, tmp_path: Path
) -> None:
    """Address and form, with the stored token; with an API key stored the token has to be given, and is not kept."""
    sent("SM1")
    body, headers = form("SM1", "delivered"), tmp_path / "headers.json"
    headers.write_text(json.dumps(signed(body)))
    check = ("receipts", "ingest", "-", "--headers", str(headers), "-o", "json")
    assert cli.call(*check, "--url", f"{URL}/", input=body).exit_code == 7
    assert cli.call(*check, input=body).exit_code == 2
    assert cli.call(*check, "--url", URL, input=body).ok().json()["delivered"] == 1
    key = ("--api-key", "-", "--api-secret", "-", "--set", f"account_sid={ACCOUNT}")
    cli.call("providers", "update", "twilio", *key, input=f"SK{'b' * 32}\nsecret\n").ok()
    refused = cli.call(*check, "--url", URL, input=body)
    assert refused.exit_code == 2 and "auth token" in refused.stderr
    token = tmp_path / "token"
    token.write_text("12345\n")
    assert cli.call(*check, "--url", URL, "--auth-token", f"@{token}", input=body).ok().json()["verified"]
    token.write_text("12346\n")
    assert cli.call(*check, "--url", URL, "--auth-token", f"@{token}", input=body).exit_code == 7


def test_one_bad_part_costs_only_itself(cli: Cli, sent: Callable[..., str], database: Database) -> None:
    """One element that is none: exit 6 saying which, and the others are taken; nothing but such: exit 2."""
    text, mail = sent("SM1"), sent("m1", "sendgrid")
    for body, says in (
        (b'\xef\xbb\xbf[{}, {"event": "delivered", "sg_message_id": "m1.x", "timestamp": "1600112492"}]', "element 1"),
        (b"nothing\nMessageSid=SM1&MessageStatus=delivered", "line 1"),
    ):
        done = cli.call("receipts", "ingest", "-", "-o", "json", input=body)
        assert done.exit_code == 6 and says in done.stderr
        assert (done.json()["delivered"], done.json()["unreadable"]) == (1, 1)
    assert seed.notification(database, text).delivered_at is not None
    assert seed.notification(database, mail).delivered_at == 1_600_112_492_000
    for body in (b"[{}]", b"\xff\xfd", b"nothing\nand more of it", b"<html>"):
        assert cli.call("receipts", "ingest", "-", input=body).exit_code == 2


@ON_EITHER
def test_a_shared_key_of_twilios(cli: Cli, providers: Stub, sent: Callable[..., str], tmp_path: Path) -> None:
    """What a webhook rule signed is checked with its shared key's secret and the algorithm that the header names."""
    sent("SM1")
    body, headers, secret = form("SM1", "delivered"), tmp_path / "headers.json", tmp_path / "secret"
    secret.write_text("shared\n")
    named = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    said = RequestValidator("shared").compute_signature(URL, dict(parse_qsl(body)), "HMAC_SHA256")
    headers.write_text(
        "\ufeff" + json.dumps({"X-Twilio-Signature": said, "X-Twilio-Webhooks-Signature-Settings": named})
    )
    check = (
        "receipts",
        "ingest",
        "-",
        "--headers",
        str(headers),
        "--url",
        URL.replace("://", "://me:pw@"),
        "-o",
        "json",
    )
    refused = cli.call(*check, input=body)
    assert refused.exit_code == 2 and "shared key webhooks_sharedkey_1" in refused.stderr
    assert cli.call(*check, "--auth-token", f"@{secret}", input=body).ok().json()["verified"]


@ON_EITHER
def test_a_callback_by_get_has_no_body(cli: Cli, sent: Callable[..., str]) -> None:
    """What Twilio calls with GET says all in its address; an empty body is no sign that nothing came."""
    sent("SM1")
    url = f"{URL}?MessageSid=SM1&MessageStatus=delivered"
    done = cli.call("receipts", "ingest", "-", "--url", url, "-o", "json", input=b"").ok().json()
    assert (done["provider"], done["delivered"]) == ("twilio", 1)


@ON_EITHER
@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_nothing_to_take_is_said(cli: Cli, tmp_path: Path, body: bytes) -> None:
    """A pipe that brought nothing, or an empty file, is no success of which nobody hears."""
    done = cli.call("receipts", "ingest", "-", "-o", "json", input=body).ok()
    assert "there is nothing in stdin: no receipt was taken" in done.stderr
    assert (done.json()["provider"], done.json()["delivered"]) == (None, 0)
    file = tmp_path / "empty"
    file.write_bytes(body)
    assert f"there is nothing in {file}" in cli.call("receipts", "ingest", str(file)).ok().stderr


@ON_EITHER
def test_what_never_ends(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without an end, and more than anybody posts, is refused before the memory is full."""
    done = cli.call("receipts", "ingest", "/dev/zero")
    assert done.exit_code == 2 and "/dev/zero: is larger than 33,554,432 bytes" in done.stderr
    done = cli.call("receipts", "ingest", "-", "--headers", "/dev/zero", input=EVENTS)
    assert done.exit_code == 2 and "/dev/zero: is larger" in done.stderr
    done = cli.call("send", "anna", "--channel", "sms", "--body-file", "/dev/zero")
    assert done.exit_code == 2 and "--body-file: /dev/zero: is larger" in done.stderr
    monkeypatch.setattr("notifyctl.cli.stdin.MOST_BYTES", len(EVENTS))
    assert cli.call("receipts", "ingest", "-", input=EVENTS).exit_code == 0
    assert cli.call("receipts", "ingest", "-", input=EVENTS + b" ").exit_code == 2


@ON_EITHER
def test_what_cannot_be_meant(cli: Cli, providers: Stub, tmp_path: Path) -> None:
    """Nothing to take is nothing to do; options that contradict each other, files and providers that are not there."""
    assert cli.call("receipts", "ingest", "-", "-o", "json").ok().json()["unknown"] == 0
    assert cli.call("receipts", "ingest", "-", "--auth-token", "@none").exit_code == 2
    assert cli.call("receipts", "ingest", "-", "--headers", "-").exit_code == 2
    assert cli.call("receipts", "ingest", str(tmp_path / "none")).exit_code == 2
    assert cli.call("receipts", "ingest", "-", "--provider", "nobody").exit_code == 3
    assert cli.call("receipts", "ingest", "-", "--provider", "fcm").exit_code == 2
    headers = tmp_path / "headers"
    headers.write_text("no header")
    done = cli.call("receipts", "ingest", "-", "--headers", str(headers), input=EVENTS)
    assert done.exit_code == 2 and "line 1" in done.stderr


def change(db: Database, id_: str, **values: Any) -> None:
    """Change a notification's row."""
    db.write(lambda tx: tx.execute(notifications.update().where(notifications.c.id == id_).values(values)))


def wait_until(done: Callable[[], bool], timeout: float = 120.0) -> None:
    """Wait for something to have happened."""
    end = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
