"""Answers in every shape that RFC 9110 and 9112 know, and in those they forbid: what is made of them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from notifyctl.providers.contract import Failure, FailureKind, Response
from notifyctl.providers.wire import BODY_BYTES
from tests.providers.peers import OK, Answer, Loops, Peer, exchange, request, run, says, serving, wired

HEAD = b"HTTP/1.1 200 OK\r\n"
DEFLATED = HEAD + b"Content-Encoding: deflate\r\nContent-Length: 10\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

# Bytes, status and body; and whether the connection is kept (RFC 9112, 9.3).
WHOLE = {
    "with a length": (HEAD + b"Content-Length: 2\r\n\r\nok", 200, b"ok", True),
    "with no body": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "no reason phrase": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "names in any case": (HEAD + b"cOnTeNt-LeNgTh:2\r\n\r\nok", 200, b"ok", True),
    "spaces around a value": (HEAD + b"Content-Length: \t 2 \t\r\n\r\nok", 200, b"ok", True),
    "an empty value": (HEAD + b"X-Empty:\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "one chunk": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 200, b"ok", True),
    "chunks": (CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 200, b"ok", True),
    "no chunk but the last": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "a chunk's size in capitals": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789", True),
    "a chunk's size in small letters": (CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789", True),
    "leading zeros": (CHUNKED + b"0002\r\nok\r\n000\r\n\r\n", 200, b"ok", True),
    "chunk extensions": (CHUNKED + b'2;a;b=c;d="e;f"\r\nok\r\n0;last\r\n\r\n', 200, b"ok", True),
    "CRLF within chunks": (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", 200, b"\r\n\r\n", True),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Message-Id: no\r\n\r\n", 200, b"ok", True),
    "the coding in capitals": (HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok", True),
    "100 before it": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", True),
    "103 before it": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, 200, b"ok", True),
    "100 and an unknown 1xx": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 X\r\n\r\n" + OK, 200, b"ok", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of what it is not": (b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "an unknown status": (b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", 599, b"ok", True),
    "an offer to upgrade": (HEAD + b"Upgrade: h2c\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "encoded": (DEFLATED + zlib.compress(b"ok"), 200, b"ok", True),
    "close": (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "close among others": (HEAD + b"Connection: X-Y, Close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
}  # fmt: skip

# Answers that end when the connection does (RFC 9112, 6.3, 8.).
UNTIL_CLOSE = {
    "no length": HEAD + b"\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "a coding that is not chunked": HEAD + b"Transfer-Encoding: identity\r\n\r\nok",
}

# Framing that cannot be trusted, and what is not HTTP/1.1 (RFC 9112, 2.2, 5.1, 6.1, 6.3, 7.1; RFC 9110, 2.5, 15).
BROKEN = {
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "a list of lengths": HEAD + b"Content-Length: 2, 3\r\n\r\nokk",
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\nok",
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\nok",
    "a length in hex": HEAD + b"Content-Length: 0x2\r\n\r\nok",
    "a length too large": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok",
    "a chunk's size in no hex": CHUNKED + b"g\r\nok\r\n0\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    "a chunk's size too large": CHUNKED + b"fffffffffffffffff\r\nok\r\n0\r\n\r\n",
    "no chunk's size": CHUNKED + b"\r\nok\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    "101, which nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a line without a colon": HEAD + b"Nonsense\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a value": HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",
}  # fmt: skip

# Where the standard leaves a choice: refused, or taken for what it must mean; never for anything else.
EITHER = {
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "the same length in a list": HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "chunked and a length": HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a length and chunked": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded lines": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": HEAD + b"X : a\r\nContent-Length: 2\r\n\r\nok",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "spaces after a chunk's size": CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
}  # fmt: skip


def slowly(data: bytes) -> Answer:
    """Return what answers a byte at a time."""

    async def answer(peer: Peer) -> None:
        for byte in data:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)

    return answer


def then_closed(answer: Answer) -> Answer:
    """Return what answers and closes the connection in good order."""

    async def both(peer: Peer) -> None:
        await answer(peer)
        peer.writer.close()

    return both


def first(answer: Answer) -> Answer:
    """Return what answers so on the first connection, and well on all others."""

    async def either(peer: Peer) -> None:
        await (answer(peer) if peer.server.connections == 1 else peer.say(OK))

    return either


@pytest.mark.parametrize("how", [says, slowly])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers(name: str, how: Callable[[bytes], Answer], loops: Loops) -> None:
    """Each is read alike, however the network cuts it; and the connection is kept where it may be, else not."""
    data, status, body, kept = WHOLE[name]
    answers, server = exchange(how(data), times=2, loops=loops)
    for answer in answers:
        assert isinstance(answer, Response), answer
        assert (answer.status, answer.body) == (status, body)
        assert "x-message-id" not in answer.headers and "link" not in answer.headers
    assert server.connections == (1 if kept else 2)


@pytest.mark.parametrize("name", UNTIL_CLOSE)
def test_answers_until_the_end(name: str, loops: Loops) -> None:
    """Without a length the orderly end is the answer's; a reset is not."""
    [answer], _ = exchange(then_closed(slowly(UNTIL_CLOSE[name])), loops=loops)
    assert isinstance(answer, Response) and (answer.status, answer.body) == (200, b"ok")

    async def broken_off(peer: Peer) -> None:
        await peer.say(UNTIL_CLOSE[name])
        await asyncio.sleep(0.05)
        peer.reset()

    [failure], _ = exchange(broken_off, loops=loops)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.AMBIGUOUS


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answers(name: str, loops: Loops) -> None:
    """None is taken for an answer; none is asked again, and the next request gets its own answer."""
    [failure, response], server = exchange(first(says(BROKEN[name])), times=2, loops=loops)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.AMBIGUOUS, failure
    assert isinstance(response, Response) and response.body == b"ok"
    assert (len(server.heads), server.connections) == (2, 2)


