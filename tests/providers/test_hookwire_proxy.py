"""Webhooks through a proxy that is the only way out: who resolves, who checks, and whose refusal it is."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trustme

from notifyctl.config import read_login
from notifyctl.core.outcome import Fault
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.providers.http.dial import Resolve
from tests.providers.peers import Loops, ok, run, serving
from tests.support.ending import end

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The certificate of hooks.example, by an authority that is trusted here."""
    authority, path = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(made)
    return made


@dataclass
class Proxy:
    """A proxy that leads everywhere to one port here; `asked` is what it was asked for, `answers` are said instead.

    `known` is who may ask, as the header says it; without it nobody says who asks.
    """

    port: int = 0
    behind: int = 0
    asked: list[str] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    known: str = ""


@asynccontextmanager
async def proxying(behind: str, **answers: bytes) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the server with that URL."""
    proxy = Proxy(behind=int(behind.rpartition(":")[2]), answers=answers)
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            whom = head.split(" ")[1]
            start, _, who = head.removesuffix("\r\n").partition(f"\r\nHost: {whom}\r\n")
            assert start == f"CONNECT {whom} HTTP/1.1"
            assert proxy.known or not who
            proxy.asked.append(whom)
            said = proxy.answers.get(whom, proxy.answers.get("any"))
            said = said if who == proxy.known else b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n"
            if said is not None:
                writer.write(said)
                await writer.drain()
                await reader.read()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            inner, outer = await asyncio.open_connection("127.0.0.1", proxy.behind)
            writers.add(outer)
            await asyncio.gather(_pass_on(reader, outer), _pass_on(inner, writer))
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(talk(reader, writer)))
        writers.add(writer)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        await end(listening, tasks, writers)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert not isinstance(result, AssertionError), result


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


def to(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def post(
    tls: ssl.SSLContext, loops: Loops, addresses: Sequence[str], times: int = 1, timeout_s: float = 5, **answers: bytes
) -> tuple[list[HookAnswer], list[str], int]:
    """Call hooks.example at these addresses through a proxy; return the answers, whom it was asked for, the calls."""

    async def main() -> tuple[list[HookAnswer], list[str], int]:
        async with serving(ok, tls) as server, proxying(server.url, **answers) as proxy:
            wire = HookWire(proxy=f"http://127.0.0.1:{proxy.port}", resolve=to(*addresses))
            call = HookCall("https://hooks.example/x", "msg_1", b"{}", (bytes(24),), int(time.time()), timeout_s)
            try:
                return [await wire.post(call) for _ in range(times)], proxy.asked, len(server.heads)
            finally:
                await wire.aclose()

    return run(main(), loops)


def test_the_address_that_was_checked_is_named(tls: ssl.SSLContext, loops: Loops) -> None:
    """Not the name, which the proxy would resolve anew; the certificate is still the name's. Connections are kept."""
    came, asked, calls = post(tls, loops, [PUBLIC], times=3)
    assert [each.status for each in came] == [200, 200, 200], came
    assert (asked, calls) == ([f"{PUBLIC}:443"], 3)


def test_an_address_of_six_stands_in_brackets(tls: ssl.SSLContext, loops: Loops) -> None:
    """As RFC 9112, 3.2.3 has it; and where the proxy reaches one address not, it is asked for the next."""
    bad = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    came, asked, _ = post(tls, loops, [PUBLIC_6, PUBLIC], **{f"[{PUBLIC_6}]:443": bad})
    assert came[0].is_success, came
    assert asked == [f"[{PUBLIC_6}]:443", f"{PUBLIC}:443"]


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1"])
def test_it_is_checked_before_the_proxy_is_asked(tls: ssl.SSLContext, loops: Loops, address: str) -> None:
    """The proxy may stand where private addresses can be reached."""
    came, asked, calls = post(tls, loops, [PUBLIC, address])
    assert came[0].refused
    assert (asked, calls) == ([], 0)


@pytest.mark.parametrize(
    ("status", "fault", "times"), [(407, Fault.HOST, 1), (403, Fault.PROXY, 1), (502, Fault.PROXY, 2)]
)
def test_its_refusal_is_told_as_its_own(
    tls: ssl.SSLContext, loops: Loops, status: int, fault: Fault, times: int
) -> None:
    """Nobody looks for it at the receiver."""
    said = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    came, asked, calls = post(tls, loops, [PUBLIC, "93.184.216.35"], any=said)
    assert came[0].problem is not None and came[0].problem.startswith(
        "hooks.example: not connected: the proxy 127.0.0.1:"
    )
    assert came[0].problem.endswith(f" refused: HTTP {status}")
    assert (came[0].status, came[0].fault, came[0].refused, calls) == (None, fault, False, 0)
    assert len(asked) == times


