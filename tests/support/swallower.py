"""A network on the way to PostgreSQL that, when told, acknowledges everything and passes nothing on."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

from sqlalchemy import URL, make_url


class Swallower:
    """Listens on loopback in a thread of its own from `with` on; `url` is that of the database through it.

    While `silent`, what either side says is taken and kept from the other, for ever: new connections are taken, too.
    """

    def __init__(self, database_url: str) -> None:
        self._behind = make_url(database_url)
        self.silent = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="swallower", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Swallower:
        self._thread.start()
        assert self._ready.wait(10)
        query = {key: value for key, value in self._behind.query.items() if key not in ("host", "port")}
        through: URL = self._behind.set(host="127.0.0.1", port=self._port, query=query)
        self.url = through.render_as_string(hide_password=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await self._connected()
        both = [
            asyncio.create_task(self._pass_on(reader, downstream)),
            asyncio.create_task(self._pass_on(upstream, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.transport.abort()
            downstream.transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._behind.host or self._behind.query.get("host") or "127.0.0.1")
        port = int(self._behind.port or str(self._behind.query.get("port") or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
