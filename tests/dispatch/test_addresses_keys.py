"""Sealed addresses where the encryption keys are not everywhere the same, or are lost."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import update

from notifyctl.core.sealing import parse_keys
from notifyctl.store import lookups, moving
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import suppressions
from tests.support.world import KEYS, World

NUMBER = "+447700900123"
KEY = "NOTIFYCTL_ENCRYPTION_KEYS"
BOTH = {KEY: "k2:" + "QkJC" * 21 + "Qg==," + KEYS}
"""The keys of a host that has the new one already, and seals with it."""


@pytest.fixture
def ahead(world: World) -> World:
    """Addresses are sealed with k1; a host that has k2 seals Bob's number with that."""
    world.ok("secrets", "encrypt-addresses", "--yes")
    world.ok("users", "create", "bob", "--email", "bob@example.org")
    world.cli.call("users", "contacts", "add", "bob", "sms", NUMBER, env=BOTH).ok()
    return world


def _with_both(world: World, *args: str) -> Any:
    return world.cli.call(*args, "-o", "json", env=BOTH).ok().json()


def test_a_key_that_only_other_hosts_have_ends_nothing(ahead: World) -> None:
    """What this host cannot open waits for one that can; others go out, and nothing becomes a dead letter."""
    sent = _with_both(ahead, "send", "bob", "--channel", "sms", "--body", "hello")
    other = ahead.send("sms")
    done = ahead.dispatch()
    twilio = next(each for each in done["providers"] if each["provider"] == "twilio")
    assert (done["accepted"], done["dead"], twilio["deferred"]) == (1, 0, 1)
    assert ahead.show(other)["status"] == "sent"
    (shown,) = _with_both(ahead, "notifications", "list", "--user", "bob")
    assert (shown["state"], shown["deferred_by"], shown["attempt_count"]) == ("deferred", "encryption_key", 0)
    assert "needs encryption key 'k2'" in shown["error_message"]
    _with_both(ahead, "notifications", "reschedule", sent["id"], "--at", "now")
    assert _with_both(ahead, "dispatch", "--once")["accepted"] == 1


def test_receipts_are_taken_whatever_key_is_lacking(ahead: World) -> None:
    """Of a message whose address does not open here, and of all others that come with it; what is dead is suppressed."""
    sent = _with_both(ahead, "send", "bob", "--channel", "sms", "--body", "hello")["id"], ahead.send("sms")
    assert _with_both(ahead, "dispatch", "--once")["accepted"] == 2
    shown = {each: _with_both(ahead, "notifications", "show", each) for each in sent}
    forms = [
        {"MessageSid": shown[sent[0]]["provider_message_id"], "To": NUMBER, "MessageStatus": "undelivered"},
        {"MessageSid": shown[sent[1]]["provider_message_id"], "To": "+14155552345", "MessageStatus": "delivered"},
    ]
    posted = "\n".join(urlencode({**form, "ErrorCode": "30005"}) for form in forms)
    taken = ahead.ok("receipts", "ingest", "-", "--provider", "twilio", "-o", "json", input=posted).json()
    assert (taken["bounced"], taken["delivered"], taken["suppressed"]) == (1, 1, 1)
    (point,) = _with_both(ahead, "users", "contacts", "list", "bob", "--channel", "sms")
    assert (point["address"], point["suppressed"]) == (NUMBER, True)


def test_what_only_a_lost_key_opens_is_removed_by_its_id(ahead: World) -> None:
    """`secrets status` says that this is the way; it needs no key, and what opens is not meant by an id."""
    points = {each["address"]: each["id"] for each in _with_both(ahead, "users", "contacts", "list", "bob")}
    told = ahead.cli.call("secrets", "status")
    assert told.exit_code == 4 and "users contacts remove USER CHANNEL ID" in told.stderr
    assert "credential" not in told.stderr
    assert ahead.cli.call("users", "contacts", "remove", "bob", "email", points[NUMBER]).exit_code == 2
    removed = ahead.ok("users", "contacts", "remove", "bob", "sms", points[NUMBER], "-o", "json").json()
    assert (removed["address"], removed["used"]) == ("(does not open)", False)
    assert [each["address"] for each in ahead.ok("users", "contacts", "list", "bob", "-o", "json").json()] == [
        "bob@example.org"
    ]
    ahead.ok("secrets", "status")
    anna = ahead.ok("users", "contacts", "list", "anna", "--channel", "sms", "-o", "json").json()[0]
    assert ahead.cli.call("users", "contacts", "remove", "anna", "sms", anna["id"]).exit_code == 2


