"""The one place where the asynchronous loop calls the synchronous store, a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from notifyctl.store.engine import Database

T = TypeVar("T")


class Crossing:
    """Runs transactions in the store's own threads: one on SQLite, a few on PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._threads = ThreadPoolExecutor(db.dialect.worker_threads, thread_name_prefix="store")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.db.write, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a connection for reading and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self.db.read() as conn:
            return work(conn)

    def close(self) -> None:
        """Wait for the running transactions and end the threads."""
        self._threads.shutdown(wait=True)
