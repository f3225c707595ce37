"""`suppressions`: who must not be written to."""

from __future__ import annotations

import json

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli

ADD = ("suppressions", "add")


@pytest.fixture
def three(cli: Cli) -> Cli:
    """A bounce, an opt-out and an operator's word."""
    cli.call(*ADD, "email", "Bob@Example.org", "--reason", "550 no such user", "--cause", "bounce").ok()
    cli.call(*ADD, "sms", "+1 415 555 2345", "--reason", "STOP", "--cause", "opt_out").ok()
    cli.call(*ADD, "email", "eve@example.org", "--reason", "asked by phone").ok()
    return cli


def test_list_filters(three: Cli) -> None:
    """Newest first; by address however written, channel, cause, part of the reason; nothing is an empty list."""

    def found(*options: str) -> list[str]:
        rows = three.call("suppressions", "list", *options, "-o", "json").ok().json()
        return sorted(row["address"] for row in rows)

    assert found() == ["+14155552345", "Bob@example.org", "eve@example.org"]
    assert found("--address", "bob@EXAMPLE.org") == ["Bob@example.org"]
    assert found("--channel", "sms") == found("--reason", "opt-out") == ["+14155552345"]
    assert found("--reason", "by PHONE") == ["eve@example.org"]
    assert found("--since", "1h", "--channel", "email") == ["Bob@example.org", "eve@example.org"]
    assert found("--group", "7") == []


def test_show_says_all_that_stands_against_an_address(three: Cli) -> None:
    """Each cause is a row of its own; an address that nothing stands against is not found."""
    three.call(*ADD, "email", "bob@example.org", "--reason", "left", "--cause", "opt_out", "--group", "7").ok()
    rows = three.call("suppressions", "show", "BOB@example.org", "-o", "json").ok().json()
    assert [(row["cause"], row["group_id"]) for row in rows] == [("bounce", ""), ("opt_out", "7")]
    assert three.call("suppressions", "show", "nobody@example.org").exit_code == 3


@pytest.mark.parametrize("written", ['"Bob <x>, B." <bob@EXAMPLE.org>', "bob(work)@example.org", "<Bob@example.org>"])
def test_an_address_with_a_name_is_the_address(three: Cli, written: str) -> None:
    """Whoever pastes a mailbox (RFC 5322) as a mail shows it means its address, in every act."""
    added = three.call(*ADD, "email", written, "--reason", "x", "--cause", "bounce", "--if-not-exists", "-o", "json")
    assert "Bob@example.org" in added.stdout + added.stderr or "bob@example.org" in added.stdout + added.stderr
    for act in (("list", "--address", written), ("show", written)):
        assert [row["cause"] for row in three.call("suppressions", *act, "-o", "json").ok().json()] == ["bounce"]
    seen = ("notifications", "list", "--since", "1d", "-o", "json", "--address")
    assert three.call(*seen, written).ok().json() == []
    three.call("suppressions", "remove", "email", written, "--yes").ok()
    assert three.call("suppressions", "show", "bob@example.org").exit_code == 3


def test_add_says_when_it_is_there(three: Cli) -> None:
    """The same again is a conflict, and none with --if-not-exists; a group is an opt-out's only."""
    again = (*ADD, "email", "EVE@example.org", "--reason", "again")
    assert three.call(*again).exit_code == 5
    done = three.call(*again, "--if-not-exists", "-o", "json").ok().json()
    assert (done["created"], done["reason"]) == (False, "asked by phone")
    assert three.call(*ADD, "email", "x@example.org", "--reason", "r", "--group", "7").exit_code == 2
    assert three.call(*ADD, "email", "x@example.org", "--reason", " ").exit_code == 2
    assert three.call(*ADD, "email", "x@example.org", "--reason", "r", "--cause", "mood").exit_code == 2


@pytest.mark.parametrize("command", [("suppressions", "remove"), ("users", "contacts", "unsuppress", "anna")])
def test_lifting_an_opt_out_says_so_and_asks(three: Cli, database: Database, command: tuple[str, ...]) -> None:
    """Nobody is there to say yes: nothing is done, and the message says what the person wanted."""
    seed.user(database)
    refused = three.call(*command, "sms", "+14155552345")
    assert refused.exit_code == 2
    assert "opt_out" in refused.stderr
    assert "STOP" in refused.stderr
    assert three.call("suppressions", "show", "+14155552345").exit_code == 0
    three.call(*command, "sms", "+14155552345", "--yes").ok()
    assert three.call("suppressions", "show", "+14155552345").exit_code == 3
    three.call(*command, "email", "bob@example.org").ok()
    assert three.call("suppressions", "remove", "email", "bob@example.org").exit_code == 3


