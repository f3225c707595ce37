"""Access tokens for FCM, from the sandbox's token endpoint: fetched once, kept, refreshed early, given up properly."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import pytest

from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers.google_token import fetch
from notifyctl.providers.oauth import EARLY_SECONDS, FAILURE_SECONDS, Token, TokenSource
from tests.providers.conftest import Running
from tests.support.scripted import TOKEN, Scripted, reply, service_account


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, 30))


async def _closing(source: TokenSource, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    try:
        return list(await asyncio.gather(*calls))
    finally:
        await source.aclose()


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """Stands for the fetch in a thread where a test turns the clock: counts, delays, fails."""

    def __init__(self, clock: Clock, life_s: float = 3_600, delay_s: float = 0.0) -> None:
        self.clock, self.life_s, self.delay_s = clock, life_s, delay_s
        self.fetched = 0
        self.failure: Outcome | None = None

    def __call__(self, account: Mapping[str, Any], timeout_s: float) -> Token | Outcome:
        time.sleep(self.delay_s)
        self.fetched += 1
        return self.failure or Token(f"token-{self.fetched}", self.clock.now + self.life_s)


ACCOUNT = {"client_email": "a@b.example", "private_key_id": "1"}


def test_token_that_comes_encoded() -> None:
    """A token that a proxy compressed is a token."""
    said = gzip.compress(json.dumps({"access_token": TOKEN, "expires_in": 3_600, "token_type": "Bearer"}).encode())
    with Scripted(lambda asked: reply(200, said, Content_Encoding="gzip")) as server:
        found = fetch(service_account(server.url), 10)
        [asked] = server.asked
    assert isinstance(found, Token) and found.value == TOKEN
    assert asked.headers["accept-encoding"] == "identity"


def test_token_from_the_endpoint(sandbox: Running) -> None:
    """The key file is all that is needed for a token, and many who ask at once cost one request."""
    before = len(sandbox.log)
    source = TokenSource()
    tokens = run(_closing(source, *(source.token(sandbox.account) for _ in range(50))))
    assert len(set(tokens)) == 1
    assert tokens[0].startswith("ya29.")
    asked = sandbox.log[before:]
    assert [(line["provider"], line["status"]) for line in asked] == [("token", 200)]


def test_lifetime_is_the_endpoints(sandbox: Running) -> None:
    """The end of a token is what the endpoint said, on the UTC clock, wherever this machine is."""
    token = fetch(sandbox.account, 5)
    assert isinstance(token, Token)
    assert abs(token.expires_at - time.time() - 3_599) < 30
    assert "ya29" not in repr(token)


def test_kept_until_shortly_before_the_end() -> None:
    """A token is used until it is nearly over; then it still serves while one new one is fetched in the background."""
    clock = Clock()
    endpoint = Endpoint(clock)

    async def main() -> None:
        source = TokenSource(clock, endpoint)
        assert await source.token(ACCOUNT) == "token-1"
        clock.now += 3_600 - EARLY_SECONDS - 1
        assert await source.token(ACCOUNT) == "token-1"
        assert endpoint.fetched == 1
        clock.now += 2
        assert [await source.token(ACCOUNT) for _ in range(3)] == ["token-1"] * 3
        await source.aclose()
        assert endpoint.fetched == 2
        assert await source.token(ACCOUNT) == "token-2"

    run(main())


def test_ended_token_is_not_used() -> None:
    """After its end the new one is waited for."""
    clock = Clock()
    endpoint = Endpoint(clock)

    async def main() -> list[str | Outcome]:
        source = TokenSource(clock, endpoint)
        first = await source.token(ACCOUNT)
        clock.now += 3_600
        return [first, *await asyncio.gather(*(source.token(ACCOUNT) for _ in range(5)))]

    assert run(main()) == ["token-1", *["token-2"] * 5]


def test_accounts_are_kept_apart() -> None:
    """Two service accounts have two tokens; a rotated key of one account is another."""
    clock = Clock()

    async def main() -> list[str | Outcome]:
        source = TokenSource(clock, Endpoint(clock))
        return [await source.token(ACCOUNT | {"private_key_id": key}) for key in ("1", "2", "1")]

    assert run(main()) == ["token-1", "token-2", "token-1"]


def test_refused_token_is_forgotten_once() -> None:
    """Many calls that fail with one old token fetch one new token; their late complaints do not throw it away."""
    clock = Clock()
    endpoint = Endpoint(clock)

    async def complain(source: TokenSource) -> str | Outcome:
        source.invalidate(ACCOUNT, "token-1")
        return await source.token(ACCOUNT)

    async def main() -> list[str | Outcome]:
        source = TokenSource(clock, endpoint)
        source.invalidate(ACCOUNT, "token-0")
        await source.token(ACCOUNT)
        return [*await asyncio.gather(*(complain(source) for _ in range(5))), await complain(source)]

    assert run(main()) == ["token-2"] * 6
    assert endpoint.fetched == 2


def test_loop_goes_on_meanwhile() -> None:
    """While the endpoint is slow, everything else in the loop runs."""
    clock, answers = Clock(), threading.Event()

    class Slow(Endpoint):
        def __call__(self, account: Mapping[str, Any], timeout_s: float) -> Token | Outcome:
            assert answers.wait(20)
            return super().__call__(account, timeout_s)

    async def main() -> str | Outcome:
        task = asyncio.create_task(TokenSource(clock, Slow(clock)).token(ACCOUNT))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not task.done()
        answers.set()
        return await task

    assert run(main()) == "token-1"


def test_cancelled_caller_leaves_the_others() -> None:
    """Who stops waiting does not end the refresh that others wait for."""
    clock = Clock()

    async def main() -> str | Outcome:
        source = TokenSource(clock, Endpoint(clock, delay_s=0.1))
        first, second = (asyncio.create_task(source.token(ACCOUNT)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        return await second

    assert run(main()) == "token-1"


def test_failure_is_not_hammered() -> None:
    """A failure is handed out for a while, as long as the endpoint asks; then it is asked again."""
    clock = Clock()
    endpoint = Endpoint(clock)

    async def main() -> None:
        source = TokenSource(clock, endpoint)
        endpoint.failure = Outcome(Kind.TRANSIENT, "down", retry_after_ms=20_000)
        assert await source.token(ACCOUNT) == endpoint.failure
        clock.now += FAILURE_SECONDS + 1
        assert await source.token(ACCOUNT) == endpoint.failure
        assert endpoint.fetched == 1
        clock.now += 20
        endpoint.failure = None
        assert await source.token(ACCOUNT) == "token-2"

    run(main())


def test_old_token_survives_a_failed_refresh() -> None:
    """As long as a token is valid, an endpoint in trouble stops nobody."""
    clock = Clock()
    endpoint = Endpoint(clock)

    async def main() -> None:
        source = TokenSource(clock, endpoint)
        await source.token(ACCOUNT)
        endpoint.failure = Outcome(Kind.TRANSIENT, "down")
        clock.now += 3_600 - EARLY_SECONDS + 1
        assert await source.token(ACCOUNT) == "token-1"
        await source.aclose()
        assert await source.token(ACCOUNT) == "token-1"
        clock.now += EARLY_SECONDS
        assert await source.token(ACCOUNT) == endpoint.failure

    run(main())


def test_hiccup_is_got_over(start_sandbox: Callable[..., Any]) -> None:
    """One 503 of the token endpoint is repeated by google-auth and costs a second, not a failure."""
    with start_sandbox("token=503x1", fcm=True) as running:
        assert isinstance(fetch(running.account, 5), Token)
        assert [line["status"] for line in running.log] == [503, 200]


@pytest.mark.parametrize(
    ("rule", "kind", "code", "status"),
    [
        ("token=html", Kind.TRANSIENT, None, 502),
        ("token=reset", Kind.TRANSIENT, None, None),
        ("token=timeout", Kind.TRANSIENT, None, None),
        ("token=400", Kind.CONFIG, "invalid_grant", 400),
        ("token=401", Kind.CONFIG, "invalid_grant", 401),
    ],
)
def test_endpoint_that_fails(
    start_sandbox: Callable[..., Any], rule: str, kind: Kind, code: str | None, status: int | None
) -> None:
    """Trouble of the endpoint or on the way is transient; its verdict on the key is for a person."""
    with start_sandbox(rule, fcm=True) as running:
        outcome = fetch(running.account, 2 if rule == "token=timeout" else 20)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.code, outcome.http_status) == (kind, code, status)
    assert outcome.message.startswith("no access token: ")


def test_endpoint_that_is_not_there(sandbox: Running) -> None:
    """Where nobody listens is trouble on the way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outcome = fetch(sandbox.account | {"token_uri": f"http://127.0.0.1:{taken.getsockname()[1]}/token"}, 5)
    assert isinstance(outcome, Outcome) and outcome.kind is Kind.TRANSIENT


