"""Every road by which a notification's status can change goes through one place, and what follows from it with it."""

from __future__ import annotations

import ast
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update

import notifyctl
from notifyctl.core import operate
from notifyctl.core.change import Change
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Category, Channel, Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.policy import OnCap, Policy
from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.store import dlq, receipts
from notifyctl.store import notifications as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import apply as applying
from notifyctl.store.queue import follow as following
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.queue.record import AttemptResult, record
from notifyctl.store.schema.tables import (
    audit_logs,
    batches,
    cap_usage,
    categories,
    category_opt_outs,
    metrics_dirty_hours,
    notification_preferences,
    notifications,
    suppressions,
)
from notifyctl.store.suppressions import AddressNews
from tests.support import seed

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000
ME = "11111111-1111-4111-8111-111111111111"
PACKAGE = Path(notifyctl.__file__).parent
WRITERS = {"store/queue/apply.py", "store/queue/take.py"}
"""Who may write notifications that exist: the changes, and the lease, which changes no status."""
BESIDE_STATUS = {
    "store/losing.py",
    "store/moving.py",
    "store/queue/parked.py",
    "store/queue/questions.py",
    "store/queue/rules.py",
    "store/standings.py",
}
"""Who writes what nothing follows from: where it went and what is told of that (sealed, in clear, lost), whether it is
in the queue, when to ask after a receipt, and when it was counted for its user's cap."""


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

    def follow(tx: Tx, done: list[Change], **more: Any) -> None:
        seen.extend((each.of.id, each.BEFORE.value, each.AFTER.value) for each in done)
        real(tx, done, **more)

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


def _received(*stages: Stage, first: Kind = Kind.ACCEPTED) -> Callable[[Database, str], None]:
    """An attempt with its end, and what the provider says of it afterwards."""

    def act(db: Database, id_: str) -> None:
        _answer(Outcome(first, "?", provider_message_id="m"))(db, id_)
        _tell(db, id_, *stages)

    return act


def _tell(db: Database, id_: str, *stages: Stage) -> None:
    for stage in stages:
        receipt = Receipt(stage, "550", at=NOW, dead=stage is Stage.BOUNCED)
        arrival = Arrival(receipt, notification_id=id_, provider_message_id="m")
        db.write(lambda tx, arrival=arrival: receipts.record(tx.at(NOW), "sendgrid", [arrival]))


def _cancelled_in_doubt(db: Database, id_: str) -> None:
    _answer(Outcome(Kind.UNKNOWN, "?"))(db, id_)
    _by_operator(lambda row: operate.cancel(row, NOW))(db, id_)
    _tell(db, id_, Stage.DELIVERED)


def _claimed(db: Database, _: str) -> None:
    assert _take(db) == ()


def _lost(db: Database, _: str) -> None:
    _take(db)
    _take(db, NOW + 65_000, on_unknown=dict.fromkeys(["email"], OnUnknown.HOLD))


def _ruled(table: Table, policy: Policy | None = None, **values: Any) -> Callable[[Database, str], None]:
    """A rule of its user's that the claim finds."""

    def act(db: Database, id_: str) -> None:
        row = {"id": str(uuid.uuid4()), "user_id": seed.notification(db, id_).user_id, **values}
        db.write(lambda tx: tx.execute(insert(table).values(row)))
        assert _take(db, **({} if policy is None else {"policy": policy})) == ()

    return act


