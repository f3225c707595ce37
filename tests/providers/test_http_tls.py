"""TLS against real servers: whom it trusts, what it refuses, and that nothing is sent to anybody else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from notifyctl.core.outcome import Fault
from notifyctl.providers import tls
from notifyctl.providers.contract import Failure, FailureKind, Response
from tests.providers.peers import OK, Loops, Peer, hang, ok, request, run, serving, wired

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that the tests' wires trust."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The authority, trusted as an administrator would have it."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


def context(authority: trustme.CA, *names: str, expires: datetime | None = None) -> ssl.SSLContext:
    """Return a server's context with a certificate for these names."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names or ("127.0.0.1", "localhost"), not_after=expires).configure_cert(made)
    return made


def ask(server: ssl.SSLContext, loops: Loops, host: str = "127.0.0.1") -> tuple[Response | Failure, list[bytes]]:
    """Ask a server with this context; return the answer and what arrived."""

    async def main() -> tuple[Response | Failure, list[bytes]]:
        async with serving(ok, server) as serves, wired() as wire:
            return await wire.send(request(serves.url.replace("127.0.0.1", host)), 5), serves.heads

    return run(main(), loops)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_round_trip(trusted: trustme.CA, host: str, version: ssl.TLSVersion, loops: Loops) -> None:
    """A name and an address are both checked; the server is told the name, and that we speak HTTP/1.1 only."""
    server, told = context(trusted), []
    server.minimum_version = server.maximum_version = version
    server.set_alpn_protocols(["h2", "http/1.1"])
    server.sni_callback = lambda _, name, __: told.append(name)

    async def protocol(peer: Peer) -> None:
        told.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await peer.say(OK)

    async def main() -> tuple[list[Response | Failure], int]:
        async with serving(protocol, server) as serves, wired() as wire:
            url = serves.url.replace("127.0.0.1", host)
            return [await wire.send(request(url), 5) for _ in range(3)], serves.connections

    answers, connections = run(main(), loops)
    assert [each.status for each in answers if isinstance(each, Response)] == [200, 200, 200]
    assert connections == 1
    assert told == [host if host == "localhost" else None, "http/1.1", "http/1.1", "http/1.1"]


def _expired(trusted: trustme.CA) -> ssl.SSLContext:
    return context(trusted, "127.0.0.1", expires=datetime.now(UTC) - timedelta(days=1))


def _old(trusted: trustme.CA) -> ssl.SSLContext:
    made = context(trusted)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return made


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        pytest.param(_expired, "expired", id="expired"),
        pytest.param(lambda trusted: context(trusted, "other.example"), "certificate", id="another name"),
        pytest.param(lambda trusted: context(trusted, "127.0.0.2"), "certificate", id="another address"),
        pytest.param(lambda _: context(trustme.CA()), "certificate", id="an unknown authority"),
        pytest.param(_old, "", id="an old protocol"),
    ],
)
def test_refusals(
    trusted: trustme.CA, server: Callable[[trustme.CA], ssl.SSLContext], reason: str, loops: Loops
) -> None:
    """Nothing is sent to whom it is not meant for; the reason is said: a certificate is configuration to be mended."""
    failure, heads = ask(server(trusted), loops)
    assert isinstance(failure, Failure)
    fault = Fault.SETTINGS if reason else Fault.PROVIDER
    assert (failure.kind, failure.fault, heads) == (FailureKind.UNSENT, fault, [])
    assert reason in failure.message


