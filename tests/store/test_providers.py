"""Providers' rows: pauses that one caller wins, secrets that open in their row only."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from notifyctl.core.errors import NotAllowed
from notifyctl.core.health import Cause, Hold
from notifyctl.core.model import Channel
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.sealing import Keyring, Place
from notifyctl.providers.unseal import open_credentials
from notifyctl.store import providers as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import provider_configs, provider_states
from tests.support import seed


def place(provider_id: str, column: str) -> Place:
    """Return where a secret of a provider is sealed to."""
    return Place("provider_configs", provider_id, column)


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
        channel=Channel.PUSH,
    )


def test_a_configuration_comes_back_as_it_was_stored(database: Database) -> None:
    """All of it, and once: a second one of that name is refused."""
    config = _config()
    assert database.write(lambda tx: store.create(tx, config))
    assert not database.write(lambda tx: store.create(tx, replace(config, id="x" * 36)))
    with database.read() as tx:
        assert store.load_active(tx) == store.listed(tx) == [config]
        assert store.get(tx, "fcm") == config
        assert store.get(tx, "twilio") is None


def test_what_is_shown_of_a_configuration_is_no_secret() -> None:
    """Not even sealed values get into a log by way of repr."""
    assert "v1.k1." not in repr(_config())


def test_the_preferred_come_first_and_disabled_ones_not_at_all(database: Database) -> None:
    """The order of `load_active` is the order of preference; a paused provider is still active."""
    seed.provider(database, "twilio", priority=1)
    seed.provider(database, "sendgrid", priority=9, is_active=False)
    seed.provider(database, "fcm", priority=5)
    database.write(lambda tx: store.pause(tx.at(100), "fcm", "401"))
    with database.read() as tx:
        found = store.load_active(tx)
    assert [(config.provider_name, config.health.is_paused(100)) for config in found] == [
        ("fcm", True),
        ("twilio", False),
    ]


def test_only_one_of_many_pauses_a_provider(database: Database) -> None:
    """The first call wins and is told so; a pause in force keeps its reason until it is over."""
    seed.provider(database)

    def tries(tx: Tx) -> list[bool]:
        made = [
            store.pause(tx.at(100), "sendgrid", "first", until=200),
            store.pause(tx.at(199), "sendgrid", "second"),
            store.pause(tx.at(200), "sendgrid", "third"),
            store.pause(tx.at(10**15), "sendgrid", "fourth"),
            store.pause(tx.at(10**15), "nobody", "fifth"),
        ]
        return [each is not None for each in made]

    assert database.write(tries) == [True, False, True, False, False]
    with database.read() as tx:
        config = store.get(tx, "sendgrid")
    assert config is not None
    health = config.health
    assert (health.paused_at, health.paused_until, health.pause_reason) == (200, None, "third")


def test_health_comes_back_as_it_was_stored(database: Database) -> None:
    """Whatever is known of a provider is known to the next dispatcher; without a row all is well."""
    provider_id = seed.provider(database)
    with database.read() as tx:
        (before,) = store.listed(tx)
    health = before.health.with_pause(Cause.BREAKER, "503 in 20 of 30", 100).probing(5_100, 65_000)
    health = replace(health, window_started_at=90, window_attempts=30, window_failures=20)
    database.write(lambda tx: store.set_health(tx, provider_id, health))
    with database.read() as tx:
        (after,) = store.listed(tx)
    assert after == replace(before, health=health, health_at=after.health_at)
    assert after.health_at > 0


def test_a_cause_of_another_program_is_an_operators(database: Database) -> None:
    """A pause that somebody wrote by hand is a pause, whatever it is called."""
    provider_id = seed.provider(database)
    by_hand = {"paused_at": 1, "pause_cause": "whim"}
    ours = provider_states.c.provider_id == provider_id
    database.write(lambda tx: tx.execute(update(provider_states).where(ours).values(by_hand)))
    with database.read() as tx:
        (config,) = store.listed(tx)
    assert config.hold(2) is Hold.PAUSED


def test_credentials_open_and_a_given_url_stands_above_the_configured_one() -> None:
    """What the wire needs, in plain; only this provider's URL is taken."""
    opened = open_credentials(_config(), RING, {"fcm": "http://sandbox", "twilio": "http://other"})
    assert (opened.api_key, opened.api_secret, opened.service_account) == ("key", "secret", {"client_email": "a@b"})
    assert opened.config == {"from": "+1", "base_url": "http://sandbox"}
    assert open_credentials(_config(), RING, {}).config["base_url"] == "https://configured"


@pytest.mark.parametrize("column", ["api_key", "api_secret", "service_account"])
def test_a_secret_of_another_row_does_not_open(column: str) -> None:
    """Somebody who can write the table cannot send one provider's key to another provider's URL."""
    stolen = getattr(_config("aaaaaaaa-4b4b-4b4b-8b8b-123456789012"), column)
    with pytest.raises(NotAllowed, match="does not open"):
        open_credentials(replace(_config(), **{column: stolen}), RING, {})


@pytest.mark.parametrize("damaged", ["{", "[]", '"x"', '{"service_account": 5}'])
def test_damaged_settings_do_not_hide_the_provider(database: Database, damaged: str) -> None:
    """A provider whose JSON was damaged by hand is still listed, so that it can be repaired."""
    seed.provider(database)
    database.write(lambda tx: tx.execute(update(provider_configs).values(config_json=damaged)))
    with database.read() as tx:
        assert [config.config for config in store.listed(tx)] == [{}]


def test_pending_counts_this_provider_only(database: Database) -> None:
    """What stands against deleting a provider is what waits for it, not what it sent."""
    anna = seed.user(database)
    seed.pending(database, anna, "sendgrid", 3)
    seed.pending(database, anna, "twilio", 1)
    seed.pending(database, anna, "sendgrid", 1, status="sent", sent_at=5)
    with database.read() as tx:
        assert store.pending(tx, "sendgrid") == 3
