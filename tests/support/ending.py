"""How a server of the tests ends: with every connection closed, also those that were accepted just before.

What is left open is found by the garbage collector while another test runs, and counts as a failure of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

TURNS = 10
"""Of a loop: in fewer what was accepted has its protocol, what was begun has taken its first step, what was aborted is
closed. They are counted, for how long they take says nothing on a busy machine."""


async def turns() -> None:
    """Let the loop do what is about to be done."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def close(server: asyncio.Server) -> None:
    """Listen no more, and let begin what was accepted: a server that is closed already would leave it open."""
    for each in server.sockets:
        server.get_loop().remove_reader(each.fileno())
    await turns()
    server.close()


async def end(
    server: asyncio.Server, talks: Collection[asyncio.Task[None]], writers: Collection[asyncio.StreamWriter]
) -> None:
    """Listen no more, break the talks off, and close the connections. The collections may still grow meanwhile."""
    await close(server)
    for talk in list(talks):
        talk.cancel()
    await asyncio.gather(*talks, return_exceptions=True)
    for writer in list(writers):
        with suppress(AttributeError):  # one of TLS that was closed twice has forgotten what to abort, and is closing
            writer.transport.abort()
    await turns()
