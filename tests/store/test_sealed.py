"""The registry of encrypted columns, and the exchange of one sealed value for another, on both databases."""

from __future__ import annotations

import ast
import json
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import select, update

import notifyctl
from notifyctl.core.atrest import place
from notifyctl.core.errors import NotAllowed
from notifyctl.core.model import Channel
from notifyctl.core.sealing import Keyring, Place, kid_of
from notifyctl.core.unsubscribe import PURPOSE
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.webhook import PREVIOUS_SECRET
from notifyctl.services import atrest, contacts, rotating
from notifyctl.store import providers, sealed, signing, trail
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.columns import metadata
from notifyctl.store.schema.sealed import SEALED, SealedColumn
from notifyctl.store.schema.tables import provider_configs
from tests.support import seed
from tests.support.command import Cli
from tests.support.threefold import add_providers
from tests.support.world import KEYS

OLD = b"ABC" * 21 + b"A"
NEW = bytes(range(64))
THIRD = bytes(reversed(NEW))
BOTH = Keyring({"k2": NEW, "k1": OLD})

MAKERS = {
    "core/provider.py": {"provider_configs.api_key", "provider_configs.api_secret", "provider_configs.config_json"},
    "core/webhook/keeping.py": {"notification_webhooks.secret_key", "notification_webhooks.previous_secret"},
    "store/signing.py": {"signing_keys.secret"},
    "store/trail.py": {"signing_keys.secret"},
    "core/atrest.py": {"contact_points.address", "notifications.sent_to"},
    "store/lookups.py": {"address_lookups.secret", "suppressions.written"},
    "store/schema/sealed.py": set(),
}
"""The modules that say where a sealed value stands, and which columns those are."""


def _silent(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def sealing(cli: Cli, database: Database) -> Database:
    """A database in which everything that is ever sealed is, with one key."""
    add_providers(cli, "http://127.0.0.1:9")
    ring = Keyring({"k1": OLD})
    database.write(lambda tx: signing.find_or_make(tx, ring, PURPOSE))
    database.write(lambda tx: trail.keep_keys(tx, Keyring({"k1": OLD, "k2": NEW, "k9": THIRD})))
    id_, user = str(uuid.uuid4()), seed.user(database)
    places = keeping.place(id_), keeping.place(id_, PREVIOUS_SECRET)
    secret, previous = (keeping.sealed(ring, bytes([n]) * 24, place) for n, place in enumerate(places))
    seed.webhook(database, user, id=id_, secret_key=secret, previous_secret=previous)
    _seal_addresses(database.opening(lambda: ring), ring, user)
    assert cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] == KEYS
    return database


def _seal_addresses(database: Database, ring: Keyring, user: str) -> None:
    """One of each kind: a contact point, a suppression, and where a notification went."""
    contacts.add(database, "anna", Channel.SMS, "+14155552345")
    contacts.suppress(database, "anna", Channel.SMS, "+14155552345", "asked")
    atrest.encrypt(database, ring, _silent)
    sent_to = ring.seal("+14155552345", place(user, "sms"))
    seed.pending(database, user, "twilio", message_type="sms", sent_to=sent_to)


def _columns_that_look_sealed(database: Database) -> set[str]:
    found = set()
    with database.read() as tx:
        for table in metadata.sorted_tables:
            for row in tx.execute(select(table)).mappings():
                for name, value in row.items():
                    if isinstance(value, str) and any(kid_of(part) for part in [value, *value.split('"')]):
                        found.add(f"{table.name}.{name}")
    return found


def test_every_column_with_sealed_values_is_registered(sealing: Database) -> None:
    """What is not registered would be lost with the key that sealed it; what is, is found sealed here."""
    assert _columns_that_look_sealed(sealing) == {each.name for each in SEALED}


def test_who_says_where_a_sealed_value_stands_is_known() -> None:
    """A module that makes a place of its own has a column that has to be registered: enter both."""
    package = Path(notifyctl.__file__).parent
    made = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Place"
    }
    assert made <= set(MAKERS)
    assert {name for names in MAKERS.values() for name in names} == {each.name for each in SEALED}


def test_everything_is_sealed_anew_and_opens(sealing: Database) -> None:
    """Each value opens to what it was, with the new key alone; a second time there is nothing to do."""
    before, many = _opened(sealing, BOTH), _count(sealing)
    done = rotating.reseal(sealing, BOTH, _silent)
    assert (done.resealed, done.changed_meanwhile, done.failed) == (many, 0, [])
    assert _opened(sealing, Keyring({"k2": NEW})) == before
    assert rotating.reseal(sealing, BOTH, _silent).resealed == 0
    (use,) = rotating.uses(sealing, Keyring({"k2": NEW}))
    assert (use.kid, use.role, use.rows) == ("k2", "seals", many)


def test_a_row_that_changed_meanwhile_keeps_what_it_was_given(sealing: Database) -> None:
    """The write is conditional on the ciphertext that was read: new credentials are not replaced by the old ones."""
    of = next(each for each in SEALED if each.column is provider_configs.c.api_key)
    with sealing.read() as tx:
        values = sealed.portion(tx, of, ("k2",), "", 10)
    changes = [(each, BOTH.seal_bytes(BOTH.open_bytes(each.sealed, each.place), each.place)) for each in values]
    theirs = BOTH.seal("SG.theirs", values[0].place)
    changed = update(provider_configs).where(provider_configs.c.id == values[0].row_id)
    sealing.write(lambda tx: tx.execute(changed.values(api_key=theirs)))
    assert sealing.write(lambda tx: sealed.exchange(tx, changes)) == len(values) - 1
    with sealing.read() as tx:
        row = tx.execute(select(provider_configs.c.api_key).where(provider_configs.c.id == values[0].row_id)).scalar()
    assert row == theirs


