"""Results on their way to the database: whatever has gathered is one transaction.

A result is kept until it is recorded, however long the database is away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from notifyctl.core.decide import Bury, Retry, Sent
from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotifyctlError
from notifyctl.core.model import Actor
from notifyctl.dispatch.crossing import Crossing
from notifyctl.store.flow import Change
from notifyctl.store.records import Report, Result, record

BATCH = 512
RETRY_CEILING_S = 5.0
GATHER_S = 0.002

Recorded = Callable[[Result, bool], None]


class Recorder:
    """Writes results in batches. `recorded(result, stale)` is called once for each result.

    `changed` is called for what became of a provider by them, before; `notice` says what people should know besides.
    """

    def __init__(
        self,
        crossing: Crossing,
        actor: Actor,
        recorded: Recorded,
        changed: Callable[[Change], None],
        notice: Callable[[str], None],
    ) -> None:
        self._crossing = crossing
        self._actor = actor
        self._recorded = recorded
        self._changed = changed
        self._notice = notice
        self._gathered: list[Result] = []
        self._arrived = asyncio.Event()
        self._closing = False

    def put(self, result: Result) -> None:
        """Take a result to record."""
        self._gathered.append(result)
        self._arrived.set()

    def finish(self) -> None:
        """Let `run` end when everything that was put is recorded."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Record until finished."""
        while self._gathered or not self._closing:
            await self._arrived.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            batch, self._gathered = self._gathered[:BATCH], self._gathered[BATCH:]
            if not self._gathered and not self._closing:
                self._arrived.clear()
            if batch:
                await self._record(batch)

    async def _record(self, batch: list[Result]) -> None:
        try:
            report = await self._persist(batch)
        except (NotifyctlError, IntegrityError):
            for result in batch:
                await self._record_alone(result)
            return
        self._settle(batch, report)

    async def _record_alone(self, result: Result) -> None:
        """Record one of a batch that the database refused: if need be without its texts, which cannot fail again."""
        try:
            report = await self._persist([result])
        except (NotifyctlError, IntegrityError) as error:
            self._notice(f"{result.claim.id}: recorded without its details: {error}")
            report = await self._persist([_bare(result)])
        self._settle([result], report)

    async def _persist(self, batch: list[Result]) -> Report:
        """Write a batch, however long the database is away. An unknown COMMIT is repeated: the fence holds."""

        def work(conn: Connection) -> Report:
            return record(conn, self._crossing.db.dialect, batch, self._actor, self._crossing.db.now(conn))

        wait = 0.05
        while True:
            try:
                return await self._crossing.write(work)
            except (DatabaseUnavailable, CommitUnknown) as error:
                if wait == 0.05:
                    self._notice(f"{error.message}; {len(batch)} results wait")
                await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311
                wait = min(wait * 2, RETRY_CEILING_S)

    def _settle(self, batch: list[Result], report: Report) -> None:
        for change in report.changes:
            self._changed(change)
        for result in batch:
            self._recorded(result, result.claim.id in report.stale)


def _bare(result: Result) -> Result:
    match result.transition:
        case Sent() as sent:
            return replace(result, transition=replace(sent, response=None, provider_message_id=None))
        case Retry() as retry:
            return replace(result, transition=replace(retry, response=None, error="not recordable", entry={}))
        case Bury() as bury:
            bare = replace(bury, response=None, error="not recordable", entry={}, suppress=False)
            return replace(result, transition=bare)
    return result
