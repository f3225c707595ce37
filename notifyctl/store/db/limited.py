"""Connections to PostgreSQL whose every call has a limit.

A network that acknowledges and answers nothing, or a server that stands still, keeps a driver waiting for ever: neither
keepalives nor TCP_USER_TIMEOUT see anything wrong. So the wait itself ends. Loads psycopg: imported where there is a
PostgreSQL to connect to.
"""

from __future__ import annotations

import secrets
from typing import Any

import psycopg

ANSWER_S = 5.0
"""For what the server has at once: connecting, BEGIN, LISTEN, ROLLBACK."""
INTERVAL_S = 0.1
"""How often the driver looks whether somebody pressed Ctrl-C."""


class Silence(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed, since nobody knows what it will still say."""

    is_silence = True


class LimitedConnection(psycopg.Connection[Any]):
    """Waits at most `limit_s` seconds for an answer."""

    limit_s = ANSWER_S

    def wait(self, gen: Any, interval: float = INTERVAL_S, timeout: float | None = None) -> Any:
        """Consume a generator of the driver's."""
        try:
            return super().wait(gen, interval, self.limit_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            if timeout is not None:
                raise
            raise _given_up(self, self.limit_s) from error

    def name_statements_apart(self) -> None:
        """Give prepared statements names that no other connection's have.

        A pooler that does not keep sessions may run what another client prepared. The driver numbers them from 0 on
        every connection: it would be another statement of the same name, and not always an error.
        """
        self._prepared._prepared_idx = secrets.randbits(60)


class LimitedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for a listener: what waits for notifications says itself for how long."""

    async def wait(self, gen: Any, interval: float = INTERVAL_S, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the driver has it
        """Consume a generator of the driver's."""
        try:
            return await super().wait(gen, interval, ANSWER_S if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            if timeout is not None:
                raise
            raise _given_up(self, ANSWER_S) from error


def _given_up(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], limit_s: float) -> Silence:
    conn.pgconn.finish()
    return Silence(f"the database is silent: no answer within {limit_s:g} s")