@pytest.mark.parametrize("name", EITHER)
def test_doubtful_answers(name: str, loops: Loops) -> None:
    """What is read into them is either nothing or the one thing they can mean, and harms no other request."""
    [answer, response], server = exchange(first(says(EITHER[name])), times=2, loops=loops)
    if isinstance(answer, Failure):
        assert answer.kind is FailureKind.AMBIGUOUS
    else:
        assert (answer.status, answer.body) == (200, b"ok")
    assert isinstance(response, Response) and (response.body, len(server.heads)) == (b"ok", 2)


@pytest.mark.parametrize("cut", ["head", "length", "chunk", "last chunk", "trailers"])
def test_answers_that_end_early(cut: str, loops: Loops) -> None:
    """An answer that is shorter than it says is none, in however good an order the connection ends."""
    data = {
        "head": HEAD + b"Content-Length: 2\r\n",
        "length": HEAD + b"Content-Length: 3\r\n\r\nok",
        "chunk": CHUNKED + b"3\r\nok",
        "last chunk": CHUNKED + b"2\r\nok\r\n",
        "trailers": CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n",
    }[cut]
    [failure], _ = exchange(then_closed(says(data)), loops=loops)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.AMBIGUOUS


@pytest.mark.parametrize("late", [False, True], ids=["with it", "after it"])
@pytest.mark.parametrize(
    "surplus",
    [b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad", b"more than it said", b"HTTP/1.1 200"],
    ids=["another answer", "more body", "half an answer"],
)
def test_surplus_poisons_nothing(surplus: bytes, late: bool, loops: Loops) -> None:
    """What comes beyond the answer belongs to nobody: the next request goes over another connection."""

    async def too_much(peer: Peer) -> None:
        if late:
            await peer.say(OK)
            await asyncio.sleep(0.02)
            await peer.say(surplus)
        else:
            await peer.say(OK + surplus)

    async def main() -> tuple[list[Response | Failure], int]:
        async with serving(too_much) as server, wired() as wire:
            answers = []
            for _ in range(3):
                answers.append(await wire.send(request(server.url), 5))
                await asyncio.sleep(0.05)
            return answers, server.connections

    answers, connections = run(main(), loops)
    assert [(answer.status, answer.body) for answer in answers if isinstance(answer, Response)] == [(200, b"ok")] * 3
    assert connections == 3


def test_head_has_no_body(loops: Loops) -> None:
    """An answer to HEAD ends with its head, whatever length it names (RFC 9110, 9.3.2)."""

    async def main() -> list[Response | Failure]:
        async with serving(says(HEAD + b"Content-Length: 1000\r\n\r\n")) as server, wired() as wire:
            asked = replace(request(server.url), method="HEAD", body=b"")
            return [await wire.send(asked, 2) for _ in range(2)]

    for answer in run(main(), loops):
        assert isinstance(answer, Response) and (answer.status, answer.body) == (200, b"")


def endlessly(start: bytes, part: bytes) -> Answer:
    """Return what begins so and goes on without end."""

    async def answer(peer: Peer) -> None:
        await peer.say(start)
        while True:
            await peer.say(part)

    return answer


@pytest.mark.parametrize(
    ("start", "part"),
    [
        pytest.param(HEAD, b"X-More: " + b"x" * 1_000 + b"\r\n", id="headers"),
        pytest.param(HEAD, b"X:\r\n" * 500, id="tiny headers"),
        pytest.param(HEAD + b"X-Line: ", b"x" * 4_096, id="one line"),
        pytest.param(b"HTTP/1.1 200 ", b"x" * 4_096, id="a reason phrase"),
        pytest.param(b"", b"\r\n" * 2_048, id="empty lines"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="interim answers"),
        pytest.param(CHUNKED + b"2;", b"x" * 4_096, id="a chunk's extension"),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\nX-Line: ", b"x" * 4_096, id="a trailer"),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n", b"X:\r\n" * 500, id="trailers"),
    ],
)
def test_floods_end(start: bytes, part: bytes, loops: Loops) -> None:
    """Whatever never ends is left long before the deadline."""
    began = time.monotonic()
    [failure], _ = exchange(endlessly(start, part), timeout_s=20, loops=loops)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.AMBIGUOUS
    assert "within 20 s" not in failure.message and time.monotonic() - began < 15


