"""`webhooks redeliver` on both databases: once more, or at last, and never twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import select, update

from notifyctl.core.change import Acknowledge, Bury, Cancel, Change, Defer, Row, Sent
from notifyctl.core.model import Category, Channel
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.core.webhook.event import TEST, WebhookEvent
from notifyctl.core.webhook.payload import payload_schema
from notifyctl.services.redelivering import Redelivery, RedeliveryQuery
from notifyctl.store.db.database import Database
from notifyctl.store.queue.apply import apply
from notifyctl.store.schema.tables import audit_logs, notification_webhooks, webhook_deliveries
from tests.support import seed
from tests.support.command import Cli, Result

d = webhook_deliveries.c
NOW = 1_700_000_000_000


@pytest.fixture
def anna(database: Database) -> str:
    """A user's id."""
    return seed.user(database)


def redeliver(cli: Cli, *args: str, input: str | None = None) -> Result:
    return cli.call("webhooks", "redeliver", *args, input=input)


def results(done: Result) -> list[str]:
    return [row["result"] for row in done.json()]


def live(database: Database, user_id: str) -> dict[str, str]:
    """Let notifications live and return their ids by their fates."""
    ids = dict(zip(FATES, seed.pending(database, user_id, count=len(FATES)), strict=True))
    for fate, id_ in ids.items():
        for change in FATES[fate](Row(id_, None, "sendgrid", Channel.EMAIL, 1_000)):
            database.write(lambda tx, c=change: apply(tx.at(NOW), [c]))  # type: ignore[misc]
    return ids


def _sent(of: Row) -> list[Change]:
    return [Sent(of, sent_at=NOW, provider_message_id="m-1", provider_response=None)]


def _failed(of: Row) -> list[Change]:
    why = {"error_message": "no\nroom", "provider_response": None, "category": Category.PROVIDER_REJECTED}
    return [Bury(of, failed_at=NOW, **why, **_REST)]


def _ended(error: str, *, by_operator: bool) -> Callable[[Row], list[Change]]:
    return lambda of: [Cancel(of, error_message=error, by_operator=by_operator, **_REST)]


def _answered(**said: Any) -> Callable[[Row], list[Change]]:
    rest = {"delivered_at": None, "bounced_at": None, "receipt": None, "receipt_due_at": None}
    return lambda of: [*_sent(of), Acknowledge(of, **{**rest, **said})]


def _put_off(of: Row) -> list[Change]:
    return [Defer(of, due_at=NOW + 60_000, error_message="quiet hours", deferred_by="quiet_hours", **_REST)]


_REST: dict[str, Any] = {"attempt_count": 1, "last_attempted": NOW, "retry_history": None, "fails_over": True}
FATES: dict[str, Callable[[Row], list[Change]]] = {
    "sent": _sent,
    "failed": _failed,
    "cancelled": _ended(BY_OPERATOR, by_operator=True),
    "suppressed": _ended("the address is suppressed", by_operator=False),
    "delivered": _answered(delivered_at=NOW),
    "bounced": _answered(bounced_at=NOW, receipt="550 nobody of that name"),
    "deferred": _put_off,
}
KNOWN_LATER = set(FATES) - {"deferred"}


def settled(database: Database, id_: str, **values: Any) -> None:
    """Write what became of a delivery."""
    usual = {"next_retry_at": None, "attempt_count": 10}
    database.write(lambda tx: tx.execute(update(webhook_deliveries).where(d.id == id_).values({**usual, **values})))


# Again


def test_what_is_named_is_made_again(cli: Cli, database: Database, anna: str) -> None:
    """Whatever became of it, by its old id, its body untouched, with new retries, behind what is new."""
    seed.webhook(database, anna, name="w", events=("notification.failed",))
    live(database, anna)
    [before] = seed.deliveries(database)
    settled(database, before.id, delivered=True, delivered_at=5, attempts='[{"at":1,"ms":1,"status":200}]')
    assert results(redeliver(cli, before.id, "-o", "json").ok()) == ["queued"]
    [after] = seed.deliveries(database)
    assert (after.id, after.payload, after.created_at) == (before.id, before.payload, before.created_at)
    assert (after.delivered, after.delivered_at, after.ended, after.attempt_count) == (False, None, None, 0)
    assert after.is_replay and after.next_retry_at is not None
    assert after.attempts == '[{"at":1,"ms":1,"status":200}]'
    a = audit_logs.c
    with database.read() as tx:
        said = tx.execute(select(a.action, a.resource_id, a.changes).where(a.resource_type == "webhook")).all()
    assert [tuple(row) for row in said] == [("redeliver", after.webhook_id, '{"queued":1}')]


