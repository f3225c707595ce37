"""The one place where the asynchronous loop calls the synchronous store, a batch at a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from notifyctl.core.errors import DatabaseUnavailable
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

T = TypeVar("T")

SWITCH_S = 0.001
"""How long the loop may compute while a store thread waits for the interpreter, as it does after each answer.

At the usual 5 ms that is most of a transaction, and for that the next results wait.
"""
LOOK_S = 0.1
"""How often whoever waits for the last transactions looks whether they are waited for any more."""

Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class StoreThreads:
    """Runs transactions in the store's own threads: one on SQLite, a few on PostgreSQL.

    A queue and a future for each transaction: an executor of the standard library takes as long for handing one over
    as the driver for a statement.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._waiting: set[asyncio.Future[Any]] = set()
        self._hurrying = self._gave_up = False
        self._away = False
        self.tell: Callable[[str, bool], None] = lambda _, __: None
        """Is told once that the database is away, and once that it is back, which is good news."""

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction and return its result."""
        try:
            result = await self._done(lambda: self.db.write(work))
        except DatabaseUnavailable as error:
            self._note(error.message)
            raise
        self._note(None)  # to read succeeds on a server that takes no writes, too
        return result

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction for reading and return its result."""
        return await self._done(lambda: self.db.consult(work))

    async def apart(self, work: Callable[[Database], T]) -> T:
        """Run what makes many transactions of its own, beside all others; at the end nobody waits for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        Thread(target=_answer, args=((loop, future, lambda: work(self.db)),), name="store-apart", daemon=True).start()
        return await future

    def hurry(self, seconds: float) -> None:
        """Let nobody wait for a transaction for longer than that from now on: then the database counts as away.

        A network that swallows answers would keep whoever is to leave. Said again, it changes nothing.
        """
        if not self._hurrying:
            self._hurrying = True
            asyncio.get_running_loop().call_later(seconds, self._give_up)

    def close(self) -> None:
        """Wait for the running transactions, unless nobody waits any more, and end the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            while thread.is_alive() and not self._gave_up:
                thread.join(LOOK_S)

    def _give_up(self) -> None:
        self._gave_up = True
        for future in self._waiting:
            _fail(future, self._silence())

    def _silence(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(f"{self.db.label} did not answer in time")

    def _note(self, trouble: str | None) -> None:
        if self._away != (trouble is not None):
            self._away = not self._away
            self.tell(trouble or "the database is back", trouble is None)

    async def _done(self, work: Callable[[], T]) -> T:
        if not self._threads:
            self._begin()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._gave_up:
            raise self._silence()
        self._jobs.put((loop, future, work))
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    def _begin(self) -> None:
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        names = (f"store-{number}" for number in range(self.db.dialect.worker_threads))
        self._threads = [Thread(target=self._serve, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            _answer(job)
            del job


def _answer(job: Job) -> None:
    """Do what somebody waits for, and let it have what comes of that."""
    loop, future, work = job
    try:
        answer: tuple[Callable[..., None], Any] = (_succeed, work())
    except BaseException as error:  # whatever it is, it belongs to whoever waits
        answer = (_fail, error)
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(answer[0], future, answer[1])


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():  # whoever waited may have been cancelled
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
