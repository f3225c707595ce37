"""The log of requests: one JSON object a line, written before the answer is sent."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

from notifyctl.sandbox.exchange import Handled, IncomingRequest
from notifyctl.sandbox.inbox import Inbox, Received


class Journal:
    """Appends to the file at `path`, mode 0600, if there is one, and keeps messages in `inbox`. Close it at the end.

    One write a line: several processes may share the file, and a reader sees only whole lines.
    """

    def __init__(self, path: Path | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._file = None if path is None else os.open(path, flags, 0o600)
        self._numbers = count(1)
        self.inbox = Inbox()

    def write(
        self, provider: str, call: IncomingRequest, handled: Handled, status: int | None, fault: str | None
    ) -> int:
        """Log one request and return its number; `status` is None when it gets no answer."""
        about = (handled.recipient, handled.notification_id)
        received = Received(next(self._numbers), provider, call, *about, status, fault, handled.checks)
        if not handled.sends:
            self.inbox.questions += 1
        elif provider != "token":
            self.inbox.add(received)
        if self._file is not None:
            os.write(self._file, json.dumps(received.line(), ensure_ascii=False).encode(errors="replace") + b"\n")
        return received.number

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