def test_body_in_the_smallest_chunks(loops: Loops) -> None:
    """A body as large as any may be is read whole from chunks of one byte."""
    [answer], _ = exchange(says(CHUNKED + b"1\r\nx\r\n" * BODY_BYTES + b"0\r\n\r\n"), loops=loops)
    assert isinstance(answer, Response) and answer.body == b"x" * BODY_BYTES


@pytest.mark.parametrize("size", [BODY_BYTES - 1, BODY_BYTES, BODY_BYTES + 1, 2_000_000])
def test_bodies_around_the_limit(size: int, loops: Loops) -> None:
    """What is longer is cut, without waiting for the rest; the next request is not answered by it."""
    data = HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size
    answers, server = exchange(says(data), times=2, loops=loops)
    assert all(isinstance(each, Response) and each.body == b"x" * min(size, BODY_BYTES) for each in answers)
    if size != BODY_BYTES + 1:  # of which the rest may be read as well as not
        assert server.connections == (1 if size <= BODY_BYTES else 2)


@pytest.mark.parametrize("closes", [False, True])
def test_answer_before_the_request_was_read(closes: bool, loops: Loops) -> None:
    """A refusal that comes while the body is still on its way is the answer; that connection is not used again."""

    listening, done = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def refuse() -> None:
        for _ in range(2):
            plug, _ = listening.accept()
            with plug:
                plug.recv(4_096)
                plug.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
                if closes:
                    plug.shutdown(socket.SHUT_WR)
                assert done.wait(20)  # and reads nothing
                done.clear()

    async def main() -> None:
        async with wired() as wire:
            asked = replace(request(f"http://127.0.0.1:{listening.getsockname()[1]}"), body=b"x" * 20_000_000)
            for _ in range(2):
                answers.append(await wire.send(asked, 10))
                done.set()

    answers: list[Response | Failure] = []
    with listening, ThreadPoolExecutor(1) as pool:
        server = pool.submit(refuse)
        run(main(), loops)
        server.result(20)
    assert [answer.status for answer in answers if isinstance(answer, Response)] == [413, 413]


@pytest.mark.parametrize("half", [False, True], ids=["closed", "half closed"])
def test_connection_closed_while_the_loop_stood_still(half: bool, loops: Loops) -> None:
    """A connection that ended while idle is not written to, not even where the loop had no time to see its end."""
    ends, ended = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for number in range(2):
            plug, _ = listening.accept()
            with plug:
                plug.recv(65_536)
                plug.sendall(OK)
                if number == 0:
                    assert ends.wait(20)
                    plug.shutdown(socket.SHUT_WR) if half else plug.close()
                    ended.set()

    async def main() -> Response | Failure:
        async with wired() as wire:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            await wire.send(request(url), 5)
            ends.set()
            assert ended.wait(20)  # the loop stands still
            return await wire.send(request(url), 5)

    with listening, ThreadPoolExecutor(1) as pool:
        done = pool.submit(answer)
        answered = run(main(), loops)
        done.result(20)
    assert isinstance(answered, Response), answered
