"""Receipts in the database: what they change, what follows, and who asks when."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from notifyctl.core.cursor import Cursor
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.core.weigh import Counts
from notifyctl.store import receipts
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import questions
from notifyctl.store.queue.questions import Claimed, QuestionRequest, SentMessage
from notifyctl.store.receipts import RecordedReceipts
from notifyctl.store.schema.tables import (
    audit_logs,
    contact_points,
    metrics_dirty_hours,
    notifications,
    provider_states,
)
from notifyctl.store.schema.tables import suppressions as suppressed
from tests.support import seed

NOW = 1_767_218_400_000
HOUR = 3_600_000
DELIVERED = Receipt(Stage.DELIVERED, "delivered", at=NOW - 5)
SENT = Receipt(Stage.UNDERWAY, "sent")
BOUNCED = Receipt(Stage.BOUNCED, "undelivered 30003 Unreachable destination handset", at=NOW - 3)
DEAD = Receipt(Stage.BOUNCED, "undelivered 30005 Unknown destination handset", at=NOW - 3, dead=True)
SUSPENDED = Receipt(Stage.BOUNCED, "failed 30002 Account suspended", at=NOW - 3, pause="30002 Account suspended")


def sent(db: Database, provider: str = "twilio", count: int = 1, **values: Any) -> list[str]:
    """Write messages that the provider took an hour ago, due to be asked about, and return their ids."""
    facts = {"status": "sent", "sent_at": NOW - HOUR, "receipt_due_at": NOW - 1, **values}
    anna = seed.user(db, f"u{random.randrange(10**9)}")
    made = [seed.pending(db, anna, provider, **facts)[0] for _ in range(count)]
    for id_ in made if "provider_message_id" not in values else ():
        statement = update(notifications).where(notifications.c.id == id_).values(provider_message_id=f"SM{id_}")
        db.write(lambda tx, statement=statement: tx.execute(statement))
    return made


def tell(db: Database, *arrivals: Arrival, provider: str = "twilio", now: int = NOW) -> RecordedReceipts:
    """Record receipts."""
    return db.write(lambda tx: receipts.record(tx.at(now), provider, arrivals))


def of(id_: str, receipt: Receipt | None) -> Arrival:
    """Return a receipt of a notification that is named by the provider's id."""
    return Arrival(receipt, provider_message_id=f"SM{id_}")


def known(db: Database, id_: str) -> tuple[Any, ...]:
    """Return what the row says."""
    row = seed.notification(db, id_)
    return row.status, row.delivered_at, row.bounced_at, row.receipt, row.receipt_due_at


def rows(db: Database, table: Any) -> list[Any]:
    """Return a whole table."""
    with db.read() as tx:
        return list(tx.execute(select(table)))


# Being told


def test_what_a_receipt_writes(database: Database) -> None:
    """Delivered and bounced have their times and end the questions; on the way it is asked on; it stays sent."""
    first, second, third = sent(database, count=3)
    report = tell(database, of(first, DELIVERED), of(second, BOUNCED), of(third, SENT), of("x", DELIVERED))
    counts = Counts(delivered=1, bounced=1, underway=1, unknown=1, kept=1)
    assert report == RecordedReceipts(counts, changes=4)
    assert known(database, first) == ("sent", NOW - 5, None, "delivered", None)
    assert known(database, second) == ("sent", None, NOW - 3, BOUNCED.text, None)
    assert known(database, third) == ("sent", None, None, "sent", NOW - 1)


def test_twice_and_out_of_order(database: Database) -> None:
    """The same again changes no row, no mark, no address and counts as ignored; `sent` after `delivered` too."""
    first, second = sent(database, count=2)
    said = [of(first, DELIVERED), of(first, SENT), of(second, DEAD), of(second, DELIVERED)]
    assert tell(database, *said).counts == Counts(delivered=1, bounced=1, ignored=2, suppressed=1)
    tables = (notifications, metrics_dirty_hours, suppressed, audit_logs)
    before = [rows(database, table) for table in tables]
    assert tell(database, *said, now=NOW + HOUR).counts == Counts(ignored=4)
    assert tell(database, *reversed(said), now=NOW + HOUR).counts == Counts(ignored=4)
    assert [rows(database, table) for table in tables] == before
    assert known(database, second)[1:3] == (None, NOW - 3)


def test_a_suppression_that_was_lifted_stays_lifted(database: Database) -> None:
    """A receipt that comes again does not undo what an operator decided since."""
    [id_] = sent(database)
    tell(database, of(id_, DEAD))
    assert len(rows(database, suppressed)) == 1
    database.write(lambda tx: tx.execute(suppressed.delete()))
    tell(database, of(id_, DEAD))
    assert rows(database, suppressed) == []