def test_who_changes_a_provider_meanwhile_brings_no_old_value_back(sealing: Database, database_url: str) -> None:
    """Its other settings are written back with the sealed values that were read: the rotation waits, and then sees."""
    read, go_on = Event(), Event()

    def change(tx: Tx) -> None:
        config = providers.lock(tx, "sendgrid")
        assert config is not None
        read.set()
        go_on.wait(2)
        providers.replace(tx, replace(config, priority=7))

    other = Database(database_url)
    try:
        with ThreadPoolExecutor(2) as pool:
            changing = pool.submit(other.write, change)
            assert read.wait(30)
            rotating_ = pool.submit(rotating.reseal, sealing, BOTH, _silent)
            wait([rotating_], 1)
            go_on.set()
            changing.result(30)
            rotating_.result(30)
    finally:
        other.close()
    with sealing.read() as tx:
        assert {of.name: set(sealed.counts(tx, of)) for of in SEALED} == {of.name: {"k2"} for of in SEALED}
        config = providers.get(tx, "sendgrid")
    assert config is not None and config.priority == 7


def test_the_rest_of_an_object_stays_as_it_is_written(sealing: Database) -> None:
    """Numbers, spaces and the order of a configuration's members are nobody's to change in a rotation."""
    of = next(each for each in SEALED if each.member is not None)
    with sealing.read() as tx:
        (value,) = sealed.portion(tx, of, (), "", 10)
    written = f'{{ "z": 1.50,\n  "service_account": {json.dumps(value.sealed)}, "a": "\\u00e9" }}'
    column = provider_configs.c.config_json
    sealing.write(
        lambda tx: tx.execute(
            update(provider_configs).where(provider_configs.c.id == value.row_id).values(config_json=written)
        )
    )
    rotating.reseal(sealing, BOTH, _silent)
    with sealing.read() as tx:
        after = tx.execute(select(column).where(provider_configs.c.id == value.row_id)).scalar_one()
    begin, end = written.split(json.dumps(value.sealed))
    assert after.startswith(begin + '"v1.k2.') and after.endswith(end)


@pytest.mark.parametrize("of", SEALED, ids=lambda each: each.name)
def test_a_row_copied_onto_another_is_refused(sealing: Database, of: SealedColumn) -> None:
    """Each registered column: what was sealed for one row opens in no other; a rotation names it and goes on."""
    with sealing.read() as tx:
        value = sealed.portion(tx, of, (), "", 1)[0]
    for elsewhere in (of.place(str(uuid.uuid4())), Place(of.table.name, value.bound_to, "another")):
        with pytest.raises(NotAllowed, match="does not open"):
            BOTH.open_bytes(value.sealed, elsewhere)
    other = Keyring({"k1": OLD}).seal_bytes(b"another's", of.place(str(uuid.uuid4())))
    moved = update(of.table).where(of.table.c.id == value.row_id).values({of.column.name: value.holding(other)})
    sealing.write(lambda tx: tx.execute(moved))
    old = Keyring({"k9": THIRD, **BOTH.keys})
    done = rotating.reseal(sealing, old, _silent)
    assert [(each.of.name, each.row_id) for each, _ in done.failed] == [(of.name, value.row_id)]
    assert done.resealed == _count(sealing) - 1
    with pytest.raises(NotAllowed, match="1 value does not open") as refused:
        rotating.raise_for(done)
    (problem,) = refused.value.problems
    assert value.row_id in problem[0]


@pytest.mark.parametrize("batch", [1, 3, 200])
def test_batches_of_any_size_leave_nothing_out(sealing: Database, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a batch has, also where some of them never open."""
    user = seed.user(sealing, "omar")
    for number in range(7):
        id_ = str(uuid.uuid4())
        good = keeping.sealed(Keyring({"k1": OLD}), bytes(24), keeping.place(id_))
        seed.webhook(sealing, user, id=id_, secret_key=good if number % 3 else "v1.k1." + "A" * 54)
    monkeypatch.setattr(rotating, "BATCH", batch)
    done = rotating.reseal(sealing, BOTH, _silent)
    assert len(done.failed) == 3
    assert done.resealed == _count(sealing) - 3


def test_counts_tell_keys_of_every_length_apart(sealing: Database) -> None:
    """The key's id is the envelope's, however long; what is no envelope counts as not sealed."""
    user = seed.user(sealing, "omar")
    for kid in ("k", "k12", "abcdef"):
        seed.webhook(sealing, user, secret_key=f"v1.{kid}.{'A' * 40}")
    for plain in ("unused", "v1.toolong.AAAA", "v2.k1.AAAA"):
        seed.webhook(sealing, user, secret_key=plain)
    of = next(each for each in SEALED if each.name == "notification_webhooks.secret_key")
    with sealing.read() as tx:
        assert sealed.counts(tx, of) == {"k1": 1, "k": 1, "k12": 1, "abcdef": 1, None: 3}


def _opened(database: Database, ring: Keyring) -> dict[Place, bytes]:
    with database.read() as tx:
        values = [each for of in SEALED for each in sealed.portion(tx, of, (), "", 1_000)]
    return {each.place: ring.open_bytes(each.sealed, each.place) for each in values}


def _count(database: Database) -> int:
    with database.read() as tx:
        return sum(sum(sealed.counts(tx, of).values()) for of in SEALED)