def test_what_cannot_be_made_again(cli: Cli, database: Database, anna: str) -> None:
    """What is being made, or due for the first time; of a disabled webhook nothing; an id that is none."""
    hook = seed.webhook(database, anna, name="w")
    ids = live(database, anna)
    rows = {row.notification_id: row.id for row in seed.deliveries(database)}
    flying, due, over = rows[ids["sent"]], rows[ids["failed"]], rows[ids["cancelled"]]
    settled(database, flying, lease_id="l" * 36, next_retry_at=2**42)
    settled(database, over, ended="given_up")
    for id_, words in ((flying, "right now"), (due, "due already")):
        refused = redeliver(cli, id_)
        assert (refused.exit_code, words in refused.stderr) == (5, True)
    assert redeliver(cli, "ffffffff").exit_code == 3
    w = notification_webhooks.c
    database.write(lambda tx: tx.execute(update(notification_webhooks).where(w.id == hook).values(is_active=False)))
    for args in ((over,), ("--webhook", "w", "--failed", "--yes"), ("--webhook", "w", "--missing", "--yes")):
        refused = redeliver(cli, *args)
        assert (refused.exit_code, "webhooks enable anna/w --redeliver" in refused.stderr) == (5, True), args
    assert {row.id: row.ended for row in seed.deliveries(database, ended="given_up")} == {over: "given_up"}


def test_all_that_failed(cli: Cli, database: Database, anna: str) -> None:
    """Given up, disabled and waiting for another try, of one webhook or of all; shown by receiver, then spaced."""
    seed.webhook(database, anna, name="w", events=("notification.sent", "notification.failed"))
    seed.webhook(database, anna, name="v", url="https://v.example", events=("notification.bounced",))
    live(database, anna)
    sent, failed, *more = [row.id for row in seed.deliveries(database)]
    settled(database, sent, delivered=True, delivered_at=5)
    settled(database, failed, ended="given_up")
    settled(database, more[0], ended="disabled", attempt_count=0)
    settled(database, more[1], next_retry_at=2**42, attempt_count=3)
    assert len(more) == 3
    dry = redeliver(cli, "--failed", "--dry-run")
    assert "redeliver 3 deliveries of 1 person" in dry.ok().stderr
    assert "receiver  example.org" in dry.stderr
    assert redeliver(cli, "--failed", "--expect", "2").exit_code == 5
    assert (redeliver(cli, "--failed").exit_code, redeliver(cli).exit_code) == (2, 2)
    assert {row.is_replay for row in seed.deliveries(database)} == {False}
    done = redeliver(cli, "--webhook", "w", "--failed", "--rate", "1/s", "--yes", "-o", "json").ok()
    assert results(done) == ["queued"] * 3
    spaced = sorted(row.next_retry_at for row in seed.deliveries(database, is_replay=True))
    assert [at - spaced[0] for at in spaced] == [0, 1_000, 2_000]
    assert redeliver(cli, "--webhook", "nobody", "--failed").exit_code == 3
    assert redeliver(cli, "--webhook", "w", "--failed", "--since", "1s", "--yes", "-o", "json").ok().json() == []


def test_of_disabled_ones_nothing_is_chosen(cli: Cli, database: Database, anna: str) -> None:
    """All that failed is that of the receivers that are told something; the others have a command of their own."""
    seed.webhook(database, anna, name="w", events=("notification.failed",))
    seed.webhook(database, anna, name="off", events=("notification.failed",), is_active=False)
    live(database, anna)
    for row in seed.deliveries(database):
        settled(database, row.id, ended="given_up")
    done = redeliver(cli, "--failed", "--expect", "1", "-o", "json").ok()
    assert results(done) == ["queued"]


# At last


def test_what_was_missing_is_what_would_have_been_told(cli: Cli, database: Database, anna: str) -> None:
    """To the byte what a webhook was told that listened from the beginning; none twice, and nothing of others."""
    heard = seed.webhook(database, anna, name="heard")
    seed.webhook(database, anna, name="late", events=("notification.created",))
    bert = seed.user(database, "bert")
    live(database, anna)
    live(database, bert)
    cli.call("webhooks", "update", "late", "--event", "*").ok()
    done = redeliver(cli, "--webhook", "late", "--missing", "--yes", "-o", "json").ok()
    late = [row for row in seed.deliveries(database) if row.webhook_id != heard]
    assert sorted(row["id"] for row in done.json()) == sorted(row.id for row in late)
    assert set(results(done)) == {"made"}
    told = {(row.notification_id, row.event_type): row.payload for row in seed.deliveries(database, webhook_id=heard)}
    made = {(row.notification_id, row.event_type): row.payload for row in late}
    created = {key: said for key, said in made.items() if key[1] == WebhookEvent.CREATED}
    assert len(created) == len(FATES)  # which were written without anybody being told
    for said in created.values():
        about = json.loads(said)
        assert (about["timestamp"], about["data"]["status"], about["data"]["attempts"]) == (
            "1970-01-01T00:00:01.000Z",
            "pending",
            0,
        )
    rest = {key: _untimed(said) for key, said in made.items() if key not in created}
    expected = {key: _untimed(said) for key, said in told.items() if key[1].split(".")[1] in KNOWN_LATER}
    assert rest == expected
    assert all(row.is_replay and row.next_retry_at is not None and row.attempt_count == 0 for row in late)
    again = redeliver(cli, "--webhook", "late", "--missing", "--yes", "-o", "json").ok()
    assert (again.json(), len(seed.deliveries(database)) - len(late)) == ([], len(told))


