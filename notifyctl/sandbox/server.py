"""The server around the protocols: where it listens, how it starts and ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from notifyctl.core.errors import Conflict
from notifyctl.core.frozen import dataclass
from notifyctl.core.heed import heed
from notifyctl.sandbox import smtp
from notifyctl.sandbox.http import server
from notifyctl.sandbox.journal import Journal
from notifyctl.sandbox.router import Router, SandboxConfig

HOST = "127.0.0.1"
MAX_BYTES = 32 * 1024 * 1024
GRACE_SECONDS = 0.5
BIND_TRIES = 50


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that is running; `url` is the base URL of every provider. Mail is taken at the port after its port."""

    url: str
    config: SandboxConfig


async def serve(config: SandboxConfig, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled; call `ready` with the base URL when requests may come.

    Signals are heeded in the main thread only. Raises Conflict when the port is taken or the key file is not ours,
    and OSError when a file cannot be written.
    """
    async with running(config) as sandbox:
        with stop_signals() as stopped:
            ready(sandbox.url)
            await stopped.wait()


@asynccontextmanager
async def running(config: SandboxConfig) -> AsyncIterator[Sandbox]:
    """Serve while the block runs, in this event loop. Raises as `serve` does."""
    # Bound before anything is written: the address is part of the key file, and two sandboxes may race for a port.
    listener, mail_listener = _bind(config.port)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    journal = Journal(None)
    try:
        journal = Journal(config.log)
        router = Router(config, url, journal)
        runner = web.ServerRunner(
            server(router.take, MAX_BYTES, handler_cancellation=True), shutdown_timeout=GRACE_SECONDS
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=1_024).start()
            async with smtp.listening(mail_listener, config, router):
                yield Sandbox(url, config)
        finally:
            await runner.cleanup()
            await router.aclose()
    finally:
        journal.close()
        listener.close()
        mail_listener.close()


def _bind(port: int) -> tuple[socket.socket, socket.socket]:
    """Return listeners at the port and at the one after it."""
    for _ in range(BIND_TRIES - 1 if port == 0 else 0):
        with suppress(Conflict):
            return _bind_both(port)
    return _bind_both(port)


def _bind_both(port: int) -> tuple[socket.socket, socket.socket]:
    listener = bind_one(port)
    try:
        return listener, bind_one(listener.getsockname()[1] + 1)
    except BaseException:
        listener.close()
        raise


def bind_one(port: int) -> socket.socket:
    """Return what listens at a port of loopback, 0 for a free one. Raises Conflict."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "there is none of that number"
        raise Conflict(f"port {port} cannot be used: {reason}", "name another with --port") from error
    return listener


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set the event at SIGTERM or SIGINT; outside the main thread no handler can be set, and the caller cancels."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        heed(signal.SIGTERM, stopped.set)
        with suppress(NotImplementedError):  # Windows: Control-C cancels
            loop.add_signal_handler(signal.SIGINT, stopped.set)
    try:
        yield stopped
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)
