"""Who lets go what something holds back is told what that is, by each act, and before it is done."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from notifyctl.core.batch import BatchSource
from notifyctl.core.operate import BY_OPERATOR
from notifyctl.store import batches
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import notifications
from tests.support import letters, seed
from tests.support.command import Cli, Result

HOLDS = {
    "batches pause": (("batches", "pause", "spring"), "batch spring is paused", "batches resume spring"),
    "batches cancel": (("batches", "cancel", "spring", "--yes"), "batch spring is cancelled", "batches resume spring"),
    "templates disable": (("templates", "disable", "hi"), "template hi is disabled", "templates enable hi"),
    "providers disable": (("providers", "disable", "sendgrid"), "sendgrid is disabled", "providers enable sendgrid"),
    "providers delete": (
        ("providers", "delete", "sendgrid", "--yes"),
        "sendgrid is not configured",
        "providers add sendgrid",
    ),
    "providers pause": (
        ("providers", "pause", "sendgrid", "--reason", "r"),
        "sendgrid is paused",
        "providers resume sendgrid",
    ),
}


@pytest.fixture
def anna(cli: Cli, database: Database) -> str:
    """A user and a provider, and a template."""
    seed.provider(database, "sendgrid")
    made = seed.user(database)
    cli.call("templates", "create", "hi", "--channel", "email", "--subject", "s", "--body", "b", "--by", "anna").ok()
    return made


@pytest.fixture
def common(cli: Cli, database: Database) -> dict[str, Any]:
    """What all of them have in common: a batch and a template."""
    spring = database.write(lambda tx: batches.opened(tx, "spring", BatchSource.FILE)[0].id)
    shown = cli.call("templates", "show", "hi", "-o", "json").ok().json()
    return {"batch_id": spring, "template_id": shown["id"], "template_version": 1}


def waits(result: Result) -> str:
    """Return what it said of those that wait."""
    return next((line for line in result.stderr.splitlines() if " waits: " in line or " wait: " in line), "")


@pytest.mark.parametrize("hold", HOLDS)
def test_what_a_dead_letter_will_wait_for(
    cli: Cli, database: Database, anna: str, common: dict[str, Any], hold: str
) -> None:
    """Retried it does not go: that is said, with the command that lets it go, and --dry-run says the same."""
    act, why, remedy = HOLDS[hold]
    ids = letters.dead(database, anna, count=2, **common)
    free = letters.dead(database, anna, "twilio")
    seed.provider(database, "twilio")
    cli.call(*act).ok()
    said = f"2 wait: {why}; notifyctl {remedy}"
    assert waits(cli.call("dlq", "retry", *ids, *free, "--dry-run").ok()) == said
    assert waits(cli.call("dlq", "retry", *ids, *free).ok()) == said
    assert waits(cli.call("notifications", "reschedule", *ids, "--at", "now").ok()) == said
    if hold != "providers delete":
        cli.call(*f"{remedy}".split()).ok()
        assert waits(cli.call("notifications", "reschedule", *ids, "--at", "now").ok()) == ""


def test_what_is_restored(cli: Cli, database: Database, anna: str, common: dict[str, Any]) -> None:
    """Of a batch that is still cancelled it is not let go; `status` names both ways out."""
    [one] = seed.pending(database, anna, status="cancelled", error_message=BY_OPERATOR, **common)
    cli.call("batches", "cancel", "spring", "--yes").ok()
    restored = cli.call("notifications", "restore", one, "--yes").ok()
    assert waits(restored) == "1 waits: batch spring is cancelled; notifyctl batches resume spring"
    (problem,) = [
        each for each in cli.call("status", "-o", "json").ok().json()["problems"] if each["code"] == "batch_held"
    ]
    assert "batches cancel spring gives them up, batches resume spring lets them go" in problem["hint"]


def test_who_has_a_stand_in_does_not_wait(cli: Cli, database: Database, anna: str) -> None:
    """Another provider of the channel takes it, where it was not submitted for the one that is paused."""
    seed.provider(database, "smtp")
    ids = letters.dead(database, anna, count=2)
    insisting = update(notifications).where(notifications.c.id == ids[1]).values(fails_over=False)
    database.write(lambda tx: tx.execute(insisting))
    cli.call("providers", "pause", "sendgrid", "--reason", "r").ok()
    said = waits(cli.call("dlq", "retry", *ids).ok())
    assert said == "1 waits: sendgrid is paused; notifyctl providers resume sendgrid"


@pytest.mark.parametrize("how", [(), ("--latest-template",), ("--dry-run",)])
def test_what_has_no_template_any_more_is_not_let_go(
    cli: Cli, database: Database, anna: str, common: dict[str, Any], how: tuple[str, ...]
) -> None:
    """It would be a dead letter again, at once: it stays one, of many those others go, and a copy is not made."""
    [made] = letters.dead(database, anna, **common)
    [plain] = letters.dead(database, anna)
    cli.call("templates", "delete", "hi", "--yes").ok()
    done = cli.call("dlq", "retry", made, plain, *how, "-o", "json")
    results = {row["id"]: row["result"] for row in done.json()}
    assert (done.exit_code, results[made]) == (6, "failed")
    assert results[plain].endswith("retried")
    assert f"the template of {made} is deleted" in done.stderr
    assert seed.dead_letter(database, made) is not None
    resent = cli.call("notifications", "resend", made, *how[1:])
    assert (resent.exit_code, "is deleted: there is nothing" in resent.stderr) == (5, True)
