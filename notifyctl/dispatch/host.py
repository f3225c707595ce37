"""This host as a dispatcher's lanes share it: which providers it reaches, and how much it can hold."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from notifyctl.core.outcome import Fault, Outcome, describe
from notifyctl.core.reach import Reach, Rest

UNLIMITED = 1 << 30
GROWS_AFTER_MS = 5_000
"""So long after something was lacking, more calls at once are tried again."""
ONCE_REST_MS = 10_000
"""For how long a run with `once` works on through trouble of its host: cron runs it again."""


RESERVED_FILES = 48
"""For the database, threads, certificates and what is opened for a moment."""


class Ways(Protocol):
    """Who knows the providers, and whether there is a way to them."""

    # ruff: noqa: D102
    def names(self) -> Iterable[str]: ...
    async def leads_to(self, provider: str) -> bool | None: ...


class Host:
    """Judges what may be this host's own trouble, and lets all lanes rest meanwhile: ever longer, 30 s at the most."""

    def __init__(self, ways: Ways, notice: Callable[[str], None], *, once: bool) -> None:
        self._ways = ways
        self._notice = notice
        self._once = once
        self._reach = Reach()
        self._rest = Rest()
        self._holds: dict[str, int] = {}
        self._lacked_at = 0
        self._look: asyncio.Task[None] | None = None

    def reached(self, provider: str) -> None:
        """Take note that a provider was reached, whatever it said."""
        self._reach.reached(provider, _now())
        if self._rest.began is not None and not self._rest.left_ms(_now()):
            self._rest.over()
        if self._holds and provider in self._holds and _now() > self._lacked_at + GROWS_AFTER_MS:
            self._holds[provider] += 1  # as far as it goes well

    async def is_ours(self, provider: str, outcome: Outcome, in_flight: int) -> bool:
        """Take note that a provider was not reached; return whether that is this host's trouble."""
        if not self._reach.is_ours(provider, outcome, _now()):
            return False
        if outcome.fault is not Fault.HOST and self._reach.is_alone(provider, _now()):
            await self._look_around(provider)
            if not self._reach.is_ours(provider, outcome, _now()):
                return False
        new = self._rest.began is None
        if outcome.fault is Fault.HOST:
            self._lacked_at = _now()
        if self._rest.trouble(_now()) and outcome.fault is Fault.HOST:
            self._holds[provider] = max(1, in_flight // 2)
        if new:
            self._notice(f"trouble of this host, no attempt is used up: {describe(outcome)}")
        return True

    def most(self, provider: str, places: int) -> int:
        """Return how many calls to a provider this host holds, `places` at the most."""
        most = self._holds.get(provider, places)
        if most >= places:
            self._holds.pop(provider, None)
        return min(places, most)

    def rests_ms(self) -> int:
        """Return for how long nothing is to be taken; 0 where something is."""
        return self._rest.left_ms(_now())

    @property
    def gives_up(self) -> bool:
        """Whether a run with `once` is not to wait for it any longer."""
        return self._once and self._rest.began is not None and _now() - self._rest.began > ONCE_REST_MS

    async def _look_around(self, provider: str) -> None:
        """See whether there is a way to others, where nobody called them: that tells whose trouble it is."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._looked_around(provider))
        await asyncio.shield(self._look)

    async def _looked_around(self, provider: str) -> None:
        for name in [each for each in self._ways.names() if each != provider]:
            found = await self._ways.leads_to(name)
            if found:
                self._reach.reached(name, _now())
                return
            if found is False:
                self._reach.hit_since.setdefault(name, _now())


def room_for_connections() -> int:
    """Return how many connections this process may open beside what it has open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        has_open = len(list(Path("/dev/fd").iterdir()))
    except OSError:
        has_open = 0
    return max(1, most - has_open - RESERVED_FILES) if most != resource.RLIM_INFINITY else UNLIMITED


def _now() -> int:
    return int(time.monotonic() * 1_000)
