"""What a dispatcher has to say to people."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from notifyctl.core.frozen import dataclass
from notifyctl.dispatch.tally import Tally


def timed(text: str) -> str:
    """Return it with the time of day, as the live view shows it."""
    return f"{time.strftime('%H:%M:%S')}  {text}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that people are told; `good`: it is as it should be again, and nobody has to act upon it."""

    text: str
    good: bool = False


class Say(Protocol):
    """Says one thing; `good` as a `Notice` has it."""

    def __call__(self, text: str, good: bool = False) -> None:
        """Say it."""


class Notices:
    """Says each thing where `notify` leads, and keeps the last few for the live view."""

    def __init__(self, tally: Tally, notify: Callable[[Notice], None]) -> None:
        self._tally = tally
        self._notify = notify

    def say(self, text: str, good: bool = False) -> None:
        """Say one thing. A remark that cannot be written ends nothing: nobody may be there to read it."""
        self._tally.notices.append(timed(text))
        with suppress(Exception):
            self._notify(Notice(text, good))
