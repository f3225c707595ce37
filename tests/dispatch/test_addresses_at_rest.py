"""Addresses at rest: sealed in every table, found all the same, while they are sealed, sealed anew and opened again."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import select, update

from notifyctl.core.sealing import Keyring, parse_keys
from notifyctl.services import atrest
from notifyctl.store import lookups, moving
from notifyctl.store.db.database import Database
from notifyctl.store.schema.columns import metadata
from notifyctl.store.schema.tables import address_lookups, contact_points, suppressions, users
from tests.support.command import Cli
from tests.support.world import KEYS, World

NUMBER, OTHER, REFUSED = "+14155552345", "+447700900123", "+447700900999"
MAIL, TOKEN = "anna.at.home@example.org", "device-anna"
FILE = "NOTIFYCTL_ENCRYPTION_KEYS_FILE"


def _silent(_: str) -> None:
    """Say nothing."""


def _opening(database: Database, keys: str = KEYS) -> tuple[Database, Keyring]:
    ring = parse_keys(keys, "test")
    return database.opening(lambda: ring), ring


def _everything(database: Database) -> str:
    """Return all that is stored, but for what the users' own rows say."""
    with database.read() as tx:
        rows = [
            row
            for table in metadata.sorted_tables
            if table is not users
            for row in tx.execute(select(table)).mappings()
        ]
    return json.dumps([dict(row) for row in rows], default=str)


def _stored(database: Database) -> tuple[list[Any], list[Any]]:
    c, s = contact_points.c, suppressions.c
    with database.read() as tx:
        found = tx.execute(select(c.id, c.address, c.folded, c.folded_before).order_by(c.id)).all()
        refused = tx.execute(select(s.id, s.address, s.written, s.address_before).order_by(s.id)).all()
    return [tuple(row) for row in found], [tuple(row) for row in refused]


def _went_to(world: World) -> list[str]:
    taken = (each for each in world.sandbox.requests("twilio") if each["status"] in (200, 201))
    return [parse_qs(each["body"])["To"][0] for each in taken]


@pytest.fixture
def peopled(world: World) -> World:
    """Anna's second number is suppressed, and Bob's own e-mail address; Anna has a mail address beside her own."""
    world.ok("users", "contacts", "add", "anna", "email", MAIL)
    world.ok("users", "contacts", "add", "anna", "sms", REFUSED)
    world.ok("users", "contacts", "suppress", "anna", "sms", REFUSED, "--reason", "asked")
    world.ok("users", "create", "bob", "--email", "Bob@example.org")
    world.ok("suppressions", "add", "email", "bob@example.org", "--reason", "asked as well")
    return world


def test_nothing_is_stored_in_clear_and_everything_goes_where_it_should(peopled: World, database: Database) -> None:
    """Before and after: what went is sealed with the rest, and what goes then reaches the same addresses."""
    before = [peopled.send("sms"), peopled.send("push"), peopled.send("email")]
    peopled.dispatch()
    assert NUMBER in _everything(database) and MAIL in _everything(database)
    done = peopled.ok("secrets", "encrypt-addresses", "--yes", "-o", "json").json()
    assert done == {"encrypted": True, "contact_points": 4, "suppressions": 2, "notifications": 3}
    after = [peopled.send("sms"), peopled.send("push"), peopled.send("email")]
    assert peopled.dispatch()["accepted"] == 3
    said = _everything(database)
    assert not [each for each in (NUMBER, NUMBER[1:], REFUSED, MAIL, TOKEN, "ob@example.org") if each in said]
    assert _went_to(peopled) == [NUMBER, NUMBER]
    for old, new in zip(before, after, strict=True):
        (was,), (is_,) = peopled.show(old)["attempts"], peopled.show(new)["attempts"]
        assert was["address"] == is_["address"] in (NUMBER, TOKEN, MAIL)
    found = peopled.ok("notifications", "list", "--user", "anna", "--address", NUMBER, "-o", "id").stdout.split()
    assert set(found) == {before[0], after[0]}
    listed = peopled.ok("users", "contacts", "list", "anna", "-o", "json").json()
    assert {(each["address"], each["suppressed"]) for each in listed} == {
        (NUMBER, False),
        (REFUSED, True),
        (TOKEN, False),
        (MAIL, False),
        ("anna@example.org", False),
    }
    assert {each["address"] for each in peopled.ok("suppressions", "list", "-o", "json").json()} == {
        REFUSED,
        "bob@example.org",
    }
    assert peopled.ok("suppressions", "list", "--address", "+44 7700 900999", "-o", "json").json() != []


