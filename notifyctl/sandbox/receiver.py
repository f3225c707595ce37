"""A receiver of webhooks on loopback: it checks signatures, answers as it is told, and tells what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from typing import Any

from aiohttp import web

from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import shown
from notifyctl.core.webhook.signing import ID, objection
from notifyctl.sandbox.http import server
from notifyctl.sandbox.server import GRACE_SECONDS, HOST, bind_one, stop_signals

MOST_BYTES = 1024 * 1024
MOST_IDS = 100_000
TAKEN, NOT_BELIEVED, NO_POST, TOO_LONG = 204, 400, 405, 413


@dataclass(frozen=True, slots=True)
class Receiving:
    """How to receive: at which port (0: a free one), and whose signatures count; without secrets none is checked.

    `answers` are statuses, one after the other, the last one for all that follow; without them what is not believed
    gets a 400. `count`: after so many requests it ends.
    """

    port: int
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    answers: tuple[int, ...] = ()
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """A request: `event` is its JSON, where it is that. `verified` is None where nothing was checked.

    `repeated`: there was one with this id before. `problem` says why it must not be believed.
    """

    received_at: int
    webhook_id: str | None
    type: str | None
    notification_id: str | None
    status: int
    verified: bool | None
    repeated: bool
    problem: str | None
    event: Any


async def receive(how: Receiving, ready: Callable[[str], None], hear: Callable[[Heard], None]) -> None:
    """Receive until SIGTERM or SIGINT, until so many came, or until cancelled; `ready` gets the URL.

    Raises Conflict where the port is taken, and what `hear` raises.
    """
    listener = bind_one(how.port)
    with stop_signals() as stopped:
        desk = _Desk(how, hear, stopped)
        runner = web.ServerRunner(server(desk.take, MOST_BYTES), shutdown_timeout=GRACE_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=1_024).start()
            ready(f"http://{HOST}:{listener.getsockname()[1]}/")
            await stopped.wait()
        finally:
            await runner.cleanup()
            listener.close()
    if desk.failure is not None:
        raise desk.failure


class _Desk:
    """Where requests are taken."""

    def __init__(self, how: Receiving, hear: Callable[[Heard], None], stopped: asyncio.Event) -> None:
        self._how = how
        self._hear = hear
        self._stopped = stopped
        self._seen: dict[str, None] = {}
        self._count = 0
        self.failure: BaseException | None = None

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Look at a request, tell of it, and answer."""
        if request.method != "POST":
            return web.Response(status=NO_POST, headers={"Allow": "POST"})
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=TOO_LONG)
        if self._stopped.is_set() or self._count == self._how.count:  # another one was the last
            return web.Response(status=503)
        try:
            heard = self._heard(dict(request.headers), body)
            self._hear(heard)
        except BaseException as error:  # stdout may be gone: that is for whoever waits
            self.failure = error
            self._stopped.set()
            return web.Response(status=500)
        answer = web.Response(status=heard.status)
        with suppress(ConnectionError):  # who called may not wait for it
            await answer.prepare(request)
            await answer.write_eof()
        if self._count == self._how.count:  # only now: the last one is answered, too
            self._stopped.set()
        return answer

    def _heard(self, headers: dict[str, str], body: bytes) -> Heard:
        now = time.time()
        named = next((value for name, value in headers.items() if name.lower() == ID), None)
        problem = objection(headers, body, self._how.secrets, now) if self._how.secrets else None
        event = shown(body, body.decode(errors="replace"))
        of = event if isinstance(event, dict) else {}
        data = of.get("data")
        return Heard(
            received_at=int(now * 1_000),
            webhook_id=named,
            type=_text(of.get("type")),
            notification_id=_text(data.get("notification_id")) if isinstance(data, dict) else None,
            status=self._status(believed=problem is None),
            verified=None if not self._how.secrets else problem is None,
            repeated=self._is_repeated(named),
            problem=problem,
            event=event,
        )

    def _status(self, *, believed: bool) -> int:
        self._count += 1
        if not self._how.answers:
            return TAKEN if believed else NOT_BELIEVED
        return self._how.answers[min(self._count, len(self._how.answers)) - 1]

    def _is_repeated(self, id_: str | None) -> bool:
        if id_ is None:
            return False
        repeated = id_ in self._seen
        self._seen[id_] = None
        if len(self._seen) > MOST_IDS:
            del self._seen[next(iter(self._seen))]
        return repeated


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
