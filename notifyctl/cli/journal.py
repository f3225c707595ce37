"""What a dispatcher that nobody watches writes of itself: each line with time and level, as logs are configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from notifyctl.cli.logs import KeysByNeed, formatter
from notifyctl.config import Settings
from notifyctl.dispatch.notices import Notice
from notifyctl.dispatch.tally import HookTally, Tally

SUMMARY_S = 60.0


class DispatchLog:
    """Writes lines with `say`; from the configured level on, and without one from INFO on. `whole`: whatever it is."""

    def __init__(
        self, say: Callable[[str], None], settings: Settings, keys: KeysByNeed, *, whole: bool = False
    ) -> None:
        self._say = say
        self._whole = whole
        self._formatter = formatter(settings.log_format, keys)
        self._least = logging.getLevelNamesMapping()[(settings.log_level or "INFO").upper()]

    def note(self, notice: Notice) -> None:
        """Write what changed: as a warning where somebody may have to act upon it."""
        self._write(logging.INFO if notice.good else logging.WARNING, notice.text)

    def inform(self, text: str) -> None:
        """Write what is as it should be."""
        self._write(logging.INFO, text)

    async def summarize(self, tally: Callable[[], Tally], every_s: float = SUMMARY_S) -> None:
        """Write once a minute what was done in it, where something was, until cancelled."""
        before, told = counts(Tally()), HookTally()
        while True:
            await asyncio.sleep(every_s)
            now, telling = counts(tally()), replace(tally().webhooks)
            if (now, telling) != (before, told):
                done = _said(tuple(new - old for new, old in zip(now, before, strict=True)), telling.minus(told))
                self.inform(f"{done} in the last minute; {tally().in_flight} in flight")
            before, told = now, telling

    def _write(self, level: int, text: str) -> None:
        if self._whole or level >= self._least:
            record = logging.LogRecord("notifyctl.dispatch", level, "", 0, text, None, None)
            self._say(self._formatter.format(record))


def counts(tally: Tally) -> tuple[int, ...]:
    """Return how many were sent, are to be retried, and are dead."""
    return tally.accepted, sum(each.retried for each in tally.providers.values()), tally.dead


def summary(tally: Tally) -> str:
    """Return what was done, in words."""
    return _said(counts(tally), tally.webhooks)


def _said(done: tuple[int, ...], webhooks: HookTally) -> str:
    sent, retried, dead = done
    telling = webhooks.told()
    return f"{sent:,} sent, {retried:,} to be retried, {dead:,} dead{f'; {telling}' if telling else ''}"
