"""The lanes of a dispatcher: one for each of its providers, opened as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Generic

from notifyctl.core.model import Claim
from notifyctl.core.webhook.attempt import Delivery
from notifyctl.dispatch.lane import Lane
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.queues import Done, Item, Portion
from notifyctl.dispatch.queues.webhooks import NAME, HookResults
from notifyctl.dispatch.roster import Roster
from notifyctl.store.queue.claim import StandIn
from notifyctl.store.queue.record import AttemptResult

NotificationLane = Lane[Claim, AttemptResult]
HookLane = Lane[Sequence[Delivery], HookResults]


class Lanes(Generic[Item, Done]):
    """Keeps a lane for each provider that `wanted` has named; `make` makes one."""

    def __init__(self, wanted: Callable[[], Iterable[str]], make: Callable[[str], Lane[Item, Done]]) -> None:
        self._wanted = wanted
        self._make = make
        self._lanes: dict[str, tuple[Lane[Item, Done], asyncio.Task[None]]] = {}

    def open(self) -> None:
        """Open a lane for each provider that has none."""
        for provider in self._wanted():
            if provider not in self._lanes:
                self._run(provider, self._make(provider))

    def running(self) -> set[asyncio.Task[None]]:
        """Return the tasks of the lanes that have not ended; raise what ended one."""
        for _, task in self._lanes.values():
            if task.done():
                task.result()
        return {task for _, task in self._lanes.values() if not task.done()}

    @property
    def unrecorded(self) -> int:
        """How many results are on their way to the database."""
        return sum(lane.unrecorded for lane, _ in self._lanes.values())

    def settled(self, provider: str, number: int) -> None:
        """Take note that so many of a provider's results were recorded."""
        self._lanes[provider][0].settled(number)

    def has(self, provider: str) -> bool:
        """Return whether the provider has a lane."""
        return provider in self._lanes

    def stop(self) -> None:
        """Let no lane take anything more."""
        for lane, _ in self._lanes.values():
            lane.stop()

    async def drain(self, until: float) -> None:
        """Wait for the running calls, at most until the monotonic moment `until`; then break them off."""
        await asyncio.gather(*(task for _, task in self._lanes.values()), return_exceptions=True)
        await asyncio.gather(*(lane.drain(until) for lane, _ in self._lanes.values()))

    def _run(self, provider: str, lane: Lane[Item, Done]) -> None:
        self._lanes[provider] = (lane, asyncio.create_task(lane.run()))


class NotificationLanes(Lanes[Claim, AttemptResult]):
    """The lanes that send, one for each provider of the roster.

    A lane that ended begins again where there is new work: with `once` when it may stand in for others that it has not
    looked at yet, and where its secrets could not be opened, when there are others.
    """

    def __init__(self, roster: Roster, make: Callable[[str], NotificationLane], *, once: bool) -> None:
        super().__init__(lambda: roster.configs, make)
        self._roster = roster
        self._once = once
        self._stood_in: dict[str, set[str]] = {}
        self._refused: dict[str, int] = {}

    def open(self) -> None:
        """Open a lane for each provider that has none, and those again that have new work."""
        super().open()
        for provider in self._roster.configs:
            if self._has_other_secrets(provider):
                self._refused.pop(provider)
                self._run(provider, self._make(provider))
            elif self._once and self._has_more_to_do(provider):
                self.stand_ins(provider)
                self._run(provider, self._lanes[provider][0])

    def refuse(self, provider: str, version: int) -> None:
        """End a provider's lane: its secrets could not be opened at this version of its configuration."""
        self._refused[provider] = version
        self._lanes[provider][0].stop()

    def stand_ins(self, provider: str) -> tuple[StandIn, ...]:
        """Return for whom a provider is to stand in at its next look."""
        names = self._roster.stand_ins(provider)
        self._stood_in.setdefault(provider, set()).update(names)
        return tuple(StandIn(name, spares_probes=self._is_running(name)) for name in names)

    def hint(self, provider: str | None) -> None:
        """Let the provider's lane look at once, and those that stand in for it; None: all lanes."""
        for name, (lane, _) in self._lanes.items():
            if provider in (None, name, *self._roster.stand_ins(name)):
                lane.hint()

    def _is_running(self, provider: str) -> bool:
        return provider in self._lanes and not self._lanes[provider][1].done()

    def _has_other_secrets(self, provider: str) -> bool:
        lane, task = self._lanes[provider]
        refused = self._refused.get(provider)
        anew = refused is not None and self._roster.configs[provider].updated_at != refused
        return anew and task.done() and not lane.unrecorded

    def _has_more_to_do(self, provider: str) -> bool:
        new = set(self._roster.stand_ins(provider)) - self._stood_in.get(provider, set())
        return bool(new) and not self._is_running(provider)


class HookLanes(Lanes[Sequence[Delivery], HookResults]):
    """The one lane that delivers to webhooks. With `once` it begins again where there may be more since it ended."""

    def __init__(self, make: Callable[[str], HookLane], *, once: bool) -> None:
        super().__init__(lambda: (NAME,), make)
        self._once = once
        self._again = False
        self._stopped = False

    def open(self) -> None:
        """Open the lane, and again where there may be something new for it."""
        super().open()
        lane, task = self._lanes[NAME]
        if self._once and self._again and _has_ended_well(task) and not self._stopped:
            self._again = False
            self._run(NAME, lane)

    def hint(self) -> None:
        """Let the lane look at once: there may be something to deliver."""
        if NAME in self._lanes:
            self._again = True
            self._lanes[NAME][0].hint(own=True)
            self.open()

    @property
    def room(self) -> int:
        """How many items the lane may be given; less than one, where none."""
        return self._lanes[NAME][0].room if NAME in self._lanes else 0

    def give(self, portion: Portion[Sequence[Delivery]], lease: Lease) -> None:
        """Let the lane deliver what was taken without a look; with `once` it is not over before that is."""
        self._lanes[NAME][0].give(portion, lease)
        self._again = True
        self.open()

    def stop(self) -> None:
        """Let the lane take nothing more."""
        self._stopped = True
        super().stop()


def _has_ended_well(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
