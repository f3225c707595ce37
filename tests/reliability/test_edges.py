"""The moments between: a call whose time is over, a provider that changed under a claim, a transaction left open."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import select, text, update

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.files import Files
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.sender import Sender
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.templates import Templates
from notifyctl.providers.contract import Credentials
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.sendgrid import SendGrid
from notifyctl.providers.wire import Wire
from notifyctl.store.db import dialect
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import users
from notifyctl.wiring import make_dispatcher
from tests.reliability.stub import Stub
from tests.support import seed


@pytest.mark.parametrize(("left_s", "kind", "requests"), [(60.0, Kind.ACCEPTED, 1), (9.9, Kind.TRANSIENT, 0)])
def test_no_call_begins_when_its_time_is_over(
    database: Database, stub: Stub, left_s: float, kind: Kind, requests: int
) -> None:
    """A process that stood still between the look at its lease and the call must not call."""
    settings = Credentials("SG.key", config={"base_url": stub.url, "from": "alerts@example.com"})
    message = Message("n1", Channel.EMAIL, "anna@example.org", {"v": 1, "subject": "Hello", "text": "Hello"})

    async def deliver() -> Outcome:
        wire = Wire()
        try:
            threads = StoreThreads(database)
            sender = Sender(
                SendGrid(),
                settings,
                wire,
                TokenSource(),
                Files(threads),
                Templates(threads),
                OneClick(threads, Keyring({}), None),
            )
            return await sender.deliver(message, 10.0, time.monotonic() + left_s)
        finally:
            await wire.aclose()

    assert asyncio.run(deliver()).kind is kind
    assert len(stub.requests()) == requests


@pytest.mark.parametrize("known", [False, True])
def test_a_provider_that_is_gone_or_changed_again_is_no_error(database: Database, known: bool) -> None:
    """Disabled, or changed once more, between a claim and the look at its credentials: there is no sender for it."""
    if known:
        seed.provider(database, updated_at=2)
    dispatcher = make_dispatcher(database, Keyring({}), DispatchOptions())
    try:
        assert asyncio.run(dispatcher._parts.roster.sender("sendgrid", 1)) is None
    finally:
        dispatcher._parts.threads.close()


def test_a_transaction_left_open_frees_its_rows(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands still in a transaction loses it, so that others can work; when it goes on, it runs anew."""
    monkeypatch.setattr(dialect, "IDLE_TRANSACTION_MS", 200)
    db = Database(postgresql_url)
    anna = seed.user(db)
    tries: list[int] = []

    def work(tx: Tx) -> int:
        tries.append(1)
        monkeypatch.setattr(dialect, "IDLE_TRANSACTION_MS", 60_000)  # the next one may be kept from the processor
        tx.execute(select(users.c.id).where(users.c.id == anna).with_for_update()).all()
        if len(tries) == 1:
            time.sleep(0.6)
        tx.execute(update(users).where(users.c.id == anna).values(language="en"))
        return int(tx.execute(text("SELECT count(*) FROM users")).scalar_one())

    assert db.write(work) == 1
    assert len(tries) == 2
    db.close()
