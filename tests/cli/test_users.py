"""`users` on the command line, on both databases."""

from __future__ import annotations

import csv
import io
import json
import uuid
from typing import Any

import pytest
import yaml
from sqlalchemy import func, insert, select, update

from notifyctl.core.receipt import Arrival, Receipt, Stage
from notifyctl.store import early
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import (
    audit_logs,
    early_receipts,
    notification_metrics,
    notification_templates,
    notifications,
    suppressions,
    users,
)
from tests.support import seed
from tests.support.command import Cli, Result
from tests.support.terminal import on_terminal


def _create(cli: Cli, name: str = "anna", *args: str) -> Result:
    return cli.call("users", "create", name, "--email", f"{name}@example.org", *args)


def _audit(database: Database) -> list[tuple[str, str, Any]]:
    c = audit_logs.c
    with database.read() as tx:
        rows = tx.execute(select(c.action, c.resource_type, c.changes).order_by(c.created_at, c.id)).all()
    return [(action, kind, json.loads(changes)) for action, kind, changes in rows]


def _count(database: Database, table: Any) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def test_the_whole_way(cli: Cli, database: Database) -> None:
    """Create, look at by every name, change, delete; each change leaves its audit row."""
    anna = _create(cli, "anna", "--language", "DE-at", "-o", "json").ok().json()
    assert (anna["username"], anna["email"], anna["language"], anna["created"]) == (
        "anna",
        "anna@example.org",
        "de-AT",
        True,
    )
    for ref in (anna["id"], anna["id"][:8], "anna", "anna@example.org", "anna@EXAMPLE.org"):
        assert cli.call("users", "show", ref, "-o", "id").ok().stdout == f"{anna['id']}\n"

    changed = cli.call("users", "update", "anna", "--username", "ann", "--language", "", "-o", "json").ok().json()
    assert (changed["username"], changed["language"], changed["email"]) == ("ann", None, "anna@example.org")
    assert cli.call("users", "show", "anna").exit_code == 3

    gone = cli.call("users", "delete", "ann", "--yes", "-o", "json").ok().json()
    assert gone == {
        "id": anna["id"],
        "username": "ann",
        "notifications": 0,
        "api_keys": 0,
        "webhooks": 0,
        "suppressions": 0,
    }
    assert cli.call("users", "list", "-o", "json").ok().json() == []
    assert [entry[:2] for entry in _audit(database)] == [("create", "user"), ("update", "user"), ("delete", "user")]
    assert _audit(database)[1][2] == {"username": ["anna", "ann"], "language": ["de-AT", None]}


def test_delete_says_what_stays_and_forgets_addresses(cli: Cli, database: Database) -> None:
    """Suppressions outlive the person, so that nobody writes there; no address was ever in the trail, which stays."""
    _create(cli, "anna").ok()
    _create(cli, "omar").ok()
    cli.call("users", "update", "anna", "--email", "anna.b@example.org").ok()
    for channel, address in (("sms", "+14155552345"), ("push", 'tok"en\\é%_'), ("email", "shop@example.org")):
        cli.call("users", "contacts", "add", "anna", channel, address).ok()
    cli.call("users", "contacts", "add", "omar", "sms", "+14155552345").ok()
    cli.call("users", "contacts", "add", "omar", "sms", "+14155552346").ok()
    cli.call("users", "contacts", "remove", "anna", "email", "shop@example.org").ok()
    for address in ("+14155552345", "+14155552346"):
        cli.call("users", "contacts", "suppress", "anna", "sms", address, "--reason", f"{address} said no").ok()
    refused = ("anna", "email", "Anna.B@example.org", "--reason", "550 <ANNA.B@example.org> is unknown")
    cli.call("users", "contacts", "suppress", *refused).ok()
    before = _audit(database)
    asked = cli.call("users", "delete", "anna")
    assert (asked.exit_code, "2 suppressed addresses stay suppressed" in asked.stderr) == (2, True)
    assert _audit(database) == before
    gone = cli.call("users", "delete", "anna", "--yes", "-o", "json").ok()
    assert gone.json()["suppressions"] == 2
    assert "2 suppressed addresses stay suppressed" in gone.stderr
    trail = _audit(database)
    assert trail[:-1] == before
    rest = json.dumps(trail, ensure_ascii=False)
    for address in ("anna@", "omar@", "anna.b@", "ANNA.B@", "5552345", "5552346", "shop@", "tok", "é"):
        assert address not in rest, address
    assert "+1***46 said no" in rest and "s***@example.org" in rest
    assert _count(database, suppressions) == 3


