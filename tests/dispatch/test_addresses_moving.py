"""Addresses at rest while others work: two that begin at once, long transactions, and what is on its way meanwhile."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from notifyctl.core.atrest import AddressLookups
from notifyctl.core.model import Channel
from notifyctl.core.sealing import parse_keys
from notifyctl.core.suppression import Refusal, SuppressionCause, key
from notifyctl.services import atrest
from notifyctl.services.atrest import Moved
from notifyctl.store import lookups, suppressions
from notifyctl.store.contacts import ContactRow, add_all
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import address_lookups, notifications, users
from notifyctl.store.schema.tables import suppressions as suppressed
from notifyctl.store.suppressions import AddressNews
from tests.dispatch.test_addresses_at_rest import FILE, NUMBER, OTHER, REFUSED, _everything, _opening, _silent, _stored
from tests.dispatch.test_addresses_at_rest import peopled as peopled
from tests.support.world import KEYS, World


@pytest.mark.parametrize("command", [atrest.encrypt, atrest.decrypt, atrest.renew])
def test_two_that_begin_at_once_begin_once(
    peopled: World, database: Database, command: Callable[..., Moved], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third way of finding addresses would let look-ups miss what only the first one finds."""
    db, ring = _opening(database)
    if command is not atrest.encrypt:
        atrest.encrypt(db, ring, _silent)
    real, other = atrest.found, parse_keys("k2:" + "QUJE" * 21 + "QQ==\n" + KEYS, "test")
    asked = 0

    def found(looking: Database) -> AddressLookups:
        nonlocal asked
        known, asked = real(looking), asked + 1
        if asked == 1:
            db.write(lambda tx: lookups.begin(tx, ring, known, hashing=command is not atrest.decrypt))
        return known

    monkeypatch.setattr(atrest, "found", found)
    command(db, other if command is atrest.renew else ring, _silent)
    with db.read() as tx:
        known, ways = real(db), [row.generation for row in tx.execute(select(address_lookups))]
    assert ways == {atrest.encrypt: [1], atrest.decrypt: [], atrest.renew: [2]}[command]
    assert known.before is None and known.now.hashes is (command is not atrest.decrypt)


def test_a_long_transaction_keeps_nobody_waiting_but_who_begins(postgresql_url: str) -> None:
    """An import holds the addresses for as long as it takes; dispatchers that learn of dead ones go on meanwhile."""
    database = Database(postgresql_url)
    db, ring = _opening(database)
    waits, ends = threading.Event(), threading.Event()

    def importing() -> None:
        db.write(lambda tx: (lookups.to_write(tx), ends.wait(60)))

    try:
        with ThreadPoolExecutor(2) as pool:
            long = pool.submit(importing)
            encrypting = pool.submit(atrest.encrypt, db, ring, lambda _: waits.set())
            try:
                assert waits.wait(20), "it waits in the queue of the lock, and all others behind it"
                said = AddressNews(Channel.SMS, Refusal(OTHER, SuppressionCause.OPERATOR, "asked"))
                assert db.write(lambda tx: suppressions.learn(tx, [said])).suppressed == 1
                assert not long.done() and not encrypting.done()
            finally:
                ends.set()
            long.result(60)
            assert encrypting.result(60).encrypted
            assert [row[1][:3] for row in _stored(db)[1]] == ["#1."]
    finally:
        database.close()


