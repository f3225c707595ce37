"""A database that does not answer keeps nobody from leaving."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from notifyctl.core.errors import NotAllowed
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.store.db.database import Database
from notifyctl.wiring import make_dispatcher
from tests.support import seed


def _in_transaction(threads: StoreThreads, wait: Callable[[], object]) -> Awaitable[object]:
    return threads.write(lambda _: wait())


def _apart(threads: StoreThreads, wait: Callable[[], object]) -> Awaitable[object]:
    return threads.apart(lambda _: wait())


@pytest.mark.parametrize("begin", [_in_transaction, _apart], ids=["a transaction", "the roll-up"])
def test_what_hangs_is_left_behind(
    database: Database, begin: Callable[[StoreThreads, Callable[[], object]], Awaitable[object]]
) -> None:
    """Nobody waits for it any more, and its thread is not waited for either, once the time for the last ones is over.

    Also where the others had their answers: one connection of several may be dead.
    """
    answer, asked, before = threading.Event(), threading.Event(), set(threading.enumerate())

    def hang() -> None:
        asked.set()
        answer.wait(30)

    async def main() -> None:
        threads = StoreThreads(database)
        waiting = asyncio.ensure_future(begin(threads, hang))
        await asyncio.to_thread(asked.wait)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        threads.hurry(0.3)
        await asyncio.to_thread(threads.close)

    began = time.monotonic()
    try:
        asyncio.run(main())
        assert time.monotonic() - began < 10
    finally:
        answer.set()
        # What was left behind gives its connection back, before the database is closed.
        for thread in set(threading.enumerate()) - before:
            thread.join(10)


def test_a_dispatcher_that_cannot_begin_leaves_no_thread(database: Database) -> None:
    """Credentials that nobody opens end it as it enters, which its threads have begun with."""
    seed.provider(database)
    before = set(threading.enumerate())
    dispatcher = make_dispatcher(database, Keyring({}), DispatchOptions(once=True))
    with pytest.raises(NotAllowed):
        asyncio.run(dispatcher.run())
    assert set(threading.enumerate()) <= before


def test_a_dispatcher_that_ends_by_a_defect_leaves_no_thread(database: Database) -> None:
    """What breaks the writing of its last words keeps its threads as little."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    before = set(threading.enumerate())
    dispatcher = make_dispatcher(database, Keyring({}), DispatchOptions(once=True))
    dispatcher._left = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(dispatcher.run())
    assert set(threading.enumerate()) <= before
