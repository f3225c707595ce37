"""Sealed addresses where the encryption keys are not everywhere the same, or are lost."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import update

from notifyctl.core.sealing import parse_keys
from notifyctl.store import lookups, moving
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import contact_points, suppressions
from tests.support.world import KEYS, World

NUMBER, OTHER = "+447700900123", "+447700900999"
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
    """Of a message whose address does not open here, and of all others that come with it; the dead are suppressed."""
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
    """One of them, or all; it needs no key, and what opens is not meant by an id."""
    points = {each["address"]: each["id"] for each in _with_both(ahead, "users", "contacts", "list", "bob")}
    told = ahead.cli.call("secrets", "status")
    assert told.exit_code == 4 and "encrypt-addresses --lost-key k2" in told.stderr
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


def test_who_asks_is_told_that_an_address_does_not_open(world: World, database: Database) -> None:
    """As the claim finds it: `send`, its dry run and `explain` do not say that there is none."""
    world.ok("users", "create", "bob", "--email", "bob@example.org")
    world.ok("users", "contacts", "add", "bob", "sms", NUMBER)
    world.ok("secrets", "encrypt-addresses", "--yes")
    (number,) = (each["id"] for each in _contacts(world, "bob") if each["id"])
    damaged = update(contact_points).where(contact_points.c.id == number).values(address="v1.k1." + "A" * 40)
    database.write(lambda tx: tx.execute(damaged))
    sent = world.ok("send", "bob", "--channel", "sms", "--body", "hello", "-o", "json")
    assert "(invalid_payload): the user's address does not open" in sent.stderr
    dry = world.cli.call("send", "bob", "--channel", "sms", "--body", "hello", "--dry-run")
    assert (dry.exit_code, "the sms address of bob does not open" in dry.stderr) == (5, True)
    asked = (sent.json()["id"],), ("--user", "bob", "--channel", "sms")
    told = [world.ok("notifications", "explain", *each, "-o", "json").json() for each in asked]
    for each in (each[0] if isinstance(each, list) else each for each in told):
        assert "a dead letter (invalid_payload): the user's address does not open" in each["next"]
        assert next(step["words"] for step in each["gates"] if step["gate"] == "address") == "does not open"
    assert world.dispatch()["dead"] == 1
    (letter,) = world.ok("dlq", "list", "-o", "json").json()
    assert letter["failure_reason"] == "invalid_payload"


def test_a_dump_leaves_out_what_does_not_open_and_says_so(world: World, database: Database) -> None:
    """What it has can be applied; each address that it has not is named."""
    world.ok("suppressions", "add", "sms", NUMBER, "--reason", "asked")
    world.ok("secrets", "encrypt-addresses", "--yes")
    database.write(lambda tx: tx.execute(update(suppressions).values(written="v1.k1." + "A" * 40)))
    push = contact_points.c.channel == "push"
    database.write(lambda tx: tx.execute(update(contact_points).where(push).values(address="v1.k1." + "A" * 40)))
    dumped = world.ok("fixtures", "dump", "--kind", "users", "--kind", "suppressions")
    assert dumped.stderr.count("its address does not open, and is left out") == 2
    assert "+14155552345" in dumped.stdout and "does not open" not in dumped.stdout
    world.ok("fixtures", "apply", "-f", "-", "--dry-run", "--exit-code", input=dumped.stdout)


def test_fixtures_write_a_damaged_suppression_anew_once(world: World, database: Database) -> None:
    """Whoever says of an address what was said writes it anew: applied again, a file changes nothing."""
    file = json.dumps({"suppressions": [{"channel": "sms", "address": NUMBER, "reason": "asked"}]})
    world.ok("fixtures", "apply", "-f", "-", input=file)
    world.ok("secrets", "encrypt-addresses", "--yes")
    database.write(lambda tx: tx.execute(update(suppressions).values(written="v1.k1." + "A" * 40)))
    world.ok("fixtures", "apply", "-f", "-", input=file)
    world.ok("fixtures", "apply", "-f", "-", "--dry-run", "--exit-code", input=file)
    assert NUMBER in world.ok("suppressions", "list").stdout


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


def test_addresses_are_gone_on_with_without_a_key_that_is_lost(world: World) -> None:
    """All that it sealed is given up, as the question says; what another key sealed is found, and holds, as before."""
    world.ok("suppressions", "add", "sms", NUMBER, "--reason", "asked", "--cause", "opt_out")
    world.ok("secrets", "encrypt-addresses", "--yes")
    world.ok("users", "create", "bob", "--email", "bob@example.org")
    for address in (NUMBER, OTHER):
        world.cli.call("users", "contacts", "add", "bob", "sms", address, env=BOTH).ok()
    world.cli.call("suppressions", "add", "sms", OTHER, "--reason", "asked as well", env=BOTH).ok()
    world.send("sms")
    world.dispatch()
    world.cli.env[KEY] = BOTH[KEY].partition(",")[0]
    for name in ("sendgrid", "twilio"):
        secret = ("--api-secret", "-") if name == "twilio" else ()
        facts = world.sandbox.facts[name]
        world.ok(
            "providers",
            "update",
            name,
            "--api-key",
            "-",
            *secret,
            input=f"{facts['api_key']}\n{facts.get('api_secret')}\n",
        )
    world.ok("providers", "update", "fcm", "--credentials", world.sandbox.facts["fcm"]["credentials"])
    assert "--lost-key k1" in world.cli.call("secrets", "status").stderr
    refused = world.cli.call("secrets", "encrypt-addresses", "--lost-key", "k1")
    assert refused.exit_code == 2 and "2 contact points are removed, and 1 suppressions" in refused.stderr, refused
    world.ok("secrets", "encrypt-addresses", "--lost-key", "k1", "--yes")
    listed = {(each["address"], each["suppressed"]) for each in _contacts(world, "bob")}
    assert listed == {(NUMBER, False), (OTHER, True), ("bob@example.org", False)}
    assert [each["address"] for each in _contacts(world, "anna")] == ["anna@example.org"]
    (held,) = world.ok("suppressions", "list", "-o", "json").json()
    assert held["address"] == OTHER
    world.ok("suppressions", "add", "sms", NUMBER, "--reason", "asked", "--cause", "opt_out")
    id_ = world.send("sms", user="bob")
    world.dispatch()
    assert world.show(id_)["status"] == "cancelled"
    mail = world.send("email")
    assert world.dispatch()["accepted"] == 1
    assert world.show(mail)["status"] == "sent"
    world.ok("audit", "seal", "--lost-key", "k1")
    assert "cannot be verified any more" in world.ok("secrets", "status").stderr
    again = world.cli.call("secrets", "encrypt-addresses", "--lost-key", "k1", "--yes")
    assert (again.exit_code, "no address is sealed with key k1" in again.stderr) == (5, True)
    assert world.cli.call("secrets", "encrypt-addresses", "--lost-key", "k2", "--yes").exit_code == 5  # it is here


def _contacts(world: World, name: str) -> list[dict[str, Any]]:
    return list(world.ok("users", "contacts", "list", name, "-o", "json").json())
