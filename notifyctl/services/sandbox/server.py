"""The server around the protocols: connections, faults, latency, the log."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NoReturn, Protocol

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from notifyctl.core.errors import Conflict
from notifyctl.services.sandbox.exchange import Call, Handled, Reply, page
from notifyctl.services.sandbox.faults import Injector, Rule
from notifyctl.services.sandbox.fcm import Fcm
from notifyctl.services.sandbox.identity import service_account
from notifyctl.services.sandbox.journal import Journal
from notifyctl.services.sandbox.sendgrid import SendGrid
from notifyctl.services.sandbox.tokens import Tokens
from notifyctl.services.sandbox.twilio import Twilio

HOST = "127.0.0.1"
MAX_BYTES = 32 * 1024 * 1024
GRACE_SECONDS = 0.5
TOKEN_SECONDS = 3_599


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What a sandbox is to do.

    `port` 0 takes a free one. `latency_s` is waited before every answer of a provider. `log` is a file that is
    appended to. `service_account` is where FCM's key file is written; without one there is nobody FCM would know.
    `seed` makes ids and faults repeatable. `token_life_s` is how long an access token is valid.
    """

    port: int = 0
    rules: tuple[Rule, ...] = ()
    latency_s: float = 0.0
    log: Path | None = None
    service_account: Path | None = None
    seed: int | None = None
    token_life_s: int = TOKEN_SECONDS


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that is running; `url` is the base URL of every provider."""

    url: str
    config: SandboxConfig


class _Provider(Protocol):
    """One protocol."""

    name: str

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""

    def handle(self, call: Call) -> Handled:
        """Return the answer to a request."""

    def fault(self, status: int, now: float) -> Reply:
        """Return what the provider answers with this status."""


async def serve(config: SandboxConfig, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled; call `ready` with the base URL when requests may come.

    Signals are heeded in the main thread only. Raises Conflict when the port is taken or the key file is not ours,
    and OSError when a file cannot be written.
    """
    async with running(config) as sandbox:
        with _stop_signals() as stopped:
            ready(sandbox.url)
            await stopped.wait()


@asynccontextmanager
async def running(config: SandboxConfig) -> AsyncIterator[Sandbox]:
    """Serve while the block runs, in this event loop. Raises as `serve` does."""
    # Bound before anything is written: the address is part of the key file, and two sandboxes may race for a port.
    listener = _bind(config.port)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    journal = Journal(None)
    try:
        journal = Journal(config.log)
        server = _server(_Desk(config, url, journal))
        runner = web.ServerRunner(server, shutdown_timeout=GRACE_SECONDS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=1_024).start()
            yield Sandbox(url, config)
        finally:
            await runner.cleanup()
    finally:
        journal.close()
        listener.close()


class _Desk:
    """Takes the requests."""

    def __init__(self, config: SandboxConfig, url: str, journal: Journal) -> None:
        # Ids are drawn apart from faults, so that the faults of a seed do not depend on what was accepted before.
        ids, chance = Random(config.seed), Random(config.seed)  # noqa: S311  # nothing here is a secret
        account = service_account(config.service_account, f"{url}/token") if config.service_account else None
        tokens = Tokens(ids, account, config.token_life_s)
        self._providers: tuple[_Provider, ...] = (SendGrid(ids), Twilio(ids), Fcm(ids, tokens), tokens)
        self._injector = Injector(config.rules, chance)
        self._latency_s = config.latency_s
        self._journal = journal

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or not."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, headers, await request.read(), time.time())
        provider = next((each for each in self._providers if each.answers(call.path)), None)
        if provider is None:
            return _response(page(404))
        handled = provider.handle(call)
        rule = self._injector.strike(provider.name, handled.recipient)
        reply = _spoiled(provider, rule, call.now) if rule else handled.reply
        self._journal.write(provider.name, call, handled, reply.status if reply else None, rule.fault if rule else None)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if reply is None:
            await _no_answer(request, reset=rule is not None and rule.fault == "reset")
        return _response(reply)


def _spoiled(provider: _Provider, rule: Rule, now: float) -> Reply | None:
    """Return the answer that `rule` wants instead; None for no answer at all."""
    if rule.fault == "html":
        return page(502)
    return provider.fault(rule.status, now) if rule.status is not None else None


async def _no_answer(request: web.BaseRequest, *, reset: bool) -> NoReturn:
    """Give no answer, until the caller leaves; with `reset`, close the connection under it."""
    if reset and request.transport is not None:
        plug = request.transport.get_extra_info("socket")
        if plug is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    # The server cancels this as soon as the connection is gone.
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets that future")


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body, content_type=reply.content_type, headers=dict(reply.headers)
    )


def _server(desk: _Desk) -> web.Server:
    loop = asyncio.get_running_loop()

    def request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BYTES)

    return web.Server(desk.take, request_factory=request, handler_cancellation=True, access_log=None)


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise Conflict(f"port {port} cannot be used: {error.strerror}", "name another with --port") from error
    return listener


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Set the event at SIGTERM or SIGINT; elsewhere than in the main thread nothing can, and cancelling is the way."""
    stopped, loop, taken = asyncio.Event(), asyncio.get_running_loop(), list[signal.Signals]()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, stopped.set)
            except NotImplementedError:  # Windows: Control-C cancels
                continue
            taken.append(number)
    try:
        yield stopped
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
