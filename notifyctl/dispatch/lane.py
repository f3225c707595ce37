"""One provider's lane: claim as much as has room in flight, send it, hand the results to the recorder.

Each provider has its own lane and its own places in flight, so that one that is slow, throttled, paused or down never
starves another.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from notifyctl.core import failover, flow
from notifyctl.core.decide import Attempt, Retry, Transition, decide
from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotAllowed
from notifyctl.core.model import Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.dispatch.clock import Lease
from notifyctl.dispatch.courier import Courier
from notifyctl.dispatch.crossing import Crossing
from notifyctl.dispatch.hearing import Doorbell
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.recorder import Recorder
from notifyctl.dispatch.tally import ProviderTally
from notifyctl.store.admission import StandIn
from notifyctl.store.claims import Batch, Order, claim
from notifyctl.store.records import Release, Result

GATHER_S = 0.005
SPARED_S = 0.05
MARGIN_MS = 1_000


class Budget:
    """How many attempts the whole run may still make; None: any number.

    A claim reserves before it knows how much is due, so that all lanes together never take too much.
    """

    def __init__(self, left: int | None) -> None:
        self._left = left
        self._reserved = 0

    def reserve(self, wanted: int) -> int:
        """Reserve up to `wanted` attempts and return how many; 0 when other lanes' claims have reserved the rest."""
        if self._left is None:
            return wanted
        taken = min(wanted, self._left - self._reserved)
        self._reserved += taken
        return taken

    def settle(self, reserved: int, used: int) -> None:
        """Use some of what was reserved, and let go of the rest."""
        if self._left is not None:
            self._left -= used
            self._reserved -= reserved

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self._left == 0


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lanes of a dispatcher have in common."""

    id: str
    options: DispatchOptions
    crossing: Crossing
    recorder: Recorder
    budget: Budget
    notice: Callable[[str], None]
    couriers: Callable[[str, int], Awaitable[Courier | None]]
    """Returns the courier of a provider at a version of its configuration, None when that has changed or cannot be read
    now; raises NotAllowed without the right key."""
    at_once: Callable[[str], int]
    """Returns how many calls a provider can take at once, whatever the options say."""
    stand_ins: Callable[[str], tuple[StandIn, ...]]
    """Returns for whom a provider stands in now."""
    others: Callable[[str], tuple[str, ...]]
    """Returns the other providers of a provider's channel that work, the preferred first."""
    failing: Callable[[], None]
    """Takes note that a provider was found to fail."""
    due_by: int | None


