"""The dispatcher: lanes over queues, their recorders, and chores; from entering to leaving.

The way of a notification: claim (with triage) → token → build → send → read → decide → record. One direction, no way
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable
from notifyctl.core.frozen import dataclass
from notifyctl.dispatch.adopting import Adopting
from notifyctl.dispatch.budget import Budget
from notifyctl.dispatch.chores import Chores
from notifyctl.dispatch.early import EarlyReceipts
from notifyctl.dispatch.lanes import HookLanes, Lanes, NotificationLanes
from notifyctl.dispatch.notices import Notices
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.presence import Presence
from notifyctl.dispatch.queues.questions import Asked, Question
from notifyctl.dispatch.queues.webhooks import Webhooks
from notifyctl.dispatch.recorder import Recorder
from notifyctl.dispatch.returning import Returning
from notifyctl.dispatch.roster import Roster
from notifyctl.dispatch.run import LAST_RECORDS_S, Run
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import Tally
from notifyctl.dispatch.trailkeeping import TrailKeeper
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire
from notifyctl.store import rights
from notifyctl.store.db.tx import Tx

if TYPE_CHECKING:
    from notifyctl.dispatch.watching import Watching

T = TypeVar("T")

LOOK_FOR_PROVIDERS_S = 2.0
UNRECORDED_S = 0.01


@dataclass(frozen=True, slots=True)
class Parts:
    """What a dispatcher is made of; `wiring` makes it.

    `lanes` send, those of `questions` ask after receipts, that of `webhooks` delivers what they are told, by
    `hook_queue`. `news` is set when something became of a provider.
    """

    options: DispatchOptions
    run: Run
    threads: StoreThreads
    wire: Wire
    tokens: TokenSource
    roster: Roster
    lanes: NotificationLanes
    questions: Lanes[Question, Asked]
    webhooks: HookLanes
    hook_queue: Webhooks
    recorders: Sequence[Recorder[Any]]
    chores: Chores
    early: EarlyReceipts
    watching: Watching | None
    presence: Presence
    adopting: Adopting
    returning: Returning
    trail: TrailKeeper
    budget: Budget
    tally: Tally
    notices: Notices
    news: asyncio.Event

    @property
    def every_lane(self) -> tuple[Lanes[Any, Any], ...]:
        """All lanes of all kinds."""
        return self.lanes, self.questions, self.webhooks


class Dispatcher:
    """Sends what is due. Make it, `await run()` it once; `stop()` ends it gently."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.options = parts.options
        self.tally = parts.tally

    def stop(self) -> None:
        """Claim no more, let the running calls end for at most the drain's time, record, and leave."""
        self._parts.run.stop()
        self._parts.threads.hurry(self.options.drain_s + LAST_RECORDS_S)
        for lanes in self._parts.every_lane:
            lanes.stop()

    async def run(self) -> None:
        """Dispatch until stopped; with `once` until what was due is worked off.

        Raises NotAllowed when a provider's credentials do not open, DatabaseUnavailable when the database is away at
        the start (with `once`: at any claim).
        """
        if self.options.max_time_s is not None:
            asyncio.get_running_loop().call_later(self.options.max_time_s, self.stop)
        try:
            self._parts.run.began(await self._entered())
            await self._dispatch()
        finally:
            self.stop()
            await self._close()

    async def _dispatch(self) -> None:
        """Begin what a dispatcher does, until the end; then let it come to its end, and leave."""
        parts = self._parts
        parts.threads.tell = parts.notices.say
        if parts.roster.configs and parts.roster.share < parts.options.concurrency:
            parts.notices.say(f"at most {parts.roster.share} calls at once to each provider: ulimit -n allows no more")
        parts.chores.begin()
        recordings = {asyncio.create_task(each.run()) for each in parts.recorders}
        try:
            await parts.adopting.begin()
            await parts.returning.begin()
            await self._work(recordings)
        finally:
            self.stop()
            until = parts.run.drained_by()
            await asyncio.gather(*(lanes.drain(until) for lanes in parts.every_lane))
            await self._last_records(recordings)
            await parts.chores.end()
            await self._leave()

    async def _work(self, recordings: set[asyncio.Task[None]]) -> None:
        """Keep the lanes of each active provider, until the end."""
        parts = self._parts
        with _task(parts.run.wait()) as told:
            while not parts.run.is_told:
                for lanes in parts.every_lane:
                    lanes.open()
                running = self._running()
                if running:
                    parts.run.busy()
                elif not parts.news.is_set() and self._is_done():
                    return
                with _task(parts.news.wait()) as news:
                    events = {told, news, *recordings, *running}
                    await asyncio.wait(events, timeout=self._patience(running), return_when="FIRST_COMPLETED")
                for recording in recordings:
                    if recording.done():  # it ends early only by a defect, and nothing may go on unrecorded
                        recording.result()
                if parts.run.is_over:
                    return
                if parts.news.is_set() or not parts.run.once:
                    parts.news.clear()
                    await parts.roster.refresh()

    def _running(self) -> set[asyncio.Task[None]]:
        """Return the lanes that keep the run from its end: those that send, with `once` all of them."""
        sending, *others = (lanes.running() for lanes in self._parts.every_lane)
        return sending.union(*others) if self._parts.run.once else sending

    def _is_done(self) -> bool:
        """Return whether a dispatcher without a running lane is at its end.

        With `once` what is not yet recorded may still be news: that a breaker opened, and another provider takes over.
        """
        unrecorded = self._parts.lanes.unrecorded + self._parts.webhooks.unrecorded
        waits_for_news = unrecorded and self._parts.run.was_busy
        return self._parts.budget.spent or (self._parts.run.once and not waits_for_news)

    def _patience(self, running: set[asyncio.Task[None]]) -> float | None:
        if not self._parts.run.once:
            return self._parts.run.left_s(LOOK_FOR_PROVIDERS_S)
        return self._parts.run.left_s() if running else UNRECORDED_S

    # Entering and leaving

    async def _entered(self) -> int:
        """Enter, once more when nobody knows whether that was stored: to enter twice is to enter."""
        with suppress(CommitUnknown):
            return await self._parts.threads.write(self._enter)
        return await self._parts.threads.write(self._enter)

    def _enter(self, tx: Tx) -> int:
        """Enter this dispatcher among those alive; check what it will need, and that the credentials open."""
        rights.require_dispatching(tx)
        self._parts.roster.enter(tx)
        self._parts.adopting.enter(tx)
        self._parts.presence.beat(tx)
        return tx.now

    async def _last_records(self, recordings: set[asyncio.Task[None]]) -> None:
        parts = self._parts
        for recorder in parts.recorders:
            recorder.finish()
        _, late = await asyncio.wait(recordings, timeout=parts.run.records_left_s())
        kept = sum(recorder.kept for recorder in parts.recorders)
        waiting = sum(lanes.unrecorded for lanes in parts.every_lane) if late else 0
        if lost := kept + waiting:
            self.tally.unrecorded = lost
            parts.notices.say(f"{lost} results could not be recorded; their leases expire")
        for recording in late:
            recording.cancel()
        await asyncio.gather(*recordings, return_exceptions=True)

    async def _leave(self) -> None:
        parts = self._parts
        try:
            with suppress(DatabaseUnavailable, CommitUnknown):
                await parts.early.look()  # what came while the last calls ran
                if parts.run.once and parts.watching is not None:
                    await parts.watching.look_last()
        finally:  # whatever became of that, it is gone now, and must not look like one that vanished
            with suppress(DatabaseUnavailable, CommitUnknown):
                await parts.threads.write(self._left)
                if parts.run.once:
                    await parts.trail.finish()

    async def _close(self) -> None:
        """Close what was opened, however it ended: a dispatcher that could not even enter keeps no thread either."""
        try:
            for opened in (self._parts.wire, self._parts.hook_queue, self._parts.tokens):
                await opened.aclose()
        finally:
            await asyncio.to_thread(self._parts.threads.close)

    def _left(self, tx: Tx) -> None:
        self._parts.adopting.leave(tx)
        self._parts.presence.leave(tx)


@contextmanager
def _task(work: Coroutine[Any, Any, T]) -> Iterator[asyncio.Task[T]]:
    """Yield a task that ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
