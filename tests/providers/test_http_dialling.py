"""From a name to a connection: which addresses are dialled, how long, and whose fault it is that none answers."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from notifyctl.core.outcome import Fault
from notifyctl.providers.contract import Failure, FailureKind, Response
from notifyctl.providers.fault import fault_of
from notifyctl.providers.http import dial
from notifyctl.providers.http.dial import NotConnected, Resolve
from tests.providers.peers import Loops, ok, request, run, serving, wired


def to(*addresses: str) -> Resolve:
    """Return what resolves every name to these."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def ask(resolve: Resolve, loops: Loops, timeout_s: float = 10) -> Response | Failure:
    """Ask a server on 127.0.0.1 by a name that is resolved like this; return the answer."""

    async def main() -> Response | Failure:
        async with serving(ok) as server, wired(resolve=resolve) as wire:
            url = server.url.replace("127.0.0.1", "api.example")
            return await wire.send(request(url), timeout_s)

    return run(main(), loops)


def test_who_stood_still_while_it_connected_sends_nothing(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is over, and no timer has rung yet, since the whole process was stopped: somebody else may send it."""
    dialled = dial.Dialler.dial

    async def then_stands(*args: Any) -> Any:
        connection = await dialled(*args)
        time.sleep(3.1)  # noqa: ASYNC251 - as a process does that is stopped
        return connection

    monkeypatch.setattr(dial.Dialler, "dial", then_stands)

    async def main() -> tuple[Response | Failure, list[bytes]]:
        async with serving(ok) as server, wired() as wire:
            answer = await wire.send(request(server.url), 3)
            await asyncio.sleep(0.2)
            return answer, server.heads

    answer, heads = run(main(), loops)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.fault, heads) == (FailureKind.UNSENT, Fault.HOST, [])


@contextmanager
def unreachable(port: int = 0) -> Iterator[tuple[str, int]]:
    """Yield an address that lets nobody in and says nothing: its queue of connections is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.3", port))
        listening.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        time.sleep(0.1)
        yield listening.getsockname()


def test_the_next_address_is_tried(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one address refuses, another is dialled at once."""
    monkeypatch.setattr(dial, "STAGGER_SECONDS", 3_600)  # nobody waits for it
    answer = ask(to("127.0.0.2", "::1", "127.0.0.1"), loops)
    assert isinstance(answer, Response), answer


def test_an_address_that_says_nothing_costs_little(loops: Loops) -> None:
    """Another is dialled a moment later, not when the time is over (RFC 8305, 5)."""

    async def main() -> tuple[Response | Failure, float]:
        listening = await asyncio.start_server(_answer, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        with unreachable(port) as (host, _):
            async with listening, wired(resolve=to(host, "127.0.0.1")) as wire:
                began = time.monotonic()
                return await wire.send(request(f"http://api.example:{port}"), 20), time.monotonic() - began

    answer, seconds = run(main(), loops)
    assert isinstance(answer, Response), answer
    assert 0.2 < seconds < 9, "the time for connecting is 10 s"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def test_literal_addresses_are_resolved_too(loops: Loops) -> None:
    """Whoever looks at addresses before they are dialled sees those that the URL names; and only once a connection."""
    seen = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        seen.append((host, port))
        return [host]

    async def main() -> int:
        async with serving(ok) as server, wired(resolve=resolve) as wire:
            for _ in range(2):
                assert isinstance(await wire.send(request(server.url), 5), Response)
            return int(server.url.rpartition(":")[2])

    port = run(main(), loops)
    assert seen == [("127.0.0.1", port)]


def test_the_resolver_may_refuse(loops: Loops) -> None:
    """What it says is the reason, and nothing is dialled."""

    async def refuse(host: str, port: int) -> Sequence[str]:
        raise NotConnected("a private address", Fault.PROVIDER)

    answer = ask(refuse, loops)
    assert answer == Failure(FailureKind.UNSENT, "api.example: not connected: a private address", Fault.PROVIDER)
    answer = ask(to(), loops)
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT


def test_no_way_there(loops: Loops) -> None:
    """Who lets nobody in within the time for connecting is out of reach: nothing was sent, and the way is to blame."""

    async def main() -> Response | Failure:
        with unreachable() as (host, port):
            async with wired() as wire:
                return await wire.send(request(f"http://{host}:{port}"), 1)

    failure = run(main(), loops)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.fault) == (FailureKind.UNSENT, Fault.ROUTE), failure


def test_refused(loops: Loops) -> None:
    """A machine that answers, and has nobody at that port, is the provider's fault."""
    failure = ask(to("127.0.0.2"), loops)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.fault) == (FailureKind.UNSENT, Fault.PROVIDER)
    assert failure.message == "api.example: not connected: Connection refused"


def test_one_that_was_reached_says_most(loops: Loops) -> None:
    """Of several addresses that all failed the one that was reached is told about."""
    failure = ask(to("::ffff:0:1", "127.0.0.2"), loops)
    assert isinstance(failure, Failure) and failure.fault is Fault.PROVIDER


def test_a_slow_resolver_may_be_either_ends(loops: Loops) -> None:
    """A name that is not resolved in time was not asked for in vain because of the provider."""

    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    failure = ask(never, loops, timeout_s=1)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.fault) == (FailureKind.UNSENT, Fault.ROUTE)
    assert failure.message == "api.example: not connected: resolving the name took longer than 0.5 s"


