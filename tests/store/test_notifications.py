"""Notifications in the store: states, filters, submission, and the acts of an operator."""

from __future__ import annotations

import json
import multiprocessing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from sqlalchemy import func, select, update

from notifyctl.core import content, operate
from notifyctl.core.errors import CommitUnknown, Conflict, NotifyctlError
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import State
from notifyctl.core.submission import Draft, Former, New
from notifyctl.services import sending
from notifyctl.store import notifications as store
from notifyctl.store import submissions
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.notifications import LockedNotification, NotificationFilter
from notifyctl.store.queue.apply import apply
from notifyctl.store.queue.states import predicates
from notifyctl.store.queue.submit import submit
from notifyctl.store.schema.tables import (
    audit_logs,
    contact_points,
    notifications,
    provider_configs,
    provider_states,
)
from tests.support import letters, seed

T = TypeVar("T")

NOW = 10_000_000
LEASE: dict[str, Any] = {"lease_id": "1" * 36, "leased_by": "2" * 36, "attempt_count": 1, "last_attempted": NOW - 500}


def ids(database: Database, wanted: NotificationFilter, now: int = NOW) -> set[str]:
    """Return the ids that the filter finds; the count agrees."""
    with database.read() as tx:
        found = {row.id for row in store.page(tx.at(now), wanted, None, 1_000)}
        assert store.count(tx.at(now), wanted) == len(found)
        return found


def set_state(database: Database, provider_id: str, **values: Any) -> None:
    """Set columns of a provider's state."""
    theirs = provider_states.c.provider_id == provider_id
    database.write(lambda tx: tx.execute(update(provider_states).where(theirs).values(values)))


def new(user_id: str, key: str, **values: Any) -> New:
    """A row to insert."""
    facts: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "user_id": user_id,
        "idempotency_key": key,
        "message_type": "email",
        "provider": "sendgrid",
        "payload": '{"v":1}',
        "max_retries": 5,
        "created_at": NOW,
        "send_at": None,
        "due_at": NOW,
        "expires_at": None,
        "content_hash": "0" * 64,
        **values,
    }
    return New(**facts)


# States


def test_every_pending_notification_is_in_exactly_one_state(database: Database) -> None:
    """The predicates neither overlap nor leave a gap, so that `status` adds up; the state column says the same."""
    anna = seed.user(database)
    seed.provider(database, "sendgrid")
    twilio = seed.provider(database, "twilio")
    seed.provider(database, "fcm", is_active=False)
    database.write(
        lambda tx: tx.execute(
            provider_states.update().where(provider_states.c.provider_id == twilio).values(paused_at=1)
        )
    )
    expected = {
        State.IN_FLIGHT: seed.pending(database, anna, **LEASE, leased_until=NOW + 1),
        State.UNKNOWN: seed.pending(database, anna, **LEASE, leased_until=NOW),
        State.SCHEDULED: seed.pending(database, anna, send_at=NOW + 5, due_at=NOW + 5),
        State.RETRYING: seed.pending(database, anna, due_at=NOW + 5, attempt_count=1)
        + seed.pending(database, anna, due_at=NOW + 5, send_at=NOW - 5, attempt_count=1),
        State.DEFERRED: seed.pending(database, anna, due_at=NOW + 5, deferred_by="cap"),
        State.HELD: seed.pending(database, anna, "twilio", due_at=NOW) + seed.pending(database, anna, "fcm", due_at=1),
        State.DUE: seed.pending(database, anna, due_at=NOW) + seed.pending(database, anna, send_at=NOW, due_at=NOW),
    }
    letters.ended(database, anna, "sent")
    expected[State.BOUNCED] = seed.pending(database, anna, status="sent", sent_at=NOW - 1, bounced_at=NOW)
    assert {state: ids(database, NotificationFilter(state=state)) for state in State} == {
        k: set(v) for k, v in expected.items()
    }
    with database.read() as tx:
        rows = store.page(tx.at(NOW), NotificationFilter(), None, 100)
    assert {row.id: row.state for row in rows if row.state != "sent"} == {
        id_: state for state, members in expected.items() for id_ in members
    }
    assert [row.status for row in rows if row.state == "sent"] == ["sent"]


