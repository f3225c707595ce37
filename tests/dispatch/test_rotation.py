"""New credentials while dispatchers run: what began with the old ones ends in peace, what begins has the new ones."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from notifyctl.core.sealing import format_key
from notifyctl.store.db.database import Database
from notifyctl.store.schema.tables import dispatchers, notifications
from tests.support import seed
from tests.support.command import WARNINGS_ONLY, Cli
from tests.support.scripted import Answer, Asked, Peer, Scripted, reply
from tests.support.threefold import SECRETS, add_providers
from tests.support.world import stop

KEYS_VARIABLE = "NOTIFYCTL_ENCRYPTION_KEYS"
OLD, NEW = SECRETS["sendgrid"], "SG.rotated-key"
EACH = 20
_ID = re.compile(rb'"notification_id":"([^"]+)"')


class Rotating:
    """A provider that keeps everybody with the old key waiting, until it takes every other one and refuses the rest."""

    def __init__(self) -> None:
        self.decided = threading.Event()
        self.waiting: list[str] = []
        self.accepted: Counter[str] = Counter()
        self.by_new = 0

    def script(self, asked: Asked) -> Answer:
        """Answer a request by its key."""
        found = _ID.search(asked.body)
        id_ = found[1].decode() if found else "?"
        if asked.headers["authorization"] == f"Bearer {NEW}":
            self.by_new += 1
            self.accepted[id_] += 1
            return reply(202)
        self.waiting.append(id_)
        return lambda peer: self._decide(peer, id_, len(self.waiting) % 2 == 0)

    async def _decide(self, peer: Peer, id_: str, takes: bool) -> None:
        await asyncio.to_thread(self.decided.wait)
        self.accepted[id_] += takes
        await peer.say(reply(202 if takes else 401))


@pytest.fixture
def provider() -> Rotating:
    """The provider."""
    return Rotating()


@pytest.fixture
def rotating(provider: Rotating, database_url: str, tmp_path: Path) -> Iterator[Cli]:
    """A command line whose SendGrid is that provider."""
    cli = Cli(tmp_path, database_url)
    with Scripted(provider.script) as server:
        add_providers(cli, server.url, "sendgrid", timeout=60)
        yield cli
        provider.decided.set()


@pytest.fixture
def cli_of(database_url: str, tmp_path: Path) -> Callable[[Scripted], Cli]:
    """Makes a command line whose SendGrid is the given server."""

    def make(server: Scripted) -> Cli:
        cli = Cli(tmp_path, database_url)
        add_providers(cli, server.url, "sendgrid")
        return cli

    return make


def test_no_gap(rotating: Cli, provider: Rotating, database: Database) -> None:
    """Nothing is lost, sent twice or charged an attempt; the old key's refusals do not pause the new key's provider."""
    anna = seed.user(database)
    seed.pending(database, anna, count=EACH)
    process = rotating.start("dispatch", "--poll", "50ms", env=WARNINGS_ONLY)
    try:
        _until(lambda: len(provider.waiting) == EACH)
        rotating.call("providers", "update", "sendgrid", "--api-key", "-", input=NEW).ok()
        seed.pending(database, anna, count=EACH)
        _until(lambda: provider.by_new == EACH)  # at once: those with the old key are still waiting
        assert len(provider.waiting) == EACH
        provider.decided.set()
        _until(lambda: _sent(database) == 2 * EACH)
    finally:
        exit_code, _, said = stop(process)
    assert (exit_code, said) == (0, "")
    assert set(provider.accepted.values()) == {1} and len(provider.accepted) == 2 * EACH
    assert provider.by_new == EACH + EACH // 2
    with database.read() as tx:
        assert set(tx.execute(select(notifications.c.attempt_count)).scalars()) == {1}
    (line,) = rotating.call("providers", "list", "-o", "json").json()
    assert line["state"] == "active"


@pytest.mark.slow
def test_a_key_that_cannot_be_opened_here(cli_of: Callable[[Scripted], Cli], database: Database) -> None:
    """A dispatcher without the key that somebody else's host sealed with begins again when it can open them."""
    anna = seed.user(database)
    with Scripted(lambda _: reply(202)) as server:
        cli = cli_of(server)
        process = cli.start("dispatch", "--poll", "50ms", env=WARNINGS_ONLY)
        try:
            _until(lambda: _count(database, dispatchers) == 1)
            other = {"NOTIFYCTL_ENCRYPTION_KEYS": format_key("k9", os.urandom(64)) + "," + cli.env[KEYS_VARIABLE]}
            cli.call("providers", "update", "sendgrid", "--api-key", "-", input="SG.k9", env=other).ok()
            seed.pending(database, anna, count=2)
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "leaves it alone" in said and _sent(database) == 0
            cli.call("providers", "update", "sendgrid", "--api-key", "-", input=NEW).ok()
            _until(lambda: _sent(database) == 2)
        finally:
            stop(process)


def test_a_sender_of_its_own_is_its_own_fault(cli_of: Callable[[Scripted], Cli], database: Database) -> None:
    """One message with a sender that the provider does not know must not pause it for all others."""
    refused = {"errors": [{"message": "does not match a verified Sender Identity", "field": "from"}]}
    seed.user(database)
    with Scripted(lambda asked: reply(403, refused) if b"evil@" in asked.body else reply(202)) as server:
        cli = cli_of(server)
        mail = ("send", "anna", "--channel", "email", "--subject", "S", "--body", "B", "-o", "id")
        evil = cli.call(*mail, "--data", '{"from": "evil@example.org"}').ok().stdout.strip()
        for _ in range(3):
            cli.call(*mail).ok()
        assert cli.call("dispatch", "--once").ok().stderr == ""
    assert _sent(database) == 3
    (letter,) = cli.call("dlq", "list", "-o", "json").ok().json()
    assert (letter["notification_id"], letter["failure_reason"]) == (evil, "provider_rejected")
    assert cli.call("providers", "list", "-o", "json").ok().json()[0]["state"] == "active"


def _sent(database: Database) -> int:
    with database.read() as tx:
        sent = select(func.count()).select_from(notifications).where(notifications.c.status == "sent")
        return tx.execute(sent).scalar_one()


def _count(database: Database, table: Table) -> int:
    with database.read() as tx:
        return tx.execute(select(func.count()).select_from(table)).scalar_one()


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
