"""Receipts that overtake the result of the call that they tell of, and answers to attempts of unknown outcome."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from sqlalchemy import func, select, update

from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Channel, Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.core.weigh import Counts
from notifyctl.store import early, providers, receipts
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import Batch, ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import (
    audit_logs,
    early_receipts,
    metrics_dirty_hours,
    notification_dlq,
    notifications,
    suppressions,
)
from tests.support import seed

NOW = 1_767_218_400_000
HOUR = 3_600_000
LEASE_MS = 65_000
ME = "11111111-1111-4111-8111-111111111111"
DELIVERED = Receipt(Stage.DELIVERED, "delivered", at=NOW + 50)
BOUNCED = Receipt(Stage.BOUNCED, "bounce 550 5.1.1", at=NOW + 50, address="anna@example.org", dead=True)
LOST = Outcome(Kind.UNKNOWN, "no whole answer within 30 s")


@pytest.fixture
def leased(database: Database) -> Claim:
    """A mail whose first attempt is under way."""
    seed.provider(database)
    seed.pending(database, seed.user(database), created_at=NOW - HOUR)
    (each,) = take(database, NOW).claims
    return each


def take(db: Database, now: int, on_unknown: OnUnknown = OnUnknown.RETRY) -> Batch:
    """Claim what is due."""
    order = ClaimRequest("sendgrid", ME, 10, LEASE_MS, on_unknown={Channel.EMAIL: on_unknown})
    return db.write(lambda tx: claim(tx.at(now), order))


def end(db: Database, each: Claim, outcome: Outcome, on_unknown: OnUnknown = OnUnknown.RETRY) -> None:
    """Record what an attempt came to, a tenth of a second after it began."""
    change = decide(Attempt(each, NOW, NOW + 100), outcome, 0.5, on_unknown)
    db.write(lambda tx: record(tx.at(NOW + 100), [AttemptResult(each, change, outcome)]))


def tell(db: Database, *arrivals: Arrival, now: int = NOW + 50, provider: str = "sendgrid") -> Counts:
    """Take receipts."""
    return db.write(lambda tx: receipts.record(tx.at(now), provider, arrivals)).counts


def look(db: Database, now: int) -> None:
    """Look again at what was kept, as dispatchers do."""
    db.write(lambda tx: receipts.look_again(tx.at(now)))


def count(db: Database, table: Any) -> int:
    """Return how many rows there are."""
    with db.read() as tx:
        return tx.execute(select(func.count()).select_from(table)).scalar_one()


def ours(
    each: Claim, receipt: Receipt = DELIVERED, message_id: str | None = "m1", attempt: int | None = None
) -> Arrival:
    """Return a receipt that names the notification."""
    return Arrival(receipt, each.id, message_id, attempt)


@pytest.mark.parametrize("named", [True, False], ids=["by our id", "by the provider's"])
def test_before_the_result(database: Database, leased: Claim, named: bool) -> None:
    """A receipt that comes while the call runs is kept, changes nothing, and counts once the result is there."""
    before = seed.notification(database, leased.id)
    counts = tell(database, Arrival(DELIVERED, leased.id if named else None, "m1"))
    assert counts == (Counts(kept=1) if named else Counts(unknown=1, kept=1))
    look(database, NOW + 1_050)
    assert seed.notification(database, leased.id) == before
    end(database, leased, Outcome(Kind.ACCEPTED, provider_message_id="m1"))
    look(database, NOW + 5_000)
    row = seed.notification(database, leased.id)
    assert (row.status, row.delivered_at, row.receipt) == ("sent", NOW + 50, "delivered")
    assert count(database, early_receipts) == 0


@pytest.mark.parametrize("policy", OnUnknown)
@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.TRANSIENT])
def test_it_answers_what_the_call_did_not(database: Database, leased: Claim, policy: OnUnknown, kind: Kind) -> None:
    """The call ends without a word from the provider, whose receipt is there: it is sent, whatever the policy."""
    tell(database, ours(leased))
    end(database, leased, Outcome(kind, "no whole answer"), policy)
    row = seed.notification(database, leased.id)
    assert (row.status, row.provider_message_id, row.delivered_at) == ("sent", "m1", NOW + 50)
    assert (row.lease_id, row.error_message, row.failed_at, row.attempt_count) == (None, None, None, 1)
    assert [each.get("outcome") or each["event"] for each in json.loads(row.retry_history)] == [kind.value, "receipt"]
    assert (count(database, notification_dlq), count(database, early_receipts)) == (0, 0)
    assert take(database, NOW + 24 * HOUR).claims == ()


@pytest.mark.parametrize("policy", OnUnknown)
def test_it_answers_for_a_dispatcher_that_died(database: Database, leased: Claim, policy: OnUnknown) -> None:
    """The lease ends without a result: whoever takes the row next finds the receipt, and sends nothing."""
    tell(database, ours(leased))
    batch = take(database, NOW + 2 * LEASE_MS, policy)
    assert (batch.claims, batch.settled) == ((), {"confirmed": 1})
    row = seed.notification(database, leased.id)
    assert (row.status, row.attempt_count, row.last_attempted) == ("sent", 1, NOW)
    assert (row.delivered_at, row.sent_at, row.lease_id) == (NOW + 50, NOW, None)
    assert (count(database, notification_dlq), count(database, early_receipts)) == (0, 0)


def test_it_answers_for_many_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls were lost with their dispatcher, and however much was said of each by whomever."""
    monkeypatch.setattr(early, "BATCH", 3)
    seed.provider(database)
    seed.pending(database, seed.user(database), count=6, created_at=NOW - HOUR)
    lost = take(database, NOW).claims
    sent = Receipt(Stage.UNDERWAY, "processed")
    tell(database, *(ours(each, receipt, f"m{each.id}") for each in lost for receipt in (sent, DELIVERED)))
    tell(database, *(ours(each, DELIVERED, f"n{each.id}") for each in lost), provider="twilio")
    batch = take(database, NOW + 2 * LEASE_MS)
    assert (len(lost), batch.claims, batch.settled) == (6, (), {"confirmed": 6})
    with database.read() as tx:
        assert set(tx.execute(select(notifications.c.delivered_at)).scalars()) == {NOW + 50}


