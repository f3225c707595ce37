"""A lane: take as much as has room in flight, work on it, hand the results to the recorder.

Each queue has its own lane and its own places in flight, so that one that is slow, throttled, paused or down never
starves another. The workers of a lane are a fixed set: a task for each item would cost more than some calls.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic

from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable
from notifyctl.core.frozen import dataclass
from notifyctl.dispatch.budget import Budget
from notifyctl.dispatch.foresight import Foresight
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.portioning import Portioning
from notifyctl.dispatch.queues import Done, Item, Portion, Queue
from notifyctl.dispatch.recorder import Recorder
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import ProviderTally
from notifyctl.dispatch.wakeup import Wakeup

GATHER_S = 0.005
NEWS_S = 0.1
"""How long a look that would find nothing of what is known here waits: for others may have made something."""
SPARED_S = 0.05
STUCK_S = 0.5
WATCH_S = 0.5
UNHEARD_TRIES = 3
WAIT_S = 0.25
"""For how long what was taken ahead may wait for a place: then others may have it."""


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How a lane works. With `once` it ends when nothing is left, else it looks again every `poll_s` seconds.

    It takes at most `portion` items at a look; `ahead`: also for places that calls are about to leave. With `once` it
    waits `patience_s` seconds, altogether, until something may be taken that may not yet.
    """

    once: bool
    poll_s: float
    portion: int
    patience_s: float = 0.0
    ahead: bool = False


