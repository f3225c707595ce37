"""`notifications explain` and `send` of several that are due to one person: those before use up a cap or a limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.queue.claim import ClaimRequest, claim
from tests.support import midday, seed
from tests.support.command import Cli

KEYS = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k", bytes(64))}
ME = "11111111-1111-4111-8111-111111111111"
SUPPOSED = ("--user", "anna", "--channel", "email")


@pytest.fixture
def anna(cli: Cli, database: Database) -> str:
    """A user, with sendgrid configured, and a category."""
    seed.provider(database, config_json=json.dumps({"from": "a@example.org"}))
    cli.call("categories", "create", "bills").ok()
    return seed.user(database)


def explained(cli: Cli, *args: str) -> list[dict[str, Any]]:
    found = cli.call("notifications", "explain", *args, "-o", "json").ok().json()
    return list(found) if isinstance(found, list) else [found]


def become(database: Database, ids: list[str]) -> list[str]:
    """Claim as a dispatcher would, and return what each came to, in explain's words."""
    asked = ClaimRequest("sendgrid", ME, 100, 65_000)
    taken = {each.id for each in database.write(lambda tx: claim(tx, asked)).claims}
    rows = {id_: seed.notification(database, id_) for id_ in ids}
    other = {"pending": "defer", "cancelled": "cancel"}
    return ["send" if id_ in taken else other[rows[id_].status] for id_ in ids]


@pytest.mark.parametrize("rule", ["cap", "limit"])
def test_each_of_several_is_said_what_becomes_of_it(cli: Cli, database: Database, anna: str, rule: str) -> None:
    """Critical ones go first and count; what is cancelled or expired uses up nothing; two fit."""
    ids = [seed.pending(database, anna, due_at=10 + at)[0] for at in range(3)]
    ids += seed.pending(database, anna, due_at=1, expires_at=2)
    ids += seed.pending(database, anna, due_at=2, category="bills")
    ids += seed.pending(database, anna, due_at=99, is_critical=True)
    cli.call("prefs", "opt-out", "anna", "bills").ok()
    if rule == "cap":
        cli.call("prefs", "set", "anna", "email", "--cap", "2", "--timezone", midday.zone()).ok()
    else:
        cli.call("limits", "set", "anna", "--per-minute", "2").ok()
    before = explained(cli, *ids)
    next_one, critical = explained(cli, *SUPPOSED), explained(cli, *SUPPOSED, "--critical")
    assert [each["verdict"] for each in before] == ["send", "defer", "defer", "cancel", "cancel", "send"]
    assert (next_one[0]["verdict"], critical[0]["verdict"]) == ("defer", "send")
    gate = "cap" if rule == "cap" else "rate limit"
    (words,) = (each["words"] for each in before[1]["gates"] if each["gate"] == gate)
    assert words.startswith("0 of 2, with 2 more due before it,")
    assert become(database, ids) == [each["verdict"] for each in before]
    rows = [seed.notification(database, id_) for id_ in ids[1:3]]
    assert [row.error_message for row in rows] == [each["reason"] for each in before[1:3]]
    (after,) = (each["words"] for each in explained(cli, *SUPPOSED)[0]["gates"] if each["gate"] == gate)
    assert after.startswith("2 of 2 ")


def test_what_is_held_or_later_uses_up_nothing(cli: Cli, database: Database, anna: str) -> None:
    """It does not go before: a scheduled one, one of another person, one that waits for another attempt."""
    later = database.moment() + 3_600_000
    seed.pending(database, anna, due_at=later)
    seed.pending(database, anna, due_at=later, send_at=later)
    seed.pending(database, seed.user(database, "omar"), due_at=1)
    (id_,) = seed.pending(database, anna, due_at=10)
    cli.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    assert [each["verdict"] for each in explained(cli, id_)] == ["send"]
    assert become(database, [id_]) == ["send"]