def test_it_comes_after_the_dispatcher_died(database: Database, leased: Claim) -> None:
    """The lease has ended and nobody has taken the row: the receipt settles it, and a late result changes nothing."""
    assert tell(database, ours(leased, BOUNCED), now=NOW + 2 * LEASE_MS) == Counts(bounced=1, suppressed=1)
    end(database, leased, LOST)
    row = seed.notification(database, leased.id)
    assert (row.status, row.bounced_at, row.retry_history.count("dispatcher was lost")) == ("sent", NOW + 50, 1)
    assert take(database, NOW + 24 * HOUR).claims == ()


def test_it_comes_before_the_next_attempt(database: Database, leased: Claim) -> None:
    """The attempt of unknown outcome waits to be repeated: the receipt is its answer, and nothing is sent again."""
    end(database, leased, LOST)
    assert seed.notification(database, leased.id).status == "pending"
    assert tell(database, ours(leased, attempt=1), now=NOW + 200) == Counts(delivered=1)
    row = seed.notification(database, leased.id)
    assert (row.status, row.sent_at, row.delivered_at) == ("sent", NOW, NOW + 50)
    assert count(database, metrics_dirty_hours) > 0
    assert take(database, NOW + 24 * HOUR).claims == ()


def test_a_dead_letter_is_sent_after_all(database: Database, leased: Claim) -> None:
    """An `outcome_unknown` letter goes, the status follows, the bounce suppresses, and the audit trail has it."""
    end(database, leased, LOST, OnUnknown.HOLD)
    assert seed.dead_letter(database, leased.id).failure_reason == "outcome_unknown"
    assert tell(database, ours(leased, BOUNCED), now=NOW + HOUR) == Counts(bounced=1, suppressed=1)
    row = seed.notification(database, leased.id)
    assert (row.status, row.failed_at, row.error_message, row.bounced_at) == ("sent", None, None, NOW + 50)
    assert seed.dead_letter(database, leased.id) is None
    assert count(database, suppressions) == 1
    with database.read() as tx:
        [changes] = tx.execute(select(audit_logs.c.changes).where(audit_logs.c.action == "confirm")).scalars()
    assert json.loads(changes) == {"status": ["failed", "sent"], "receipt": "bounce 550 5.1.1"}
    assert tell(database, ours(leased, BOUNCED), now=NOW + HOUR) == Counts(ignored=1)


def test_what_was_cancelled_too_late(database: Database, leased: Claim) -> None:
    """It had gone out when it was cancelled: it is sent, and to restore it cannot send it a second time."""
    end(database, leased, LOST)
    cancelled = {"status": "cancelled", "error_message": "by an operator"}
    statement = update(notifications).where(notifications.c.id == leased.id).values(cancelled)
    database.write(lambda tx: tx.execute(statement))
    assert tell(database, ours(leased), now=NOW + HOUR) == Counts(delivered=1)
    row = seed.notification(database, leased.id)
    assert (row.status, row.error_message, row.delivered_at) == ("sent", None, NOW + 50)
    with database.read() as tx:
        [changes] = tx.execute(select(audit_logs.c.changes).where(audit_logs.c.action == "confirm")).scalars()
    assert json.loads(changes) == {"status": ["cancelled", "sent"], "receipt": "delivered"}


