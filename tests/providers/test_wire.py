"""The HTTP engine against real sockets on loopback: every way in which the other side can fail."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import subprocess
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from notifyctl import __version__
from notifyctl.core.outcome import Fault, Kind
from notifyctl.providers.contract import Failure, FailureKind, Response
from notifyctl.providers.wire import BODY_BYTES, Wire, outcome_of
from tests.providers.peers import (
    BODY,
    OK,
    PATH,
    SECRET,
    Answer,
    Peer,
    Server,
    exchange,
    hang,
    ok,
    request,
    run,
    says,
    serving,
    wired,
)


async def close(peer: Peer) -> None:
    peer.writer.close()


async def reset(peer: Peer) -> None:
    peer.reset()


async def half_a_head(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-")
    peer.writer.close()


async def half_a_body(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\nhalf")
    peer.reset()


async def drip(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await peer.say(b"x")
        await asyncio.sleep(0.05)


async def endless(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.say(b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def endless_headers(peer: Peer) -> None:
    await peer.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.say(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def test_round_trip() -> None:
    """What the adapter built goes over the wire, once and unchanged; the answer's header names are in lower case."""

    async def created(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-Message-Id: abc\r\n\r\n{}")

    [response], server = exchange(created)
    assert response == Response(201, {"content-length": "2", "x-message-id": "abc"}, b"{}")
    [head] = server.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {PATH} HTTP/1.1"
    sent = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    assert sent.pop("host").startswith("127.0.0.1:")
    assert sent == {
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"notifyctl/{__version__}",
    }


def test_one_accept_header() -> None:
    """An adapter's own Accept replaces the library's, so that there are not two."""

    async def main() -> bytes:
        async with serving(ok) as server, wired() as wire:
            await wire.send(request(server.url, headers={"Accept": "application/json"}), 5)
            return server.heads[0]

    head = run(main()).lower()
    assert head.count(b"accept:") == 1 and b"accept: application/json" in head


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(close, id="closed at once"),
        pytest.param(reset, id="reset at once"),
        pytest.param(half_a_head, id="closed within the headers"),
        pytest.param(half_a_body, id="reset within the body"),
        pytest.param(endless_headers, id="headers without end"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), id="another protocol"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), id="impossible length"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), id="impossible chunk"),
    ],
)
def test_no_whole_answer_is_ambiguous(answer: Answer) -> None:
    """Once the request was written, all but a whole answer means that it may have been accepted; it is sent once."""
    [failure], server = exchange(answer)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.AMBIGUOUS
    assert failure.message.startswith("127.0.0.1: ")
    assert SECRET not in failure.message and "://" not in failure.message
    assert len(server.heads) == 1


@pytest.mark.parametrize("answer", [pytest.param(hang, id="silence"), pytest.param(drip, id="a byte now and then")])
def test_deadline_covers_everything(answer: Answer) -> None:
    """No provider holds a place longer than the deadline, not even one that keeps sending."""

    async def after_one(peer: Peer) -> None:
        await (ok(peer) if peer.number == 1 else answer(peer))

    async def main() -> Response | Failure:
        async with serving(after_one) as server, wired() as wire:
            # There is a connection then, and to be slow on a busy machine does not end the call before it was made.
            assert isinstance(await wire.send(request(server.url), 20), Response)
            return await wire.send(request(server.url), 1)

    assert run(main()) == Failure(FailureKind.AMBIGUOUS, "127.0.0.1: no whole answer within 1 s")


def test_endless_body_is_cut() -> None:
    """Of a body without end the first 64 KB are read; then the connection is closed, and not used again."""

    async def main() -> Response:
        async with serving(endless) as server, wired() as wire:
            response = await wire.send(request(server.url), 5)
            await server.left.wait()
            return response

    assert run(main()) == Response(200, {"transfer-encoding": "chunked"}, b"x" * BODY_BYTES)


SAID = json.dumps({"sid": "SM1", "more": "x" * 500}).encode()


def raw_deflate(data: bytes) -> bytes:
    """Return it without the frame of RFC 1950, as some servers do."""
    return zlib.compress(data)[2:-4]


gzipped = partial(gzip.compress, mtime=0)  # the same at any moment: the tests' names have it