class Lane:
    """Works for one provider until it is stopped, or with `once` until nothing is left.

    `unrecorded` is how many results are on their way to the database, `refused` the version of the provider's
    configuration whose secrets could not be opened here, which ended it.
    """

    def __init__(self, provider: str, shared: Shared, tally: ProviderTally) -> None:
        self.provider = provider
        self._shared = shared
        self._tally = tally
        self._courier: Courier | None = None
        self._version = -1
        self.unrecorded = 0
        self.refused: int | None = None
        self._calls: dict[asyncio.Task[None], Claim] = {}
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._doorbell = Doorbell()
        self._probing = False
        self._most = shared.options.concurrency

    def stop(self) -> None:
        """Claim no more."""
        self._stopping.set()
        self._freed.set()
        self._doorbell.ring()

    def hint(self) -> None:
        """Take note that there may be something to claim: the wait for the next look ends."""
        self._doorbell.ring()

    def settled(self) -> None:
        """Take note that a result was recorded."""
        self.unrecorded -= 1
        self._freed.set()

    async def run(self) -> None:
        """Claim and send; returns when stopped or done, with calls possibly still running."""
        while not self._stopping.is_set():
            room = await self._room()
            if self._stopping.is_set():
                return
            if self._shared.budget.spent:
                await self._idle()
                return
            self._doorbell.look()
            batch, lease = await self._claim(room)
            in_vain = not batch.claims and sum(batch.settled.values()) == 0
            self._doorbell.looked(in_vain=in_vain)
            if batch.claims:
                await self._begin(batch, lease)
            elif in_vain:
                if not self._shared.options.once:
                    await self._until_next_look(batch)
                elif batch.spared:
                    await self._pause(SPARED_S)  # until whoever works for that provider has taken the probe
                elif not await self._probe_has_ended():
                    return

    async def drain(self, until: float) -> None:
        """Wait for the running calls, at most until the monotonic moment `until`; then break them off."""
        running = set(self._calls)
        if running:
            _, late = await asyncio.wait(running, timeout=max(0.0, until - time.monotonic()))
            for call in late:
                call.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _until_next_look(self, batch: Batch) -> None:
        poll = self._shared.options.poll_s
        if batch.wait_ms is None:
            await self._pause(await self._doorbell.wait(poll))
        else:  # earlier there is no permit, whatever is hinted
            await self._pause(min(poll, batch.wait_ms / 1_000))

    async def _idle(self) -> None:
        """Wait until no call is running, or until told to stop. Each call has a deadline of its own."""
        while self._calls and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()

    async def _probe_has_ended(self) -> bool:
        """Wait until no call is running; return whether one was a probe, so that there may be more to do."""
        await self._idle()
        probing, self._probing = self._probing, False
        while probing and self.unrecorded and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()
        return probing

    async def _room(self) -> int:
        """Return how many places to fill: half of them at most, so that one half is claimed while the other is sent.

        Waits a moment for so many, since a claim of a few costs nearly as much as one of many.
        """
        self._most = min(self._shared.options.concurrency, self._shared.at_once(self.provider))
        half = min((self._most + 1) // 2, self._shared.options.batch_size)
        await self._until_free(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._until_free(half)
        return min(self._free, half)

    @property
    def _free(self) -> int:
        # A call that has ended makes room for another while its result is recorded. But what a crash would leave
        # unknown stays bounded: where as many results wait as calls may be in flight, nothing more is claimed.
        most = self._most
        return min(most, 2 * most - self.unrecorded) - self._tally.in_flight

    async def _until_free(self, places: int) -> None:
        """Wait until so many places are free, or until told to stop."""
        while self._free < places and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()

    async def _claim(self, room: int) -> tuple[Batch, Lease]:
        budget = self._shared.budget
        while (reserved := budget.reserve(room)) == 0:
            await asyncio.sleep(GATHER_S)  # another lane's claim has it, and may not need it
            if budget.spent or self._stopping.is_set():
                return Batch(0), Lease(0, 0.0, 0)
        began = time.monotonic()
        used = 0
        try:
            batch = await self._patiently(reserved)
            used = len(batch.claims)
        finally:
            budget.settle(reserved, used)
        self._note(batch)
        return batch, Lease(batch.now, began, batch.lease_ms)

    async def _patiently(self, limit: int) -> Batch:
        """Claim, riding out a database that is away. A run with `once` does not wait for it."""
        options = self._shared.options
        order = Order(
            provider=self.provider,
            holder=self._shared.id,
            limit=limit,
            lease_ms=int(options.lease_s * 1_000),
            due_by=self._shared.due_by,
            on_unknown=options.on_unknown,
            stands_in_for=self._shared.stand_ins(self.provider),
        )
        db = self._shared.crossing.db

        def work(conn: Connection) -> Batch:
            return claim(conn, db.dialect, order, db.now(conn))

        try:
            return await self._shared.crossing.write(work)
        except (DatabaseUnavailable, CommitUnknown) as error:
            if options.once:
                raise
            self._shared.notice(error.message)
            await self._pause(random.uniform(0.5, 1.5))  # noqa: S311
            return Batch(0)

    def _note(self, batch: Batch) -> None:
        if batch.held in flow.OTHERS_STAND_IN and self._tally.held != batch.held:
            self._shared.failing()
        self._tally.held = batch.held
        self._probing = self._probing or batch.probes
        self._tally.dead += batch.settled.get("dead", 0)
        self._tally.cancelled += batch.settled.get("cancelled", 0)
        self._tally.deferred += batch.settled.get("deferred", 0)

    async def _begin(self, batch: Batch, lease: Lease) -> None:
        self._tally.in_flight += len(batch.claims)
        courier = await self._courier_for(batch.version)
        for each in batch.claims:
            if courier is None:
                self._ended(Result(each, Release()))
                continue
            call = asyncio.create_task(self._attempt(each, courier, lease, batch.deadline_ms))
            self._calls[call] = each
            call.add_done_callback(self._calls.pop)

    async def _courier_for(self, version: int) -> Courier | None:
        if version == self._version:
            return self._courier
        try:
            courier = await self._shared.couriers(self.provider, version)
        except NotAllowed as error:
            self._shared.notice(f"{self.provider}: {error.message}; this dispatcher leaves it alone")
            self.refused = version
            self.stop()
            return None
        if courier is not None:
            self._courier, self._version = courier, version
        return courier

    async def _attempt(self, each: Claim, courier: Courier, lease: Lease, deadline_ms: int) -> None:
        began_at, began = lease.moment(), time.monotonic()  # before the look at the lease: standing still costs us
        if lease.left_ms() < deadline_ms + MARGIN_MS:
            self._ended(Result(each, Release()))
            return
        said: Outcome | None = None
        try:
            outcome = said = await courier.deliver(each.message, began + deadline_ms / 1_000)
        except asyncio.CancelledError:
            # Broken off at the end of the drain: it may have been delivered, and the history says so.
            outcome = Outcome(Kind.UNKNOWN, "broken off at shutdown before the provider answered")
        self._tally.latencies.append((time.monotonic() - began) * 1_000)
        attempt = Attempt(each.attempt, each.max_retries, each.provider, began_at, lease.moment())
        self._ended(Result(each, self._decided(each, attempt, outcome), said))

    def _decided(self, each: Claim, attempt: Attempt, outcome: Outcome) -> Transition:
        if (refused := failover.back(each, attempt, outcome)) is not None:
            return refused
        policy = self._shared.options.on_unknown.get(each.message.channel, OnUnknown.RETRY)
        decided = decide(attempt, outcome, random.random(), policy)  # noqa: S311
        if not isinstance(decided, Retry):
            return decided
        return failover.elsewhere(decided, each, attempt, self._shared.others(each.provider))

    def _ended(self, result: Result) -> None:
        self._tally.in_flight -= 1
        self.unrecorded += 1
        self._shared.recorder.put(result)
        self._freed.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
