"""How receivers of webhooks fare: `metrics show --webhooks` and what `status` says, on both databases."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from notifyctl.core.conditions import LOOK_MS
from notifyctl.core.timeordered import earliest_id, ordered_id
from notifyctl.store import conditions
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import webhook_deliveries
from tests.support import seed
from tests.support.command import Cli
from tests.support.terminal import on_terminal

MIN, HOUR = 60_000, 3_600_000
DAY = 24 * HOUR


@pytest.fixture
def now(database: Database) -> int:
    """The database's moment when the test began."""
    with database.read() as tx:
        return tx.now


@pytest.fixture
def anna(database: Database) -> str:
    """A user."""
    return seed.user(database)


def delivery(database: Database, webhook: str, at: int, **values: Any) -> None:
    """Write a delivery of that moment."""
    [id_] = seed.pending(database, seed.user(database, uuid.uuid4().hex[:8]), status="sent", created_at=at)
    row = {"id": ordered_id(at), "webhook_id": webhook, "notification_id": id_, "event_type": "x", "payload": "{}"}
    row |= {"attempt_count": 1, "created_at": at, **values}
    database.write(lambda tx: tx.execute(insert(webhook_deliveries).values(row)))


def delivered(database: Database, webhook: str, at: int, took: int) -> None:
    """Write one that arrived after so long."""
    delivery(database, webhook, at, delivered=True, delivered_at=at + took)


def show(cli: Cli, *args: str) -> dict[str, dict[str, Any]]:
    """Return the rows of `metrics show --webhooks`, by the webhooks' names."""
    rows = cli.call("metrics", "show", "--webhooks", "-o", "json", *args).ok().json()
    return {row["name"]: row for row in rows}


def test_what_became_of_deliveries(cli: Cli, database: Database, anna: str, now: int) -> None:
    """Delivered, given up, not tried and waiting; half and 95 of 100 were there after so long, those aside
    that were sent again; since when one waits."""
    shop = seed.webhook(database, anna, name="shop", url="https://example.org/secret")
    seed.webhook(database, anna, name="idle", is_active=False, disabled_at=now)
    for number in range(1, 21):
        delivered(database, shop, now - number * MIN, number * 100)
    for _ in range(5):
        delivery(database, shop, now - MIN, ended="given_up")
    delivery(database, shop, now - HOUR, delivered=True, delivered_at=now, is_replay=True)
    delivery(database, shop, now - MIN, ended="disabled")
    delivery(database, shop, now - 2 * DAY, next_retry_at=now + HOUR)
    delivery(database, shop, now - MIN, next_retry_at=now)
    found = show(cli)
    assert {name: row["state"] for name, row in found.items()} == {"idle": "disabled", "shop": "active"}
    row = found["shop"]
    assert (row["username"], row["host"], row["webhook_id"]) == ("anna", "example.org", shop)
    counts = ("total_delivered", "total_given_up", "total_not_tried", "waiting")
    assert [row[name] for name in counts] == [21, 5, 1, 2]
    assert (row["ok_percent"], row["p50_ms"], row["p95_ms"]) == (80.8, 1_000, 1_900)
    assert row["oldest_undelivered_at"] is not None
    assert [found["idle"][name] for name in (*counts, "ok_percent", "p50_ms")] == [0, 0, 0, 0, None, None]


def test_a_window(cli: Cli, database: Database, anna: str, now: int) -> None:
    """By when it happened, not by when it was there; what waits, waits now."""
    shop = seed.webhook(database, anna, name="shop")
    delivered(database, shop, now - 30 * HOUR, 29 * HOUR)
    delivered(database, shop, now, 10)
    assert show(cli)["shop"]["total_delivered"] == 1
    assert show(cli, "--last", "2d")["shop"]["total_delivered"] == 2
    assert show(cli, "--until", "1d", "--since", "3d")["shop"]["p50_ms"] == 29 * HOUR


