"""A bare HTTP client posting the same body, without a database: `bare.py CLIENT STUB COUNT CONCURRENCY`.

CLIENT is pyreqwest, aiohttp or httpx-over-aiohttp. Prints how many it sent
and from when to when (seconds since the epoch) as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]
BODY = json.loads(sys.stdin.read())
HEADERS = {"Authorization": "Bearer SG.bench", "Content-Type": "application/json", "Accept": "application/json"}


@asynccontextmanager
async def pyreqwest_client(concurrency: int) -> AsyncIterator[Post]:
    """Yield a post of pyreqwest's."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().http1_only().no_proxy().pool_max_idle_per_host(concurrency).build() as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            answer = await client.post(url).headers(headers).body_bytes(body).build().send()
            return answer.status

        yield post


@asynccontextmanager
async def aiohttp_client(concurrency: int) -> AsyncIterator[Post]:
    """Yield a post of aiohttp's."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        yield post


@asynccontextmanager
async def httpx_client(concurrency: int) -> AsyncIterator[Post]:
    """Yield a post of httpx's over aiohttp's transport."""
    import aiohttp
    import httpx
    from httpx_aiohttp import AiohttpTransport

    connector = aiohttp.TCPConnector(limit=concurrency)
    transport = AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=connector))
    async with httpx.AsyncClient(transport=transport) as client:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(url, content=body, headers=headers)).status_code

        yield post


CLIENTS = {"pyreqwest": pyreqwest_client, "aiohttp": aiohttp_client, "httpx-over-aiohttp": httpx_client}


async def main(name: str, stub: str, count: int, concurrency: int) -> tuple[float, float]:
    """Post `count` bodies, `concurrency` at a time, and return when that began and ended."""
    numbers = iter(range(count))

    async def work(post: Post) -> None:
        for _ in numbers:
            assert await post(f"{stub}/v3/mail/send", json.dumps(BODY).encode(), HEADERS) == 202

    async with CLIENTS[name](concurrency) as post:
        await post(f"{stub}/v3/mail/send", b"{}", HEADERS)
        began = time.time()
        await asyncio.gather(*(work(post) for _ in range(concurrency)))
        return began, time.time()


if __name__ == "__main__":
    _, name, stub, count, concurrency = sys.argv
    began, ended = uvloop.run(main(name, stub, int(count), int(concurrency)))
    print(json.dumps({"sent": int(count), "began": began, "ended": ended}))
