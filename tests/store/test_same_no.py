"""The same "no" means the same whether it is an answer, a callback, a poll or an entry of the Email Activity.

What each word means is taken from the providers' documentation: Twilio's list of errors (21211, 21610, 21614, 21635,
30003 to 30008), SendGrid's reference of the Event Webhook (events, types of bounces, reasons for dropping) and its
description of the Email Activity API, FCM's ErrorCode, RFC 3463 for mail servers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from notifyctl.core.decide import Attempt, decide
from notifyctl.core.receipt import Arrival
from notifyctl.providers import registry
from notifyctl.providers.contract import Call, Calling, Response, Traceable
from notifyctl.store import receipts
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import suppressions
from tests.support import seed

NOW = 1_767_218_400_000
ME = "11111111-1111-4111-8111-111111111111"
NUMBER = "+14155552345"
SID = "SM" + "0" * 32
MSG = "14c5d75ce93"

Act = set[tuple[str, str, str]]
"""What is suppressed: address, cause, group."""
Road = Callable[[Database, Any], Act]

PAYLOADS = {
    "sendgrid": {"v": 1, "to": "anna@example.org", "subject": "s", "text": "t"},
    "smtp": {"v": 1, "to": "anna@example.org", "cc": "copy@example.org", "subject": "s", "text": "t"},
    "twilio": {"v": 1, "to": NUMBER, "body": "b"},
    "fcm": {"v": 1, "token": "tOkEn", "body": "b"},
}


def answered(db: Database, provider: str, response: Response) -> Act:
    """Let a provider answer an attempt so."""
    seed.provider(db, provider)
    seed.pending(db, seed.user(db), provider, payload=json.dumps(PAYLOADS[provider]))
    order = ClaimRequest(provider, ME, 10, 65_000)
    results = []
    for each in db.write(lambda tx: claim(tx.at(NOW), order)).claims:
        outcome = registry.get(provider).read(response)
        results.append(AttemptResult(each, decide(Attempt(each, NOW, NOW), outcome, 0.5), outcome))
    assert len(results) == 1
    db.write(lambda tx: record(tx.at(NOW), results))
    return suppressed(db)


def told(db: Database, provider: str, arrivals: list[Arrival], message_id: str, **payload: Any) -> Act:
    """Let a provider tell of a message that it took."""
    content = json.dumps({**PAYLOADS[provider], **payload})
    facts = {"status": "sent", "sent_at": NOW - 1_000, "provider_message_id": message_id, "payload": content}
    seed.pending(db, seed.user(db), provider, **facts)
    assert arrivals
    db.write(lambda tx: receipts.record(tx.at(NOW), provider, arrivals, registry.channel_of(provider)))
    return suppressed(db)


def suppressed(db: Database) -> Act:
    """Return what must not be written to."""
    s = suppressions.c
    with db.read() as tx:
        rows = tx.execute(select(s.address, s.cause, s.group_id).where(s.lifted_at.is_(None)))
        return {(row[0], row[1], row[2]) for row in rows}


def called(provider: str, body: bytes) -> list[Arrival]:
    """Return what a callback says."""
    adapter = registry.get(provider)
    assert isinstance(adapter, Calling)
    return [each for each in adapter.read_call(Call(body)) if isinstance(each, Arrival)]


def traced(provider: str, answer: Any, message_id: str) -> list[Arrival]:
    """Return what the answer to a question says."""
    adapter = registry.get(provider)
    assert isinstance(adapter, Traceable)
    return list(adapter.read_trace(Response(200, {}, json.dumps(answer).encode()), [message_id]).arrivals)


# Twilio

TWILIO: dict[int, str | None] = {
    21211: "bounce",
    21610: "opt_out",
    21614: "bounce",
    21635: "bounce",
    30005: "bounce",
    21408: None,
    21608: None,
    21612: None,
    30003: None,
    30006: None,
    30007: None,
    30008: None,
}


def _twilio_answer(db: Database, code: int) -> Act:
    body = {"code": code, "message": "no", "status": 400}
    return answered(db, "twilio", Response(400, {}, json.dumps(body).encode()))


def _twilio_callback(db: Database, code: int) -> Act:
    form = {"MessageSid": SID, "MessageStatus": "undelivered", "ErrorCode": str(code), "To": NUMBER}
    return told(db, "twilio", called("twilio", urlencode(form).encode()), SID)


def _twilio_poll(db: Database, code: int) -> Act:
    answer = {"sid": SID, "status": "failed", "error_code": code, "error_message": "no", "to": NUMBER}
    return told(db, "twilio", traced("twilio", answer, SID), SID)


@pytest.mark.parametrize("road", [_twilio_answer, _twilio_callback, _twilio_poll])
@pytest.mark.parametrize("code", TWILIO)
def test_twilio(database: Database, road: Road, code: int) -> None:
    """A code says the same of a number whoever asked for it."""
    cause = TWILIO[code]
    assert road(database, code) == (set() if cause is None else {(NUMBER, cause, "")})


# SendGrid

EventFacts = dict[str, str]
SENDGRID: list[tuple[EventFacts, str | None]] = [
    ({"event": "bounce", "type": "bounce", "reason": "550 no such user"}, "bounce"),
    ({"event": "bounce", "type": "blocked", "reason": "550 5.7.1 rejected as spam"}, None),
    ({"event": "bounce", "type": "blocked", "reason": "550 5.1.1 no such user"}, "bounce"),
    ({"event": "bounce", "type": "expired", "reason": "unable to deliver for 72 hours"}, None),
    ({"event": "bounce", "type": "expired", "reason": "550 5.1.1 no such user"}, None),
    ({"event": "bounce", "type": "something new", "reason": "550 5.1.1 no such user"}, None),
    ({"event": "dropped", "reason": "Bounced Address"}, "bounce"),
    ({"event": "dropped", "reason": "Invalid"}, "bounce"),
    ({"event": "dropped", "reason": "Unsubscribed Address"}, "opt_out"),
    ({"event": "dropped", "reason": "Unsubscribed Address", "asm_group_id": "7"}, "opt_out"),
    ({"event": "dropped", "reason": "Spam Reporting Address"}, "complaint"),
    ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, None),
    ({"event": "dropped", "reason": "Spam Content (if Spam Checker app is enabled)"}, None),
    ({"event": "dropped", "reason": "Recipient List over Package Quota"}, None),
    ({"event": "spamreport"}, "complaint"),
    ({"event": "unsubscribe"}, "opt_out"),
    ({"event": "group_unsubscribe", "asm_group_id": "7"}, "opt_out"),
    ({"event": "group_resubscribe", "asm_group_id": "7"}, None),
    ({"event": "delivered"}, None),
    ({"event": "deferred", "response": "450 4.2.1 busy"}, None),
    ({"event": "open"}, None),
]
_NAMES = {"bounce": "bounced", "spamreport": "spam_report", "open": "opened"}
_TYPES = {"bounce": "hard", "blocked": "soft"}


def _sendgrid_callback(db: Database, event: EventFacts) -> Act:
    body = json.dumps(
        [{**event, "email": "Anna@Example.org", "sg_message_id": f"{MSG}.f.1", "timestamp": 1_767_218_390}]
    )
    return told(db, "sendgrid", called("sendgrid", body.encode()), MSG, asm={"group_id": 7})


def _sendgrid_callback_of_nothing(db: Database, event: EventFacts) -> Act:
    body = json.dumps([{**event, "email": "Anna@Example.org", "timestamp": 1_767_218_390}])
    return told(db, "sendgrid", called("sendgrid", body.encode()), MSG)


def _sendgrid_activity(db: Database, event: EventFacts) -> Act:
    kind = event.get("type", "")
    entry = {"event_name": _NAMES.get(event["event"], event["event"]), "reason": event.get("reason", "")}
    entry |= {"bounce_type": _TYPES.get(kind, kind), "processed": "2025-12-31T21:59:50Z"}
    came_back = event["event"] in ("bounce", "dropped")
    mail: dict[str, Any] = {"msg_id": f"{MSG}.f.1", "to_email": "anna@example.org", "events": [entry]}
    mail |= {"status": "not_delivered" if came_back else "delivered"}
    mail |= {"asm_group_id": int(event["asm_group_id"])} if "asm_group_id" in event else {}
    return told(db, "sendgrid", traced("sendgrid", mail, f"{MSG}.f.1"), MSG, asm={"group_id": 7})


@pytest.mark.parametrize("road", [_sendgrid_callback, _sendgrid_callback_of_nothing, _sendgrid_activity])
@pytest.mark.parametrize(("event", "cause"), SENDGRID, ids=[" ".join(each.values()) for each, _ in SENDGRID])
def test_sendgrid(database: Database, road: Road, event: EventFacts, cause: str | None) -> None:
    """An event says the same in a callback, in one of no mail that is here, and in the Email Activity."""
    group = event.get("asm_group_id", "")  # in the Email Activity it is the mail's, and a number
    assert road(database, event) == (set() if cause is None else {("anna@example.org", cause, group)})


def test_sendgrids_answer_to_an_address_that_is_none(database: Database) -> None:
    """Refused before it was ever mailed."""
    error = {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email", "help": None}
    act = answered(database, "sendgrid", Response(400, {}, json.dumps({"errors": [error]}).encode()))
    assert act == {("anna@example.org", "bounce", "")}


def test_who_comes_back_to_a_group_gets_its_mails(database: Database) -> None:
    """`group_resubscribe` lifts the opt-out of that group; one that comes late does not undo a later opt-out."""
    base = {"email": "anna@example.org", "asm_group_id": 7}
    left = {**base, "event": "group_unsubscribe", "timestamp": 1_767_218_300}
    back = {**base, "event": "group_resubscribe", "timestamp": 1_767_218_310}
    again = {**base, "event": "group_unsubscribe", "timestamp": 1_767_218_320}
    told(database, "sendgrid", called("sendgrid", json.dumps([back, left]).encode()), "m1")
    assert suppressed(database) == set()
    arrivals = called("sendgrid", json.dumps([again]).encode()) + called("sendgrid", json.dumps([back]).encode())
    database.write(lambda tx: receipts.record(tx.at(NOW), "sendgrid", arrivals, registry.channel_of("sendgrid")))
    assert suppressed(database) == {("anna@example.org", "opt_out", "7")}


# A mail server, and FCM: they only answer


def _reply(stage: str, status: int, text: str, recipients: str = "1", refused: str = "") -> Response:
    body = f"{text}\n\n{refused}" if refused else text
    return Response(status, {"stage": stage, "recipients": recipients}, body.encode())


@pytest.mark.parametrize(
    ("said", "dead"),
    [
        ("550 5.1.1 No such user", True),
        ("550 5.1.2 No such domain", True),
        ("556 5.1.10 Takes no mail", True),
        ("550 No such user here", True),
        ("550 user unknown", True),
        ("550 Sender verify failed: unknown user", False),
        ("550 Client address 192.0.2.1 not found", False),
        ("550 Rejected by policy", False),
        ("550 5.7.1 Rejected as spam", False),
        ("550 5.7.1 no such user is welcome", False),
        ("552 5.2.2 Mailbox full", False),
        ("450 4.2.1 Greylisted", False),
    ],
)
@pytest.mark.parametrize("whose", ["recipient", "copy"])
def test_a_mail_server_says_the_same_of_recipient_and_copy(
    database: Database, said: str, dead: bool, whose: str
) -> None:
    """A refused RCPT of a copy suppresses that copy, by the words that would suppress the recipient."""
    if whose == "copy":
        reply, address = _reply("end", 250, "2.0.0 Ok", refused=f"copy@example.org: {said}"), "copy@example.org"
    else:
        status, _, text = said.partition(" ")
        reply, address = _reply("rcpt", int(status), text), "anna@example.org"
    assert answered(database, "smtp", reply) == ({(address, "bounce", "")} if dead else set())


@pytest.mark.parametrize(
    ("status", "code", "dead"),
    [(404, "UNREGISTERED", True), (403, "SENDER_ID_MISMATCH", True), (500, "INTERNAL", False)],
)
def test_fcm(database: Database, status: int, code: str, dead: bool) -> None:
    """A token that is gone is gone; trouble of FCM's own is not the token's."""
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    error = {"code": status, "status": "X", "message": "no", "details": [{"@type": kind, "errorCode": code}]}
    act = answered(database, "fcm", Response(status, {}, json.dumps({"error": error}).encode()))
    assert act == ({("tOkEn", "bounce", "")} if dead else set())


# Messages that came in


def _inbound(body: str, **more: str) -> bytes:
    form = {"MessageSid": SID, "SmsStatus": "received", "From": NUMBER, "To": "+14155550000", "Body": body, **more}
    return urlencode(form).encode()


@pytest.mark.parametrize(
    "word",
    [
        *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"),
        " stop ",
        "Stop.",
        "opt-out",
        "STOP ALL",
    ],
)
def test_stop_and_its_synonyms(database: Database, word: str) -> None:
    """Twilio's whole list, in any case; START, YES and UNSTOP lift just that."""
    for start in ("START", "yes", "Unstop "):
        record_inbound(database, _inbound(word))
        assert suppressed(database) == {(NUMBER, "opt_out", "")}
        record_inbound(database, _inbound(start))
        assert suppressed(database) == set()