@pytest.mark.parametrize(
    ("coding", "body", "read"),
    [
        ("gzip", gzipped(SAID), SAID),
        ("X-GZIP", gzipped(SAID), SAID),
        ("deflate", zlib.compress(SAID), SAID),
        ("deflate", raw_deflate(SAID), SAID),
        ("identity", SAID, SAID),
        ("deflate, gzip", gzipped(zlib.compress(SAID)), SAID),
        ("gzip", gzipped(SAID[:9]) + gzipped(SAID[9:]), SAID),  # RFC 1952, 2.2
        ("gzip", gzipped(SAID) + b"rubbish", SAID),
        ("gzip", gzipped(SAID)[:-4], SAID),  # nothing of it is missing but the length
        ("gzip", SAID, SAID),  # a proxy that undid it and left the header
        ("utf-8", SAID, SAID),
        ("br", b"\x0b\xff" + SAID, b"not readable: in br, which was not asked for"),
        ("gzip", b"\x1f\x8b\xff", b"not readable: in gzip, which was not asked for"),
        (
            "gzip, gzip, gzip, gzip",
            gzipped(b""),
            b"not readable: in gzip, gzip, gzip, gzip, which was not asked for",
        ),
    ],
    ids=map(str, range(14)),
)
def test_answers_that_come_encoded_all_the_same(coding: str, body: bytes, read: bytes) -> None:
    """What was accepted is known to be, whatever proxy compressed the answer; what cannot be read says so."""
    head = f"HTTP/1.1 201 Created\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    [response], server = exchange(says(head + body))
    assert isinstance(response, Response) and (response.status, response.body) == (201, read)
    assert b"\r\naccept-encoding: identity\r\n" in server.heads[0].lower()


@pytest.mark.parametrize("codings", [1, 2])
def test_bombs_are_small(codings: int) -> None:
    """Of 100 MB in 100 KB, or in a few hundred bytes, no more is inflated than of any body is read."""
    bomb = bytes(100_000_000)
    for _ in range(codings):
        bomb = gzip.compress(bomb, compresslevel=1)
    coding = ", ".join(["gzip"] * codings)
    head = f"HTTP/1.1 400 Bad\r\nContent-Encoding: {coding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    tracemalloc.start()
    [response], _ = exchange(says(head + bomb))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(response, Response) and response.body == bytes(BODY_BYTES)
    assert most < 10_000_000


def test_redirects_are_not_followed() -> None:
    """A redirect is an answer like any other: credentials go only where the configuration sends them."""
    [response], server = exchange(says(b"HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"))
    assert isinstance(response, Response)
    assert (response.status, response.headers["location"]) == (307, "/other")
    assert len(server.heads) == 1


def test_cookies_are_not_kept() -> None:
    """Nothing that a provider sets comes back with the next request."""
    _, server = exchange(says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"), times=2)
    assert b"cookie" not in server.heads[1].lower()


def test_connections_are_kept() -> None:
    """Requests one after the other share a connection, whatever the body's framing."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    for answer in (ok, says(chunked), says(b"HTTP/1.1 204 No Content\r\n\r\n")):
        responses, server = exchange(answer, times=3)
        assert all(isinstance(response, Response) for response in responses)
        assert (len(server.heads), server.connections) == (3, 1)


def test_connection_closed_while_idle() -> None:
    """A pooled connection that the server closed meanwhile costs nothing: the request goes out, once, on a new one."""

    async def once(peer: Peer) -> None:
        await peer.say(OK)
        peer.writer.close()

    async def main() -> tuple[list[Response | Failure], Server]:
        async with serving(once) as server, wired() as wire:
            answers = []
            for _ in range(5):
                answers.append(await wire.send(request(server.url), 5))
                await asyncio.sleep(0.02)
            return answers, server

    answers, server = run(main())
    assert [answer.status for answer in answers] == [200] * 5
    assert (len(server.heads), server.connections) == (5, 5)


def test_post_is_never_repeated() -> None:
    """A server that closes a reused connection without an answer got the request; it must not be sent again."""

    async def first_only(peer: Peer) -> None:
        if peer.number == 1:
            await peer.say(OK)
        else:
            peer.writer.close()

    [first, second], server = exchange(first_only, times=2)
    assert isinstance(first, Response)
    assert isinstance(second, Failure) and second.kind is FailureKind.AMBIGUOUS
    assert len(server.heads) == 2


def test_refused_is_unsent() -> None:
    """Where nobody listens nothing was sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused, and nobody else can take it
        failure = _send(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT
    assert failure.message.startswith("127.0.0.1: not connected: Connection refused")


def test_unknown_name_is_unsent() -> None:
    """A name that cannot be resolved, or not in time, sends nothing."""
    failure = _send("https://api.nobody.invalid", timeout_s=4)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT
    assert failure.message.startswith("api.nobody.invalid: not connected: ")
    assert SECRET not in failure.message


def test_tls_that_fails_is_unsent() -> None:
    """A peer that speaks no TLS got a handshake, but no message."""

    async def main() -> Response | Failure:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server, wired() as wire:
            return await wire.send(request(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"), 5)

    failure = run(main())
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key, which nobody trusts, in one file."""
    key = generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1)
    ).sign(key, SHA256())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(encoded + made.public_bytes(Encoding.PEM))
    return path


STRANGER = """
import asyncio, ssl, sys
from notifyctl.providers.contract import Request
from notifyctl.providers.wire import Wire

async def talk(reader, writer):
    writer.close()

async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1])
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    wire = Wire()
    print(await wire.send(Request("POST", f"https://localhost:{server.sockets[0].getsockname()[1]}/", {}, b""), 5))
    await wire.aclose()

asyncio.run(main())
"""


def test_stranger_gets_nothing_and_the_process_ends_well(certificate: Path) -> None:
    """A certificate that nobody trusts ends the handshake; and a process may end right after closing the wire."""

    def once(_: int) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, str(certificate)],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )
        return done.returncode, done.stderr, done.stdout

    with ThreadPoolExecutor(2) as pool:
        for status, errors, output in pool.map(once, range(12)):
            assert (status, errors) == (0, "")
            assert "FailureKind.UNSENT" in output and "certificate" in output


def test_machine_without_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no certificate authorities are installed, the reason is said, and it is not the request's fault."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    failure = _send("https://api.nobody.invalid")
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT
    assert (failure.fault, "certificate" in failure.message) == (Fault.HOST, True)


def test_slow_connecting_is_unsent() -> None:
    """A peer that lets us wait in the handshake leaves enough of the deadline to know that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        failure = _send(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_s=4)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT
    assert failure.message == "127.0.0.1: not connected: setting up TLS took longer than 2 s"


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("", {}),
        ("ftp://127.0.0.1", {}),
        ("http://[::1", {}),
        ("http://127.0.0.1:99999", {}),
        ("http://127.0.0.1:1", {"Authorization": f"Bearer {SECRET}\r\nX: y"}),
        ("http://127.0.0.1:1", {f"X {SECRET}": "y"}),
    ],
)
def test_impossible_requests_are_unsent(base: str, headers: dict[str, str]) -> None:
    """An address or header that cannot be sent is a failure like any other, and its text is not shown."""

    async def main() -> Response | Failure:
        async with wired() as wire:
            return await wire.send(request(base, headers=headers), 5)

    failure = run(main())
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSENT
    assert SECRET not in failure.message