def test_what_a_provider_says_of_an_address_is_stored_without_it(peopled: World, database: Database) -> None:
    """Its refusal, its history, the dead letter and the suppression that follows; the suppression holds."""
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    peopled.ok("users", "create", "carl", "--email", "carl@example.org")
    peopled.ok("users", "contacts", "add", "carl", "sms", "+1 500 555 0009")  # "not a mobile number", the API answers
    id_ = peopled.send("sms", user="carl")
    assert peopled.dispatch()["dead"] == 1
    said = _everything(database)
    assert "5005550009" not in said and "(address)" in said
    assert peopled.show(id_)["attempts"][0]["address"] is None
    (point,) = peopled.ok("users", "contacts", "list", "carl", "--channel", "sms", "-o", "json").json()
    assert (point["address"], point["suppressed"]) == ("+15005550009", True)


def _begun(db: Database, ring: Keyring) -> None:
    """Nothing but that it began."""
    db.write(lambda tx: lookups.begin(tx, ring, lookups.read(tx), hashing=True))


def _points_moved(db: Database, ring: Keyring) -> None:
    _begun(db, ring)
    atrest._portions(db, atrest._points, "", _silent)


def _suppressions_moved(db: Database, ring: Keyring) -> None:
    _begun(db, ring)
    atrest._portions(db, atrest._suppressions, "", _silent)


def _sealed(db: Database, ring: Keyring) -> None:
    atrest.encrypt(db, ring, _silent)


def _half_rotated(db: Database, ring: Keyring) -> None:
    _sealed(db, ring)
    _points_moved(db, ring)


def _other_half_rotated(db: Database, ring: Keyring) -> None:
    _sealed(db, ring)
    _suppressions_moved(db, ring)


def _half_opened(db: Database, ring: Keyring) -> None:
    _sealed(db, ring)
    db.write(lambda tx: lookups.begin(tx, ring, lookups.read(tx), hashing=False))
    atrest._portions(db, atrest._points, "", _silent)


STAGES = [
    _begun,
    _points_moved,
    _suppressions_moved,
    _sealed,
    _half_rotated,
    _other_half_rotated,
    _half_opened,
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__.strip("_"))
def test_old_and_new_are_found_at_every_stage(
    peopled: World, database: Database, stage: Callable[[Database, Keyring], None]
) -> None:
    """What was suppressed before stays so, what is suppressed now holds for what was there, and is lifted whole."""
    stage(*_opening(database))
    # Suppressed before: a contact point, a user's own address, both also where a message names them itself.
    peopled.ok("users", "contacts", "add", "bob", "sms", REFUSED)
    for args in (("bob", "--channel", "sms"), ("bob", "--channel", "email", "--subject", "s")):
        done = peopled.ok("send", *args, "--body", "no")
        assert "asked" in done.stderr
    peopled.send("sms", "--to", REFUSED)
    peopled.send("email", "--to", "BOB@example.org")
    copied = peopled.send("email", "--data", '{"cc": ["bob@example.org"]}')
    # Suppressed now: an address that was there before, and one that comes later.
    peopled.ok("users", "contacts", "suppress", "anna", "sms", NUMBER, "--reason", "asked now")
    peopled.ok("users", "create", "carl", "--email", "carl@example.org")
    peopled.ok("users", "contacts", "add", "carl", "sms", NUMBER)
    peopled.send("sms")
    peopled.send("sms", user="carl")
    assert peopled.dispatch()["accepted"] == 1
    assert len(peopled.ok("notifications", "list", "--status", "cancelled", "-o", "id").stdout.split()) == 6
    assert peopled.show(copied)["status"] == "sent"
    assert _went_to(peopled) == []
    # What is said again is no second suppression; what is lifted is lifted, by whatever it is found.
    again = peopled.ok(
        "users", "contacts", "suppress", "anna", "sms", REFUSED, "--reason", "again", "-o", "json"
    ).json()
    assert (again["created"], again["reason"]) == (False, "asked")
    assert len(peopled.ok("suppressions", "list", "-o", "json").json()) == 3
    peopled.ok("users", "contacts", "unsuppress", "anna", "sms", NUMBER, "--yes")
    peopled.ok("users", "contacts", "unsuppress", "anna", "sms", REFUSED, "--yes")
    assert not any(each["suppressed"] for each in peopled.ok("users", "contacts", "list", "anna", "-o", "json").json())
    assert peopled.cli.call("users", "contacts", "add", "anna", "sms", NUMBER).exit_code == 5
    peopled.ok("users", "contacts", "remove", "anna", "sms", NUMBER)
    assert NUMBER not in peopled.ok("users", "contacts", "list", "anna").stdout