def test_what_is_on_its_way_is_waited_for(make_world: Callable[..., World], database: Database) -> None:
    """Its claim knew the address in clear: what the provider says then is written after all others were sealed."""
    world = make_world("--latency", "4s")
    world.ok("users", "create", "carl", "--email", "carl@example.org")
    world.ok("users", "contacts", "add", "carl", "sms", "+1 500 555 0009")  # "not a mobile number", the API answers
    id_ = world.send("sms", user="carl")
    sending = world.cli.start("dispatch", "--once")
    n = notifications.c
    while not database.consult(lambda tx: tx.execute(select(n.id).where(n.lease_id.is_not(None))).all()):
        time.sleep(0.02)
    done = world.ok("secrets", "encrypt-addresses", "--yes")
    assert "waiting for what comes of 1 message" in done.stderr
    _, err = sending.communicate(timeout=60)
    assert (sending.returncode, err) == (0, "")
    said = _everything(database)
    assert "5005550009" not in said and "(address)" in said
    assert world.show(id_)["status"] == "failed"


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer: it begins before or after
def test_a_claim_that_looked_before_is_waited_for(make_world: Callable[..., World], database: Database) -> None:
    """It is not stored yet when all others are sealed: nobody sees it, and it stores the address as it found it."""
    world = make_world()
    id_, n = world.send("sms"), notifications.c
    waiting, said = threading.Event(), list[str]()

    def tell(words: str) -> None:
        said.append(words)
        waiting.set()

    def claimed(tx: Tx) -> None:
        tx.execute(update(notifications).where(n.id == id_).values(sent_to=NUMBER, attempt_count=1))
        sealing.append(pool.submit(atrest.encrypt, *_opening(database), tell))
        waiting.wait(60)

    sealing: list[Future[Moved]] = []
    with ThreadPoolExecutor() as pool:
        database.write(claimed)
        assert sealing[0].result(30).notifications == 1
    assert said == ["waiting for 1 transaction of others"]
    assert NUMBER[1:] not in _everything(database)