class Lane(Generic[Item, Done]):
    """Works for one queue until it is stopped, or with `once` until nothing is left.

    `unrecorded` is how many results are on their way to the database. `_in_hand` are those that were taken and have not
    ended: they are in flight, about to be, or `_waiting` for a call to end.
    """

    def __init__(
        self,
        queue: Queue[Item, Done],
        terms: LaneOptions,
        threads: StoreThreads,
        recorder: Recorder[Done],
        budget: Budget,
        tally: ProviderTally,
    ) -> None:
        self.queue = queue
        self.unrecorded = 0
        self._terms = terms
        self._threads = threads
        self._recorder = recorder
        self._budget = budget
        self._tally = tally
        self._workers: set[asyncio.Task[None]] = set()
        self._given: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[tuple[Item, Lease]]] = []
        self._waiting: deque[tuple[Item, Lease]] = deque()
        self._in_hand = 0
        self._over = False
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._wakeup = Wakeup()
        self._look_again = False
        self._patience_s = terms.patience_s
        self._portioning = Portioning(terms.portion)
        self._foresight = Foresight()

    def stop(self) -> None:
        """Take no more, and give back what is not begun."""
        self._stopping.set()
        self._give_back()
        self._freed.set()
        self._wakeup.ring()

    def hint(self, *, own: bool = False) -> None:
        """Take note that there may be something to take: the wait for the next look ends; `own`: for this lane only."""
        self._wakeup.ring(own=own)
        self._freed.set()

    def give(self, portion: Portion[Item], lease: Lease) -> None:
        """Work on what was taken without a look; one may begin now."""
        self._freed.set()
        if portion.items:
            self._in_hand += len(portion.items)
            task = asyncio.create_task(self._start(portion, lease))
            self._given.add(task)
            task.add_done_callback(self._given.discard)

    def settled(self, number: int) -> None:
        """Take note that so many results were recorded."""
        self.unrecorded -= number
        self._freed.set()

    async def run(self) -> None:
        """Take and work; returns when stopped or done, with calls possibly still running."""
        while not self._stopping.is_set():
            room = await self._room()
            if self._stopping.is_set():
                return
            if room < 1:  # there were fewer places all at once, while it was waited for more to be free
                continue
            if self._recorder.is_stuck:
                if self._terms.once:
                    return
                await self._pause(STUCK_S)
                continue
            if await self._is_spent():
                return
            self._wakeup.look()
            self.queue.looks()
            portion, lease = await self._take(room)
            self._wakeup.looked(in_vain=portion.in_vain)
            self.queue.noted(portion)
            if portion.items:
                await self._begin(portion, lease)
            elif portion.crowded:
                await self._one_has_ended()
            elif portion.in_vain and await self._is_done(portion):
                return
            del portion  # what it took may be large, and the next look may come late

    async def drain(self, until: float) -> None:
        """Wait for the running calls, at most until the monotonic moment `until`; then break them off."""
        self._over = True
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                while self._in_hand:
                    self._freed.clear()
                    await self._freed.wait()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for result in self.queue.left():
            self.unrecorded += 1
            self._recorder.put(result)
        if (give_back := self.queue.unheard()) is not None:
            with suppress(DatabaseUnavailable, CommitUnknown):
                await self._threads.write(give_back)

    async def _is_done(self, portion: Portion[Item]) -> bool:
        """Return whether there is nothing left to do, after a look in vain; wait where there may be."""
        if not self._terms.once:
            await self._until_next_look(portion.wait_ms)
            return False
        if portion.spared or portion.rests:
            await self._pause(SPARED_S if portion.wait_ms is None else portion.wait_ms / 1_000)
            return False
        if portion.unproven:
            await self._pause(WATCH_S)
            return False
        if portion.wait_ms is not None and portion.wait_ms / 1_000 <= self._patience_s:
            self._patience_s -= portion.wait_ms / 1_000
            await self._pause(portion.wait_ms / 1_000)
            return False
        return not await self._changed()

    async def _until_next_look(self, wait_ms: int | None) -> None:
        poll = self._terms.poll_s
        if wait_ms is None:
            await self._pause(await self._wakeup.wait(poll))
        else:  # earlier nothing may be taken, whatever is hinted
            await self._pause(min(poll, wait_ms / 1_000))

    async def _is_spent(self) -> bool:
        """Return whether no more may be attempted; what was taken ahead, and may be given back, is waited for."""
        if self._budget.spent:
            await self._all_ended()
        return self._budget.spent

    async def _all_ended(self) -> None:
        """Wait until no call is running, or until told to stop. Each call has a deadline of its own."""
        while self._in_hand and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()

    async def _one_has_ended(self) -> None:
        """Wait until one of the running calls has ended, for as long as one waits between two looks."""
        self._freed.clear()
        if self._in_hand and not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._terms.poll_s):
                    await self._freed.wait()

    async def _changed(self) -> bool:
        """Wait until no call is running; return whether there may be more to do: one was a probe, or was given back."""
        await self._all_ended()
        again, self._look_again = self.queue.gave_back() or self._look_again, False
        while again and self.unrecorded and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()
        return again

    # Taking

    async def _room(self) -> int:
        """Return how many places to fill: all that will be free when half of them are, or when that takes too long.

        A claim of a few costs nearly as much as one of many, and one of none half as much. What is taken ahead is
        enough when it lasts until a next look.
        """
        most, seen = self._portioning.most, self._foresight
        half = min((self.queue.places() + 1) // 2, most)
        enough = min(half, seen.ahead - seen.during_look) or half
        await self._until_free(1)
        await self._worthwhile(GATHER_S, lambda: self._free(seen.ahead) >= enough and self.queue.takes_many())
        await self._worthwhile(NEWS_S, self.queue.has_more)
        return min(self._free(seen.ahead), most)

    async def _worthwhile(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        """Wait until a look is worth what it costs, at most that long, or until told to stop."""
        if is_enough():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (is_enough() or self._stopping.is_set()):
                    self._freed.clear()
                    await self._freed.wait()

    @property
    def room(self) -> int:
        """How many items may be taken without a look; less than one, where none may."""
        none = self._over or self._stopping.is_set() or self._recorder.is_stuck
        return 0 if none else min(self._free(), self._portioning.most)

    def _free(self, ending: int = 0) -> int:
        """Return how many places are free, with those that so many calls are about to leave."""
        # A call that has ended makes room for another while its result is recorded. But what a crash would leave
        # unknown stays bounded, by twice the places: so much is taken, in flight or waits to be recorded.
        most = self.queue.places()
        return min(most + ending, 2 * most - self.unrecorded) - self._in_hand

    async def _until_free(self, places: int) -> None:
        """Wait until so many places will be free, or until told to stop."""
        while self._free(self._foresight.during_look) < places and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()

    async def _take(self, room: int) -> tuple[Portion[Item], Lease]:
        while (reserved := self._budget.reserve(room)) == 0:
            await asyncio.sleep(GATHER_S)  # another lane's claim has it, and may not need it
            if self._budget.spent or self._stopping.is_set():
                return Portion(), Lease(0, 0.0, 0)
        began = time.monotonic()
        used = 0
        try:
            portion = await self._patiently(reserved)
            used = len(portion.items)
        finally:
            self._budget.settle(reserved, used)
        now = time.monotonic()
        self._portioning.looked(now - began, used, portion.lease_ms)
        if self._terms.ahead:
            self._foresight.looked(began, now)
        self._look_again = self._look_again or portion.probes
        return portion, Lease(portion.now, began, portion.lease_ms, portion.deadline_ms)

    async def _patiently(self, room: int) -> Portion[Item]:
        """Take, riding out a database that is away. A run with `once` does not wait for it."""
        try:
            return await self._taken(room)
        except (DatabaseUnavailable, CommitUnknown):
            if self._terms.once:
                raise
            await self._pause(random.uniform(0.5, 1.5))  # noqa: S311
            return Portion()

    async def _taken(self, room: int) -> Portion[Item]:
        """Take; with `once` again where nobody knows what became of COMMIT: the next look gives back what that took."""
        for _ in range(UNHEARD_TRIES if self._terms.once else 0):
            with suppress(CommitUnknown):
                return await self._threads.write(lambda tx: self.queue.take(tx, room))
        return await self._threads.write(lambda tx: self.queue.take(tx, room))

    # Working

    async def _begin(self, portion: Portion[Item], lease: Lease) -> None:
        self._in_hand += len(portion.items)
        await self._start(portion, lease)

    async def _start(self, portion: Portion[Item], lease: Lease) -> None:
        if self._over or not await self.queue.ready(portion):
            for item in portion.items:
                self._put(self.queue.release(item))
            return
        free = max(0, self.queue.places() - self._tally.in_flight)
        for item in portion.items[:free]:
            self._tally.in_flight += 1
            if self._idle:
                self._idle.pop().set_result((item, lease))
            else:
                worker = asyncio.create_task(self._work(item, lease))
                self._workers.add(worker)
        if ahead := portion.items[free:]:
            self._waiting.extend((item, lease) for item in ahead)
            wait = 0.0 if self._stopping.is_set() else WAIT_S
            asyncio.get_running_loop().call_later(wait, self._give_back, lease)

    async def _work(self, item: Item, lease: Lease) -> None:
        """Work on one item after another, until the lane is over."""
        loop = asyncio.get_running_loop()
        while True:
            self._ended(await self.queue.attempt(item, lease))
            if self._over:
                return
            del item, lease  # the item may be large, and the next one may come late
            if self._waiting and self._next_may_begin():
                self._tally.in_flight += 1
                item, lease = self._waiting.popleft()
                continue
            waiting: asyncio.Future[tuple[Item, Lease]] = loop.create_future()
            self._idle.append(waiting)
            item, lease = await waiting

    def _next_may_begin(self) -> bool:
        """Return whether what waits may take the place of what has ended. It is given back where it may not at all."""
        if not self.queue.goes_on():
            self._give_back()
            return False
        return self._tally.in_flight < self.queue.places()

    def _ended(self, result: Done) -> None:
        self._tally.in_flight -= 1
        self._foresight.ended()
        self._put(result)

    def _give_back(self, lease: Lease | None = None) -> None:
        """Give back what waits for a place; `lease`: of what was taken under that one, where calls take long now."""
        back = [self.queue.release(item) for item, own in self._waiting if lease in (None, own)]
        self._waiting = deque(each for each in self._waiting if lease not in (None, each[1]))
        if back:
            self._look_again = True
            self._foresight.erred()
            self._budget.settle(0, -len(back))
        for result in back:
            self._put(result)

    def _put(self, result: Done) -> None:
        self._in_hand -= 1
        self.unrecorded += 1
        self._recorder.put(result)
        self._freed.set()

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
