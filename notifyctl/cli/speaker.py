"""Remarks of a program that must not wait for whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from threading import Thread

MOST_WAITING = 1_000
LAST_WORDS_S = 1.0


class Speaker:
    """Says things with `say` from a thread of its own, in their order.

    A pager that is not read on, or a terminal that was stopped by Ctrl-S, holds up that thread alone. What is said
    meanwhile waits, and what is more than `MOST_WAITING` is not said.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waiting: Queue[str | None] = Queue(MOST_WAITING)
        self._thread = Thread(target=self._speak, name="remarks", daemon=True)
        self._thread.start()

    def __call__(self, text: str) -> None:
        """Say one thing, some time."""
        with suppress(Full):
            self._waiting.put_nowait(text)

    def close(self) -> None:
        """Let what waits be said, for a moment."""
        with suppress(Full):
            self._waiting.put_nowait(None)
        self._thread.join(LAST_WORDS_S)

    def _speak(self) -> None:
        while (text := self._waiting.get()) is not None:
            with suppress(Exception):
                self._say(text)
