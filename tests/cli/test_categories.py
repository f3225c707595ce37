"""`categories` on the command line, on both databases."""

from __future__ import annotations

import shlex

import pytest
from sqlalchemy import select

from notifyctl.core.category import OptOutSource
from notifyctl.store import categories
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs
from tests.support import seed
from tests.support.command import Cli
from tests.support.threefold import add_providers


@pytest.fixture(autouse=True)
def newsletter(cli: Cli) -> None:
    """A category of marketing."""
    cli.call("categories", "create", "newsletter", "--kind", "marketing", "--description", "monthly").ok()


def test_a_category_is_made_looked_at_changed_and_deleted(cli: Cli, database: Database) -> None:
    """Each act is in the audit trail; a text that is emptied is gone."""
    cli.call("categories", "create", "receipts").ok()
    rows = cli.call("categories", "list", "-o", "json").ok().json()
    assert {(row["name"], row["kind"], row["description"], row["left_by"]) for row in rows} == {
        ("newsletter", "marketing", "monthly", 0),
        ("receipts", "transactional", None, 0),
    }
    changed = cli.call(
        "categories", "update", "newsletter", "--description", "", "--provider-group", "12", "-o", "json"
    )
    assert (changed.ok().json()["description"], changed.json()["provider_group"]) == (None, "12")
    assert cli.call("categories", "delete", "receipts", "--yes", "-o", "json").ok().json()["name"] == "receipts"
    assert cli.call("categories", "show", "receipts").exit_code == 3
    with database.read() as tx:
        of_categories = select(audit_logs.c.action).where(audit_logs.c.resource_type == "category")
        assert sorted(tx.execute(of_categories).scalars()) == ["create", "create", "delete", "update"]


def test_creating_twice_is_refused_or_taken_for_done(cli: Cli) -> None:
    """As CI needs it: the same again is no error where that is asked for, something else is."""
    assert cli.call("categories", "create", "newsletter", "--kind", "marketing").exit_code == 5
    again = ("categories", "create", "newsletter", "--kind", "marketing", "--description", "monthly", "--if-not-exists")
    assert cli.call(*again, "-o", "json").ok().json()["created"] is False
    other = cli.call("categories", "create", "newsletter", "--if-not-exists")
    assert other.exit_code == 5
    assert "with other values" in other.stderr


@pytest.mark.parametrize("name", ["", "News", "a b", "ä", "x" * 51, "-x", "a/b", "a\n"])
def test_what_is_no_name_is_refused(cli: Cli, name: str) -> None:
    """A name goes into headers and tokens: nothing but lower-case ASCII, and not too long."""
    if name == "a\n":
        name = "a\nb"
    refused = cli.call("categories", "create", "--", name)
    assert refused.exit_code == 2
    assert "is like newsletter or order.shipped: at most 50 of a-z, 0-9" in refused.stderr


def test_a_group_that_is_none_is_refused(cli: Cli) -> None:
    """SendGrid's groups are numbers."""
    for text in ("abc", "0", "7.5", "-7"):
        assert cli.call("categories", "create", "other", "--provider-group", text).exit_code == 2
    made = cli.call("categories", "create", "other", "--provider-group", " 0012 ", "-o", "json").ok().json()
    assert made["provider_group"] == "12"


def test_what_is_pending_keeps_its_category(cli: Cli, database: Database) -> None:
    """Without it nobody would know any more who left it when it is sent."""
    seed.pending(database, seed.user(database), category="newsletter")
    refused = cli.call("categories", "delete", "newsletter", "--yes")
    assert refused.exit_code == 5
    assert "still to be sent" in refused.stderr


def test_what_templates_are_of_is_not_deleted(cli: Cli, database: Database) -> None:
    """Nothing could be sent by them any more; the hint, pasted for each, lets it go."""
    seed.user(database)
    words = ("--channel", "email", "--subject", "Hi", "--body", "Hello", "--category", "newsletter", "--by", "anna")
    for name in ("june", "may"):
        cli.call("templates", "create", name, *words).ok()
    for left in ("templates june and 1 more are", "template may is"):
        refused = cli.call("categories", "delete", "newsletter", "--yes")
        assert refused.exit_code == 5
        assert f"{left} of the category newsletter" in refused.stderr
        hint = refused.stderr.partition("hint: notifyctl ")[2].strip()
        cli.call(*shlex.split(hint)).ok()
    cli.call("categories", "delete", "newsletter", "--yes").ok()


def test_who_left_stays_away_when_it_is_made_anew(cli: Cli, database: Database) -> None:
    """Deleting a category lifts nobody's opt-out."""
    anna = seed.user(database)
    seed_id = "00000000-0000-4000-8000-00000000000a"
    database.write(lambda tx: categories.leave(tx, seed_id, anna, "newsletter", OptOutSource.OPERATOR))
    assert cli.call("categories", "delete", "newsletter", "--yes", "-o", "json").ok().json()["left_by"] == 1
    cli.call("categories", "create", "newsletter", "--kind", "marketing").ok()
    assert cli.call("categories", "show", "newsletter", "-o", "json").ok().json()["left_by"] == 1


def test_what_was_sent_is_found_by_a_category_that_is_gone(cli: Cli, database: Database) -> None:
    """Notifications keep its name; a name that nothing ever had is a mistake."""
    sent = seed.pending(database, seed.user(database), category="newsletter", status="sent", sent_at=5)
    cli.call("categories", "delete", "newsletter", "--yes").ok()
    assert cli.call("notifications", "list", "--category", "newsletter", "-o", "id").ok().stdout.split() == sent
    assert cli.call("notifications", "list", "--category", "newsleter").exit_code == 3


@pytest.mark.parametrize("backend", ["sqlite"])
def test_blanks_around_a_name_are_no_part_of_it(cli: Cli, database: Database) -> None:
    """As spreadsheets leave them: what takes such a name is of the category, and not of one that there is not."""
    add_providers(cli, "http://127.0.0.1:9", "sendgrid")
    seed.user(database)
    about, made = ("--category", " newsletter "), ("--channel", "email", "--subject", "s", "--body", "b")
    cli.call("templates", "create", "june", *made, *about, "--by", "anna").ok()
    cli.call("templates", "create", "may", *made, "--by", "anna").ok()
    cli.call("templates", "update", "may", *about).ok()
    for name in ("june", "may"):
        assert cli.call("templates", "show", name, "-o", "json").ok().json()["category"] == "newsletter"
    cli.call("send", "anna", *made, *about).ok()
    rows = "user,subject,body,category\nanna,s,b, newsletter \n"
    cli.call("send", "-f", "-", "--format", "csv", "--channel", "email", input=rows).ok()
    sent = cli.call("notifications", "list", *about, "-o", "json").ok().json()
    assert [each["category"] for each in sent] == ["newsletter", "newsletter"]
    told = cli.call("notifications", "explain", "--user", "anna", "--channel", "email", *about).ok()
    assert "newsletter (marketing), not left" in told.stdout


@pytest.mark.parametrize("given", [(), ("-f", "-")])
def test_an_empty_name_is_not_none(cli: Cli, database: Database, given: tuple[str, ...]) -> None:
    """A script's variable that was never set makes no mail of a category that people left one of none."""
    seed.provider(database)
    seed.user(database)
    rest = ("--channel", "email", "--subject", "s", "--body", "b", "--category", "")
    refused = cli.call("send", *(given or ("anna",)), *rest, input='{"user": "anna"}\n')
    assert refused.exit_code == 2
    assert "--category: the name is empty" in refused.stderr
    assert cli.call("notifications", "list", "-o", "json").ok().json() == []
