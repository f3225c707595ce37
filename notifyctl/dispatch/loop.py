"""The dispatcher: one lane for each active provider, a recorder, a heartbeat.

The way of a notification: claim (with the gate) → build → send → read → decide → record. One direction, no way back.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sqlalchemy import Connection

from notifyctl.core import failover
from notifyctl.core.errors import CommitUnknown, DatabaseUnavailable, NotAllowed, NotFound
from notifyctl.core.model import Actor, Channel
from notifyctl.core.sealing import Keyring
from notifyctl.dispatch.courier import Courier
from notifyctl.dispatch.crossing import Crossing
from notifyctl.dispatch.hearing import hear
from notifyctl.dispatch.lane import Budget, Lane, Shared
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.receipts import Desk, Inquirer
from notifyctl.dispatch.recorder import Recorder
from notifyctl.dispatch.tally import Pace, Tally
from notifyctl.providers import registry
from notifyctl.providers.contract import Limited
from notifyctl.providers.oauth import TokenSource
from notifyctl.providers.wire import Wire
from notifyctl.store import dispatchers, metrics
from notifyctl.store.admission import StandIn
from notifyctl.store.dispatchers import Heartbeat
from notifyctl.store.engine import Database
from notifyctl.store.flow import Change
from notifyctl.store.providers import ProviderConfig, load_active, open_credentials
from notifyctl.store.records import Release, Result

HEARTBEAT_S = dispatchers.HEARTBEAT_MS / 1_000
ROLLUP_S = 60.0
LAST_RECORDS_S = 5.0
LOOK_FOR_PROVIDERS_S = 2.0
UNRECORDED_S = 0.01


class Dispatcher:
    """Sends what is due. Make it, `await run()` it once; `stop()` ends it gently."""

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        options: DispatchOptions,
        *,
        agent: str | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.options = options
        self.tally = Tally()
        self._db = db
        self._keyring = keyring
        self._actor = Actor(agent=agent)
        self._notify = notice
        self._crossing = Crossing(db)
        self._recorder = Recorder(self._crossing, self._actor, self._recorded, self._changed, self._notice)
        self._wire = Wire()
        self._tokens = TokenSource()
        self._configs: dict[str, ProviderConfig] = {}
        self._fail: frozenset[str] = frozenset()
        self._stand_ins: dict[str, tuple[str, ...]] = {}
        self._stood_in: dict[str, set[str]] = {}
        self._news = asyncio.Event()
        self._ran_at = time.monotonic()
        self._lanes: dict[str, tuple[Lane, asyncio.Task[None]]] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim no more, let the running calls end for at most the drain's time, record, and leave."""
        self._stopping.set()
        for lane, _ in self._lanes.values():
            lane.stop()

    async def run(self) -> None:
        """Dispatch until stopped; with `once` until what was due is worked off.

        Raises NotAllowed when a provider's credentials do not open, DatabaseUnavailable when the database is away at
        the start (with `once`: at any claim).
        """
        started = await self._entered()
        began = time.monotonic()
        shared = self._shared(started)
        background = [asyncio.create_task(each) for each in (self._beat(), self._rollup(), self._hear(shared))]
        asking = asyncio.create_task(self._ask_for_receipts())
        recording = asyncio.create_task(self._recorder.run())
        try:
            await self._work(shared, recording)
            await self._asked(asking, began)
        finally:
            until = time.monotonic() + self.options.drain_s
            self.stop()
            for lane, task in self._lanes.values():
                await asyncio.gather(task, return_exceptions=True)
                await lane.drain(until)
            self._recorder.finish()
            await self._last_records(recording, until)
            await _cancelled([*background, asking])
            await self._leave()

    async def _work(self, shared: Shared, recording: asyncio.Task[None]) -> None:
        """Keep one lane for each active provider, until the end."""
        end = None if self.options.max_time_s is None else time.monotonic() + self.options.max_time_s
        stopped = asyncio.create_task(self._stopping.wait())
        news = asyncio.create_task(self._news.wait())
        try:
            while not self._stopping.is_set():
                self._open_lanes(shared)
                running = {task for _, task in self._lanes.values() if not task.done()}
                self._ran_at = time.monotonic() if running else self._ran_at
                if not running and not self._news.is_set() and self._is_done(shared):
                    return
                events = {stopped, recording, news, *running}
                await asyncio.wait(events, timeout=self._patience(end), return_when="FIRST_COMPLETED")
                if recording.done():  # it ends early only by a defect, and nothing may go on unrecorded
                    recording.result()
                if end is not None and time.monotonic() >= end:
                    return
                self._raise_from_lanes()
                if news.done():
                    self._news.clear()
                    news = asyncio.create_task(self._news.wait())
                    await self._look_for_providers()
                elif not self.options.once:
                    await self._look_for_providers()
        finally:
            stopped.cancel()
            news.cancel()

    def _is_done(self, shared: Shared) -> bool:
        """Return whether a dispatcher without a running lane is at its end.

        With `once` what is not yet recorded may still be news: that a breaker opened, and another provider takes over.
        """
        patient = time.monotonic() < self._ran_at + self.options.drain_s
        unrecorded = any(lane.unrecorded for lane, _ in self._lanes.values())
        return shared.budget.spent or (self.options.once and not (unrecorded and patient))

    def _patience(self, end: float | None) -> float | None:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not self.options.once:
            return LOOK_FOR_PROVIDERS_S if left is None else min(left, LOOK_FOR_PROVIDERS_S)
        if any(not task.done() for _, task in self._lanes.values()):
            return left
        return UNRECORDED_S

    def _raise_from_lanes(self) -> None:
        for _, task in self._lanes.values():
            if task.done():
                task.result()

    # Providers

    async def _look_for_providers(self) -> None:
        with suppress(DatabaseUnavailable, CommitUnknown):
            self._know(*await self._crossing.read(lambda conn: (load_active(conn), self._db.now(conn))))

    def _know(self, configs: list[ProviderConfig], now: int) -> None:
        self._configs = {each.provider_name: each for each in configs if self._is_ours(each.provider_name)}
        self._fail = frozenset(name for name, each in self._configs.items() if each.fails(now))
        self._stand_ins = {}
        for channel in Channel:
            preferred = [(name, name in self._fail) for name in self._configs if registry.get(name).channel is channel]
            self._stand_ins |= failover.stand_ins(preferred)

    def _is_ours(self, provider: str) -> bool:
        try:
            return registry.get(provider).channel in self.options.channels
        except (NotFound, registry.BrokenProvider):  # not installed here, or unavailable by itself: the others work
            return False

    async def _courier(self, provider: str, version: int) -> Courier | None:
        """Return the courier of a provider at this version of its configuration; None when that is not known now."""
        config = self._configs.get(provider)
        if config is None or config.updated_at != version:
            # Changed since we looked: what was claimed goes by the new credentials, not by ours.
            await self._look_for_providers()
            config = self._configs.get(provider)
        if config is None or config.updated_at != version:
            return None  # disabled or changed again, or the database is away
        credentials = open_credentials(config, self._keyring, self.options.provider_urls)
        adapter = registry.get(provider)
        problem = next(iter(adapter.check(credentials)), None)
        return Courier(adapter, credentials, self._wire, self._tokens, problem)

    # Lanes

    def _shared(self, started: int) -> Shared:
        return Shared(
            id=self.id,
            options=self.options,
            crossing=self._crossing,
            recorder=self._recorder,
            budget=Budget(self.options.limit),
            notice=self._notice,
            couriers=self._courier,
            at_once=self._at_once,
            stand_ins=self._stands_in_for,
            others=self._others,
            failing=self._news.set,
            due_by=(self.options.due_by or started) if self.options.once else None,
        )

    def _open_lanes(self, shared: Shared) -> None:
        for provider in self._configs:
            if provider not in self._lanes or self._may_open_now(provider):
                lane = Lane(provider, shared, self.tally.of(provider))
                self._lanes[provider] = (lane, asyncio.create_task(lane.run()))
            elif self.options.once and self._has_more_to_do(provider):
                lane, _ = self._lanes[provider]
                self._stands_in_for(provider)
                self._lanes[provider] = (lane, asyncio.create_task(lane.run()))

    def _may_open_now(self, provider: str) -> bool:
        """Return whether a lane that ended for want of a key may begin again: there are other secrets now."""
        lane, task = self._lanes[provider]
        anew = lane.refused is not None and self._configs[provider].updated_at != lane.refused
        return anew and task.done() and not lane.unrecorded

    def _has_more_to_do(self, provider: str) -> bool:
        """Return whether a lane that has ended has not looked yet for all whom it stands in for now."""
        new = set(self._stand_ins.get(provider, ())) - self._stood_in.get(provider, set())
        return bool(new) and self._lanes[provider][1].done()

    def _stands_in_for(self, provider: str) -> tuple[StandIn, ...]:
        names = self._stand_ins.get(provider, ())
        self._stood_in.setdefault(provider, set()).update(names)
        return tuple(StandIn(name, name in self._lanes and not self._lanes[name][1].done()) for name in names)

    def _others(self, provider: str) -> tuple[str, ...]:
        channel = registry.get(provider).channel
        fit = (name for name in self._configs if name != provider and name not in self._fail)
        return tuple(name for name in fit if registry.get(name).channel is channel)

    def _at_once(self, provider: str) -> int:
        adapter, config = registry.get(provider), self._configs.get(provider)
        if config is None or not isinstance(adapter, Limited):
            return self.options.concurrency
        try:
            return max(1, adapter.at_once(config.config))
        except Exception:  # a third party's, or settings that were not checked: they are when a call is made
            return self.options.concurrency

    async def _hear(self, shared: Shared) -> None:
        if self._db.dialect.hints and not self.options.once:
            await hear(self._crossing, self.id, lambda provider: self._hinted(shared, provider))

    async def _hinted(self, shared: Shared, provider: str | None) -> None:
        """Let the provider's lane look at once (None: all lanes); one that is new gets its lane."""
        if provider is not None and provider not in self._lanes and self._is_ours(provider):
            await self._look_for_providers()
            if not self._stopping.is_set():
                self._open_lanes(shared)
            return
        for name, (lane, _) in self._lanes.items():
            if provider in (None, name, *self._stand_ins.get(name, ())):
                lane.hint()

    def _recorded(self, result: Result, stale: bool) -> None:
        tally = self.tally.of(result.claim.provider)
        if stale:
            tally.stale += 1
        elif not isinstance(result.transition, Release):
            tally.count(result.transition)
        self._lanes[result.claim.provider][0].settled()

    def _changed(self, change: Change) -> None:
        """Take note of what became of a provider by a result of ours."""
        self._notice(f"{change.provider} {change.what}")
        self._news.set()

    # Presence

    async def _entered(self) -> int:
        """Enter, once more when nobody knows whether that was stored: to enter twice is to enter."""
        with suppress(CommitUnknown):
            return await self._crossing.write(self._enter)
        return await self._crossing.write(self._enter)

    def _enter(self, conn: Connection) -> int:
        """Enter this dispatcher among those alive; learn the providers and check that their credentials open."""
        now = self._db.now(conn)
        self._know(load_active(conn), now)
        for config in self._configs.values():
            try:
                open_credentials(config, self._keyring, self.options.provider_urls)
            except NotAllowed as error:
                raise NotAllowed(f"{config.provider_name}: {error.message}", error.hint) from error
        dispatchers.beat(conn, self._db.dialect, self._heartbeat(0), now)
        return now

    def _heartbeat(self, per_minute: int) -> Heartbeat:
        return Heartbeat(self.id, socket.gethostname(), os.getpid(), self.tally.in_flight, per_minute)

    async def _beat(self) -> None:
        pace = Pace(time.monotonic())

        def work(conn: Connection) -> None:
            beat = self._heartbeat(pace.per_minute(self.tally.attempts, time.monotonic()))
            dispatchers.beat(conn, self._db.dialect, beat, self._db.now(conn))

        await self._regularly(HEARTBEAT_S, lambda: self._crossing.write(work))

    async def _rollup(self) -> None:
        if not self.options.once:
            await self._regularly(ROLLUP_S, lambda: asyncio.to_thread(metrics.rollup, self._db))

    async def _ask_for_receipts(self) -> None:
        desk = Desk(self._crossing, self._wire, self._actor, self._notice)
        inquirer = Inquirer(desk, lambda config: open_credentials(config, self._keyring, self.options.provider_urls))
        if self.options.once:
            await inquirer.once(tuple(self._configs.values()))
        else:
            await inquirer.run(lambda: tuple(self._configs.values()))

    async def _asked(self, asking: asyncio.Task[None], began: float) -> None:
        """With `once`: let what is being asked be answered, for as long as calls may take at the end."""
        if self.options.once:
            left = math.inf if self.options.max_time_s is None else began + self.options.max_time_s - time.monotonic()
            stopped = asyncio.create_task(self._stopping.wait())
            patience = max(0.0, min(left, self.options.drain_s))
            await asyncio.wait({asking, stopped}, timeout=patience, return_when="FIRST_COMPLETED")
            stopped.cancel()

    async def _regularly(self, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            with suppress(DatabaseUnavailable, CommitUnknown):
                await act()

    async def _last_records(self, recording: asyncio.Task[None], until: float) -> None:
        """Wait for the last results to be recorded, a moment longer than the drain."""
        left = max(0.0, until - time.monotonic()) + LAST_RECORDS_S
        _, late = await asyncio.wait({recording}, timeout=left)
        if late:
            recording.cancel()
            lost = sum(lane.unrecorded for lane, _ in self._lanes.values())
            self._notice(f"{lost} results could not be recorded; their leases expire")
        await asyncio.gather(recording, return_exceptions=True)

    async def _leave(self) -> None:
        with suppress(DatabaseUnavailable, CommitUnknown):
            await self._crossing.write(lambda conn: dispatchers.leave(conn, self.id, self._db.now(conn)))
        await self._wire.aclose()
        await self._tokens.aclose()
        await asyncio.to_thread(self._crossing.close)

    def _notice(self, text: str) -> None:
        self.tally.notices.append(text)
        self._notify(text)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