@pytest.mark.parametrize(("status", "fault"), [(403, Fault.SETTINGS), (407, Fault.HOST), (503, Fault.ROUTE)])
def test_one_that_lets_others_through_refuses_that_one(
    tls: ssl.SSLContext, loops: Loops, status: int, fault: Fault
) -> None:
    """Then it is that receiver's trouble, as without a proxy; only what is refused to everybody is nobody's."""
    said = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status

    async def main() -> list[HookAnswer]:
        found = iter([PUBLIC, "93.184.216.35"])

        async def resolve(host: str, port: int) -> Sequence[str]:
            return [next(found)]

        async with serving(ok, tls) as server, proxying(server.url, **{"93.184.216.35:443": said}) as proxy:
            wire = HookWire(proxy=f"http://127.0.0.1:{proxy.port}", resolve=resolve)
            urls = ["https://hooks.example/x", "https://other.example/x"]
            try:
                return [await wire.post(HookCall(url, "msg_1", b"{}", (bytes(24),), 0, 5)) for url in urls]
            finally:
                await wire.aclose()

    first, second = run(main(), loops)
    assert first.is_success
    assert (second.status, second.fault) == (None, fault)


def test_one_that_asks_who_calls(tls: ssl.SSLContext, loops: Loops, tmp_path: Path) -> None:
    """It is told what is in the file (RFC 7617), and what is in it by then where that was changed."""
    file = tmp_path / "login"

    async def main() -> list[HookAnswer]:
        async with serving(ok, tls) as server, proxying(server.url) as proxy:
            proxy.known = "Proxy-Authorization: Basic bm90aWZ5Y3RsOmdyw7zDnzpl\r\n"
            resolve, way = to(PUBLIC), f"http://127.0.0.1:{proxy.port}"
            wire = HookWire(proxy=way, login=partial(read_login, file), resolve=resolve)
            call = HookCall("https://hooks.example/x", "msg_1", b"{}", (bytes(24),), 0, 5)
            came = [await wire.post(call)]
            try:
                for text in ("notifyctl:gone\n", "no colon\n", "notifyctl:grüß:e\n"):
                    file.write_text(text)
                    file.chmod(0o600)
                    came.append(await wire.post(call))
                return came
            finally:
                await wire.aclose()

    missing, wrong, none, right = run(main(), loops)
    assert right.is_success
    assert [each.fault for each in (missing, wrong, none)] == [Fault.HOST] * 3
    assert (missing.problem or "").endswith(f"{file}: No such file or directory")
    assert (wrong.problem or "").endswith("refused: HTTP 407")
    assert (none.problem or "").endswith(f"{file}: is no line NAME:PASSWORD")


@pytest.mark.parametrize(
    "said",
    [
        b"220 mail.example ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/9 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_proxy(tls: ssl.SSLContext, loops: Loops, said: bytes) -> None:
    """Nor is one that speaks before it was its turn."""
    came, _, calls = post(tls, loops, [PUBLIC], any=said)
    assert came[0].problem is not None and came[0].problem.endswith("gave no answer of HTTP")
    assert calls == 0


def test_one_that_hangs(tls: ssl.SSLContext, loops: Loops) -> None:
    """The deadline is one for the proxy, too."""
    came, _, _ = post(tls, loops, [PUBLIC], timeout_s=0.6, any=b"HTTP/1.1 200")
    assert came[0].problem is not None and "connecting through the proxy 127.0.0.1:" in came[0].problem
    assert came[0].ms < 3_000


def test_one_that_is_not_there(loops: Loops) -> None:
    """The proxy is named, and what is wrong with it."""

    async def main() -> HookAnswer:
        wire = HookWire(proxy="http://127.0.0.1:1", resolve=to(PUBLIC))
        try:
            return await wire.post(HookCall("https://hooks.example/x", "msg_1", b"{}", (bytes(24),), 0, 5))
        finally:
            await wire.aclose()

    came = run(main(), loops)
    assert came.problem == "hooks.example: not connected: the proxy 127.0.0.1:1: Connection refused"
    assert came.fault is Fault.HOST


def test_this_machine_is_called_straight(loops: Loops) -> None:
    """The proxy's loopback is another machine's."""

    async def main() -> tuple[HookAnswer, list[str]]:
        async with serving(ok) as server, proxying(server.url) as proxy:
            wire = HookWire(loopback=True, proxy=f"http://127.0.0.1:{proxy.port}")
            try:
                return await wire.post(HookCall(server.url, "msg_1", b"{}", (bytes(24),), 0, 5)), proxy.asked
            finally:
                await wire.aclose()

    came, asked = run(main(), loops)
    assert (came.status, asked) == (200, [])
