"""A lane takes ahead what will find a place when its look is over: never more calls at once, and nothing that waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.dispatch import lane
from notifyctl.dispatch.budget import Budget
from notifyctl.dispatch.foresight import AHEAD_S, Foresight
from notifyctl.dispatch.lane import Lane, LaneOptions
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.notices import Notices
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.recorder import Recorder, Settling
from notifyctl.dispatch.storethreads import StoreThreads
from notifyctl.dispatch.tally import ProviderTally, Tally
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx

PLACES = 4
AHEAD = 3
SOON_S = 10.0


@given(st.integers(0, 5_000), st.floats(0.001, 10.0), st.floats(0.0, 1.0))
def test_as_many_as_end_at_the_same_rate(calls: int, seconds: float, part: float) -> None:
    """While a look takes, and for a little longer; nothing is foreseen by a first look."""
    foresight, look = Foresight(), seconds * part
    foresight.ended()
    foresight.looked(99.0, 100.0)
    assert (foresight.during_look, foresight.ahead) == (0, 0)
    for _ in range(calls):
        foresight.ended()
    foresight.looked(100.0 + seconds - look, 100.0 + seconds)
    assert abs(foresight.during_look - calls * look / seconds) < 1.01
    assert abs(foresight.ahead - calls * (look + AHEAD_S) / seconds) < 1.01
    foresight.erred()
    assert (foresight.during_look, foresight.ahead) == (0, 0)


class Certain(Foresight):
    """Foresees the same number of calls until it erred."""

    def __init__(self) -> None:
        super().__init__()
        self.during_look = self.ahead = AHEAD

    def looked(self, began: float, now: float) -> None:
        pass


class Endless:
    """A queue of ever more items, of which the lane is told to end each call."""

    provider = "endless"

    def __init__(self, most: int = 1_000) -> None:
        self.rooms: list[int] = []
        self.begun: list[int] = []
        self.released: list[int] = []
        self.open: dict[int, asyncio.Future[None]] = {}
        self.most_at_once = 0
        self.refused = False
        self._left = most
        self._next = 0

    def places(self) -> int:
        return PLACES

    def takes_many(self) -> bool:
        return True

    def has_more(self) -> bool:
        return True

    def goes_on(self) -> bool:
        return not self.refused

    def looks(self) -> None:
        pass

    def take(self, tx: Tx, room: int) -> Portion[int]:
        self.rooms.append(room)
        items = range(self._next, self._next + min(room, self._left))
        self._next, self._left = items.stop, self._left - len(items)
        return Portion(items, now=tx.now, lease_ms=60_000, deadline_ms=100)

    def noted(self, portion: Portion[int]) -> None:
        pass

    async def ready(self, portion: Portion[int]) -> bool:
        return True

    async def attempt(self, item: int, lease: Lease) -> int:
        self.begun.append(item)
        self.open[item] = asyncio.get_running_loop().create_future()
        self.most_at_once = max(self.most_at_once, len(self.open))
        with suppress(asyncio.CancelledError):  # that, too, is a result
            await self.open[item]
        del self.open[item]
        return item

    def release(self, item: int) -> int:
        self.released.append(item)
        return item

    def gave_back(self) -> bool:
        return False

    def unheard(self) -> None:
        pass

    def left(self) -> list[int]:
        return []

    def end(self) -> None:
        """End the call that has run for longest."""
        next(each for each in self.open.values() if not each.done()).set_result(None)


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Foresee the same in every test, and let what waits do so as long as it takes."""
    monkeypatch.setattr(lane, "Foresight", Certain)
    monkeypatch.setattr(lane, "WAIT_S", 3_600.0)
    yield


@pytest.mark.usefixtures("certain")
def test_what_was_taken_ahead_begins_as_places_are_left(database: Database) -> None:
    """All places are taken at every moment; a look is made when so many calls are about to end as it can take."""
    queue = Endless()

    async def act(works: Lane[int, int]) -> None:
        await until(lambda: len(queue.begun) == PLACES)
        assert queue.rooms == [PLACES + AHEAD]
        for ended in range(1, 20):
            queue.end()
            await until(lambda ended=ended: len(queue.begun) == PLACES + ended)  # type: ignore[misc]
            assert len(queue.open) == PLACES
        assert len(queue.rooms) > 1
        assert queue.begun == list(range(PLACES + 19))

    worked(database, queue, act)
    assert queue.most_at_once == PLACES