def test_a_letter_and_its_status_change_together(database: Database, leased: Claim) -> None:
    """What fails half-way changes nothing: neither is the letter gone, nor the notification sent, nor is it audited."""
    end(database, leased, LOST, OnUnknown.HOLD)

    def broken(tx: Any) -> None:
        receipts.record(tx.at(NOW + HOUR), "sendgrid", [ours(leased)])
        raise KeyError

    with pytest.raises(KeyError):
        database.write(broken)
    assert seed.notification(database, leased.id).status == "failed"
    assert seed.dead_letter(database, leased.id) is not None
    assert count(database, audit_logs) == 0


def test_what_was_refused_stays_refused(database: Database, leased: Claim) -> None:
    """An attempt that the provider refused is not in doubt; nor is one of another number, or of another provider."""
    end(database, leased, Outcome(Kind.PERMANENT, "no"))
    assert tell(database, ours(leased), now=NOW + HOUR) == Counts(ignored=1)
    [second] = seed.pending(database, seed.user(database, "bert"))
    past = [{"attempt": 1, "provider": "sendgrid", "outcome": "unknown", "began_at": NOW}]
    statement = update(notifications).where(notifications.c.id == second).values(retry_history=json.dumps(past))
    database.write(lambda tx: tx.execute(statement))
    assert tell(database, Arrival(DELIVERED, second, "m2", 2)) == Counts(kept=1)
    assert tell(database, Arrival(DELIVERED, second, "m2"), provider="twilio") == Counts(kept=1)
    assert seed.notification(database, second).status == "pending"
    assert tell(database, Arrival(DELIVERED, second, "m2", 1)) == Counts(delivered=1)


@pytest.mark.parametrize("by", ["sendgrid", "smtp"])
@pytest.mark.parametrize("waits", [True, False])
def test_what_was_sent_after_the_backup_is_not_sent_again(database: Database, by: str, waits: bool) -> None:
    """A database from a backup knows nothing of an attempt whose receipt comes: it was made, and is not made twice.

    Also where the receipt waits already, and where another provider is the one that has it. One that was refused, or
    is only put off after it was tried, is another matter.
    """
    seed.provider(database)
    own, tried = seed.pending(database, seed.user(database), count=2, created_at=NOW - HOUR)
    past = json.dumps([{"attempt": 1, "provider": "sendgrid", "outcome": "throttled", "began_at": NOW}])
    put_off = update(notifications).where(notifications.c.id == tried).values(retry_history=past, due_at=NOW + HOUR)
    database.write(lambda tx: tx.execute(put_off))
    arrivals = [Arrival(DELIVERED, own, "m1"), Arrival(DELIVERED, tried, "m2")]
    if waits:
        database.write(lambda tx: early.keep(tx.at(NOW), by, arrivals))
        look(database, NOW + HOUR)
    else:
        assert tell(database, *arrivals, now=NOW + HOUR, provider=by) == Counts(delivered=1, kept=1)
    row = seed.notification(database, own)
    assert (row.status, row.provider, row.provider_message_id) == ("sent", by, "m1")
    assert (row.sent_at, row.delivered_at, row.attempt_count) == (NOW + 50, NOW + 50, 0)
    assert seed.notification(database, tried).status == "pending"
    assert [each.id for each in take(database, NOW + HOUR).claims] == [tried]


def test_it_went_by_the_provider_that_says_so(database: Database, leased: Claim) -> None:
    """Another provider has it by now: the first one's receipt keeps it from going out twice, and it was that one."""
    end(database, leased, Outcome(Kind.TRANSIENT, "unavailable", http_status=503))
    statement = update(notifications).where(notifications.c.id == leased.id).values(provider="smtp")
    database.write(lambda tx: tx.execute(statement))
    assert tell(database, ours(leased), now=NOW + 200) == Counts(delivered=1)
    row = seed.notification(database, leased.id)
    assert (row.status, row.provider) == ("sent", "sendgrid")