def test_all_forms(cli: Cli, database: Database, anna: str, now: int) -> None:
    """A table of 80 columns with its window, and what programs read; nothing of the URL but its host."""
    shop = seed.webhook(database, anna, name="shop", url="https://example.org/open-sesame")
    delivered(database, shop, now - MIN, 1_500)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(cli, "metrics", "show", "--webhooks", columns=80).stdout)
    assert "24 h to" in shown and "anna/shop" in shown and "1.5s" in shown
    assert all(len(line.rstrip()) <= 80 for line in shown.splitlines())
    other = seed.webhook(database, seed.user(database, "somebody-with-a-name"), name="a-long-name", is_active=False)
    delivered(database, other, now - MIN, 92_500)
    delivery(database, other, now - MIN, next_retry_at=now)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(cli, "metrics", "show", "--webhooks", columns=80).stdout)
    assert "somebody" in shown
    assert all(len(line.rstrip()) <= 80 for line in shown.splitlines())
    for form in ("plain", "json", "yaml", "ndjson", "csv", "markdown", "id"):
        out = cli.call("metrics", "show", "--webhooks", "-o", form).ok().stdout
        assert (shop if form == "id" else "shop") in out
        assert "open-sesame" not in out


@pytest.mark.parametrize("other", [("--by", "hour"), ("--provider", "sendgrid"), ("--channel", "sms")])
def test_what_is_no_matter_of_receivers(cli: Cli, other: tuple[str, str]) -> None:
    """It is refused, not left out silently."""
    done = cli.call("metrics", "show", "--webhooks", *other)
    assert done.exit_code == 2
    assert "goes with no --by, --provider or --channel" in done.stderr


def test_ids_are_in_the_order_of_their_moments() -> None:
    """What is less than all ids of a moment is more than all before it."""
    for at in (0, 1, 1_700_000_000_000, 2**48 - 2):
        assert ordered_id(at) > earliest_id(at)
        assert ordered_id(at) < earliest_id(at + 1)


# status


def status(cli: Cli) -> dict[str, Any]:
    """Return the status as a document."""
    found: dict[str, Any] = cli.call("status", "-o", "json").ok().json()
    return found


def problems(cli: Cli) -> list[tuple[str, str, str]]:
    """Return what is wrong with webhooks."""
    found = [(each["code"], each["message"], each["hint"]) for each in status(cli)["problems"]]
    return [each for each in found if each[0].startswith(("receiver", "deliveries"))]


def test_receivers_that_do_well(cli: Cli, database: Database, anna: str, now: int) -> None:
    """They have a line with their last hour, and are no problem; nor is one that an operator disabled."""
    shop = seed.webhook(database, anna, name="shop")
    seed.webhook(database, anna, name="off", is_active=False, disabled_at=now)
    seed.webhook(database, anna, name="new", failing_since=now - DAY)
    delivered(database, shop, now - MIN, 200)
    delivered(database, shop, now - 2 * HOUR, 200)
    delivery(database, shop, now - MIN, next_retry_at=now + HOUR)
    assert problems(cli) == []
    found = status(cli)
    assert found["receivers"] == 3
    line = next(each for each in found["receivers_1h"] if each["name"] == "shop")
    assert (line["total_delivered"], line["waiting"], line["p50_ms"], line["state"]) == (1, 1, 200, "active")
    shown = cli.call("status").ok().stdout
    assert "RECEIVER, 1 H" in shown and "anna/shop" in shown


@pytest.mark.parametrize(
    ("hours", "percent"), [(59, None), (61, 50), (83, 50), (85, 70), (107, 70), (109, 90), (119, 90)]
)
def test_a_receiver_that_fails_for_long(
    cli: Cli, database: Database, anna: str, now: int, hours: int, percent: int | None
) -> None:
    """At half of the five days after which it is disabled it is a problem, and how far it is, is said."""
    seed.webhook(database, anna, name="the shop", url="https://example.org/secret", failing_since=now - hours * HOUR)
    found = problems(cli)
    assert len(found) == (percent is not None)
    for code, message, hint in found:
        assert code == "receiver_failing"
        assert f"at {percent} % of the 5d" in message and "webhook anna/the shop (example.org) fails for" in message
        assert hint == "notifyctl webhooks show 'anna/the shop'"


