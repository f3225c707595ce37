"""The keys that sign, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select, update

from notifyctl.core.errors import NotAllowed
from notifyctl.core.sealing import Keyring
from notifyctl.core.unsubscribe import SigningKey
from notifyctl.store import signing
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import audit_logs, signing_keys

OLD, NEW = {"k1": b"1" * 64}, {"k2": b"2" * 64}
AT_ONCE = 6


def test_of_several_that_make_one_at_a_time_all_get_the_same(database: Database, database_url: str) -> None:
    """Each with a connection of its own, as processes have: else what one signed, another would refuse."""
    start = Barrier(AT_ONCE)

    def make(_: int) -> SigningKey:
        own = Database(database_url)
        try:
            own.require_version()
            start.wait(30)
            return own.write(lambda tx: signing.find_or_make(tx, Keyring(OLD), "unsubscribe"))
        finally:
            own.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = set(pool.map(make, range(AT_ONCE)))
    assert len(made) == 1
    with database.read() as tx:
        assert len(tx.execute(select(signing_keys.c.id)).all()) == 1
        acts = select(audit_logs.c.action).where(audit_logs.c.resource_type == "signing_key")
        assert tx.execute(acts).scalars().all() == ["create"]


def test_each_purpose_has_its_own_and_keeps_it(database: Database) -> None:
    """Random, of 256 bits, and the same whichever encryption key is the newest; nothing shows it."""
    one = database.write(lambda tx: signing.find_or_make(tx, Keyring(OLD), "unsubscribe"))
    other = database.write(lambda tx: signing.find_or_make(tx, Keyring(OLD), "audit"))
    again = database.write(lambda tx: signing.find_or_make(tx, Keyring({**NEW, **OLD}), "unsubscribe"))
    assert again == one != other
    assert len(one.secret) == len(other.secret) == 32
    assert one.secret.hex() not in repr(one)
    with database.read() as tx:
        stored = tx.execute(select(signing_keys.c.secret)).scalars().all()
    assert not any(one.secret.hex() in each or repr(one.secret) in each for each in stored)


def test_it_opens_in_its_place_and_with_its_key_only(database: Database) -> None:
    """A sealed value that was copied to another row is none; without an encryption key, none is made."""
    with pytest.raises(NotAllowed, match="no encryption key"):
        database.write(lambda tx: signing.find_or_make(tx, Keyring({}), "unsubscribe"))
    one = database.write(lambda tx: signing.find_or_make(tx, Keyring(OLD), "unsubscribe"))
    other = database.write(lambda tx: signing.find_or_make(tx, Keyring(OLD), "audit"))
    with database.read() as tx, pytest.raises(NotAllowed, match="needs encryption key 'k1'"):
        signing.find(tx, Keyring(NEW), "unsubscribe")
    k = signing_keys.c
    sealed = select(k.secret).where(k.id == other.id).scalar_subquery()
    database.write(lambda tx: tx.execute(update(signing_keys).where(k.id == one.id).values(secret=sealed)))
    with database.read() as tx, pytest.raises(NotAllowed, match="does not open"):
        signing.find(tx, Keyring(OLD), "unsubscribe")