@pytest.mark.parametrize(("until", "state"), [(None, State.HELD), (NOW + 1, State.HELD), (NOW, State.DUE)])
def test_a_pause_ends_by_itself(database: Database, until: int | None, state: State) -> None:
    """What is held by a pause is due again when the pause is over, as the claim sees it."""
    provider = seed.provider(database)
    [id_] = seed.pending(database, seed.user(database), due_at=NOW)
    database.write(
        lambda tx: tx.execute(
            provider_states.update()
            .where(provider_states.c.provider_id == provider)
            .values(paused_at=1, paused_until=until)
        )
    )
    assert ids(database, NotificationFilter(state=state)) == {id_}


def test_a_gone_provider_holds(database: Database) -> None:
    """Nothing is claimed for a provider that was deleted: the rows are held, not due."""
    [id_] = seed.pending(database, seed.user(database), due_at=NOW)
    assert ids(database, NotificationFilter(state=State.HELD)) == {id_}
    assert set(predicates(NOW)) == set(State)


# Filters


def test_filters(database: Database) -> None:
    """Each filter narrows by what it says and nothing else; together they all hold."""
    anna, omar = seed.user(database, "anna"), seed.user(database, "omar")
    [mail] = seed.pending(database, anna, created_at=100)
    [text] = seed.pending(database, omar, "twilio", created_at=200)
    sent = letters.ended(database, omar, "sent", created_at=300, provider_message_id="SG1")
    for wanted, expected in {
        NotificationFilter(): {mail, text, sent},
        NotificationFilter(status=Status.PENDING): {mail, text},
        NotificationFilter(status=Status.SENT): {sent},
        NotificationFilter(channel=Channel.SMS): {text},
        NotificationFilter(provider="sendgrid"): {mail, sent},
        NotificationFilter(user_id=omar): {text, sent},
        NotificationFilter(provider_message_id="SG1"): {sent},
        NotificationFilter(since=200): {text, sent},
        NotificationFilter(until=200): {mail},
        NotificationFilter(since=200, until=300): {text},
        NotificationFilter(user_id=omar, provider="sendgrid"): {sent},
        NotificationFilter(user_id=anna, provider="twilio"): set(),
    }.items():
        assert ids(database, wanted) == expected, wanted


def test_filter_by_address(database: Database) -> None:
    """The address is the payload's, else where it went; text that only looks like it does not count."""
    anna, omar = seed.user(database, "anna"), seed.user(database, "omar")
    number = "+14155552345"
    point = {"id": str(uuid.uuid4()), "user_id": anna, "channel": "sms", "address": number}
    database.write(lambda tx: tx.execute(contact_points.insert().values(point)))
    stored = content.canonical(content.build(Channel.SMS, body=f'"to":"{number}1"', to=number))
    quoted = content.canonical(content.build(Channel.SMS, body=f'"to":"{number}"', to="+14155552346"))
    [named] = seed.pending(database, omar, "twilio", payload=stored)
    [other] = seed.pending(database, anna, "twilio", payload=quoted)
    [own] = seed.pending(database, anna, "twilio", payload='{"body":"x","v":1}', sent_to=number, attempt_count=1)
    [mail] = seed.pending(database, anna, payload='{"subject":"x","v":1}', sent_to="anna@example.org", attempt_count=1)
    seed.pending(database, anna, "twilio", payload='{"body":"not sent yet","v":1}')
    seed.pending(database, anna, "twilio", payload='{"body":"given back","v":1}', sent_to=number)
    [poison] = seed.pending(database, omar, "twilio", payload="{not JSON")
    assert ids(database, NotificationFilter(address=number)) == {named, own}
    assert ids(database, NotificationFilter(address="+14155552346")) == {other}
    assert ids(database, NotificationFilter(address="anna@example.org")) == {mail}
    assert poison in ids(database, NotificationFilter())


def test_stuck(database: Database) -> None:
    """Pending for too long counts from the moment it was for; what is scheduled is not stuck."""
    anna = seed.user(database)
    [old] = seed.pending(database, anna, created_at=NOW - 1_001)
    seed.pending(database, anna, created_at=NOW - 999)
    seed.pending(database, anna, created_at=1, send_at=NOW + 1, due_at=NOW + 1)
    letters.ended(database, anna, "sent", created_at=1)
    assert ids(database, NotificationFilter(stuck_ms=1_000)) == {old}