def test_a_copys_receipt_proves_that_it_was_taken(database: Database, leased: Claim) -> None:
    """What became of a copy is not what became of the mail, but it says that the mail went out."""
    payload = json.dumps({"v": 1, "to": "anna@example.org", "cc": "Bert <bert@example.org>", "text": "x"})
    statement = update(notifications).where(notifications.c.id == leased.id).values(payload=payload)
    database.write(lambda tx: tx.execute(statement))
    end(database, leased, LOST)
    tell(database, ours(leased, Receipt(Stage.BOUNCED, "bounce", address="bert@example.org")), now=NOW + 200)
    row = seed.notification(database, leased.id)
    assert (row.status, row.bounced_at, row.delivered_at) == ("sent", None, None)


def test_a_lifted_suppression_is_not_renewed_by_looking(database: Database, leased: Claim) -> None:
    """What a receipt says of an address holds at once; to look at it again undoes no operator's decision."""
    assert tell(database, ours(leased, BOUNCED)) == Counts(kept=1, suppressed=1)
    database.write(lambda tx: tx.execute(suppressions.delete()))
    look(database, NOW + 1_050)
    assert (count(database, early_receipts), count(database, suppressions)) == (1, 0)


def test_what_matches_nothing_is_counted_in_the_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for 72 hours, looked at ever less often; at most so many, the oldest go first."""
    seed.provider(database)
    tell(database, Arrival(DELIVERED, None, "elsewhere"), now=NOW)
    looks = 0
    for now in range(NOW, NOW + 80 * HOUR, 60_000):
        with database.read() as tx:
            due = early.is_due(tx.at(now))
        if due:
            look(database, now)
            looks += 1
            left = count(database, early_receipts)
            assert left == (1 if now < NOW + 72 * HOUR else 0)
    assert looks < 20
    assert unmatched(database) == 1
    monkeypatch.setattr(early, "MOST", 3)
    for number in range(5):
        tell(database, Arrival(DELIVERED, None, f"m{number}"), now=NOW + number)
    with database.read() as tx:
        kept = set(tx.execute(select(early_receipts.c.provider_message_id)).scalars())
    assert kept == {"m2", "m3", "m4"}
    assert unmatched(database) == 3


def test_what_two_gave_up_is_counted_once(database: Database) -> None:
    """Every dispatcher looks at what is kept: two may find at once that it is three days old."""
    seed.provider(database)
    tell(database, Arrival(DELIVERED, None, "m1"), Arrival(DELIVERED, None, "m2"))
    with database.read() as tx:
        seen = early.due(tx.at(NOW + 73 * HOUR))
    for _ in range(2):
        database.write(lambda tx: early.put_off(tx.at(NOW + 73 * HOUR), seen))
    assert (count(database, early_receipts), unmatched(database)) == (0, 2)


def unmatched(db: Database) -> int:
    """Return how many receipts were given up."""
    with db.read() as tx:
        config = providers.get(tx, "sendgrid")
    assert config is not None
    return config.receipts_unmatched


def test_nothing_of_a_receipt_is_lost_by_waiting(database: Database, leased: Claim) -> None:
    """Whatever a receipt says is said as well when it was kept; one that says nothing is not kept."""
    assert tell(database, Arrival(None, leased.id, "m1"), Arrival(None, None, "m2")).kept == 0
    whole = Receipt(Stage.BOUNCED, 'bounce "é" 👍', NOW + 50, "anna@example.org", dead=True, pause="why")
    arrivals = [Arrival(whole, leased.id, "m1", 7), Arrival(whole, leased.id.upper(), "m" * 255)]
    tell(database, *arrivals)
    with database.read() as tx:
        kept = [each.arrival for each in early.due(tx.at(NOW + HOUR))]
    assert sorted(kept, key=str) == sorted([arrivals[0], Arrival(whole, None, "m" * 255)], key=str)


def test_a_result_and_its_receipt_at_the_same_moment(postgresql_url: str) -> None:
    """Whichever of the two is written first, an attempt of unknown outcome is answered, and nothing is sent again."""
    database = Database(postgresql_url)
    try:
        seed.provider(database)
        anna = seed.user(database)
        for _ in range(12):
            [id_] = seed.pending(database, anna, created_at=NOW - HOUR)
            (each,) = take(database, NOW).claims
            told = threading.Thread(target=tell, args=(database, ours(each)))
            ended = threading.Thread(target=end, args=(database, each, LOST))
            for thread in (told, ended):
                thread.start()
            for thread in (told, ended):
                thread.join(60)
            assert seed.notification(database, id_).status == "sent"
        assert count(database, early_receipts) == 0
        assert take(database, NOW + 24 * HOUR).claims == ()
    finally:
        database.close()
