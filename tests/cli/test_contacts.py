"""`users contacts` on the command line, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli, Result

NUMBER = "+14155552345"


@pytest.fixture(autouse=True)
def anna(database: Database) -> str:
    """A user anna, anna@example.org."""
    return seed.user(database)


def _contacts(cli: Cli, *args: str) -> Result:
    return cli.call("users", "contacts", *args)


def _listed(cli: Cli, *args: str) -> list[tuple[Any, ...]]:
    rows = _contacts(cli, "list", "anna", *args, "-o", "json").ok().json()
    return [(row["channel"], row["address"], row["source"], row["used"], row["suppressed_reason"]) for row in rows]


def test_the_newest_address_is_used(cli: Cli) -> None:
    """The user's own e-mail address serves until another is added; of several the newest is used."""
    own = ("email", "anna@example.org", "user", True, None)
    assert _listed(cli) == [own]
    _contacts(cli, "add", "anna", "email", "first@example.org").ok()
    _contacts(cli, "add", "anna", "email", "second@example.org").ok()
    _contacts(cli, "add", "anna", "sms", "+1 (415) 555-2345").ok()
    assert _listed(cli) == [
        ("email", "second@example.org", "contact", True, None),
        ("email", "first@example.org", "contact", False, None),
        ("email", "anna@example.org", "user", False, None),
        ("sms", NUMBER, "contact", True, None),
    ]
    assert _listed(cli, "--channel", "push") == []


def test_a_suppressed_address_is_passed_over_and_stays_so(cli: Cli) -> None:
    """It is by address: removing and adding it again does not lift it, lifting it does."""
    for address in ("first@example.org", "second@example.org"):
        _contacts(cli, "add", "anna", "email", address).ok()
    done = _contacts(cli, "suppress", "anna", "email", "second@EXAMPLE.org", "--reason", "hard\nbounce", "-o", "json")
    assert done.ok().json()["created"] is True
    assert _listed(cli)[:2] == [
        ("email", "second@example.org", "contact", False, "hard bounce"),
        ("email", "first@example.org", "contact", True, None),
    ]
    _contacts(cli, "remove", "anna", "email", "second@example.org").ok()
    again = _contacts(cli, "add", "anna", "email", "second@example.org", "-o", "json").ok()
    assert (again.json()["suppressed"], again.json()["used"]) == (True, False)
    assert again.stderr == "second@example.org is suppressed: hard bounce\n"
    lifted = _contacts(cli, "unsuppress", "anna", "email", "second@example.org", "-o", "json").ok()
    assert (lifted.json()["reason"], lifted.stderr) == ("hard bounce", "")
    assert _listed(cli)[0] == ("email", "second@example.org", "contact", True, None)


def test_suppressing_again_keeps_the_first_reason(cli: Cli) -> None:
    """The time and the reason of the first stay; nothing to lift is no failure."""
    first = _contacts(cli, "suppress", "anna", "sms", NUMBER, "--reason", "one", "-o", "json").ok()
    assert f"{NUMBER} is no sms address of anna" in first.stderr
    second = _contacts(cli, "suppress", "anna", "sms", NUMBER, "--reason", "two", "-o", "json").ok()
    assert second.json() == {**first.json(), "created": False}
    assert _contacts(cli, "unsuppress", "anna", "sms", NUMBER).exit_code == 0
    assert _contacts(cli, "unsuppress", "anna", "sms", NUMBER).ok().stderr == f"{NUMBER} was not suppressed\n"


def test_the_users_own_address_can_be_suppressed(cli: Cli) -> None:
    """The list shows why and since when, and that nothing goes there although there is no other address."""
    _contacts(cli, "suppress", "anna", "email", "anna@example.org", "--reason", "opted out").ok()
    (own,) = _contacts(cli, "list", "anna", "-o", "json").ok().json()
    assert (own["id"], own["used"], own["suppressed"], own["suppressed_reason"]) == (None, False, True, "opted out")
    assert own["suppressed_at"].endswith("Z")


def test_adding_twice(cli: Cli) -> None:
    """A repetition is a conflict, or with --if-not-exists nothing at all, however the number was written."""
    first = _contacts(cli, "add", "anna", "sms", NUMBER, "-o", "json").ok().json()
    assert _contacts(cli, "create", "anna", "sms", "+1-415-555-2345").exit_code == 5
    again = _contacts(cli, "add", "anna", "sms", "+1 415 555 2345", "--if-not-exists", "-o", "json").ok().json()
    assert again == {**first, "created": False}
    assert _contacts(cli, "list", "anna", "-o", "id").ok().stdout == f"{first['id']}\n"


def test_removing(cli: Cli) -> None:
    """What is not there is not found; the user's own address is changed elsewhere, and the hint says where."""
    assert _contacts(cli, "remove", "anna", "sms", NUMBER).exit_code == 3
    own = _contacts(cli, "delete", "anna", "email", "anna@example.org")
    assert own.exit_code == 5
    assert "notifyctl users update anna --email" in own.stderr


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("add", "nobody", "sms", NUMBER), 3),
        (("list", "nobody"), 3),
        (("suppress", "nobody", "sms", NUMBER, "--reason", "x"), 3),
        (("unsuppress", "nobody", "sms", NUMBER), 3),
        (("add", "anna", "fax", NUMBER), 2),
        (("add", "anna", "sms", "4155552345"), 2),
        (("add", "anna", "email", "nonsense"), 2),
        (("add", "anna", "push", "two words"), 2),
        (("suppress", "anna", "sms", NUMBER), 2),
        (("suppress", "anna", "sms", NUMBER, "--reason", " "), 2),
    ],
)
def test_what_is_refused(cli: Cli, args: tuple[str, ...], code: int) -> None:
    """Unknown users are not found, malformed values are usage errors; nothing is written to stdout."""
    refused = _contacts(cli, *args)
    assert (refused.exit_code, refused.stdout) == (code, "")


def test_another_address_wakes_what_a_rule_put_off(cli: Cli, database: Database, anna: str) -> None:
    """A number may be of another country, whose contact windows are others: all is judged anew on that channel."""
    late = 4_000_000_000_000
    for act in ("add", "remove"):
        [text] = seed.pending(database, anna, "twilio", due_at=late, deferred_by="contact_window")
        [mail] = seed.pending(database, anna, due_at=late, deferred_by="contact_window")
        _contacts(cli, act, "anna", "sms", NUMBER).ok()
        assert seed.notification(database, text).due_at < late
        assert seed.notification(database, text).deferred_by is None
        assert seed.notification(database, mail).due_at == late