def test_a_suppression_whose_key_is_lost_is_written_anew(ahead: World) -> None:
    """What finds it is another key's: it goes on holding, and a key that is here seals it then."""
    _with_both(ahead, "suppressions", "add", "sms", NUMBER, "--reason", "asked")
    assert ahead.cli.call("suppressions", "list").exit_code == 4
    ahead.ok("suppressions", "add", "sms", NUMBER, "--reason", "asked")
    (mended,) = ahead.ok("suppressions", "list", "-o", "json").json()
    assert mended["address"] == NUMBER


@pytest.mark.parametrize("words", [("suppressions", "add"), ("users", "contacts", "suppress", "anna")])
def test_a_damaged_suppression_is_written_anew(world: World, database: Database, words: tuple[str, ...]) -> None:
    """Exit 0, as it was needed; it holds all the while, and once it is mended it is there already."""
    world.ok("suppressions", "add", "sms", NUMBER, "--reason", "asked")
    world.ok("secrets", "encrypt-addresses", "--yes")
    damaged = update(suppressions).values(written="v1.k1." + "A" * 40)
    database.write(lambda tx: tx.execute(damaged))
    assert "(does not open)" in world.ok("suppressions", "list").stdout
    world.ok(*words, "sms", NUMBER, "--reason", "once more")
    (mended,) = world.ok("suppressions", "list", "-o", "json").json()
    assert (mended["address"], mended["reason"]) == (NUMBER, "asked")
    assert world.cli.call("suppressions", "add", "sms", NUMBER, "--reason", "again").exit_code == 5


def test_what_went_to_an_address_that_is_gone_is_found_with_its_user(world: World) -> None:
    """Nobody has it any more: what it is sealed as can still be said of one person."""
    world.ok("secrets", "encrypt-addresses", "--yes")
    world.ok("users", "contacts", "add", "anna", "email", "Anna.at.Home@example.net")
    ids = {"sms": world.send("sms"), "email": world.send("email")}
    assert world.dispatch()["accepted"] == 2
    for channel, address in (("sms", "+14155552345"), ("email", "Anna.at.Home@example.net")):
        found = ("notifications", "list", "--address", address, "--user", "anna", "-o", "id")
        assert world.ok(*found).stdout.split() == [ids[channel]]
        world.ok("users", "contacts", "remove", "anna", channel, address)
        assert world.ok(*found).stdout.split() == [ids[channel]]


@pytest.mark.parametrize("hashing", [True, False])
def test_what_went_somewhere_is_found_while_addresses_move(world: World, database: Database, *, hashing: bool) -> None:
    """Begun, and the contact points are written anew already: where it went stands as before."""
    address, ring = "bob.at.home@example.net", parse_keys(KEYS, "test")
    world.ok("users", "create", "bob", "--email", "bob@example.org")
    world.ok("users", "contacts", "add", "bob", "email", address)
    if not hashing:
        world.ok("secrets", "encrypt-addresses", "--yes")
    id_ = world.send("email", user="bob")
    world.dispatch()
    db = database.opening(lambda: ring)
    db.write(lambda tx: lookups.begin(tx, ring, lookups.read(tx), hashing=hashing))
    db.write(lambda tx: moving.write_points(tx, known := lookups.to_write(tx), moving.points(tx, known, "", 100)))
    assert world.ok("notifications", "list", "--address", address, "--since", "1h", "-o", "id").stdout.split() == [id_]
