"""Connections that nobody uses, until somebody does, for a limited time."""

from __future__ import annotations

import asyncio

from notifyctl.providers.http.connection import Connection
from notifyctl.providers.http.request import Origin

IDLE_CONNECTIONS = 1_024  # of all hosts together; the one that nobody used for the longest time goes first
IDLE_SECONDS = 55.0  # shorter than the 60 s after which common load balancers close, so that we close first

SPARE_SECONDS = 5.0


class Pool:
    """Idle connections by whom they lead to; the latest is used first, so that those beyond the need grow old.

    None is used that was made more than `oldest_s` ago.
    """

    def __init__(self, oldest_s: float) -> None:
        self._oldest_s = oldest_s
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._all: dict[Connection, None] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._spare_until = 0.0

    def take(self, origin: Origin, now: float) -> Connection | None:
        """Return a connection that can be written to, if there is one."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            del self._all[connection]
            fresh = connection.idle_since > now - IDLE_SECONDS and connection.made_at > now - self._oldest_s
            if fresh and connection.is_quiet():
                return connection
            connection.close()
        return None

    def put(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Keep a connection that is usable."""
        if self._spare_until > loop.time():
            connection.close()
            return
        connection.idle_since = loop.time()
        self._idle.setdefault(connection.origin, {})[connection] = None
        self._all[connection] = None
        if len(self._all) > IDLE_CONNECTIONS:
            self._drop(next(iter(self._all)))
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE_SECONDS / 4, self._sweep, loop)

    def discard(self, connection: Connection) -> None:
        """Forget a connection, where it is known."""
        if connection in self._all:
            self._forget(connection)

    def spare(self, now: float) -> None:
        """Keep no connection for a while: this process has no files left, and its database needs some."""
        self._spare_until = now + SPARE_SECONDS
        for connection in list(self._all):
            self._drop(connection)

    def close(self) -> None:
        """Close all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._all):
            self._drop(connection)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        before = loop.time() - IDLE_SECONDS
        for connection in list(self._all):  # the oldest first
            if connection.idle_since > before:
                break
            self._drop(connection)
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._all:
            self._sweeping = loop.call_later(IDLE_SECONDS / 4, self._sweep, loop)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        del self._all[connection]
        del self._idle[connection.origin][connection]
