"""An adapter that somebody else wrote, with mistakes in it: its messages suffer from them, and nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from notifyctl.core.health import Cause
from notifyctl.providers import registry
from notifyctl.store import providers
from notifyctl.store.db.database import Database
from tests.support import adapters, seed
from tests.support.command import Cli
from tests.support.scripted import Scripted, reply
from tests.support.threefold import add_providers

NAME = adapters.FAULTY[0]


@pytest.fixture
def bob(cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user; sendgrid and the faulty one are the same server."""
    monkeypatch.setattr(registry, "_entry_points", registry._entry_points)  # to be put back
    monkeypatch.setitem(seed.CHANNEL_OF, NAME, "email")
    adapters.install(*adapters.FAULTY)
    with Scripted(lambda _: reply(202)) as server:
        add_providers(cli, server.url, "sendgrid")
        settings = ("--set", f"base_url={server.url}", "--set", "from=alerts@example.com", "--timeout", "1")
        cli.call("providers", "add", NAME, "--api-key", "-", *settings, "--set", "receipts=poll", input="SG.k").ok()
        yield seed.user(database, "bob")


def test_settings_that_cannot_be_checked_pause_it(
    cli: Cli, database: Database, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message is to blame; it is said what went wrong, and the other provider's messages go."""
    waits, goes = seed.pending(database, bob, NAME)[0], seed.pending(database, bob)[0]
    monkeypatch.setattr(adapters.Faulty, "raises", "check")
    cli.call("dispatch", "--once", "--max-time", "20s").ok()
    rows = [seed.notification(database, id_) for id_ in (waits, goes)]
    assert [(row.status, row.attempt_count, row.lease_id) for row in rows] == [("pending", 0, None), ("sent", 1, None)]
    with database.read() as tx:
        config = providers.get(tx, NAME)
    assert config is not None
    assert (config.health.pause_cause, "KeyError" in str(config.health.pause_reason)) == (Cause.CONFIG, True)


def test_an_answer_that_makes_no_sense_is_an_unknown_outcome(
    cli: Cli, database: Database, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its provider may have taken each; more of them than there are places come to their end, and the run does."""
    ids = seed.pending(database, bob, NAME, count=5)
    monkeypatch.setattr(adapters.Faulty, "raises", "read")
    cli.call("dispatch", "--once", "--concurrency", "2", "--max-time", "20s").ok()
    rows = [seed.notification(database, id_) for id_ in ids]
    assert {(row.status, row.attempt_count, row.lease_id) for row in rows} == {("pending", 1, None)}
    assert {json.loads(row.retry_history)[0]["outcome"] for row in rows} == {"unknown"}


def test_a_wish_that_is_no_whole_number_is_heeded(
    cli: Cli, database: Database, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded like every other: no result is refused for it, and nothing is sent again meanwhile."""
    (id_,) = seed.pending(database, bob, NAME)
    monkeypatch.setattr(adapters.Faulty, "raises", "wish")
    cli.call("dispatch", "--once", "--max-time", "20s").ok()
    row = seed.notification(database, id_)
    assert (row.status, row.attempt_count, row.lease_id) == ("pending", 0, None)
    assert json.loads(row.retry_history)[0]["outcome"] == "throttled"
    assert row.due_at >= row.last_attempted + 1_500


@pytest.mark.parametrize("mistake", ["trace", "trace wish"])
def test_an_answer_about_receipts_that_makes_no_sense_is_none(
    cli: Cli, database: Database, bob: str, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    """It is asked again later, and the run comes to its end."""
    now = int(time.time() * 1_000)
    made = {"status": "sent", "provider_message_id": "m", "sent_at": now - 60_000, "receipt_due_at": 1}
    (id_,) = seed.pending(database, bob, NAME, **made)
    monkeypatch.setattr(adapters.Faulty, "raises", mistake)
    cli.call("dispatch", "--once", "--max-time", "20s").ok()
    due = seed.notification(database, id_).receipt_due_at
    assert isinstance(due, int)
    assert now < due < now + 300_000  # and not when the claim ends
