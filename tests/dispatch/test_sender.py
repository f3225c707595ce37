"""The time of an attempt: what goes into an access token is not taken from the call, nor from attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.files import Files
from notifyctl.dispatch.oneclick import OneClick
from notifyctl.dispatch.sender import Sender
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.templates import Templates
from notifyctl.providers.contract import Credentials
from notifyctl.providers.fcm import Fcm
from notifyctl.providers.oauth import Token, TokenSource
from notifyctl.providers.wire import Wire
from notifyctl.store.db.database import Database
from tests.support.scripted import Peer, Scripted, service_account

PUSH = Message("n1", Channel.PUSH, "device-1", {"v": 1, "title": "Hello", "body": "Hello"})


async def _says_nothing(peer: Peer) -> None:
    await asyncio.sleep(20)


def deliver(db: Database, server: Scripted, token_s: float, seconds: float, left_s: float) -> Outcome:
    """Deliver a push where Google's answer takes `token_s`, a call may take `seconds`, and the lease `left_s`."""

    def fetch(account: Mapping[str, Any], timeout_s: float) -> Token:
        time.sleep(token_s)
        return Token("ya29.late", time.time() + 3_600)

    async def main() -> Outcome:
        wire, tokens, threads = Wire(), TokenSource(fetch=fetch), StoreThreads(db)
        account = service_account(server.url)
        credentials = Credentials("", config={"base_url": server.url}, service_account=account)
        sender = Sender(
            Fcm(), credentials, wire, tokens, Files(threads), Templates(threads), OneClick(threads, Keyring({}), None)
        )
        try:
            return await sender.deliver(PUSH, seconds, time.monotonic() + left_s)
        finally:
            await wire.aclose()
            await tokens.aclose()

    return asyncio.run(main())


def test_a_late_token_leaves_the_call_its_time(database: Database) -> None:
    """A call that gets only the rest is broken off, and then nobody knows whether the message went out."""
    with Scripted(lambda _: _says_nothing) as server:
        outcome = deliver(database, server, token_s=0.4, seconds=4.0, left_s=60)
        assert (outcome.kind, len(server.asked)) == (Kind.UNKNOWN, 1)
    assert "no whole answer within 4 s" in outcome.message


def test_without_a_token_nothing_is_used_up(database: Database) -> None:
    """Neither where it does not come in time, nor where it comes so late that the lease would end in the call."""
    with Scripted(lambda _: _says_nothing) as server:
        never = deliver(database, server, token_s=0.6, seconds=0.2, left_s=60)
        late = deliver(database, server, token_s=0.3, seconds=0.5, left_s=0.7)
        assert server.asked == []
    assert [(each.kind, each.counts) for each in (never, late)] == [(Kind.TRANSIENT, False)] * 2
