"""`batches` on the command line, on both databases: what was submitted together is followed and held together."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

import pytest
from sqlalchemy import select, update

from notifyctl.cli.batches import fields
from notifyctl.cli.output import FieldKind
from notifyctl.cli.tables import GAP, fitted
from notifyctl.core.batch import BatchHold, BatchSource
from notifyctl.services.batches import BatchReport
from notifyctl.store import batches
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import parked
from notifyctl.store.queue.claim import ClaimRequest, claim
from notifyctl.store.schema.tables import audit_logs, notification_templates, notifications, users
from tests.support import seed
from tests.support.command import Cli

n = notifications.c


@pytest.fixture(autouse=True)
def people(database: Database) -> None:
    """A provider and a user."""
    seed.provider(database, "sendgrid")
    seed.user(database)


def batch(database: Database, count: int, name: str | None = "spring", **values: object) -> list[str]:
    """Notifications that were submitted together, due long ago."""

    def work(tx: Tx) -> str:
        return batches.opened(tx, name, BatchSource.FILE)[0].id

    batch_id = database.write(work)
    with database.read() as tx:
        user = tx.execute(select(users.c.id)).scalars().one()
    return seed.pending(database, user, count=count, batch_id=batch_id, **values)


def taken(database: Database) -> list[str]:
    """What a claim takes."""
    order = ClaimRequest("sendgrid", str(uuid.uuid4()), 100, 1_000)
    return [each.id for each in database.write(lambda tx: claim(tx, order)).claims]


def out_of_queue(database: Database) -> int:
    """How many left the queue."""
    with database.read() as tx:
        return len(tx.execute(select(n.id).where(n.parked_at.is_not(None))).all())


def end(database: Database, ids: Sequence[str], status: str) -> None:
    """Let notifications have ended."""
    database.write(lambda tx: tx.execute(update(notifications).where(n.id.in_(ids)).values(status=status)))


def test_a_batch_is_listed_and_shown_with_what_became_of_it(cli: Cli, database: Database) -> None:
    """By its name, its id, and the beginning of that; counts are of each status."""
    ids = batch(database, 5)
    batch(database, 1, None)
    end(database, ids[:2], "sent")
    end(database, ids[2:3], "cancelled")
    named, other = sorted(cli.call("batches", "list", "-o", "json").ok().json(), key=lambda row: row["name"] is None)
    assert {key: named[key] for key in ("name", "source", "state", "total", "pending", "sent", "cancelled")} == {
        "name": "spring",
        "source": "file",
        "state": "open",
        "total": 5,
        "pending": 2,
        "sent": 2,
        "cancelled": 1,
    }
    assert (other["name"], other["total"]) == (None, 1)
    for ref in ("spring", named["id"], named["id"][:8]):
        assert cli.call("batches", "show", ref, "-o", "json").ok().json() == named


def test_the_list_has_room_for_millions() -> None:
    """What is never cut of a row (numbers, the age) leaves room in 80 columns for a name and a state."""
    many = dict.fromkeys(("total", "pending", "held", "sent", "failed", "cancelled"), 7654321)
    row = BatchReport("1" * 36, "spring", "application", "cancelled", 0, None, None, **many)
    shown = [each for each in fields(99 * 86_400_000) if each.title]
    texts = [each.show(row) if each.show else str(getattr(row, each.name)) for each in shown]
    widths = [max(len(text), len(each.title or "")) for each, text in zip(shown, texts, strict=True)]
    assert sum(fitted(widths, [each.kind is not FieldKind.TEXT for each in shown], 80 - GAP * (len(shown) - 1))) <= 64


def test_an_unknown_batch_is_not_found(cli: Cli) -> None:
    """Never an empty list: a mistyped name must not look as if there was nothing."""
    for line in (
        ("batches", "show", "autumn"),
        ("batches", "pause", "autumn"),
        ("batches", "resume", "autumn"),
        ("batches", "cancel", "autumn", "--yes"),
        ("notifications", "list", "--batch", "autumn"),
        ("dlq", "list", "--batch", "autumn"),
    ):
        assert cli.call(*line).exit_code == 3, line


def test_nothing_of_a_paused_batch_is_sent_until_it_is_resumed(cli: Cli, database: Database) -> None:
    """The others go on; who waits keeps the place, leaves the queue, is shown as held, and comes back."""
    ids, other = batch(database, 3), batch(database, 1, "other")
    said = cli.call("batches", "pause", "spring", "-o", "json").ok().json()
    assert (said["pending"], said["held"]) == (3, 3)  # at once, though they leave the queue by and by
    held = cli.call("notifications", "list", "--state", "held", "-o", "json").ok().json()
    assert {(row["id"], row["batch"]) for row in held} == {(id_, "spring") for id_ in ids}
    assert taken(database) == other
    assert out_of_queue(database) == 3
    assert taken(database) == []
    shown = cli.call("batches", "show", "spring", "-o", "json").ok().json()
    assert (shown["state"], shown["pending"], shown["held"]) == ("paused", 3, 3)
    problem = next(
        each for each in cli.call("status", "-o", "json").ok().json()["problems"] if "spring" in each["message"]
    )
    assert problem["message"] == "batch spring is paused; 3 held"
    assert problem["hint"] == "notifyctl batches resume spring"
    assert cli.call("batches", "resume", "spring", "-o", "json").ok().json()["state"] == "open"
    assert sorted(taken(database)) == sorted(ids)


def test_what_of_a_batch_is_parked_waits_behind_its_canary(cli: Cli, database: Database) -> None:
    """The first go, the others only when somebody who has looked at those lets them."""
    first = batch(database, 2)
    rest = batch(database, 4, parked_at=1)
    with database.read() as tx:
        batch_id = batches.find(tx, "spring").id
    database.write(lambda tx: batches.put(tx, batch_id, BatchHold.CANARY))
    assert sorted(taken(database)) == sorted(first)
    assert database.write(parked.come_back) == 0
    status = cli.call("status", "-o", "json").ok().json()
    assert "batch spring is held behind its canary; 4 held" in [each["message"] for each in status["problems"]]
    cli.call("batches", "resume", "spring").ok()
    assert sorted(taken(database)) == sorted(rest)


def test_a_template_and_a_batch_hold_back_each_for_itself(cli: Cli, database: Database) -> None:
    """What both hold comes back when neither does any more, in whatever order that ends."""
    made = ("templates", "create", "welcome", "--channel", "email", "--by", "anna", "--subject", "s", "--body", "b")
    cli.call(*made).ok()
    with database.read() as tx:
        template = tx.execute(select(notification_templates.c.id)).scalar_one()
    ids = batch(database, 2, template_id=template, template_version=1)
    for first, second in (("batches", "templates"), ("templates", "batches")):
        cli.call("batches", "pause", "spring").ok()
        cli.call("templates", "disable", "welcome").ok()
        assert taken(database) == []
        assert out_of_queue(database) == 2
        name = {"batches": "spring", "templates": "welcome"}
        free = {"batches": "resume", "templates": "enable"}
        cli.call(first, free[first], name[first]).ok()
        assert out_of_queue(database) == 2
        cli.call(second, free[second], name[second]).ok()
        assert out_of_queue(database) == 0
    assert sorted(taken(database)) == sorted(ids)


def test_many_come_back_in_portions(database: Database, cli: Cli) -> None:
    """A large batch does not hold the database for as long as it takes."""
    batch(database, 5, parked_at=1)
    assert [database.write(lambda tx: parked.come_back(tx, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_batch_is_cancelled_as_a_whole(cli: Cli, database: Database) -> None:
    """What it hits is shown before; what is out of the queue is hit too, what has ended and other batches are not."""
    ids, other = batch(database, 4), batch(database, 1, "other")
    end(database, ids[:1], "sent")
    cli.call("batches", "pause", "spring").ok()
    taken(database)
    dry = cli.call("batches", "cancel", "spring", "--dry-run").ok()
    assert "cancel 3 notifications of 1 person" in dry.stderr
    assert cli.call("batches", "show", "spring", "-o", "json").json()["state"] == "paused"
    assert cli.call("batches", "cancel", "spring").exit_code == 2
    assert cli.call("batches", "cancel", "spring", "--expect", "4").exit_code == 5
    done = cli.call("batches", "cancel", "spring", "--expect", "3", "-o", "json").ok().json()
    assert [row["result"] for row in done] == ["cancelled"] * 3
    shown = cli.call("batches", "show", "spring", "-o", "json").json()
    assert (shown["state"], shown["cancelled"], shown["sent"], shown["pending"]) == ("cancelled", 3, 1, 0)
    with database.read() as tx:
        assert tx.execute(select(n.status).where(n.id.in_(other))).scalars().all() == ["pending"]
        a = audit_logs.c
        of_batch = tx.execute(
            select(a.action, a.changes).where(a.resource_type == "batch").order_by(a.created_at)
        ).all()
    assert [(action, json.loads(changes)["state"]) for action, changes in of_batch] == [
        ("pause", ["open", "paused"]),
        ("cancel", ["paused", "cancelled"]),
    ]


def test_what_was_in_flight_when_a_batch_was_cancelled_is_not_tried_again(cli: Cli, database: Database) -> None:
    """It could not be cancelled at that moment; it is held when it comes back, and can be cancelled then."""
    [busy] = batch(database, 1)
    assert taken(database) == [busy]
    refused = cli.call("batches", "cancel", "spring", "--yes")
    assert refused.exit_code != 0
    assert "being sent" in refused.stderr
    free = update(notifications).values(lease_id=None, leased_by=None, leased_until=None, due_at=1_000)
    database.write(lambda tx: tx.execute(free))
    assert taken(database) == []
    assert "batch spring is cancelled; 1 held" in cli.call("status").ok().stdout
    cli.call("batches", "cancel", "spring", "--yes").ok()
    assert cli.call("batches", "show", "spring", "-o", "json").json()["cancelled"] == 1


def test_a_cancelled_batch_cannot_be_paused_but_resumed(cli: Cli, database: Database) -> None:
    """To resume opens the batch again, and says so; what was cancelled comes back by the command that it names."""
    batch(database, 1)
    cli.call("batches", "cancel", "spring", "--yes").ok()
    refused = cli.call("batches", "pause", "spring")
    assert refused.exit_code == 5
    assert "is cancelled" in refused.stderr
    assert "takes that back" not in refused.stderr and "what was cancelled of it stays so" in refused.stderr
    resumed = cli.call("batches", "resume", "spring", "-o", "json").ok()
    assert resumed.json()["state"] == "open"
    assert "1 stay cancelled; notifyctl notifications restore --batch spring" in resumed.stderr
    assert "stay cancelled" not in cli.call("batches", "resume", "spring").ok().stderr  # it was open already
    cli.call("notifications", "restore", "--batch", "spring", "--yes").ok()
    assert len(taken(database)) == 1


def test_doing_it_twice_says_nothing_twice(cli: Cli, database: Database) -> None:
    """The audit trail has what was changed."""
    batch(database, 1)
    for verb in ("pause", "pause", "resume", "resume"):
        cli.call("batches", verb, "spring").ok()
    with database.read() as tx:
        a = audit_logs.c
        actions = tx.execute(select(a.action).where(a.resource_type == "batch").order_by(a.created_at)).scalars().all()
    assert actions == ["pause", "resume"]


def test_notifications_are_found_by_their_batch(cli: Cli, database: Database) -> None:
    """Also dead letters; and a notification says which it was submitted with."""
    ids = batch(database, 2)
    batch(database, 1, "other")
    listed = cli.call("notifications", "list", "--batch", "spring", "-o", "json").ok().json()
    assert {row["id"] for row in listed} == set(ids)
    shown = cli.call("notifications", "show", ids[0], "-o", "json").ok().json()
    assert shown["batch"] == "spring"
    assert cli.call("dlq", "list", "--batch", "spring", "-o", "json").ok().json() == []