def test_unknown_account(sandbox: Running) -> None:
    """A key that the endpoint does not know is a matter of configuration."""
    outcome = fetch(sandbox.account | {"client_email": "stranger@b.example"}, 5)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.code) == (Kind.CONFIG, "invalid_grant")
    assert "account not found" in outcome.message


@pytest.mark.parametrize(
    "change",
    [
        {"private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"},
        {"private_key": "secret"},
        {"private_key": None},
        {"client_email": None},
        {"token_uri": None},
    ],
)
def test_malformed_key_file(sandbox: Running, change: dict[str, Any]) -> None:
    """A damaged key file is a matter of configuration, and nothing of it is repeated in the message."""
    damaged = {key: value for key, value in (sandbox.account | change).items() if value is not None}
    outcome = fetch(damaged, 5)
    assert isinstance(outcome, Outcome) and outcome.kind is Kind.CONFIG
    assert "secret" not in outcome.message and "BEGIN" not in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"access_token":5}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"access_token":"a","expires_in":"x"}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000,
        b"nonsense\r\n\r\n",
    ],
)
def test_answer_that_is_no_token(sandbox: Running, answer: bytes) -> None:
    """Whatever else answers in the endpoint's place is an outcome, never an exception, and never a token."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = asyncio.run(_fetch_from(server, sandbox.account, answer))
    assert isinstance(outcome, Outcome)
    assert outcome.kind in (Kind.TRANSIENT, Kind.CONFIG)
    assert len(outcome.message) <= 300


async def _fetch_from(listener: socket.socket, account: dict[str, Any], answer: bytes) -> Token | Outcome:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, sock=listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        return await asyncio.to_thread(fetch, account | {"token_uri": url}, 5)