# Submission


def test_insert_many(database: Database) -> None:
    """One call stores what is new and leaves what is there, however many rows."""
    anna = seed.user(database)
    first = [new(anna, f"{number:064}") for number in range(700)]
    again = [new(anna, f"{number:064}") for number in range(699, 1_500)]
    assert database.write(lambda tx: submit(tx, first)) == {row.id for row in first}
    stored = database.write(lambda tx: submit(tx, again))
    assert stored == {row.id for row in again[1:]}
    with database.read() as tx:
        keys = submissions.formers(tx, [first[0].idempotency_key, "nobody"])
    assert keys == {first[0].idempotency_key: Former(first[0].id, "0" * 64)}
    assert database.write(lambda tx: submit(tx, [])) == set()


def _submit_all(url: str, number: int, barrier: Any, answers: Any, keys: int) -> None:
    """One process: submit under every key; every fourth process says something else under the odd keys."""
    database = Database(url)
    found: list[Any] = []
    barrier.wait()
    for key in range(keys):
        other = number % 4 == 3 and key % 2 == 1
        payload = content.build(Channel.SMS, body="other" if other else "same", to="+14155552345")
        draft = Draft("anna", Channel.SMS, payload, f"key {key}")
        try:
            done = sending.submit(database, draft, {})
            found.append((key, other, done.notification.id, done.deduplicated))
        except NotifyctlError as error:
            found.append((key, other, error.code, None))
    database.close()
    answers.put(found)


@pytest.mark.slow
def test_the_same_submission_is_stored_once(database: Database, database_url: str) -> None:
    """16 processes submit under the same keys at once: one row each, one of them stored it, other content refused."""
    processes, keys = 16, 6
    seed.user(database)
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_submit_all, args=(database_url, number, barrier, answers, keys))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [answer for _ in workers for answer in answers.get(timeout=300)]
    for worker in workers:
        worker.join(timeout=300)
    with database.read() as tx:
        rows = {row.id: json.loads(row.payload)["body"] for row in tx.execute(select(notifications))}
        audited = tx.execute(select(func.count()).select_from(audit_logs)).scalar_one()
    assert len(rows) == audited == keys
    for key in range(keys):
        mine = [answer for answer in found if answer[0] == key]
        assert len(mine) == processes
        stored = {id_ for _, _, id_, _ in mine if id_ != "conflict"}
        assert len(stored) == 1
        assert [deduplicated for *_, deduplicated in mine].count(False) == 1
        kept = rows[stored.pop()]
        assert {other for _, other, id_, _ in mine if id_ == "conflict"} == (
            set() if key % 2 == 0 else {kept == "same"}
        )


class _LosesTheAnswer(Database):
    """Commits, and never hears that it did."""

    def write(self, work: Callable[[Tx], T]) -> T:
        """Store the change and say that nobody knows."""
        super().write(work)
        raise CommitUnknown("the connection was lost")


class _RunsAgain(Database):
    """Commits, does not hear it, and runs the transaction again, as `Database.write` may."""

    def write(self, work: Callable[[Tx], T]) -> T:
        """Store the change twice."""
        super().write(work)
        return super().write(work)


def draft(key: str = "k", body: str = "Hi", **values: Any) -> Draft:
    """A text message to submit."""
    return Draft("anna", Channel.SMS, content.build(Channel.SMS, body=body, to="+14155552345"), key, **values)


@pytest.fixture
def ready(database: Database) -> Database:
    """A database with a user and a provider."""
    seed.user(database)
    seed.provider(database, "twilio", config_json='{"from":"+15005550006"}')
    return database


def test_an_unknown_commit_says_how_to_repeat(ready: Database, database_url: str) -> None:
    """Nobody knows whether it was stored: the hint has the key, and repeating with it stores nothing twice."""
    unlucky = _LosesTheAnswer(database_url)
    with pytest.raises(CommitUnknown) as caught:
        sending.submit(unlucky, draft("the key"), {})
    unlucky.close()
    assert caught.value.exit_code == 1
    assert "--idempotency-key 'the key'" in (caught.value.hint or "")
    assert sending.submit(ready, draft("the key"), {}).deduplicated
    assert len(ids(ready, NotificationFilter())) == 1


