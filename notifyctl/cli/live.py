"""The dispatcher at work, redrawn a few times a second on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from notifyctl.cli.bars import sparkline
from notifyctl.cli.output import escaped
from notifyctl.core.duration import show_ms
from notifyctl.dispatch.options import DispatchOptions
from notifyctl.dispatch.tally import ProviderTally, Tally

REFRESH_S = 0.5
SPARKS = 8


class Working(Protocol):
    """What can be watched: a dispatcher, or several as one."""

    options: DispatchOptions

    @property
    def tally(self) -> Tally:
        """What was done so far."""


class View:
    """Draws a dispatcher, or the sums of `processes` of them; `name` is what they work on (profile or database)."""

    def __init__(self, dispatcher: Working, name: str, processes: int = 1) -> None:
        self._dispatcher = dispatcher
        self._processes = processes
        self._name = name
        self._began = time.monotonic()
        self._seen = (self._began, 0)
        self._rates: deque[float] = deque(maxlen=SPARKS)

    def draw(self, *, ended: bool = False) -> Group:
        """Return the picture of this moment; `ended`: the last one, in which nothing is said to go on."""
        self._measure()
        heads = [self._ending()] if ended else [self._heading(), self._pace()]
        return Group(*heads, Text(), self._providers(ended=ended), *self._webhooks(), *self._notices())

    def _measure(self) -> None:
        now, done = time.monotonic(), self._dispatcher.tally.attempts
        before, done_before = self._seen
        if now - before >= REFRESH_S / 2:
            self._rates.append((done - done_before) / (now - before))
            self._seen = (now, done)

    def _heading(self) -> Text:
        options = self._dispatcher.options
        up = show_ms(int((time.monotonic() - self._began) * 1_000))
        lease = show_ms(int(options.lease_s * 1_000))
        several = f"{self._processes} processes  " if self._processes > 1 else ""
        return Text(f"{self._name}  {several}up {up}  lease {lease}  Ctrl-C drains, twice leaves", style="bold")

    def _ending(self) -> Text:
        up = show_ms(int((time.monotonic() - self._began) * 1_000))
        return Text(f"{self._name}  stopped after {up}", style="bold")

    def _pace(self) -> Text:
        tally, options = self._dispatcher.tally, self._dispatcher.options
        places = self._processes * options.concurrency * max(1, len(tally.providers))
        rate = self._rates[-1] if self._rates else 0.0
        return Text(f"{rate:,.0f}/s {sparkline(list(self._rates))}  in flight {tally.in_flight}/{places}")

    def _providers(self, *, ended: bool) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("PROVIDER", no_wrap=True)
        table.add_column("STATE", no_wrap=True, min_width=10)
        for title in ("ACCEPTED", "RETRIED", "DEAD", "IN FLIGHT", "P99"):
            table.add_column(title, justify="right", no_wrap=True)
        for name, tally in sorted(self._dispatcher.tally.providers.items()):
            table.add_row(*_cells(name, tally, ended=ended))
        return table

    def _webhooks(self) -> list[Text]:
        told = self._dispatcher.tally.webhooks.told()
        return [Text(told)] if told else []

    def _notices(self) -> list[Text]:
        return [Text(escaped(notice), overflow="ellipsis", no_wrap=True) for notice in self._dispatcher.tally.notices]


def _cells(name: str, tally: ProviderTally, *, ended: bool) -> list[str]:
    p99 = tally.p99_ms()
    return [
        name,
        "stopped" if ended else tally.held or "sending",
        f"{tally.accepted:,}",
        f"{tally.retried:,}",
        f"{tally.dead:,}",
        str(tally.in_flight),
        "-" if p99 is None else f"{p99:,.0f}ms",
    ]


async def watch(dispatcher: Working, name: str, processes: int = 1, console: Console | None = None) -> None:
    """Redraw until cancelled; the last picture stays."""
    view = View(dispatcher, name, processes)
    with Live(view.draw(), console=console, auto_refresh=False, transient=False) as live:
        try:
            while True:
                await asyncio.sleep(REFRESH_S)
                live.update(view.draw(), refresh=True)
        finally:
            live.update(view.draw(ended=True), refresh=True)
