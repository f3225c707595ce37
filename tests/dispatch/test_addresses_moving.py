"""Addresses at rest while others work: two that begin at once, long transactions, and what is on its way meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from notifyctl.core.atrest import AddressLookups
from notifyctl.core.model import Channel
from notifyctl.core.sealing import parse_keys
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.services import atrest
from notifyctl.services.atrest import Moved
from notifyctl.store import lookups, suppressions
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import address_lookups
from notifyctl.store.suppressions import AddressNews
from tests.dispatch.test_addresses_at_rest import OTHER, _opening, _silent, _stored
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