NO_FILES = """
import asyncio, resource, socket, sys
from notifyctl.providers.contract import Request
from notifyctl.providers.wire import Wire

async def main():
    wire = Wire()
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    files = []
    try:
        while True:
            files.append(open("/dev/null"))
    except OSError:
        pass
    failure = await wire.send(Request("POST", url, {}, b""), 5)
    for file in files:
        file.close()
    print(failure.kind, getattr(failure, "fault", "?"), failure.message)
    await wire.aclose()
    listening.close()

loops = asyncio.new_event_loop
if sys.argv[1] == "uvloop":
    import uvloop
    loops = uvloop.new_event_loop
with asyncio.Runner(loop_factory=loops) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_files_left(loop: str) -> None:
    """A process that has no file left for another connection is itself to blame."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_FILES, loop],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("unsent host 127.0.0.1: not connected: Too many open files")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        *((OSError(getattr(errno, name), "x"), Fault.HOST) for name in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS")),
        (OSError(errno.EADDRNOTAVAIL, "no ports left"), Fault.HOST),
        *((OSError(getattr(errno, name), "x"), Fault.ROUTE) for name in ("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN")),
        (TimeoutError(errno.ETIMEDOUT, "x"), Fault.ROUTE),
        *((OSError(getattr(errno, name), "a firewall"), Fault.ROUTE) for name in ("EACCES", "EPERM")),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Fault.PROVIDER),
        (ConnectionResetError(errno.ECONNRESET, "x"), Fault.PROVIDER),
        *(
            (socket.gaierror(getattr(socket, name), "the resolver does not answer"), Fault.ROUTE)
            for name in ("EAI_AGAIN", "EAI_SYSTEM", "EAI_FAIL")
        ),
        (socket.gaierror(socket.EAI_MEMORY, "x"), Fault.HOST),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), Fault.SETTINGS),
        (ssl.SSLCertVerificationError(1, "x"), Fault.SETTINGS),
        (RuntimeError("can't start new thread"), Fault.HOST),
        (MemoryError(), Fault.HOST),
        (ssl.SSLError(errno.EPERM, "OpenSSL's numbers are its own"), Fault.PROVIDER),
        (ValueError("nothing of the network"), Fault.PROVIDER),
    ],
)  # fmt: skip
def test_faults(error: Exception, fault: Fault) -> None:
    """Who is to blame is told by the error's number, also where another error was made of it."""
    assert fault_of(error) is fault
    wrapped = RuntimeError("x")
    wrapped.__cause__ = error
    assert fault_of(wrapped) is fault


def test_cancelled_while_dialling(loops: Loops) -> None:
    """A call that is given up leaves nothing behind, wherever it stood; the wire closes as if it had not been."""

    async def main() -> float:
        with unreachable() as (host, port), socket.create_server(("127.0.0.1", 0)) as silent:
            urls = (
                f"http://{host}:{port}",
                f"https://127.0.0.1:{silent.getsockname()[1]}",
                "http://api.nobody.invalid",
            )
            began = time.monotonic()
            async with wired() as wire:
                tasks = [asyncio.create_task(wire.send(request(url), 60)) for url in urls]
                await asyncio.sleep(0.2)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            return time.monotonic() - began

    assert run(main(), loops) < 5