def test_send_warns_of_those_that_go_before_it(cli: Cli, database: Database, anna: str) -> None:
    """Of one that is due at once, as its dry run does; one for later is not behind them."""
    cli.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.a.b\n", env=KEYS).ok()
    mail = ("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "-o", "json")
    assert cli.call(*mail, env=KEYS).ok().stderr == ""
    words = "the user's cap of 1 a day is reached"
    for more in (("--dry-run",), ()):
        assert words in cli.call(*mail, *more, env=KEYS).ok().stderr
    for passing in (("--critical",), ("--in", "2d")):
        assert words not in cli.call(*mail, *passing, env=KEYS).ok().stderr


def test_who_is_not_the_users_own_address_is_not_looked_for_there(cli: Cli, database: Database, anna: str) -> None:
    """`send --to` somebody who is suppressed: the user's contact points would show nothing of that."""
    cli.call("suppressions", "add", "email", "bob@example.org", "--reason", "asked").ok()
    said = {"v": 1, "subject": "s", "text": "t", "to": "Bob <bob@example.org>"}
    ids = [*seed.pending(database, anna, payload=json.dumps(said))]
    ids += seed.pending(database, anna, payload=json.dumps(said), status="cancelled", error_message="asked")
    pending, ended = explained(cli, *ids)
    assert pending["remedies"] == ["notifyctl suppressions remove email ADDRESS"]
    assert ended["remedies"][0] == "notifyctl suppressions remove email ADDRESS"
    cli.call("suppressions", "remove", "email", "bob@example.org", "--yes").ok()
    assert [each["verdict"] for each in explained(cli, ids[0])] == ["send"]


def test_who_left_a_group_is_not_looked_for_among_addresses(cli: Cli, database: Database, anna: str) -> None:
    """The user's own address is not suppressed but for that group's mails: the list of addresses shows nothing."""
    cli.call("categories", "create", "news", "--kind", "marketing", "--provider-group", "88").ok()
    said = ("--reason", "asked", "--cause", "opt_out")
    cli.call("suppressions", "add", "email", "anna@example.org", *said, "--group", "88").ok()
    (id_,) = seed.pending(database, anna, category="news")
    for asked in ((id_,), (*SUPPOSED, "--category", "news")):
        assert explained(cli, *asked)[0]["remedies"] == ["notifyctl suppressions remove email ADDRESS"]
    cli.call("suppressions", "add", "email", "anna@example.org", "--reason", "asked").ok()
    for asked in ((id_,), SUPPOSED):
        assert explained(cli, *asked)[0]["remedies"] == ["notifyctl users contacts list anna"]


@pytest.mark.parametrize("rule", ["cap", "limit"])
def test_what_cannot_go_before_it_uses_up_nothing(cli: Cli, database: Database, anna: str, rule: str) -> None:
    """One on a channel without an address, one to an address that is suppressed, one whose content cannot be read."""
    seed.provider(database, "fcm")
    push = json.dumps({"v": 1, "title": "t", "body": "b"})
    ids = seed.pending(database, anna, due_at=1, message_type="push", provider="fcm", payload=push)
    to_bob = json.dumps({"v": 1, "subject": "s", "text": "t", "to": "bob@example.org"})
    ids += seed.pending(database, anna, due_at=2, payload=to_bob)
    ids += seed.pending(database, anna, due_at=3, payload="{")
    ids += [seed.pending(database, anna, due_at=10 + at)[0] for at in range(2)]
    cli.call("suppressions", "add", "email", "bob@example.org", "--reason", "asked").ok()
    if rule == "cap":
        cli.call("prefs", "set", "anna", "email", "--cap", "1", "--timezone", midday.zone()).ok()
    else:
        cli.call("limits", "set", "anna", "--per-minute", "1").ok()
    before = explained(cli, *ids)
    assert [each["verdict"] for each in before] == ["fail", "cancel", None, "send", "defer"]
    assert become(database, ids[3:]) == ["send", "defer"]
