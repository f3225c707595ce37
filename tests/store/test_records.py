"""Recording: each outcome becomes its row, and nobody without the lease writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from notifyctl.core.change import Change, Release
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Claim
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, Recorded, Told, record
from notifyctl.store.schema.tables import (
    audit_logs,
    metrics_dirty_hours,
    notification_dlq,
    provider_configs,
    suppressions,
)
from tests.support import seed

NOW = 1_700_000_000_000
ME = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def claimed(database: Database) -> Claim:
    """A notification of a past hour, leased for its first attempt."""
    seed.provider(database)
    seed.pending(database, seed.user(database), created_at=NOW - 7_200_000)
    order = ClaimRequest("sendgrid", ME, 10, 65_000)
    (each,) = database.write(lambda tx: claim(tx.at(NOW), order)).claims
    return each


def decided(each: Claim, outcome: Outcome) -> Change:
    """Decide as the dispatcher does, half the longest wait."""
    return decide(Attempt(each, NOW, NOW + 100), outcome, 0.5)


def write(db: Database, each: Claim, change: Change, outcome: Outcome | None = None) -> Recorded:
    """Record one result."""
    results = [AttemptResult(each, change, outcome)]
    return db.write(lambda tx: record(tx.at(NOW + 100), results))


def learn(db: Database, each: Claim, outcome: Outcome) -> Recorded:
    """Decide and record."""
    return write(db, each, decided(each, outcome), outcome)


def released(each: Claim) -> Release:
    """Give back a claim with which nothing was begun."""
    return Release(each, each.due_at, each.attempt - 1, each.last_attempted)


def rows(db: Database, statement: Any) -> list[Any]:
    """Read rows."""
    with db.read() as tx:
        return list(tx.execute(statement).all())


def test_accepted(database: Database, claimed: Claim) -> None:
    """The provider's id and answer are kept, the lease is gone, the hour is counted again."""
    learn(database, claimed, Outcome(Kind.ACCEPTED, provider_message_id="m1", response="ok"))
    row = seed.notification(database, claimed.id)
    assert (row.status, row.sent_at, row.provider_message_id) == ("sent", NOW + 100, "m1")
    assert (row.provider_response, row.lease_id, row.leased_by, row.attempt_count) == ("ok", None, None, 1)
    assert len(rows(database, select(metrics_dirty_hours))) == 1


def test_transient(database: Database, claimed: Claim) -> None:
    """It waits for its backoff, and the attempt is in the history."""
    learn(database, claimed, Outcome(Kind.TRANSIENT, "unavailable", http_status=503))
    row = seed.notification(database, claimed.id)
    assert (row.status, row.attempt_count, row.due_at, row.lease_id) == ("pending", 1, NOW + 1_100, None)
    (entry,) = json.loads(row.retry_history)
    assert (entry["outcome"], entry["http_status"], entry["wait_ms"]) == ("transient", 503, 1_000)


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.CONFIG])
def test_what_is_not_its_fault_costs_no_attempt(database: Database, claimed: Claim, kind: Kind) -> None:
    """Throttled and config outcomes give the attempt back."""
    learn(database, claimed, Outcome(kind, "no"))
    assert seed.notification(database, claimed.id).attempt_count == 0


def test_config_pauses_the_provider_once(database: Database, claimed: Claim) -> None:
    """Bad credentials stop the provider with a reason and an audit row; one dispatcher is told, not each."""
    report = learn(database, claimed, Outcome(Kind.CONFIG, "key revoked", http_status=401))
    assert report.told == (Told("sendgrid", "paused: key revoked"),)
    order = ClaimRequest("sendgrid", ME, 10, 65_000)
    assert database.write(lambda tx: claim(tx.at(NOW + 200), order)).held == "paused"
    actions = rows(database, select(audit_logs.c.action, audit_logs.c.resource_type))
    assert [tuple(row) for row in actions] == [("pause", "provider")]


def test_recipient_buries_and_suppresses(database: Database, claimed: Claim) -> None:
    """A dead address is written to once, and never again by anybody."""
    learn(database, claimed, Outcome(Kind.RECIPIENT, "no such mailbox", code="550"))
    row = seed.notification(database, claimed.id)
    assert (row.status, row.failed_at, row.attempt_count) == ("failed", NOW + 100, 1)
    assert seed.dead_letter(database, claimed.id).failure_reason == "invalid_recipient"
    (dead,) = rows(database, select(suppressions))
    assert (dead.channel, dead.address, dead.notification_id) == ("email", "anna@example.org", claimed.id)


def test_a_dead_letter_that_was_there_is_renewed(database: Database, claimed: Claim) -> None:
    """What another program left behind neither stops the queue nor hides the new failure."""
    old = {"id": "7" * 36, "notification_id": claimed.id, "failure_reason": "old", "resolved": True, "note": "done"}
    database.write(lambda tx: tx.execute(insert(notification_dlq).values(old)))
    learn(database, claimed, Outcome(Kind.PERMANENT, "refused"))
    letter = seed.dead_letter(database, claimed.id)
    assert (letter.id, letter.failure_reason) == ("7" * 36, "provider_rejected")
    assert (letter.resolved, letter.note) == (False, None)
    assert letter.moved_to_dlq_at == NOW + 100


def test_release_gives_everything_back(database: Database, claimed: Claim) -> None:
    """A claim whose call never began leaves no trace: its attempt and its place in the queue return."""
    write(database, claimed, released(claimed))
    row = seed.notification(database, claimed.id)
    assert (row.status, row.attempt_count, row.due_at, row.lease_id) == ("pending", 0, 1_000, None)


@pytest.mark.parametrize(
    "outcome",
    [Outcome(Kind.ACCEPTED), Outcome(Kind.TRANSIENT), Outcome(Kind.RECIPIENT), Outcome(Kind.CONFIG), None],
)
def test_without_the_lease_nothing_is_written(database: Database, claimed: Claim, outcome: Outcome | None) -> None:
    """A dispatcher that stalled past its lease must not overwrite what another did since, nor pause, nor suppress."""
    order = ClaimRequest("sendgrid", ME, 10, 65_000)
    database.write(lambda tx: claim(tx.at(NOW + 65_000), order))
    before = seed.notification(database, claimed.id)
    report = write(database, claimed, released(claimed)) if outcome is None else learn(database, claimed, outcome)
    assert report.stale == {claimed.id}
    assert report.told == ()
    assert seed.notification(database, claimed.id) == before
    assert seed.dead_letter(database, claimed.id) is None
    assert rows(database, select(suppressions)) == rows(database, select(audit_logs)) == []


def test_a_late_result_counts_while_nobody_took_the_row(database: Database, claimed: Claim) -> None:
    """A lease that ended is no loss as long as the row still carries it: the answer is true."""
    late = decide(Attempt(claimed, NOW, NOW + 100_000), Outcome(Kind.ACCEPTED, provider_message_id="m"), 0.5)
    assert write(database, claimed, late).stale == frozenset()
    assert seed.notification(database, claimed.id).status == "sent"


def test_new_credentials_are_not_paused_for_the_old_ones_failure(database: Database, claimed: Claim) -> None:
    """A call that began with the revoked key must not pause the provider that was given a new one meanwhile."""
    database.write(lambda tx: tx.execute(update(provider_configs).values(updated_at=2)))
    assert learn(database, claimed, Outcome(Kind.CONFIG, "key revoked", http_status=401)).told == ()
    order = ClaimRequest("sendgrid", ME, 10, 65_000)
    assert len(database.write(lambda tx: claim(tx.at(NOW + 200), order)).claims) == 1