def test_what_is_exported_can_be_imported(three: Cli) -> None:
    """Address, channel, cause, reason and time survive the way through a file, and what was there is known."""
    written = three.call("suppressions", "export").ok().stdout
    assert written.count("\n") == 4
    before = three.call("suppressions", "list", "-o", "json").ok().json()
    done = three.call("suppressions", "import", "-f", "-", "-o", "json", input=written).ok().json()
    assert done == {"read": 3, "added": 0, "known": 3, "rejected": 0}
    for row in before:
        three.call("suppressions", "remove", row["channel"], row["address"], "--yes").ok()
    assert three.call("suppressions", "export", "-o", "ndjson").ok().stdout == ""
    again = three.call("suppressions", "import", "-f", "-", "-o", "json", input=written.replace("2026-", "2036-"))
    assert again.ok().json()["added"] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("email,created,reason,status\nbob@example.org,1700000000,550 gone,5.1.1\n", [("email", "bob@example.org")]),
        ("bob@example.org\n\n+14155552345\n", [("sms", "+14155552345"), ("email", "bob@example.org")]),
        ("address\n'+14155552345\n", [("sms", "+14155552345")]),
        ('\ufeff"Address";x\nbob@example.org', None),
        ('{"email": "Bob <bob@example.org>", "cause": "complaint"}\n', [("email", "bob@example.org")]),
        ('[{"address": "tok", "channel": "push"}, "bob@example.org"]', [("push", "tok"), ("email", "bob@example.org")]),
        ("name,age\nbob,7\n", None),
    ],
)
def test_import_reads_what_providers_and_people_have(
    cli: Cli, text: str, expected: list[tuple[str, str]] | None
) -> None:
    """A provider's own CSV, a plain list, NDJSON and a JSON array; a table without addresses is refused whole."""
    done = cli.call("suppressions", "import", "-f", "-", "--cause", "bounce", input=text)
    if expected is None:
        assert done.exit_code == 2
        return
    rows = done.ok() and cli.call("suppressions", "list", "-o", "json").ok().json()
    assert sorted((row["channel"], row["address"]) for row in rows) == sorted(expected)


def test_import_names_what_it_rejects(cli: Cli) -> None:
    """The others are written, exit 6, and each rejected row is named by its line."""
    text = "address,cause\nbob@example.org,bounce\nnonsense,bounce\neve@example.org,mood\n"
    done = cli.call("suppressions", "import", "-f", "-", "-o", "json", input=text)
    assert (done.exit_code, json.loads(done.stdout)) == (6, {"read": 3, "added": 1, "known": 0, "rejected": 2})
    assert "line 3" in done.stderr
    assert "line 4" in done.stderr


def test_an_import_can_be_rehearsed(cli: Cli) -> None:
    """--dry-run says what it would come to, and writes nothing."""
    dry = cli.call(
        "suppressions", "import", "-f", "-", "--dry-run", "-o", "json", input="address\nbob@example.org\n"
    ).ok()
    assert dry.json() == {"read": 1, "added": 1, "known": 0, "rejected": 0}
    assert dry.stderr == "nothing was written\n"
    assert cli.call("suppressions", "list", "-o", "json").ok().json() == []


def test_send_warns_of_copies_that_will_be_left_out(three: Cli, database: Database) -> None:
    """It is accepted all the same, and the warning names field, address and reason."""
    seed.user(database)
    seed.provider(database, config_json=json.dumps({"from": "shop@example.org"}))
    data = json.dumps({"cc": ["Bob <BOB@example.org>"]})
    done = three.call("send", "anna", "--channel", "email", "--subject", "s", "--body", "b", "--data", data).ok()
    assert "cc Bob <BOB@example.org> (550 no such user)" in done.stderr


@pytest.mark.parametrize("verb", ["list", "export"])
def test_a_reason_of_nothing_is_not_everything(cli: Cli, database: Database, verb: str) -> None:
    """Every reason contains it."""
    refused = cli.call("suppressions", verb, "--reason", "")
    assert (refused.exit_code, refused.stdout, "--reason" in refused.stderr) == (2, "", True)
