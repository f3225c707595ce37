"""One run of a dispatcher: what counts as due in it, and when and how it ends, in one place."""

from __future__ import annotations

import asyncio
import time

from notifyctl.dispatch.options import DispatchOptions

LAST_RECORDS_S = 5.0


class Run:
    """A run that begins when it is made. It ends when it is told to stop, when its time is over, or when it is done."""

    def __init__(self, options: DispatchOptions) -> None:
        self.once = options.once
        self._due_by = options.due_by
        self._drain_s = options.drain_s
        self._end = None if options.max_time_s is None else time.monotonic() + options.max_time_s
        self._told = asyncio.Event()
        self._drained_by: float | None = None
        self._busy_at = time.monotonic()

    def began(self, moment: int) -> None:
        """Take note of the database's moment at which it entered: what is due later is not for a run with `once`."""
        if self.once and self._due_by is None:
            self._due_by = moment

    @property
    def due_by(self) -> int | None:
        """The moment by which what is due belongs to this run; None: all that comes."""
        return self._due_by if self.once else None

    # Its end

    def stop(self) -> None:
        """Take no more; what runs may end, for the drain's time."""
        self._told.set()

    @property
    def is_told(self) -> bool:
        """Whether it was told to stop."""
        return self._told.is_set()

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return self._end is not None and time.monotonic() >= self._end

    def left_s(self, most: float | None = None) -> float | None:
        """Return for how many seconds it may still work, at most `most`; None without either."""
        if self._end is None:
            return most
        left = max(0.0, self._end - time.monotonic())
        return left if most is None else min(left, most)

    async def wait(self) -> None:
        """Wait until it is told to stop."""
        await self._told.wait()

    # What is still under way at its end

    def busy(self) -> None:
        """Take note that something is worked on."""
        self._busy_at = time.monotonic()

    @property
    def was_busy(self) -> bool:
        """Whether that is no longer ago than calls may take: what is not recorded yet may still be news."""
        return time.monotonic() < self._busy_at + self._drain_s

    def drained_by(self) -> float:
        """Return the monotonic moment by which calls have to have ended; it counts from the first question."""
        if self._drained_by is None:
            self._drained_by = time.monotonic() + self._drain_s
        return self._drained_by

    def records_left_s(self) -> float:
        """Return for how many seconds the last results may still be recorded: a moment longer than the drain."""
        return max(0.0, self.drained_by() - time.monotonic()) + LAST_RECORDS_S