def test_unreadable_headers_are_left_out() -> None:
    """A header that is no text does not cost the answer, nor the other headers."""
    answer = b"HTTP/1.1 202 Accepted\r\nX-Odd: \xff\xfe\r\nX-Message-Id: abc\r\nContent-Length: 0\r\n\r\n"
    [response], _ = exchange(says(answer))
    assert response == Response(202, {"x-message-id": "abc", "content-length": "0"}, b"")


def test_environment_does_not_reroute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used: a refused proxy must not look like a refused provider."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    [response], _ = exchange(ok)
    assert isinstance(response, Response)


def test_many_at_once() -> None:
    """A thousand calls are in flight together: nobody is answered before all have arrived."""
    many = 1_000

    async def main() -> list[Response | Failure]:
        arrived = asyncio.Event()

        async def together(peer: Peer) -> None:
            if len(peer.server.heads) == many:
                arrived.set()
            await arrived.wait()
            await peer.say(OK)

        async with serving(together) as server, wired() as wire:
            return await asyncio.gather(*(wire.send(request(server.url), 20) for _ in range(many)))

    assert all(isinstance(response, Response) for response in run(main()))


def test_cancelled_call_closes_its_connection() -> None:
    """A call that nobody waits for any more leaves the wire usable, and its connection goes at once."""

    async def main() -> Response | Failure:
        async def first_hangs(peer: Peer) -> None:
            await (hang(peer) if peer.server.connections == 1 else ok(peer))

        async with serving(first_hangs) as server, wired() as wire:
            task = asyncio.create_task(wire.send(request(server.url), 20))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            answer = await wire.send(request(server.url), 5)
            await asyncio.wait_for(server.left.wait(), 5)
            return answer

    assert isinstance(run(main()), Response)


def test_closed() -> None:
    """Closing ends what is under way as unknown, and refuses what comes afterwards as unsent; twice does no harm."""

    async def main() -> list[Response | Failure]:
        async with serving(hang) as server:
            wire = Wire()
            task = asyncio.create_task(wire.send(request(server.url), 20))
            await server.asked.wait()
            await wire.aclose()
            await wire.aclose()
            return [await task, await wire.send(request(server.url), 5)]

    assert [failure.kind for failure in run(main())] == [FailureKind.AMBIGUOUS, FailureKind.UNSENT]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(FailureKind.UNSENT, Kind.TRANSIENT), (FailureKind.AMBIGUOUS, Kind.UNKNOWN)],
)
def test_outcomes_of_failures(failure: FailureKind, kind: Kind) -> None:
    """What was not sent may be repeated freely; of anything else nobody knows."""
    outcome = outcome_of(Failure(failure, "host:\nreason"))
    assert (outcome.kind, outcome.message, outcome.http_status) == (kind, "host: reason", None)


def _send(base: str, timeout_s: float = 5) -> Response | Failure:
    async def main() -> Response | Failure:
        async with wired() as wire:
            return await wire.send(request(base), timeout_s)

    return run(main())
