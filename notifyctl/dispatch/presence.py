"""A dispatcher's presence in the database: its row in `dispatchers` and its heartbeat."""

from __future__ import annotations

import os
import socket
import time

from notifyctl.core.presence import Heartbeat
from notifyctl.dispatch.tally import Pace, Tally
from notifyctl.store import dispatchers
from notifyctl.store.db.tx import Tx


class Presence:
    """One dispatcher's presence; `id` is its own."""

    def __init__(self, id_: str, tally: Tally) -> None:
        self.id = id_
        self._tally = tally
        self._pace = Pace(time.monotonic())

    def beat(self, tx: Tx) -> None:
        """Say that it lives; the first beat enters it."""
        per_minute = self._pace.per_minute(self._tally.attempts, time.monotonic())
        host, pid, in_flight = socket.gethostname(), os.getpid(), self._tally.in_flight
        dispatchers.beat(tx, Heartbeat(self.id, host, pid, in_flight, per_minute))

    def leave(self, tx: Tx) -> None:
        """Say that it is gone."""
        dispatchers.leave(tx, self.id)