@pytest.mark.parametrize("batch", [1, 500])
def test_killed_anywhere_it_goes_on(
    peopled: World, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction in turn is the last one that is stored; repeated, everything is sealed, and nothing doubled."""
    monkeypatch.setattr(atrest, "BATCH", batch)
    peopled.send("sms")
    peopled.dispatch()
    db, ring = _opening(database)
    real, stop_after = type(db)._commit, 0

    class _Killed(BaseException):
        """As `kill -9`: nothing after it happens."""

    while True:
        left = stop_after

        def commit(self: Database, conn: Any) -> None:
            nonlocal left
            if left == 0:
                raise _Killed
            left -= 1
            real(self, conn)

        with monkeypatch.context() as patched:
            patched.setattr(type(db), "_commit", commit)
            try:
                atrest.encrypt(db, ring, _silent)
            except _Killed:
                stop_after += 1
                continue
            break
    points, refused = _stored(database)
    assert (len(points), len(refused)) == (4, 2)
    assert all(row[1].startswith("v1.k1.") and row[2].startswith("#1.") and row[3] is None for row in points)
    assert all(row[1].startswith("#1.") and row[2].startswith("v1.k1.") and row[3] is None for row in refused)
    assert stop_after > 1
    assert NUMBER not in _everything(database)


def test_decrypted_it_is_as_it_was(peopled: World, database: Database) -> None:
    """Every column of both tables; and where notifications went."""
    id_ = peopled.send("sms")
    peopled.dispatch()
    before = _stored(database)
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    assert _stored(database) != before
    assert peopled.cli.call("secrets", "decrypt-addresses").exit_code == 2
    done = peopled.ok("secrets", "decrypt-addresses", "--yes", "-o", "json").json()
    assert done == {"encrypted": False, "contact_points": 4, "suppressions": 2, "notifications": 1}
    assert _stored(database) == before
    assert peopled.show(id_)["attempts"][0]["address"] == NUMBER
    with database.read() as tx:
        assert tx.execute(select(address_lookups)).all() == []
    assert peopled.ok("secrets", "decrypt-addresses", "--yes", "-o", "json").json()["contact_points"] == 0


def test_one_way_at_a_time(peopled: World, database: Database) -> None:
    """What was begun is ended by the command that began it; `status` says so meanwhile."""
    _begun(*_opening(database))
    assert "secrets encrypt-addresses goes on" in peopled.cli.call("status").stdout
    refused = peopled.cli.call("secrets", "decrypt-addresses", "--yes")
    assert (refused.exit_code, "being encrypted" in refused.stderr) == (5, True)
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    assert "goes on" not in peopled.cli.call("status").stdout


def test_the_key_of_addresses_is_changed_with_the_others(peopled: World, database: Database, tmp_path: Path) -> None:
    """In four steps; hashes are others afterwards, what was suppressed stays so, and the old key can be forgotten."""
    file = tmp_path / "keys"
    file.write_text(KEYS + "\n")
    file.chmod(0o600)
    del peopled.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    peopled.cli.env[FILE] = str(file)
    peopled.send("sms")
    peopled.dispatch()
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    before = _stored(database)
    peopled.ok("secrets", "generate-key", "--add")
    peopled.ok("secrets", "rotate", "--activate", "k2")
    peopled.ok("users", "contacts", "add", "bob", "sms", REFUSED)
    peopled.ok("users", "contacts", "suppress", "anna", "sms", NUMBER, "--reason", "asked now")
    assert peopled.cli.call("users", "contacts", "add", "anna", "sms", NUMBER).exit_code == 5
    refused = peopled.cli.call("secrets", "rotate", "--forget", "k1", "--yes")
    assert (refused.exit_code, "contact_points.address" in refused.stderr) == (5, True)
    peopled.ok("secrets", "rotate", "--re-encrypt")
    peopled.ok("secrets", "rotate", "--forget", "k1", "--yes")
    points, refusals = _stored(database)
    hashes = {row[2] for row in points} | {row[1] for row in refusals}
    assert not hashes & ({row[2] for row in before[0]} | {row[1] for row in before[1]})
    assert "v1.k1." not in _everything(database)
    for name in ("anna", "bob"):
        rows = peopled.ok("users", "contacts", "list", name, "--channel", "sms", "-o", "json").json()
        assert rows and all(each["suppressed"] for each in rows)
    refused_now = peopled.send("sms")
    peopled.dispatch()
    assert peopled.show(refused_now)["status"] == "cancelled"
    assert peopled.ok("secrets", "rotate", "-o", "json").json()["resealed"] == 0


def test_without_the_key_nobody_works_and_nothing_is_lost(peopled: World, database: Database) -> None:
    """Exit 4 with what is missing and where it goes; with the key again everything goes out."""
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    id_ = peopled.send("sms")
    peopled.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = "k2:" + "QUJD" * 21 + "QQ=="
    for args in (
        ("users", "contacts", "list", "anna"),
        ("suppressions", "list"),
        ("send", "anna", "--channel", "sms", "--body", "x"),
    ):
        refused = peopled.cli.call(*args)
        assert (refused.exit_code, "encryption key 'k1'" in refused.stderr) == (4, True), (args, refused.stderr)
    assert "encryption key 'k1'" in peopled.cli.call("status").stdout
    peopled.cli.call("dispatch", "--once")
    peopled.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    assert peopled.show(id_)["status"] == "pending"
    assert peopled.dispatch()["accepted"] == 1


def test_an_address_that_was_copied_onto_another_is_refused(peopled: World, database: Database) -> None:
    """Bob's messages do not go to Anna: they are dead letters that say why; others go out, and it can be removed."""
    peopled.ok("users", "contacts", "add", "bob", "sms", OTHER)
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    rows = {
        each["address"]: each["id"]
        for name in ("anna", "bob")
        for each in peopled.ok("users", "contacts", "list", name, "--channel", "sms", "-o", "json").json()
    }
    c = contact_points.c
    with database.read() as tx:
        hers = tx.execute(select(c.address, c.folded).where(c.id == rows[NUMBER])).one()
    theft = update(contact_points).where(c.id == rows[OTHER]).values(address=hers.address, folded=hers.folded)
    database.write(lambda tx: tx.execute(theft))
    stolen, good = peopled.send("sms", user="bob"), peopled.send("sms")
    report = peopled.dispatch()
    assert (report["accepted"], report["dead"]) == (1, 1)
    assert _went_to(peopled) == [NUMBER]
    assert "does not open" in peopled.show(stolen)["error_message"]
    assert peopled.show(good)["status"] == "sent"
    (point,) = peopled.ok("users", "contacts", "list", "bob", "--channel", "sms", "-o", "json").json()
    assert point["address"] == "(does not open)"
    refused = peopled.cli.call("secrets", "decrypt-addresses", "--yes")
    assert (refused.exit_code, rows[OTHER] in refused.stderr) == (4, True)
    peopled.ok("users", "contacts", "remove", "bob", "sms", rows[OTHER])
    peopled.ok("secrets", "decrypt-addresses", "--yes")


def test_others_write_meanwhile(peopled: World, database: Database, database_url: str) -> None:
    """Contact points and suppressions that come while all is sealed: each is sealed in the end, and found."""
    db, ring = _opening(database)
    others = [Database(database_url).opening(lambda: ring) for _ in range(2)]
    numbers = [f"+4477009{number:05}" for number in range(60)]

    def add(number: int) -> None:
        from notifyctl.core.model import Channel
        from notifyctl.services import contacts

        other = others[number % 2]
        contacts.add(other, "anna", Channel.SMS, numbers[number])
        contacts.suppress(other, "anna", Channel.SMS, numbers[number], "asked")

    try:
        with ThreadPoolExecutor(3) as pool:
            adding = [pool.submit(add, number) for number in range(len(numbers))]
            pool.submit(atrest.encrypt, db, ring, _silent).result(60)
            for each in adding:
                each.result(60)
    finally:
        for each_db in others:
            each_db.close()
    with db.read() as tx:
        known = lookups.read(tx)
        assert known.now.hashes and known.before is None and not moving.are_left(tx, known)
    points, refused = _stored(database)
    assert all(row[3] is None for row in [*points, *refused])
    listed = peopled.ok("users", "contacts", "list", "anna", "--channel", "sms", "-o", "json").json()
    assert {each["address"] for each in listed if each["suppressed"]} == {*numbers, REFUSED}


def test_fixtures_and_exports_say_what_they_said(peopled: World, cli: Cli) -> None:
    """A dump before is the dump after, and applying it changes nothing; so do the exports."""

    def told() -> list[str]:
        return [
            peopled.ok(*args).stdout for args in (("fixtures", "dump"), ("users", "export"), ("suppressions", "export"))
        ]

    before = told()
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    assert told() == before
    file = cli.home / "fixture.yaml"
    kept = before[0].split("\nproviders:")[0]
    file.write_text(kept if kept.endswith("\n") else kept + "\n")
    assert peopled.cli.call("fixtures", "apply", "-f", str(file), "--dry-run", "--exit-code").exit_code == 0