def test_a_dead_address_that_the_first_bounce_did_not_tell_of(database: Database) -> None:
    """A bounce without a reason, and later one that says why: the address is suppressed then, and only then."""
    [id_] = sent(database)
    bare = Receipt(Stage.BOUNCED, "undelivered", at=NOW - 9)
    assert tell(database, of(id_, bare)).counts == Counts(bounced=1)
    assert tell(database, of(id_, DEAD), of(id_, DEAD)).counts == Counts(ignored=2, suppressed=1)
    assert known(database, id_) == ("sent", None, NOW - 9, DEAD.text, None)
    database.write(lambda tx: tx.execute(suppressed.delete()))
    assert tell(database, of(id_, bare), of(id_, DEAD)).counts == Counts(ignored=2)
    assert rows(database, suppressed) == []


def test_the_notifications_own_id_goes_before_the_providers(database: Database) -> None:
    """The custom argument names the notification even where the provider's id was lost with the answer."""
    [id_] = sent(database, "sendgrid", provider_message_id=None)
    arrival = Arrival(DELIVERED, notification_id=id_, provider_message_id="never seen")
    assert tell(database, arrival, provider="sendgrid").counts.delivered == 1
    for strange in ("no id", id_.upper(), id_ + "x", "\x00", "'"):
        odd = Arrival(DELIVERED, notification_id=strange, provider_message_id="never seen")
        assert tell(database, odd, provider="sendgrid").counts == Counts(unknown=1, kept=1)


@pytest.mark.parametrize(
    ("status", "counts"),
    [("pending", Counts(kept=2)), ("failed", Counts(ignored=2)), ("cancelled", Counts(ignored=2))],
)
def test_what_was_not_sent_is_left_alone(database: Database, status: str, counts: Counts) -> None:
    """Where no attempt is in doubt a receipt makes what was tried, failed or was cancelled nothing else."""
    [id_] = sent(database, receipt_due_at=None, status=status, attempt_count=1, last_attempted=NOW - HOUR)
    before = seed.notification(database, id_)
    assert tell(database, of(id_, DELIVERED), Arrival(DEAD, notification_id=id_)).counts == counts
    assert seed.notification(database, id_) == before
    assert rows(database, suppressed) == []


def test_another_provider_says_nothing_of_it(database: Database) -> None:
    """What went by another provider in the end is not delivered by the first one's receipt."""
    [id_] = sent(database, "twilio")
    assert tell(database, Arrival(DELIVERED, notification_id=id_), provider="sendgrid").counts == Counts(ignored=1)
    assert tell(database, of(id_, DELIVERED), provider="sendgrid").counts == Counts(unknown=1, kept=1)


def test_a_dead_address(database: Database) -> None:
    """It is suppressed as it is stored, with an audit row, however the provider writes it."""
    anna = seed.user(database, "anna")
    content = json.dumps({"v": 1, "subject": "Hello", "text": "Hello"})
    point = {"id": "0" * 36, "user_id": anna, "channel": "email", "address": "Anna@example.org", "created_at": 1}
    database.write(lambda tx: tx.execute(contact_points.insert().values(point)))
    [id_] = seed.pending(database, anna, status="sent", payload=content, provider_message_id="m")
    receipt = Receipt(Stage.BOUNCED, "bounce 550 5.1.1", address="anna@EXAMPLE.org", dead=True)
    report = tell(database, Arrival(receipt, provider_message_id="m"), provider="sendgrid")
    assert report.counts == Counts(bounced=1, suppressed=1)
    [row] = rows(database, suppressed)
    assert (row.channel, row.address, row.written, row.reason, row.notification_id) == (
        "email", "anna@example.org", "Anna@example.org", "bounce 550 5.1.1", id_,
    )  # fmt: skip
    assert [(each.action, each.resource_type) for each in rows(database, audit_logs)] == [("suppress", "suppression")]