def _untimed(said: str) -> Any:
    """Return a body; of a cancellation it is not kept when it was."""
    read = json.loads(said)
    if read["data"]["status"] == "cancelled":
        del read["timestamp"]
    return read


def test_what_was_missing_since_a_moment(cli: Cli, database: Database, anna: str) -> None:
    """From T on, or from when it was made; of everybody where it is told of everybody."""
    bert = seed.user(database, "bert")
    seed.pending(database, anna)
    seed.webhook(database, bert, name="w", events=("notification.created",), all_users=True, created_at=NOW)
    [young] = seed.pending(database, anna, created_at=NOW + 1)
    assert redeliver(cli, "--webhook", "w", "--missing", "--expect", "1").exit_code == 0
    assert [row.notification_id for row in seed.deliveries(database)] == [young]
    dry = redeliver(cli, "--webhook", "w", "--missing", "--since", "1970-01-01T00:00:00Z", "--dry-run", "-o", "json")
    assert results(dry.ok()) == ["would be made"]
    assert len(seed.deliveries(database)) == 1
    until = ("--since", "1970-01-01T00:00:00Z", "--until", "1970-01-01T00:00:01Z")
    assert redeliver(cli, "--webhook", "w", "--missing", *until, "--yes", "-o", "json").ok().json() == []
    assert redeliver(cli, "--missing", "--yes").exit_code == 2


def test_both_at_once(cli: Cli, database: Database, anna: str) -> None:
    """What failed and what is missing, agreed to together."""
    seed.webhook(database, anna, name="w", events=("notification.failed",))
    live(database, anna)
    [row] = seed.deliveries(database)
    settled(database, row.id, ended="given_up")
    cli.call("webhooks", "update", "w", "--event", "failed,sent").ok()
    done = redeliver(cli, "--webhook", "w", "--failed", "--missing", "--expect", "4", "-o", "json").ok()
    assert sorted(results(done)) == ["made", "made", "made", "queued"]


def test_two_who_make_the_same_make_it_once(database: Database, anna: str) -> None:
    """Both had found it missing before either of them made it."""
    seed.webhook(database, anna, name="w", events=("notification.created",))
    seed.pending(database, anna, count=3)
    query = RedeliveryQuery(webhook="w", missing=True)
    acts = [Redelivery(), Redelivery()]
    chosen = [act.select(database, query).ids for act in acts]
    made = [act.act(database, ids, by_filter=True) for act, ids in zip(acts, chosen, strict=True)]
    assert [[each.result for each in some] for some in made] == [["made"] * 3, ["skipped"] * 3]
    assert len(seed.deliveries(database)) == 3


# What is told


def test_the_schema_describes_what_is_told(cli: Cli, database: Database, anna: str) -> None:
    """Each body fits the schema that is printed, and has no field that its event does not declare."""
    schema = cli.call("webhooks", "events", "-o", "jsonschema").ok().json()
    assert schema == payload_schema()
    Draft202012Validator.check_schema(schema)
    seed.webhook(database, anna)
    live(database, anna)
    redeliver(cli, "--webhook", seed.webhook(database, anna), "--missing", "--yes").ok()
    bodies = [json.loads(row.payload) for row in seed.deliveries(database)]
    assert {body["type"] for body in bodies} == {each.value for each in WebhookEvent} - {"notification.requeued"}
    fields = {each["properties"]["type"]["const"]: each["properties"]["data"]["properties"] for each in schema["oneOf"]}
    assert set(fields) == {*(each.value for each in WebhookEvent), TEST}
    for body in bodies:
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)
        assert set(body["data"]) <= set(fields[body["type"]])
        assert not Draft202012Validator(schema).is_valid({**body, "version": 2})
        assert not Draft202012Validator(schema).is_valid({**body, "data": {}})