def test_delete_forgets_receipts_that_wait(cli: Cli, database: Database) -> None:
    """Receipts are kept for three days until they match; none of them tells a deleted person's address until then."""
    anna = _create(cli, "anna", "-o", "id").ok().stdout.strip()
    _create(cli, "joanna").ok()
    cli.call("users", "contacts", "add", "anna", "email", "zoë@exämple.org").ok()
    cli.call("users", "contacts", "add", "anna", "sms", "+14155552345").ok()
    seed.provider(database)
    [hers] = seed.pending(database, anna)
    about = ("ANNA@example.org", "zoë@xn--exmple-cua.org", "joanna@example.org", None)
    arrivals = [
        Arrival(Receipt(Stage.DELIVERED, "delivered", address=each), None, f"id{number}")
        for number, each in enumerate(about)
    ]
    elsewhere = Arrival(Receipt(Stage.BOUNCED, "550 <a@elsewhere.org>", address="a@elsewhere.org"), hers, "id9", 1)
    texted = Arrival(Receipt(Stage.DELIVERED, "delivered", address="whatsapp:+14155552345"), None, "SM1")
    database.write(lambda tx: early.keep(tx, "sendgrid", [*arrivals, elsewhere]))
    database.write(lambda tx: early.keep(tx, "twilio", [texted]))
    cli.call("users", "delete", "anna", "--yes", "--cancel-pending").ok()
    with database.read() as tx:
        left = tx.execute(select(early_receipts.c.provider_message_id)).scalars().all()
    assert sorted(left) == ["id2", "id3"]


def test_what_stands_against_deleting_is_counted_in_words(cli: Cli, database: Database) -> None:
    """One is not several."""
    anna = _create(cli, "anna", "-o", "id").ok().stdout.strip()
    seed.provider(database)
    for count in ("1 pending notification", "2 pending notifications"):
        seed.pending(database, anna)
        refused = cli.call("users", "delete", "anna", "--yes")
        assert (refused.exit_code, refused.stderr.splitlines()[0]) == (5, f"error: anna has {count}")


def test_if_not_exists(cli: Cli, database: Database) -> None:
    """Repeated with the same values nothing happens; with others, or another's address, it is a conflict."""
    first = _create(cli, "anna", "--language", "de", "-o", "json").ok().json()
    again = _create(cli, "anna", "--if-not-exists", "-o", "json").ok().json()
    assert again == {**first, "created": False}
    for args in (("anna",), ("anna", "--language", "fr", "--if-not-exists")):
        refused = _create(cli, *args)
        assert refused.exit_code == 5
        assert refused.stderr.endswith("hint: notifyctl users show anna\n")
    other = cli.call("users", "create", "bert", "--email", "anna@example.org", "--if-not-exists", "-o", "json")
    assert other.exit_code == 5
    assert json.loads(other.stderr)["error"]["message"] == "anna@example.org belongs to the user anna"
    assert _count(database, users) == 1
    assert len(_audit(database)) == 1


@pytest.mark.parametrize(
    "args",
    [
        ("a@b", "--email", "a@example.org"),
        ("3f9c2a71-4b4b-4b4b-8b8b-123456789012", "--email", "a@example.org"),
        ("anna", "--email", "nonsense"),
        ("anna", "--email", "a@example.org", "--language", "deutsch!"),
        ("anna",),
        ("anna", "--email", f"{'a' * 300}@example.org"),
    ],
)
def test_malformed_values_store_nothing(cli: Cli, database: Database, args: tuple[str, ...]) -> None:
    """Exit 2, one line and a hint, and no row."""
    refused = cli.call("users", "create", *args)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 2
    assert _count(database, users) == 0