def test_a_copy_that_bounces_is_not_the_notification(database: Database) -> None:
    """The provider tells of each recipient apart: that somebody in cc bounced says nothing of whom it is for.

    But it says that this copy's address is dead.
    """
    content = json.dumps({"v": 1, "to": "anna@example.org", "cc": ["Bert <bert@example.org>"], "bcc": "c@example.org"})
    [id_] = sent(database, "sendgrid", payload=content)
    for address in ("bert@example.org", "C@example.org"):
        receipt = Receipt(Stage.BOUNCED, "bounce 550", address=address, dead=True)
        assert tell(database, of(id_, receipt), provider="sendgrid").counts == Counts(ignored=1, suppressed=1)
    assert {row.address for row in rows(database, suppressed)} == {"bert@example.org", "c@example.org"}
    mine = Receipt(Stage.DELIVERED, "delivered", address="anna@example.org")
    assert tell(database, of(id_, mine), provider="sendgrid").counts == Counts(delivered=1)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (r'"Bert <b\"> @ work" <Bert@example.org>', "bert@example.org"),
        ("Bert (the copy) <bert(home)@EXAMPLE.org>", "bert@example.org"),
        ('"bert"@example.org', "bert@example.org"),
        ("Bert <bert@bücher.example>", "bert@xn--bcher-kva.example"),
        ("bert@xn--bcher-kva.example", "BERT@bücher.example"),
        ("jürgen@bu\u0308cher.example", "ju\u0308rgen@bücher.example"),
    ],
)
def test_a_copys_receipt_is_the_copys(database: Database, written: str, told: str) -> None:
    """However its name and domain are written (RFC 5322, RFC 5890): that it bounced is not what became of the mail."""
    content = json.dumps({"v": 1, "to": "anna@example.org", "cc": [written]})
    [id_] = sent(database, "sendgrid", payload=content)
    receipt = Receipt(Stage.BOUNCED, "bounce 550", address=told, dead=True)
    assert tell(database, of(id_, receipt), provider="sendgrid").counts.bounced == 0
    assert known(database, id_)[1:4] == (None, None, None)
    mine = Receipt(Stage.DELIVERED, "delivered", address="Anna@EXAMPLE.org")
    assert tell(database, of(id_, mine), provider="sendgrid").counts == Counts(delivered=1)


def test_the_hour_is_counted_again(database: Database) -> None:
    """The mark for the metrics is in the same transaction, for the hour that the notification was for."""
    [id_] = sent(database, created_at=NOW - 5 * HOUR)
    tell(database, of(id_, SENT))
    assert rows(database, metrics_dirty_hours) == []
    tell(database, of(id_, DELIVERED))
    assert [row.hour_start for row in rows(database, metrics_dirty_hours)] == [NOW - 5 * HOUR]


def test_a_suspended_account_pauses_the_provider(database: Database) -> None:
    """Once, with an audit row; not by messages from before the credentials were changed."""
    provider = seed.provider(database, "twilio", updated_at=NOW - 2 * HOUR)
    first, second, third = sent(database, count=3)
    assert tell(database, of(first, SUSPENDED)).paused == "30002 Account suspended"
    assert tell(database, of(second, SUSPENDED)).paused is None
    [state] = rows(database, provider_states)
    assert (state.provider_id, state.pause_reason) == (provider, "30002 Account suspended")
    assert [each.action for each in rows(database, audit_logs)] == ["pause"]
    database.write(lambda tx: tx.execute(provider_states.delete()))
    seed.provider(database, "sendgrid", updated_at=NOW - 1)
    [old] = sent(database, "sendgrid")
    assert tell(database, of(old, SUSPENDED), provider="sendgrid").paused is None
    assert tell(database, of(third, SUSPENDED), now=NOW + 2 * HOUR).paused is None


# Asking


def claim(db: Database, provider: str = "twilio", now: int = NOW, **wanted: Any) -> Claimed:
    """Claim messages to ask about, one a question and as often as wanted unless said otherwise."""
    order = {"moment": now, "room": 100, "at_once": 1, "per_minute": None, "most": 100, **wanted}
    return db.write(lambda tx: questions.claim(tx.at(now), QuestionRequest(provider, **order)))


def test_a_question_is_claimed_once(database: Database) -> None:
    """What one has claimed no other asks, until that takes too long; what is not due is not asked."""
    ids = sent(database, count=3)
    sent(database, receipt_due_at=NOW + 1)
    sent(database, receipt_due_at=None)
    first, second = claim(database, most=2), claim(database)
    assert {each.id for each in (*first.messages, *second.messages)} == set(ids)
    assert len(first.messages) == 2
    assert claim(database) == Claimed()
    assert len(claim(database, now=NOW + questions.CLAIMED_MS).messages) == 4  # and the one that is due by now


