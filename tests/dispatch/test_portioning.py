"""A claim that was slow makes the next one smaller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from notifyctl.dispatch import lane
from notifyctl.dispatch.budget import Budget
from notifyctl.dispatch.lane import GATHER_S, Lane, LaneOptions
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.notices import Notices
from notifyctl.dispatch.portioning import Portioning
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.recorder import Recorder, Settling
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import ProviderTally, Tally
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx


def test_slow_looks_take_less_and_quick_ones_more_again() -> None:
    """Half as many after each slow look, down to one, so that what is taken can be begun before its lease ends."""
    portioning = Portioning(64)
    seen = []
    for _ in range(8):
        portioning.looked(7.0, min(portioning.most, 40), 65_000)
        seen.append(portioning.most)
    assert seen == [20, 10, 5, 2, 1, 1, 1, 1]
    for _ in range(8):
        portioning.looked(0.1, portioning.most, 65_000)
        seen.append(portioning.most)
    assert seen[8:] == [2, 4, 8, 16, 32, 64, 64, 64]


def test_what_took_nothing_changes_nothing() -> None:
    """A look in vain says nothing of how long it takes to take something."""
    portioning = Portioning(64)
    portioning.looked(30.0, 0, 65_000)
    assert portioning.most == 64


class Slow:
    """A queue whose first looks take long, beside their leases of a second."""

    provider = "slow"

    def __init__(self) -> None:
        self.rooms: list[int] = []

    def places(self) -> int:
        return 64

    def take(self, tx: Tx, room: int) -> Portion[int]:
        self.rooms.append(room)
        if len(self.rooms) > 3:
            return Portion()
        time.sleep(0.12)
        return Portion(range(room), now=tx.now, lease_ms=1_000, deadline_ms=100)

    def noted(self, portion: Portion[int]) -> None:
        pass

    async def ready(self, portion: Portion[int]) -> bool:
        return True

    async def attempt(self, item: int, lease: Lease) -> int:
        return item

    def release(self, item: int) -> int:
        return item

    def takes_many(self) -> bool:
        return True

    def has_more(self) -> bool:
        return True

    def goes_on(self) -> bool:
        return True

    def looks(self) -> None:
        pass

    def gave_back(self) -> bool:
        return False

    def left(self) -> list[int]:
        return []

    def unheard(self) -> None:
        """Return nothing: all was heard."""


class Shrinking(Slow):
    """A queue whose places become fewer just as one of them is free, while the lane waits for others to be."""

    def __init__(self) -> None:
        super().__init__()
        self._freed_at = float("inf")

    def places(self) -> int:
        return 10 if time.monotonic() < self._freed_at + GATHER_S / 2 else 3

    def take(self, tx: Tx, room: int) -> Portion[int]:
        self.rooms.append(room)
        items = range(10) if len(self.rooms) == 1 else range(max(0, room))
        return Portion(items, now=tx.now, lease_ms=60_000, deadline_ms=100)

    async def attempt(self, item: int, lease: Lease) -> int:
        if item == 0 and len(self.rooms) == 1:
            self._freed_at = time.monotonic()
        else:
            await asyncio.sleep(0.1)
        return item


class Told(Slow):
    """A queue that finds one thing at each look, and knows what is made."""

    def __init__(self) -> None:
        super().__init__()
        self.made = True

    def take(self, tx: Tx, room: int) -> Portion[int]:
        self.rooms.append(room)
        return Portion(range(1), now=tx.now, lease_ms=60_000, deadline_ms=100)

    def has_more(self) -> bool:
        return self.made

    def looks(self) -> None:
        self.made = False


def test_a_lane_does_not_look_for_what_nobody_made(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look in vain costs half as much as one that finds much. What is made meanwhile is looked for at once."""
    monkeypatch.setattr(lane, "NEWS_S", 3_600.0)
    queue, made = Told(), []

    def make(works: Lane[int, int]) -> None:
        made.append(len(queue.rooms))
        queue.made = True
        works.hint(own=True)

    assert len(rooms(database, queue, make)) == len(made) + 1
    assert made == [1, 2]


def test_a_lane_that_is_over_gives_back_what_it_is_given(database: Database) -> None:
    """What its process took without a look, as it ended: nobody else has to wait for the lease."""
    notices, recorded = Notices(Tally(), lambda _: None), list[int]()

    class Over(Told):
        def release(self, item: int) -> int:
            return -item

        async def attempt(self, item: int, lease: Lease) -> int:
            raise AssertionError("it is over")

    async def work() -> tuple[int, int]:
        threads, counts = StoreThreads(database), ProviderTally()
        settling = Settling(lambda tx, batch: None, lambda each: each, None, lambda batch: None, lambda *_: None)
        recorder = Recorder(threads, replace(settling, settle=lambda tx, batch: recorded.extend(batch)), notices.say)
        works = Lane(Over(), LaneOptions(True, 1.0, 128), threads, recorder, Budget(), counts)
        before = works.room
        works.stop()
        await works.drain(time.monotonic())
        works.give(Portion([7], now=1, lease_ms=60_000), Lease(1, time.monotonic(), 60_000))
        await asyncio.sleep(0)
        recorder.finish()
        await recorder.run()
        threads.close()
        assert counts.in_flight == 0
        return before, works.room

    assert asyncio.run(work()) == (64, 0)
    assert recorded == [-7]


def test_a_lane_takes_less_after_a_slow_look(database: Database) -> None:
    """What took long to take may not all be begun in time: half as many the next time."""
    assert rooms(database, Slow())[:3] == [64, 32, 16]


def test_a_lane_never_takes_less_than_nothing(database: Database) -> None:
    """Fewer places than calls in flight leave no room; as a limit of rows that would be an error, or all there is."""
    assert min(rooms(database, Shrinking())) >= 1


def rooms(database: Database, queue: Slow, make: Callable[[Lane[int, int]], None] = lambda _: None) -> list[int]:
    """Return for how much a lane had room at its first looks; `make` is called after each of those."""
    notices = Notices(Tally(), lambda _: None)

    async def work() -> None:
        threads, counts = StoreThreads(database), ProviderTally()
        settling = Settling(lambda tx, batch: None, lambda each: each, None, lambda batch: None, lambda *_: None)
        recorder = Recorder(threads, settling, notices.say)
        works = Lane(queue, LaneOptions(True, 1.0, 128), threads, recorder, Budget(), counts)
        recording = asyncio.create_task(recorder.run())
        running, looks = asyncio.create_task(works.run()), 0
        while len(queue.rooms) < 3 and not running.done():
            works.settled(works.unrecorded)
            await asyncio.sleep(0.01)
            if len(queue.rooms) > looks and len(queue.rooms) < 3:
                looks = len(queue.rooms)
                make(works)
        works.stop()
        await running
        await works.drain(time.monotonic())
        recorder.finish()
        await recording
        threads.close()

    asyncio.run(work())
    return queue.rooms