def test_a_transaction_that_runs_again_knows_its_row(ready: Database, database_url: str) -> None:
    """After a COMMIT that was stored without an answer the retried transaction does not call itself a repetition."""
    again = _RunsAgain(database_url)
    done = sending.submit(again, draft(), {})
    again.close()
    assert not done.deduplicated
    assert ids(ready, NotificationFilter()) == {done.notification.id}


def test_a_repetition_is_found_before_anything_is_checked(ready: Database) -> None:
    """CI repeats the very command: also when its time is past by now and the provider was disabled meanwhile."""
    first = sending.submit(ready, draft(), {})
    ready.write(lambda tx: tx.execute(provider_configs.update().values(is_active=False)))
    again = sending.submit(ready, draft(send_at=1), {})
    assert (again.notification.id, again.deduplicated) == (first.notification.id, True)
    with pytest.raises(Conflict, match="other content"):
        sending.submit(ready, draft(body="Other"), {})
    with pytest.raises(Conflict, match="no active provider"):
        sending.submit(ready, draft("another"), {})


# Acts


def act(database: Database, ids_: list[str], do: Callable[[Tx, list[store.LockedNotification]], set[str]]) -> set[str]:
    """Lock the rows and act on them in one transaction."""

    def work(tx: Tx) -> set[str]:
        return do(tx, list(store.lock(tx, ids_).values()))

    return database.write(work)


def cancelled(tx: Tx, rows: Sequence[LockedNotification]) -> set[str]:
    """Cancel rows that were read."""
    return apply(tx.at(NOW), [operate.cancel(row, NOW) for row in rows]).ids


def moved(tx: Tx, rows: Sequence[LockedNotification], to: int) -> set[str]:
    """Reschedule rows that were read."""
    return apply(tx.at(NOW), [operate.reschedule(row, to, NOW) for row in rows]).ids


def test_cancel_takes_an_ended_lease_away(database: Database) -> None:
    """The late dispatcher can then record nothing any more, and the history says that nobody knows the outcome."""
    [id_] = seed.pending(database, seed.user(database), **LEASE, leased_until=NOW - 1)
    assert act(database, [id_], cancelled) == {id_}
    row = seed.notification(database, id_)
    assert (row.status, row.error_message, row.lease_id, row.leased_by) == (
        "cancelled",
        operate.BY_OPERATOR,
        None,
        None,
    )
    [entry] = json.loads(row.retry_history)
    assert (entry["outcome"], entry["attempt"]) == ("unknown", 1)


def test_acts_are_compare_and_set(database: Database) -> None:
    """What changed after it was looked at is not touched: neither a new lease nor another status."""
    anna = seed.user(database)
    [leased, sent, free] = seed.pending(database, anna, count=3)
    with database.read() as tx:
        seen = list(store.lock(tx, [leased, sent, free]).values())
    letters.change(database, leased, **LEASE, leased_until=NOW + 60_000)
    letters.change(database, sent, status="sent")
    for do in (
        lambda tx: moved(tx, seen, NOW + 1),
        lambda tx: cancelled(tx, seen),
    ):
        changed = database.write(do)
        assert changed <= {free}
    assert seed.notification(database, leased).status == "pending"
    assert seed.notification(database, sent).status == "sent"


def test_reschedule_moves_both_times(database: Database) -> None:
    """`send_at` says when it is for, `due_at` when work may start: an operator means both."""
    [id_] = seed.pending(database, seed.user(database), due_at=5, attempt_count=2, retry_history="[]")
    act(database, [id_], lambda tx, rows: moved(tx, rows, NOW + 7))
    row: Mapping[str, Any] = seed.notification(database, id_)._mapping
    assert (row["send_at"], row["due_at"], row["attempt_count"], row["status"]) == (NOW + 7, NOW + 7, 2, "pending")
    assert ids(database, NotificationFilter(state=State.SCHEDULED)) == {id_}