@contextmanager
def raw(talk: Callable[[socket.socket], None], connections: int = 1) -> Iterator[str]:
    """Let `talk` have that many connections, one after the other."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(connections):
            plug, _ = listening.accept()
            with plug:
                plug.settimeout(20)
                talk(plug)

    with listening, ThreadPoolExecutor(1) as pool:
        done = pool.submit(serve)
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        done.result(20)


def test_trust_ends_with_the_handshake(trusted: trustme.CA, loops: Loops) -> None:
    """Whoever closes, resets or talks something else in the handshake got nothing."""

    def plain(plug: socket.socket) -> None:
        plug.recv(1)
        plug.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def closes(plug: socket.socket) -> None:
        plug.recv(1)

    def alert(plug: socket.socket) -> None:
        plug.recv(1)
        plug.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure

    for talk in (plain, closes, alert):
        with raw(talk) as url:
            failure = run(_send(url), loops)
        assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT, talk
        assert failure.fault is Fault.PROVIDER


async def _send(url: str) -> Response | Failure:
    async with wired() as wire:
        return await wire.send(request(url), 5)


@pytest.mark.parametrize("goodbye", [True, False], ids=["in good order", "cut off"])
def test_answers_until_the_end(trusted: trustme.CA, goodbye: bool, loops: Loops) -> None:
    """Where the end is the answer's end too, it must be the server's own: anybody can cut a line (RFC 9112, 9.8)."""
    server = context(trusted)

    def talk(plug: socket.socket) -> None:
        with server.wrap_socket(plug, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(UNTIL_CLOSE)
            if goodbye:
                with suppress(OSError):
                    secure.unwrap()

    with raw(talk) as url:
        answer = run(_send(url), loops)
    if goodbye:
        assert isinstance(answer, Response) and answer.body == b"ok"
    else:
        assert isinstance(answer, Failure) and answer.kind is FailureKind.AMBIGUOUS


def test_what_was_tampered_with(trusted: trustme.CA, loops: Loops) -> None:
    """A record that was changed on the way ends the connection; whether the request was taken is unknown."""
    server = context(trusted)

    def talk(plug: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = server.wrap_bio(incoming, outgoing, server_side=True)
        request = b""
        while not request:
            incoming.write(plug.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                secure.do_handshake()
                request = secure.read(65_536)
            plug.sendall(outgoing.read())
        secure.write(OK)
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        plug.sendall(record)
        plug.recv(1)

    with raw(talk) as url:
        failure = run(_send(url), loops)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.AMBIGUOUS


def test_records_cut_anywhere(trusted: trustme.CA, loops: Loops) -> None:
    """Handshake and answer are read alike when they come a byte at a time."""
    server = context(trusted)

    def talk(plug: socket.socket) -> None:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = server.wrap_bio(incoming, outgoing, server_side=True)
        request = b""
        while not request:
            incoming.write(plug.recv(65_536))
            with suppress(ssl.SSLWantReadError):
                secure.do_handshake()
                request = secure.read(65_536)
                secure.write(OK)
            for byte in outgoing.read():
                plug.sendall(bytes([byte]))
        plug.recv(1)

    with raw(talk) as url:
        answer = run(_send(url), loops)
    assert isinstance(answer, Response) and answer.body == b"ok"


def test_large_bodies(trusted: trustme.CA, loops: Loops) -> None:
    """A body of many records arrives whole, while the other side reads as it likes."""
    large = bytes(range(256)) * 40_000

    async def main() -> tuple[Response | Failure, bytes]:
        arrived = bytearray()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            arrived.extend(await reader.readexactly(len(large)))
            writer.write(OK)
            await reader.read()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context(trusted)) as server, wired() as wire:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await wire.send(replace(request(url), body=large), 20), bytes(arrived)

    answer, arrived = run(main(), loops)
    assert isinstance(answer, Response) and arrived == large


def test_connections_end_with_a_farewell(trusted: trustme.CA, loops: Loops) -> None:
    """The server is told that the end is meant (RFC 9112, 9.8), and nobody waits for what it says to that."""
    server, said = context(trusted), threading.Event()

    def talk(plug: socket.socket) -> None:
        with server.wrap_socket(plug, server_side=True, suppress_ragged_eofs=False) as secure:
            secure.recv(65_536)
            secure.sendall(OK)
            if secure.recv(65_536) == b"":  # a cut line would raise
                said.set()

    with raw(talk) as url:
        assert isinstance(run(_send(url), loops), Response)
    assert said.is_set()


def test_closing_ends_what_hangs(trusted: trustme.CA, loops: Loops) -> None:
    """Requests under way and handshakes end with the wire, at once."""

    async def main() -> list[Response | Failure]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with serving(hang, context(trusted)) as server, asyncio.timeout(5):
                async with wired() as wire:
                    urls = (server.url, f"https://127.0.0.1:{silent.getsockname()[1]}")
                    tasks = [asyncio.create_task(wire.send(request(url), 60)) for url in urls]
                    await server.asked.wait()
                return [await task for task in tasks]

    assert [each.kind for each in run(main(), loops)] == [FailureKind.AMBIGUOUS, FailureKind.UNSENT]


def test_machine_without_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim image's missing store is made up for; one that somebody named must be there."""
    nothing = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "/no", "SSL_CERT_DIR", "/no")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert tls.trust().cert_store_stats()["x509_ca"] > 50
    monkeypatch.setenv("SSL_CERT_FILE", "/no")
    with pytest.raises(OSError, match="SSL_CERT_FILE"):
        tls.trust()
