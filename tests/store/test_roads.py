"""Every road by which a notification's status can change goes through one place, and what follows from it with it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

import notifyctl
from notifyctl.core import operate
from notifyctl.core.change import Change
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Category, Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.store import dlq, receipts
from notifyctl.store import notifications as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import apply as applying
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import audit_logs, metrics_dirty_hours, suppressions
from tests.support import seed

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000
ME = "11111111-1111-4111-8111-111111111111"
PACKAGE = Path(notifyctl.__file__).parent
WRITERS = {"store/queue/apply.py", "store/queue/take.py"}
"""Who may write notifications that exist: the changes, and the lease, which changes no status."""
BESIDE_STATUS = {
    "store/queue/parked.py",
    "store/queue/questions.py",
    "store/queue/rules.py",
    "store/standings.py",
}
"""Who writes one column that nothing follows from: whether it is in the queue, when to ask after a receipt, and when it
was counted for its user's cap."""


def _updates(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that make an UPDATE of notifications."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("update", "notifications.update"):
            named = [ast.unparse(each) for each in node.args] or [ast.unparse(node.func).partition(".")[0]]
            if named[0] == "notifications":
                yield node


def _sources() -> Iterator[tuple[str, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), file.read_text()


def test_nobody_else_updates_notifications() -> None:
    """A statement that changes a status by hand would leave out the metrics, the audit trail and the wake-up."""
    found = {name for name, text in _sources() if any(_updates(ast.parse(text)))}
    assert found == WRITERS | BESIDE_STATUS
    by_text = {name for name, text in _sources() if "UPDATE notifications" in text}
    assert by_text == set()


def test_what_stands_beside_writes_no_status() -> None:
    """The lease and the question's moment leave the status alone."""
    for name, text in _sources():
        if name in BESIDE_STATUS | {"store/queue/take.py"}:
            assert '"status"' not in text, name
            assert "status=" not in text, name


def test_what_follows_is_written_nowhere_else() -> None:
    """Dirty hours and addresses that are dead are written where changes are followed, and by what is no change."""
    callers: dict[str, set[str]] = {"mark_dirty(": set(), "suppressions.learn(": set()}
    for name, text in _sources():
        for call, found in callers.items():
            if call in text and f"def {call}" not in text:
                found.add(name)
    assert callers == {"mark_dirty(": {"store/queue/follow.py"}, "suppressions.learn(": {"store/queue/follow.py"}}


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The changes whose consequences were written: id, and the status before and after."""
    seen: list[tuple[str, str, str]] = []
    real = applying.follow

    def follow(tx: Tx, done: list[Change], *, is_heard: bool) -> None:
        seen.extend((each.of.id, each.BEFORE.value, each.AFTER.value) for each in done)
        real(tx, done, is_heard=is_heard)

    monkeypatch.setattr(applying, "follow", follow)
    return seen


def _take(db: Database, now: int = NOW, **order: Any) -> tuple[Claim, ...]:
    return db.write(lambda tx: claim(tx.at(now), ClaimRequest("sendgrid", ME, 10, 65_000, **order))).claims


def _answer(outcome: Outcome) -> Callable[[Database, str], None]:
    def act(db: Database, _: str) -> None:
        results = [AttemptResult(each, decide(Attempt(each, NOW, NOW), outcome, 0.5), outcome) for each in _take(db)]
        db.write(lambda tx: record(tx.at(NOW), results))

    return act


def _by_operator(change: Callable[[Any], Change]) -> Callable[[Database, str], None]:
    def act(db: Database, id_: str) -> None:
        db.write(lambda tx: applying.apply(tx.at(NOW), [change(row) for row in store.lock(tx, [id_]).values()]))

    return act


def _requeue(db: Database, id_: str) -> None:
    _answer(Outcome(Kind.PERMANENT, "no"))(db, id_)
    db.write(lambda tx: applying.apply(tx.at(NOW), [operate.requeue(dlq.lock(tx, [id_])[id_], NOW, 5, NOW)]))


def _restored(db: Database, id_: str) -> None:
    _by_operator(lambda row: operate.cancel(row, NOW))(db, id_)
    db.write(lambda tx: tx.execute(delete(metrics_dirty_hours)))
    _by_operator(operate.restore)(db, id_)


def _bounced(db: Database, id_: str) -> None:
    _answer(Outcome(Kind.ACCEPTED, provider_message_id="m"))(db, id_)
    arrival = Arrival(Receipt(Stage.BOUNCED, "550", dead=True), notification_id=id_)
    db.write(lambda tx: receipts.record(tx.at(NOW), "sendgrid", [arrival]))


def _claimed(db: Database, _: str) -> None:
    assert _take(db) == ()


def _lost(db: Database, _: str) -> None:
    _take(db)
    _take(db, NOW + 65_000, on_unknown=dict.fromkeys(["email"], OnUnknown.HOLD))


ROADS: dict[str, tuple[Callable[[Database, str], None], dict[str, Any], str]] = {
    "accepted": (_answer(Outcome(Kind.ACCEPTED)), {}, "sent"),
    "refused": (_answer(Outcome(Kind.PERMANENT, "no")), {}, "failed"),
    "dead address": (_answer(Outcome(Kind.RECIPIENT, "550")), {}, "failed"),
    "expired": (_claimed, {"expires_at": 1}, "cancelled"),
    "unreadable": (_claimed, {"payload": "{"}, "failed"),
    "lost, and held": (_lost, {}, "failed"),
    "cancelled by an operator": (_by_operator(lambda row: operate.cancel(row, NOW)), {}, "cancelled"),
    "rescheduled": (_by_operator(lambda row: operate.reschedule(row, NOW, NOW)), {}, "pending"),
    "restored": (_restored, {}, "pending"),
    "retried": (_requeue, {}, "pending"),
    "bounced": (_bounced, {}, "sent"),
}


@pytest.mark.parametrize("road", ROADS)
def test_each_road_is_followed(database: Database, followed: list[tuple[str, str, str]], road: str) -> None:
    """Wherever a status changes, its hour is counted again, and the last change that was followed is the row's."""
    act, values, ends_as = ROADS[road]
    seed.provider(database)
    [id_] = seed.pending(database, seed.user(database), created_at=NOW - 2 * HOUR_MS, due_at=1_000, **values)
    act(database, id_)
    assert seed.notification(database, id_).status == ends_as
    assert [each for each in followed if each[0] == id_][-1][2] == ends_as
    with database.read() as tx:
        assert (
            tx.execute(select(metrics_dirty_hours.c.hour_start)).scalars().first()
            == NOW // HOUR_MS * HOUR_MS - 2 * HOUR_MS
        )


@pytest.mark.parametrize("road", ["dead address", "bounced"])
def test_dead_addresses_are_learned_on_every_road(database: Database, road: str) -> None:
    """An answer and a receipt say the same of an address: it is suppressed, and the audit trail says why."""
    act, values, _ = ROADS[road]
    seed.provider(database)
    [id_] = seed.pending(database, seed.user(database), **values)
    act(database, id_)
    with database.read() as tx:
        (dead,) = tx.execute(select(suppressions)).all()
        (said,) = tx.execute(select(audit_logs).where(audit_logs.c.action == "suppress")).all()
    assert (dead.address, dead.reason, dead.notification_id) == ("anna@example.org", "550", id_)
    assert json.loads(said.changes) == {"channel": "email", "cause": "bounce", "reason": "550", "notification": id_}


def test_a_letter_stands_for_exactly_what_failed(database: Database) -> None:
    """Buried: a letter comes; requeued: it goes; whatever the road."""
    seed.provider(database)
    [id_] = seed.pending(database, seed.user(database))
    _answer(Outcome(Kind.PERMANENT, "no"))(database, id_)
    assert seed.dead_letter(database, id_).failure_reason == Category.PROVIDER_REJECTED
    database.write(lambda tx: applying.apply(tx.at(NOW), [operate.requeue(dlq.lock(tx, [id_])[id_], NOW, 5, NOW)]))
    assert seed.dead_letter(database, id_) is None
    assert seed.notification(database, id_).status == "pending"