def test_update_refuses_what_is_taken(cli: Cli) -> None:
    """Neither name nor address of another user; nothing given is a usage error; the same values change nothing."""
    _create(cli).ok()
    bert = _create(cli, "bert", "-o", "json").ok().json()
    assert cli.call("users", "update", "bert", "--username", "anna").exit_code == 5
    assert cli.call("users", "update", "bert", "--email", "anna@example.org").exit_code == 5
    assert cli.call("users", "update", "bert").exit_code == 2
    same = cli.call("users", "update", "bert", "--email", "bert@EXAMPLE.org", "-o", "json").ok().json()
    assert same["updated_at"] == bert["updated_at"]


def test_a_name_that_begins_anothers_id_is_never_guessed(cli: Cli, database: Database) -> None:
    """Where a reference means two users, the command stops and names both, instead of acting on one of them."""
    row = {"id": "cafebabe-0000-4000-8000-000000000001", "username": "anna", "email": "anna@example.org"}
    database.write(lambda tx: tx.execute(insert(users).values(row)))
    bert = cli.call("users", "create", "cafebabe", "--email", "b@example.org", "-o", "id").ok().stdout.strip()
    refused = cli.call("users", "delete", "cafebabe", "--yes")
    assert refused.exit_code == 2
    assert row["id"] in refused.stderr
    assert bert in refused.stderr
    assert cli.call("users", "show", "b@example.org", "-o", "id").ok().stdout.strip() == bert


@pytest.mark.parametrize(
    "ref", ["nobody", "nobody@example.org", "5eed5eed-5eed-4eed-8eed-5eed5eed5eed", "ffffffff", " ", "a\x00b", "%"]
)
def test_a_user_that_is_not_there(cli: Cli, ref: str) -> None:
    """Exit 3 with the command that helps, for every form of a reference."""
    missing = cli.call("users", "show", ref)
    assert (missing.exit_code, missing.stdout) == (3, "")
    assert missing.stderr.endswith("hint: notifyctl users list\n")


def test_delete_asks(cli: Cli, database: Database) -> None:
    """Without a person and without --yes nothing is deleted, and the error says how."""
    _create(cli).ok()
    refused = cli.call("users", "delete", "anna")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert _count(database, users) == 1


def test_delete_refuses_pending_notifications(cli: Cli, database: Database) -> None:
    """A user who still waits for something goes only with --cancel-pending, and not while it is being sent."""
    anna = seed.user(database)
    (waiting,) = seed.pending(database, anna)
    refused = cli.call("users", "delete", "anna", "--yes")
    assert refused.exit_code == 5
    assert "--cancel-pending" in refused.stderr

    lease = {"lease_id": str(uuid.uuid4()), "leased_until": 2**50}
    database.write(lambda tx: tx.execute(update(notifications).values(lease)))
    assert cli.call("users", "delete", "anna", "--yes", "--cancel-pending").exit_code == 5
    assert seed.notification(database, waiting).status == "pending"

    database.write(lambda tx: tx.execute(update(notifications).values(leased_until=1)))
    gone = cli.call("users", "delete", "anna", "--yes", "--cancel-pending", "-o", "json").ok().json()
    assert gone["notifications"] == 1
    assert _count(database, notifications) == 0


def test_delete_keeps_the_numbers(cli: Cli, database: Database) -> None:
    """What was sent to a deleted user stays counted, and a dead address stays suppressed."""
    anna = seed.user(database)
    seed.pending(database, anna, count=3, status="sent", sent_at=1_500)
    number = "+14155552345"
    cli.call("users", "contacts", "add", "anna", "sms", number).ok()
    cli.call("users", "contacts", "suppress", "anna", "sms", number, "--reason", "STOP").ok()
    cli.call("users", "delete", "anna", "--yes").ok()
    with database.read() as tx:
        kept = tx.execute(select(func.sum(notification_metrics.c.erased_sent))).scalar_one()
        assert tx.execute(select(suppressions.c.address)).scalars().all() == [number]
    assert kept == 3


