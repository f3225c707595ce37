"""Providers' rows: pauses that one caller wins, secrets that open in their row only."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from notifyctl.core.errors import NotAllowed
from notifyctl.core.sealing import Keyring
from notifyctl.store import providers as store
from notifyctl.store.engine import Database
from notifyctl.store.providers import ProviderConfig, place
from notifyctl.store.tables import provider_configs
from tests.support import seed

RING = Keyring({"k1": bytes(range(64))})


def _config(provider_id: str = "3f9c2a71-4b4b-4b4b-8b8b-123456789012") -> ProviderConfig:
    account = json.dumps({"client_email": "a@b"})
    return ProviderConfig(
        id=provider_id,
        provider_name="fcm",
        api_key=RING.seal("key", place(provider_id, "api_key")),
        api_secret=RING.seal("secret", place(provider_id, "api_secret")),
        config={"from": "+1", "base_url": "https://configured"},
        service_account=RING.seal(account, place(provider_id, "config_json")),
        is_active=True,
        rate_limit=600,
        timeout_seconds=7,
        priority=3,
        created_at=1,
        updated_at=1,
    )


def test_a_configuration_comes_back_as_it_was_stored(database: Database) -> None:
    """All of it, and once: a second one of that name is refused."""
    config = _config()
    assert database.write(lambda conn: store.create(conn, database.dialect, config))
    assert not database.write(lambda conn: store.create(conn, database.dialect, replace(config, id="x" * 36)))
    with database.read() as conn:
        assert store.load_active(conn) == store.listed(conn) == [config]
        assert store.get(conn, "fcm") == config
        assert store.get(conn, "twilio") is None


def test_what_is_shown_of_a_configuration_is_no_secret() -> None:
    """Not even sealed values get into a log by way of repr."""
    assert "v1.k1." not in repr(_config())


def test_the_preferred_come_first_and_disabled_ones_not_at_all(database: Database) -> None:
    """The order of `load_active` is the order of preference; a paused provider is still active."""
    seed.provider(database, "twilio", priority=1)
    seed.provider(database, "sendgrid", priority=9, is_active=False)
    seed.provider(database, "fcm", priority=5)
    database.write(lambda conn: store.pause(conn, database.dialect, "fcm", "401", 100))
    with database.read() as conn:
        found = store.load_active(conn)
    assert [(config.provider_name, config.paused(100)) for config in found] == [("fcm", True), ("twilio", False)]


def test_only_one_of_many_pauses_a_provider(database: Database) -> None:
    """The first call wins and is told so; a pause in force keeps its reason until it is over."""
    seed.provider(database)

    def tries(conn: Connection) -> list[bool]:
        dialect = database.dialect
        return [
            store.pause(conn, dialect, "sendgrid", "first", 100, until=200),
            store.pause(conn, dialect, "sendgrid", "second", 199),
            store.pause(conn, dialect, "sendgrid", "third", 200),
            store.pause(conn, dialect, "sendgrid", "fourth", 10**15),
            store.pause(conn, dialect, "nobody", "fifth", 10**15),
        ]

    assert database.write(tries) == [True, False, True, False, False]
    with database.read() as conn:
        config = store.get(conn, "sendgrid")
    assert config is not None
    assert (config.paused_at, config.paused_until, config.pause_reason) == (200, None, "third")


def test_an_operator_replaces_a_pause_and_ends_it(database: Database) -> None:
    """What a person says stands above the dispatcher's pause; resuming works once."""
    seed.provider(database)
    database.write(lambda conn: store.pause(conn, database.dialect, "sendgrid", "401", 100))
    assert database.write(lambda conn: store.replace_pause(conn, database.dialect, "sendgrid", "lunch", 101, 500))
    with database.read() as conn:
        config = store.get(conn, "sendgrid")
    assert config is not None
    assert (config.pause_reason, config.paused(499), config.paused(500)) == ("lunch", True, False)
    assert database.write(lambda conn: store.resume(conn, "sendgrid"))
    assert not database.write(lambda conn: store.resume(conn, "sendgrid"))
    assert database.write(lambda conn: store.pause(conn, database.dialect, "sendgrid", "again", 1))


def test_credentials_open_and_a_given_url_stands_above_the_configured_one() -> None:
    """What the wire needs, in plain; only this provider's URL is taken."""
    opened = store.open_credentials(_config(), RING, {"fcm": "http://sandbox", "twilio": "http://other"})
    assert (opened.api_key, opened.api_secret, opened.service_account) == ("key", "secret", {"client_email": "a@b"})
    assert opened.config == {"from": "+1", "base_url": "http://sandbox"}
    assert store.open_credentials(_config(), RING, {}).config["base_url"] == "https://configured"


@pytest.mark.parametrize("column", ["api_key", "api_secret", "service_account"])
def test_a_secret_of_another_row_does_not_open(column: str) -> None:
    """Somebody who can write the table cannot send one provider's key to another provider's URL."""
    stolen = getattr(_config("aaaaaaaa-4b4b-4b4b-8b8b-123456789012"), column)
    with pytest.raises(NotAllowed, match="does not open"):
        store.open_credentials(replace(_config(), **{column: stolen}), RING, {})


@pytest.mark.parametrize("damaged", ["{", "[]", '"x"', '{"service_account": 5}'])
def test_damaged_settings_do_not_hide_the_provider(database: Database, damaged: str) -> None:
    """A provider whose JSON was damaged by hand is still listed, so that it can be repaired."""
    seed.provider(database)
    database.write(lambda conn: conn.execute(update(provider_configs).values(config_json=damaged)))
    with database.read() as conn:
        assert [config.config for config in store.listed(conn)] == [{}]


def test_pending_counts_this_provider_only(database: Database) -> None:
    """What stands against deleting a provider is what waits for it, not what it sent."""
    anna = seed.user(database)
    seed.pending(database, anna, "sendgrid", 3)
    seed.pending(database, anna, "twilio", 1)
    seed.pending(database, anna, "sendgrid", 1, status="sent", sent_at=5)
    with database.read() as conn:
        assert store.pending(conn, "sendgrid") == 3