def test_what_nobody_was_to_ask_about(database: Database) -> None:
    """A page at a time, each message once, however many were made at the same moment; not what is known or asked."""
    at: dict[str, Any] = {"created_at": NOW - HOUR, "receipt_due_at": None}
    ids = sent(database, count=5, **at)
    sent(database, delivered_at=NOW, **at)
    sent(database, bounced_at=NOW, **at)
    sent(database, provider_message_id=None, **at)
    sent(database, "sendgrid", **at)
    sent(database, created_at=NOW - HOUR)
    sent(database, sent_at=NOW - 100 * HOUR, created_at=NOW - 100 * HOUR, receipt_due_at=None)
    found: list[Cursor] = []
    while True:
        after = found[-1] if found else Cursor(0, "")
        with database.read() as tx:
            more = questions.unasked(tx, "twilio", NOW - 72 * HOUR, after, 2)
        if not more:
            break
        found += more
    assert [each.id for each in found] == sorted(ids)
    assert claim(database, now=NOW - 2).messages == ()
    database.write(lambda tx: questions.ask_about(tx, ids, NOW - 2))
    assert {each.id for each in claim(database, now=NOW - 2).messages} == set(ids)


def test_two_dispatchers_at_once_ask_apart(postgresql_url: str) -> None:
    """While one claims, the other takes what the first has not, and waits for nothing."""
    db = Database(postgresql_url)
    ids = sent(db, count=4)
    claimed, checked = threading.Event(), threading.Event()

    def work(tx: Tx) -> Claimed:
        found = questions.claim(
            tx.at(NOW), QuestionRequest("twilio", NOW, room=2, at_once=1, per_minute=None, most=100)
        )
        claimed.set()
        assert checked.wait(60)
        return found

    found: list[Claimed] = []
    thread = threading.Thread(target=lambda: found.append(db.write(work)))
    thread.start()
    assert claimed.wait(60)
    mine = claim(db)
    checked.set()
    thread.join()
    assert len(mine.messages) == 2
    assert {each.id for each in (*mine.messages, *found[0].messages)} == set(ids)
    db.close()


def test_putting_off(database: Database) -> None:
    """It is due when it was put off to, or never; but not where somebody else has claimed it since, or it is over."""
    first, second, third, fourth = sent(database, count=4)
    messages = {each.id: each for each in claim(database).messages}
    later = {first: NOW + 7, second: None, third: NOW + 7, fourth: NOW + 7}
    stale = SentMessage(third, "", NOW, messages[third].claimed - 1)
    asked = {**messages, third: stale}
    tell(database, of(fourth, DELIVERED))
    put_off = [(asked[id_], due) for id_, due in later.items()]
    database.write(lambda tx: questions.put_off(tx, put_off))
    due = [seed.notification(database, id_).receipt_due_at for id_ in later]
    assert due == [NOW + 7, None, messages[third].claimed, None]


FEW: dict[str, Any] = {"provider": "sendgrid", "at_once": 2, "per_minute": 6}


def test_a_provider_that_allows_few_questions(database: Database) -> None:
    """However many ask, no minute has more questions than the provider allows, each about many messages."""
    seed.provider(database, "sendgrid")
    sent(database, "sendgrid", count=30)
    asked, about = [], 0
    for now in range(NOW, NOW + 170_000, 1_000):
        found = claim(database, now=now, **FEW)
        about += len(found.messages)
        asked += [now] if found.messages else []
        assert len(found.messages) <= 2
        if not found.messages and about < 30:
            assert found.wait_ms is not None and 0 < found.wait_ms <= 11_000
    assert about == 30
    assert max(sum(1 for each in asked if at <= each < at + 60_000) for at in asked) == 6


def test_a_follow_up_goes_first(database: Database) -> None:
    """A question that follows from an answer waits for the same permits, and is put before others."""
    seed.provider(database, "sendgrid")
    ids = sent(database, "sendgrid", count=2)
    assert claim(database, follow_ups=1, **FEW) == Claimed(follow_ups=1)
    waiting = claim(database, follow_ups=1, **FEW)
    assert waiting.wait_ms is not None and 10_000 <= waiting.wait_ms <= 11_000
    later = NOW + waiting.wait_ms
    assert claim(database, now=later, follow_ups=1, **FEW) == Claimed(follow_ups=1)
    found = claim(database, follow_ups=1, **{**FEW, "now": later + 60_000, "per_minute": 120})
    assert (found.follow_ups, {each.id for each in found.messages}) == (1, set(ids))


def test_nothing_to_ask_takes_no_permit(database: Database) -> None:
    """Looking in vain uses up nothing of what the provider allows, also where nothing more is wanted."""
    seed.provider(database, "sendgrid")
    assert claim(database, **FEW) == Claimed()
    sent(database, "sendgrid")
    assert claim(database, **{**FEW, "most": 0}) == Claimed()
    assert len(claim(database, **FEW).messages) == 1
    assert claim(database, **{**FEW, "most": 0}) == Claimed()


def test_a_provider_that_is_gone_is_not_asked(database: Database) -> None:
    """Nobody says how often it may be asked: its messages stay due, and nobody waits for permits."""
    sent(database, "sendgrid")
    assert claim(database, **FEW) == Claimed()