def test_delete_hands_templates_over(cli: Cli, database: Database) -> None:
    """Templates outlive their author: a new one has to be named, and cannot be the one who goes."""
    anna, bert = seed.user(database), seed.user(database, "bert")
    row = {"id": str(uuid.uuid4()), "name": "t", "message_type": "email", "body": "b", "created_by": anna}
    database.write(lambda tx: tx.execute(insert(notification_templates).values(row)))
    refused = cli.call("users", "delete", "anna", "--yes")
    assert refused.exit_code == 5
    assert "--reassign-templates-to" in refused.stderr
    assert cli.call("users", "delete", "anna", "--yes", "--reassign-templates-to", "anna").exit_code == 2
    assert cli.call("users", "delete", "anna", "--yes", "--reassign-templates-to", "nobody").exit_code == 3
    assert _count(database, users) == 2
    cli.call("users", "delete", "anna", "--yes", "--reassign-templates-to", "bert").ok()
    with database.read() as tx:
        assert tx.execute(select(notification_templates.c.created_by)).scalar_one() == bert


def test_a_user_may_delete_herself(cli: Cli, database: Database) -> None:
    """The audit row of a deletion survives that its actor is the one deleted."""
    _create(cli).ok()
    key = cli.call("keys", "create", "anna", "--name", "n", "-o", "secret").ok().stdout.strip()
    cli.call("users", "delete", "anna", "--yes", env={"NOTIFYCTL_API_KEY": key}).ok()
    assert _audit(database)[-1][:2] == ("delete", "user")


@pytest.fixture
def crowd(database: Database) -> list[str]:
    """Ids of 1,203 users, newest first, each created a millisecond after the one before."""
    rows = [
        {"id": str(uuid.uuid4()), "username": f"u{n}", "email": f"u{n}@example.org", "created_at": n}
        for n in range(1_203)
    ]
    database.write(lambda tx: tx.execute(insert(users), rows))
    return [row["id"] for row in reversed(rows)]


def test_a_list_for_people_is_a_page(cli: Cli, crowd: list[str]) -> None:
    """On a terminal a table shows 50 and says of how many and how to go on; going on reaches the next row."""
    first = on_terminal(cli, "users", "list", env={"NO_COLOR": "1"})
    *lines, remark = first.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [each[:8] for each in crowd[:50]]
    assert remark.startswith("50 of 1,203; --all, or --cursor ")
    cursor = remark.split()[-4]
    second = cli.call("users", "list", "--cursor", cursor, "--limit", "2").ok()
    assert [line.split()[0] for line in second.stdout.splitlines()[1:]] == crowd[50:52]
    everything = cli.call("users", "list", "--all").ok()
    assert len(everything.stdout.splitlines()) == 1_204
    assert everything.stderr == ""


@pytest.mark.parametrize("form", ["json", "yaml", "ndjson", "csv", "plain", "id"])
def test_a_list_for_programs_is_complete(cli: Cli, crowd: list[str], form: str) -> None:
    """Over several pages of the database, in order and without a remark; --limit still cuts, and says so."""
    whole = cli.call("users", "list", "-o", form).ok()
    assert (_ids(whole, form), whole.stderr) == (crowd, "")
    cut = cli.call("users", "list", "-o", form, "--limit", "1001").ok()
    assert _ids(cut, form) == crowd[:1_001]
    assert cut.stderr.startswith("1,001 of 1,203; ")
    assert cli.call("users", "list", "-o", form, "--limit", "1203").ok().stderr == ""


def _ids(result: Result, form: str) -> list[str]:
    if form == "json":
        return [row["id"] for row in result.json()]
    if form == "yaml":
        return [row["id"] for row in yaml.safe_load(result.stdout)]
    if form == "plain":
        return [line.split("\t")[0] for line in result.stdout.splitlines()[1:]]
    if form == "ndjson":
        return [json.loads(line)["id"] for line in result.stdout.splitlines()]
    if form == "csv":
        return [row["id"] for row in csv.DictReader(io.StringIO(result.stdout))]
    return result.stdout.splitlines()


@pytest.mark.parametrize("args", [("--all", "--limit", "3"), ("--limit", "0"), ("--cursor", "x"), ("--limit", "-1")])
def test_what_a_list_cannot_be_asked(cli: Cli, args: tuple[str, ...]) -> None:
    """Contradictions and nonsense are usage errors."""
    assert cli.call("users", "list", *args).exit_code == 2