@pytest.mark.usefixtures("certain")
def test_what_finds_no_place_is_given_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls take long all at once, others may have it; and it is not counted as attempted."""
    monkeypatch.setattr(lane, "WAIT_S", 0.01)
    queue = Endless()

    async def act(works: Lane[int, int]) -> None:
        await until(lambda: len(queue.released) == AHEAD)
        assert (len(queue.open), works.room) == (PLACES, 0)
        assert queue.rooms == [PLACES + AHEAD]
        while len(queue.begun) < PLACES + AHEAD:  # so many the run may attempt, and no more
            if any(not each.done() for each in queue.open.values()):
                queue.end()
            await asyncio.sleep(0)

    worked(database, queue, act, Budget(PLACES + AHEAD))
    assert queue.released == [4, 5, 6]
    assert queue.begun == [0, 1, 2, 3, 7, 8, 9]


@pytest.mark.usefixtures("certain")
def test_a_run_that_ends_by_itself_looks_again_for_what_it_gave_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due, and belongs to the run: a look in vain before that is recorded is not the last one."""
    monkeypatch.setattr(lane, "WAIT_S", 0.01)
    queue = Endless(PLACES + AHEAD)

    async def act(works: Lane[int, int]) -> None:
        await until(lambda: len(queue.released) == AHEAD)
        queue.end()
        await until(lambda: len(queue.rooms) == 2)
        while queue.open:
            if any(not each.done() for each in queue.open.values()):
                queue.end()
            await asyncio.sleep(0)
        await until(lambda: len(queue.rooms) == 3)

    worked(database, queue, act, once=True)


@pytest.mark.usefixtures("certain")
def test_nothing_that_waits_begins_after_a_stop(database: Database) -> None:
    """It is given back at once: the next one has it before its lease ends."""
    queue = Endless()

    async def act(works: Lane[int, int]) -> None:
        await until(lambda: len(queue.begun) == PLACES)
        works.stop()
        assert queue.released == [4, 5, 6]

    worked(database, queue, act)
    assert queue.begun == [0, 1, 2, 3]


@pytest.mark.usefixtures("certain")
def test_nothing_that_waits_begins_after_a_refusal_that_stands_for_all(database: Database) -> None:
    """A provider that said "not so many" is asked for nothing more than was in flight when it did."""
    queue = Endless()

    async def act(works: Lane[int, int]) -> None:
        await until(lambda: len(queue.begun) == PLACES)
        queue.refused = True
        queue.end()
        await until(lambda: bool(queue.released))

    worked(database, queue, act)
    assert queue.released[:3] == [4, 5, 6]


def test_a_lane_that_takes_nothing_ahead(database: Database) -> None:
    """Whose items have turns of their own, takes what there are places for."""
    queue = Endless()

    async def act(works: Lane[int, int]) -> None:
        for ended in range(20):
            await until(lambda ended=ended: len(queue.begun) > PLACES + ended - 1)  # type: ignore[misc]
            queue.end()

    worked(database, queue, act, ahead=False)
    assert max(queue.rooms) <= PLACES


async def until(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, or fail."""
    end = time.monotonic() + SOON_S
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def worked(
    database: Database,
    queue: Endless,
    act: Callable[[Lane[int, int]], Coroutine[Any, Any, None]],
    budget: Budget | None = None,
    *,
    ahead: bool = True,
    once: bool = False,
) -> None:
    """Let a lane work until `act` returns, and end all calls."""

    async def work() -> None:
        threads, counts = StoreThreads(database), ProviderTally()
        settling = Settling(lambda tx, batch: None, lambda each: each, None, freed, lambda *_: None)
        recorder = Recorder(threads, settling, Notices(Tally(), lambda _: None).say)
        options = LaneOptions(once, 1.0, 128, ahead=ahead)
        works.append(Lane(queue, options, threads, recorder, budget or Budget(), counts))
        recording, running = asyncio.create_task(recorder.run()), asyncio.create_task(works[0].run())
        try:
            await act(works[0])
        finally:
            works[0].stop()
            while queue.open or not running.done():
                if any(not each.done() for each in queue.open.values()):
                    queue.end()
                await asyncio.sleep(0)
            await running
            await works[0].drain(time.monotonic())
            recorder.finish()
            await recording
            threads.close()
        assert (counts.in_flight, works[0].unrecorded) == (0, 0)

    def freed(batch: Any) -> None:
        works[0].settled(len(batch))

    works: list[Lane[int, int]] = []
    asyncio.run(work())