def test_one_that_was_disabled(cli: Cli, database: Database, anna: str, now: int) -> None:
    """Why, and what sends what it was not told; where there are many, how many more."""
    off = {"is_active": False, "disabled_at": now, "disabled_because": "its receiver answered that it is gone (410)"}
    seed.webhook(database, anna, name="a", **off)
    assert problems(cli) == [
        (
            "receiver_disabled",
            "webhook anna/a (example.org) disabled: its receiver answered that it is gone (410)",
            "notifyctl webhooks enable anna/a --redeliver",
        )
    ]
    for number in range(12):
        seed.webhook(database, anna, name=f"b{number:02}", **off)
    found = problems(cli)
    assert len(found) == 6 and found[-1][1].startswith("8 more receivers")
    assert len(status(cli)["receivers_1h"]) == 10
    assert "and 3 more: notifyctl metrics show --webhooks" in cli.call("status").ok().stdout


def test_deliveries_that_stand_still(cli: Cli, database: Database, anna: str, now: int) -> None:
    """Due for long, and nobody begins them."""
    shop = seed.webhook(database, anna, name="shop")
    delivery(database, shop, now - HOUR, next_retry_at=now - 5 * MIN)
    assert problems(cli) == []
    delivery(database, shop, now - HOUR, next_retry_at=now - 20 * MIN)
    [(code, message, hint)] = problems(cli)
    assert (code, hint) == ("deliveries_stalled", "notifyctl dispatch")
    assert message.startswith("deliveries to webhooks are due for 20m")


def test_the_conditions_in_force(cli: Cli, database: Database, now: int) -> None:
    """What people were told of, and since when, as long as somebody looks."""
    seed.provider(database)
    seed.health(database, "sendgrid", paused_at=now, pause_cause="operator", pause_reason="maintenance")

    def look(at: int) -> None:
        number = database.write(lambda tx: conditions.take_turn(tx.at(at)))
        with database.read() as tx:
            seen = conditions.seen(tx.at(at))
        database.write(lambda tx: conditions.settle(tx.at(at), number or 0, seen))

    assert status(cli)["conditions"] == []
    look(now)
    [one] = status(cli)["conditions"]
    assert (one["condition"], one["subject"], one["text"]) == (
        "provider_paused", "sendgrid", "sendgrid paused: maintenance"
    )  # fmt: skip
    assert "provider_paused   sendgrid" in cli.call("status").ok().stdout
    look(now + LOOK_MS)
    assert len(status(cli)["conditions"]) == 1


# One notification


def test_a_notification_says_who_heard_of_it(cli: Cli, database: Database, anna: str, now: int) -> None:
    """`show` and `explain`: a line for each webhook, how far it is, and when it is tried again."""
    shop = seed.webhook(database, anna, name="shop", url="https://example.org/secret")
    crm = seed.webhook(database, anna, name="crm")
    [id_] = seed.pending(database, anna, status="sent", sent_at=now)
    [other] = seed.pending(database, anna, status="sent", sent_at=now)

    def write(webhook: str, **values: Any) -> None:
        row = {"id": ordered_id(now), "webhook_id": webhook, "notification_id": id_, "event_type": "notification.sent"}
        row |= {"payload": "{}", "created_at": now, "attempt_count": 1, **values}
        database.write(lambda tx: tx.execute(insert(webhook_deliveries).values(row)))

    write(shop, delivered=True, delivered_at=now, response_status=204)
    write(shop, attempt_count=2, next_retry_at=now + HOUR, response_status=503)
    write(crm, delivered=True, delivered_at=now, response_status=200)
    for command in ("show", "explain"):
        failing, quiet = cli.call("notifications", command, id_, other, "-o", "json").ok().json()
        assert quiet["webhooks"] == []
        assert [each["webhook"] for each in failing["webhooks"]] == ["anna/crm", "anna/shop"]
        one = failing["webhooks"][1]
        assert (one["state"], one["events"], one["delivered"], one["answer"]) == ("failing", 2, 1, 503)
        assert one["next_at"].endswith("Z")
        shown = cli.call("notifications", command, id_, "-o", "table").ok().stdout
        lines = [" ".join(line.split()) for line in shown.splitlines()]
        assert any(line.startswith("webhook anna/crm (example.org) 1 delivered") for line in lines), shown
        assert any(line.startswith("webhook anna/shop (example.org) failing until") for line in lines), shown
        assert "1 of 2 delivered, the last answer was 503" in " ".join(lines)
        assert "webhook" not in cli.call("notifications", command, other, "-o", "table").ok().stdout
    assert "webhooks" not in cli.call("notifications", "export", "-o", "ndjson").ok().stdout
