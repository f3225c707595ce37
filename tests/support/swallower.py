"""A network on the way to PostgreSQL that, when told, acknowledges everything and passes nothing on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from sqlalchemy import make_url

from tests.support.relay import Ends, Relay


class Swallower(Relay):
    """`url` is that of the database through it.

    While `silent`, what either side says is taken and kept from the other, for ever: new connections are taken, too.
    """

    def __init__(self, database_url: str) -> None:
        super().__init__("swallower")
        self._behind = make_url(database_url)
        self.silent = False

    @property
    def url(self) -> str:
        """The database's URL, through here."""
        query = {key: value for key, value in self._behind.query.items() if key not in ("host", "port")}
        through = self._behind.set(host="127.0.0.1", port=self.port, query=query)
        return through.render_as_string(hide_password=False)

    async def connected(self) -> Ends:
        """Connect to the database."""
        host = str(self._behind.host or self._behind.query.get("host") or "127.0.0.1")
        port = int(self._behind.port or str(self._behind.query.get("port") or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    def ways(self, client: Ends, server: Ends) -> Sequence[Coroutine[Any, Any, None]]:
        """Carry both ways alike."""
        return self._pass_on(client[0], server[1]), self._pass_on(server[0], client[1])

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