def _capped(on_cap: OnCap) -> Callable[[Database, str], None]:
    def act(db: Database, id_: str) -> None:
        user = seed.notification(db, id_).user_id
        used = {"user_id": user, "channel": "email", "day_began": NOW // DAY_MS * DAY_MS, "used": 1}
        db.write(lambda tx: tx.execute(insert(cap_usage).values(used)))
        _ruled(notification_preferences, Policy(on_cap=on_cap), **WISH, frequency_cap=1)(db, id_)

    return act


def _left(db: Database, id_: str) -> None:
    row = {"id": str(uuid.uuid4()), "name": "news", "kind": "marketing"}
    db.write(lambda tx: tx.execute(insert(categories).values(row)))
    _ruled(category_opt_outs, category="news", source="operator")(db, id_)


def _dead_before(db: Database, _: str) -> None:
    said = Refusal("anna@example.org", SuppressionCause.OPERATOR, "no")
    db.write(lambda tx: following.follow_words(tx, [AddressNews(Channel.EMAIL, said)]))
    assert _take(db) == ()


def _parked(db: Database, id_: str) -> None:
    row = {"id": BATCH, "source": "application", "hold": "paused"}
    db.write(lambda tx: tx.execute(insert(batches).values(row)))
    db.write(lambda tx: tx.execute(update(notifications).where(notifications.c.id == id_).values(batch_id=BATCH)))
    assert _take(db) == ()


DAY_MS = 24 * HOUR_MS
BATCH = "22222222-2222-4222-8222-222222222222"
WISH = {"channel": "email", "timezone": "Etc/UTC"}
_QUIET = {"quiet_hours_start": time(0), "quiet_hours_end": time(23, 59)}

ROADS: dict[str, tuple[Callable[[Database, str], None], dict[str, Any], str, list[str]]] = {
    "accepted": (_answer(Outcome(Kind.ACCEPTED)), {}, "sent", ["sent"]),
    "refused": (_answer(Outcome(Kind.PERMANENT, "no")), {}, "failed", ["failed"]),
    "dead address": (_answer(Outcome(Kind.RECIPIENT, "550")), {}, "failed", ["failed"]),
    "not now": (_answer(Outcome(Kind.TRANSIENT, "503")), {}, "pending", []),
    "expired": (_claimed, {"expires_at": 1}, "cancelled", ["suppressed"]),
    "unreadable": (_claimed, {"payload": "{"}, "failed", ["failed"]),
    "lost, and held": (_lost, {}, "failed", ["failed"]),
    "channel disabled": (_ruled(notification_preferences, **WISH, enabled=False), {}, "cancelled", ["suppressed"]),
    "category left": (_left, {"category": "news"}, "cancelled", ["suppressed"]),
    "address suppressed": (_dead_before, {}, "cancelled", ["suppressed"]),
    "over the cap": (_capped(OnCap.CANCEL), {}, "cancelled", ["suppressed"]),
    "put off by the cap": (_capped(OnCap.DEFER), {}, "pending", ["deferred"]),
    "put off": (_ruled(notification_preferences, **WISH, **_QUIET), {}, "pending", ["deferred"]),
    "held back": (_parked, {}, "pending", []),
    "cancelled by an operator": (_by_operator(lambda row: operate.cancel(row, NOW)), {}, "cancelled", ["cancelled"]),
    "rescheduled": (_by_operator(lambda row: operate.reschedule(row, NOW, NOW)), {}, "pending", []),
    "restored": (_restored, {}, "pending", ["cancelled", "requeued"]),
    "retried": (_requeue, {}, "pending", ["failed", "requeued"]),
    "delivered": (_received(Stage.UNDERWAY, Stage.DELIVERED), {}, "sent", ["sent", "delivered"]),
    "delivered, told twice": (_received(Stage.DELIVERED, Stage.DELIVERED), {}, "sent", ["sent", "delivered"]),
    "bounced": (_received(Stage.BOUNCED), {}, "sent", ["sent", "bounced"]),
    "bounced in the end": (
        _received(Stage.DELIVERED, Stage.BOUNCED, Stage.BOUNCED),
        {},
        "sent",
        ["sent", "delivered", "bounced"],
    ),
    "confirmed": (_received(Stage.DELIVERED, first=Kind.UNKNOWN), {}, "sent", ["sent", "delivered"]),
    "confirmed when it had failed": (
        _received(Stage.DELIVERED, first=Kind.UNKNOWN),
        {"max_retries": 0},
        "sent",
        ["failed", "sent", "delivered"],
    ),
    "confirmed when it was cancelled": (_cancelled_in_doubt, {}, "sent", ["cancelled", "sent", "delivered"]),
}
"""How each is gone, with what columns, which status the notification has in the end, and what webhooks are told."""


@pytest.mark.parametrize("road", ROADS)
def test_each_road_is_followed(database: Database, followed: list[tuple[str, str, str]], road: str) -> None:
    """Wherever a status changes, its hour is counted again, the last change that was followed is the row's, and
    webhooks are told: each who listens, of each event exactly once, in the order in which it happened.
    """
    act, values, ends_as, told = ROADS[road]
    seed.provider(database)
    anna, bert = seed.user(database), seed.user(database, "bert")
    [id_] = seed.pending(database, anna, created_at=NOW - 2 * HOUR_MS, due_at=1_000, **values)
    heard = [seed.webhook(database, anna), seed.webhook(database, bert, all_users=True)]
    seed.webhook(database, bert)
    seed.webhook(database, anna, events=("notification.created",))
    act(database, id_)
    assert seed.notification(database, id_).status == ends_as
    assert [each for each in followed if each[0] == id_][-1][2] == ends_as
    with database.read() as tx:
        hours = set(tx.execute(select(metrics_dirty_hours.c.hour_start)).scalars())
    changed = ends_as != "pending" or road in ("rescheduled", "restored", "retried")
    assert hours == ({NOW // HOUR_MS * HOUR_MS - 2 * HOUR_MS} if changed else set())
    _told(database, id_, heard, told)


def _told(database: Database, id_: str, heard: list[str], told: list[str]) -> None:
    rows = seed.deliveries(database)
    for each in heard:
        assert [row.event_type.removeprefix("notification.") for row in rows if row.webhook_id == each] == told
    assert len(rows) == len(told) * len(heard)
    said = [json.loads(row.payload) for row in rows]
    assert [each["type"] for each in said] == [row.event_type for row in rows]
    assert {each["data"]["notification_id"] for each in said} <= {id_}
    assert not {"cancelled", "suppressed"} <= set(told)


@pytest.mark.parametrize("road", ["dead address", "bounced"])
def test_dead_addresses_are_learned_on_every_road(database: Database, road: str) -> None:
    """An answer and a receipt say the same of an address: it is suppressed, and the audit trail says why."""
    act, values, _, _ = ROADS[road]
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
