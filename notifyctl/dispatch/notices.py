"""What a dispatcher has to say to people."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from notifyctl.dispatch.tally import Tally


class Notices:
    """Says each thing where `notify` leads, and keeps the last few for the live view."""

    def __init__(self, tally: Tally, notify: Callable[[str], None]) -> None:
        self._tally = tally
        self._notify = notify

    def say(self, text: str) -> None:
        """Say one thing. A remark that cannot be written ends nothing: nobody may be there to read it."""
        self._tally.notices.append(text)
        with suppress(Exception):
            self._notify(text)