@pytest.mark.parametrize("word", ["HELP", "please do not stop", "starting", "yes please", "", "stopp", "the end"])
def test_other_words_say_nothing(database: Database, word: str) -> None:
    """They are counted, and neither suppress nor lift."""
    record_inbound(database, _inbound(word))
    assert suppressed(database) == set()
    record_inbound(database, _inbound("STOP"))
    record_inbound(database, _inbound(word))
    assert suppressed(database) == {(NUMBER, "opt_out", "")}


def test_what_advanced_opt_out_says_decides(database: Database) -> None:
    """Its words are in every language: OptOutType is theirs."""
    record_inbound(database, _inbound("ARRET", OptOutType="STOP"))
    assert suppressed(database) == {(NUMBER, "opt_out", "")}
    record_inbound(database, _inbound("STOP", OptOutType="HELP"))
    record_inbound(database, _inbound("encore", OptOutType="START"))
    assert suppressed(database) == set()
    record_inbound(database, _inbound("STOP", OptOutType="HELP"))
    assert suppressed(database) == set()


def record_inbound(db: Database, body: bytes) -> None:
    """Record a message that came in."""
    arrivals = called("twilio", body)
    assert len(arrivals) == 1
    db.write(lambda tx: receipts.record(tx.at(NOW), "twilio", arrivals, registry.channel_of("twilio")))