def test_killed_anywhere_nothing_in_clear_is_left_unsaid(
    peopled: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After whichever transaction it ended: where an address stands in clear, `status` says that it goes on."""
    peopled.send("sms")
    peopled.dispatch()
    db, ring = _opening(database)
    real, stop_after, done = type(db)._commit, 0, False
    unsaid: list[int] = []

    class _Killed(BaseException):
        """As `kill -9`: nothing after it happens."""

    while not done:
        left, stop_after = stop_after, stop_after + 1

        def commit(self: Database, conn: Any) -> None:
            nonlocal left
            if left == 0:
                raise _Killed
            left -= 1
            real(self, conn)

        with monkeypatch.context() as patched, suppress(_Killed):
            patched.setattr(type(db), "_commit", commit)
            atrest.encrypt(db, ring, _silent)
            done = True
        with db.read() as tx:
            begun, told = not lookups.read(tx).are_plain, atrest.problems(tx)
        if begun and not told and NUMBER[1:] in _everything(database):
            unsaid.append(stop_after)
    assert unsaid == [] and not told and stop_after > 6


@pytest.mark.parametrize("first", ["encrypt-addresses", None])
def test_a_reason_that_names_the_address_does_not_keep_it(
    peopled: World, database: Database, first: str | None
) -> None:
    """Whoever says it, and in whichever spelling; in the audit trail too, once they are sealed."""
    if first:
        peopled.ok("secrets", first, "--yes")
    reason = "the owner of +1 (415) 555-2345, tel:%2B14155552345, asked"
    peopled.ok("users", "contacts", "suppress", "anna", "sms", NUMBER, "--reason", reason)
    if not first:
        peopled.ok("secrets", "encrypt-addresses", "--yes")
    s = suppressed.c
    said = database.consult(lambda tx: tx.execute(select(s.reason)).scalars().all())
    assert "the owner of (address), tel:(address), asked" in said
    assert not first or not any(each in _everything(database) for each in (NUMBER[1:], "555-2345"))


def test_many_are_written_by_few_statements(database: Database) -> None:
    """A portion is one statement: with a round trip for each, hundreds of thousands took minutes."""
    db, ring = _opening(database)
    numbers, id_ = [f"+4477009{number:05}" for number in range(40)], str(uuid.uuid4())
    told = [AddressNews(Channel.SMS, Refusal(each, SuppressionCause.OPERATOR, "asked")) for each in numbers]
    rows = [ContactRow(str(uuid.uuid4()), id_, "sms", each) for each in numbers]
    who = {"id": id_, "username": "anna", "email": "anna@example.org"}
    db.write(lambda tx: tx.execute(insert(users).values(who)))
    db.write(lambda tx: add_all(tx, rows))
    db.write(lambda tx: suppressions.learn(tx, told))
    said: list[str] = []
    event.listen(db._engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    done = atrest.encrypt(db, ring, _silent)
    assert (done.contact_points, done.suppressions) == (40, 40)
    assert len([each for each in said if each.startswith("UPDATE")]) <= 8


def test_who_looked_before_it_began_finds_what_was_moved_since(database: Database) -> None:
    """A claim asks how addresses are found, then which are suppressed: what is moved between is not written to."""
    db, ring = _opening(database)
    said, of_it = AddressNews(Channel.SMS, Refusal(OTHER, SuppressionCause.OPERATOR, "asked")), key(Channel.SMS, OTHER)
    db.write(lambda tx: suppressions.learn(tx, [said]))
    for _ in range(2):  # to hashes, then to others
        looked = atrest.found(db)
        db.write(lambda tx: lookups.begin(tx, ring, looked, hashing=True))  # noqa: B023 - called at once
        atrest._portions(db, atrest._suppressions, "", _silent)
        with db.read() as tx:
            assert suppressions.reasons(tx, [of_it], looked) == {of_it: {"": "asked"}}
        atrest.encrypt(db, ring, _silent)


def test_an_address_that_was_tried_and_is_gone_is_sealed_with_the_rest(
    make_world: Callable[..., World], database: Database
) -> None:
    """It was removed after an attempt that failed, and the next one had nowhere to go: only the history names it."""
    world = make_world("--inject", "twilio=503")
    id_ = world.send("sms", "--max-retries", "3")
    world.dispatch()
    world.ok("users", "contacts", "remove", "anna", "sms", NUMBER)
    n = notifications.c
    database.write(lambda tx: tx.execute(update(notifications).where(n.id == id_).values(due_at=tx.now)))
    world.dispatch()
    assert world.show(id_)["status"] == "failed" and NUMBER in _everything(database)
    world.ok("secrets", "encrypt-addresses", "--yes")
    assert NUMBER[1:] not in _everything(database)


def test_an_address_that_does_not_open_stops_nothing_else_and_can_be_mended(
    peopled: World, database: Database, tmp_path: Path
) -> None:
    """Credentials are sealed by the new key all the same; then each row that is named is mended as the hint says."""
    file = tmp_path / "keys"
    file.write_text(KEYS + "\n")
    file.chmod(0o600)
    del peopled.cli.env["NOTIFYCTL_ENCRYPTION_KEYS"]
    peopled.cli.env[FILE] = str(file)
    id_ = peopled.send("sms")
    peopled.dispatch()
    peopled.ok("secrets", "encrypt-addresses", "--yes")
    n, s, damaged = notifications.c, suppressed.c, "v1.k1." + "A" * 40
    database.write(lambda tx: tx.execute(update(notifications).where(n.id == id_).values(sent_to=damaged)))
    database.write(lambda tx: tx.execute(update(suppressed).where(s.channel == "sms").values(written=damaged)))
    peopled.ok("secrets", "generate-key", "--add")
    peopled.ok("secrets", "rotate", "--activate", "k2")
    refused = peopled.cli.call("secrets", "rotate", "--re-encrypt")
    assert (refused.exit_code, f"notifications.sent_to of {id_}" in refused.stderr) == (4, True)
    assert "2 values do not open, and stay as they are" in refused.stderr
    assert "suppressions add CHANNEL ADDRESS" in refused.stderr and "credential again" not in refused.stderr
    uses = peopled.cli.call("secrets", "status", "-o", "json").json()
    assert {name for each in uses if each["kid"] == "k1" for name in each["columns"]} == {
        "suppressions.written",
        "notifications.sent_to",
    }
    assert any(each["suppressed"] for each in peopled.ok("users", "contacts", "list", "anna", "-o", "json").json())
    assert "created\tno" in peopled.ok("suppressions", "add", "sms", REFUSED, "--reason", "asked").stdout  # it holds
    database.write(lambda tx: tx.execute(update(notifications).where(n.id == id_).values(sent_to=None)))
    peopled.ok("secrets", "rotate", "--re-encrypt")
    peopled.ok("secrets", "rotate", "--forget", "k1", "--yes")
    assert REFUSED in peopled.ok("suppressions", "list").stdout
