"""The sandbox as a server: faults, latency, the log, the key file, starting and stopping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure
from notifyctl.providers.google_token import fetch
from notifyctl.providers.oauth import Token
from notifyctl.providers.wire import Wire, outcome_of
from notifyctl.sandbox import (
    GRAMMAR,
    SENDGRID_KEY,
    TWILIO_ACCOUNT,
    TWILIO_TOKEN,
    Rule,
    SandboxConfig,
    parse_rule,
    running,
    serve,
)
from tests.providers.conftest import Running, started

SERVER = """
import asyncio, pathlib, sys
from notifyctl.sandbox import SandboxConfig, parse_rule, serve
config = SandboxConfig(rules=(parse_rule("twilio=timeout"),), log=pathlib.Path(sys.argv[1]))
asyncio.run(serve(config, lambda url: print(url, flush=True)))
print("ended")
"""


def texts(running: Running, *recipients: str, timeout_s: float = 5) -> list[Outcome]:
    """Text these, one after the other."""
    return asyncio.run(_texts(running, recipients, timeout_s, at_once=1))


async def _texts(running: Running, recipients: tuple[str, ...], timeout_s: float, at_once: int) -> list[Outcome]:
    adapter, wire, limit = registry.get("twilio"), Wire(), asyncio.Semaphore(at_once)
    credentials = Credentials(TWILIO_ACCOUNT, TWILIO_TOKEN, {"base_url": running.url, "from": "+15005550006"})

    async def one(to: str) -> Outcome:
        async with limit:
            request = adapter.build(Message("id", Channel.SMS, to, {"body": "Hello!"}), credentials)
            answer = await wire.send(request, timeout_s)
            return outcome_of(answer) if isinstance(answer, Failure) else adapter.read(answer)

    try:
        return await asyncio.gather(*map(one, recipients))
    finally:
        await wire.aclose()


def mail(running: Running, notification_id: str = "id") -> Outcome:
    """Mail once."""

    async def main() -> Outcome:
        adapter, wire = registry.get("sendgrid"), Wire()
        credentials = Credentials(SENDGRID_KEY, config={"base_url": running.url, "from": "shop@shop.example"})
        content = {"subject": "Hello", "text": "Hello!"}
        try:
            request = adapter.build(Message(notification_id, Channel.EMAIL, "a@b.example", content), credentials)
            answer = await wire.send(request, 5)
        finally:
            await wire.aclose()
        assert not isinstance(answer, Failure)
        return adapter.read(answer)

    return asyncio.run(main())


ANN, BOB = "+15558675310", "+15558675311"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("twilio=429", Rule("twilio", "429")),
        ("twilio=429:0.3", Rule("twilio", "429", 0.3)),
        ("sendgrid=503x2", Rule("sendgrid", "503", 1.0, 2)),
        ("fcm=500:.5x10", Rule("fcm", "500", 0.5, 10)),
        ("all=timeoutx1/each", Rule("all", "timeout", 1.0, 1, each=True)),
        (" token=reset ", Rule("token", "reset")),
        ("sendgrid=html:1", Rule("sendgrid", "html")),
        ("twilio=429@120:0.3x2", Rule("twilio", "429", 0.3, 2, wait_s=120)),
        ("twilio.read=503", Rule("twilio", "503", only="read")),
        ("twilio.send=slowx2", Rule("twilio", "slow", 1.0, 2, only="send")),
        ("twilio=21211", Rule("twilio", "21211")),
        ("fcm=QUOTA_EXCEEDED@60", Rule("fcm", "QUOTA_EXCEEDED", wait_s=60)),
        ("twilio=receipt:30005:0.1", Rule("twilio", "receipt:30005", 0.1)),
        ("smtp=451", Rule("smtp", "451")),
    ],
)
def test_rules(text: str, rule: Rule) -> None:
    """The grammar of faults: which provider, which fault, how probable, how often."""
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "twilio", "twilio=", "mail=503", "twilio=200", "twilio=600", "twilio=50", "twilio=503:0"),
        *("twilio=503:1.5", "twilio=503x", "twilio=503/each", "twilio=503:x2", "twilio=503x-1", "twilio=503 x2"),
        *("twilio=21299", "twilio=UNREGISTERED", "sendgrid=21211", "fcm=nothing", "all=21211", "twilio.write=503"),
        *("twilio=hang@5", "twilio=receipt:503", "fcm=receipt:30005", "smtp=html", "twilio=receipt:30005@5"),
    ],
)
def test_what_is_no_rule(text: str) -> None:
    """A typo is refused with the grammar at hand, and never quietly ignored."""
    with pytest.raises(UsageError) as refused:
        parse_rule(text)
    assert GRAMMAR in (refused.value.hint or "")


def test_two_failures_then_success(start_sandbox: Callable[..., Any]) -> None:
    """`x2` strikes exactly the first two requests of that provider, and no other provider."""
    with start_sandbox("twilio=503x2") as sandbox:
        assert [outcome.kind for outcome in texts(sandbox, ANN, BOB, ANN)] == [
            Kind.UNKNOWN,
            Kind.UNKNOWN,
            Kind.ACCEPTED,
        ]
        assert mail(sandbox).kind is Kind.ACCEPTED


def test_failures_for_each_recipient(start_sandbox: Callable[..., Any]) -> None:
    """`x1/each` strikes the first request to every recipient, in whatever order they come."""
    with start_sandbox("twilio=429x1/each") as sandbox:
        kinds = [outcome.kind for outcome in texts(sandbox, ANN, ANN, BOB, ANN, BOB)]
    assert kinds == [Kind.THROTTLED, Kind.ACCEPTED, Kind.THROTTLED, Kind.ACCEPTED, Kind.ACCEPTED]


def test_first_rule_wins(start_sandbox: Callable[..., Any]) -> None:
    """Of several rules the first that strikes decides, so that a story can be written down."""
    with start_sandbox("twilio=429x1", "all=503x1", "twilio=500x1") as sandbox:
        statuses = [outcome.http_status for outcome in texts(sandbox, *[ANN] * 4)]
    assert statuses == [429, 503, 500, 201]


def test_seed_repeats_everything(tmp_path: Path) -> None:
    """With a seed the same requests meet the same faults and get the same ids; about as many faults as asked for."""
    runs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with started(folder, "twilio=429:0.3", seed=7) as sandbox:
            outcomes = texts(sandbox, *[ANN] * 200)
            runs.append([(outcome.http_status, outcome.provider_message_id) for outcome in outcomes])
    assert runs[0] == runs[1]
    assert 40 <= Counter(status for status, _ in runs[0])[429] <= 80


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("400", Kind.PERMANENT, 400),
        ("401", Kind.CONFIG, 401),
        ("403", Kind.CONFIG, 403),
        ("404", Kind.CONFIG, 404),
        ("429", Kind.THROTTLED, 429),
        ("500", Kind.UNKNOWN, 500),
        ("502", Kind.UNKNOWN, 502),
        ("503", Kind.UNKNOWN, 503),
        ("html", Kind.UNKNOWN, 502),
        ("418", Kind.PERMANENT, 418),
        ("reset", Kind.UNKNOWN, None),
        ("timeout", Kind.UNKNOWN, None),
    ],
)
def test_faults(start_sandbox: Callable[..., Any], fault: str, kind: Kind, status: int | None) -> None:
    """Every kind of fault arrives as what it is to be; the next request is answered again."""
    with start_sandbox(f"twilio={fault}x1") as sandbox:
        (first,) = texts(sandbox, ANN, timeout_s=4 if fault == "timeout" else 30)
        (second,) = texts(sandbox, ANN, timeout_s=30)
    assert (first.kind, first.http_status) == (kind, status)
    assert second.kind is Kind.ACCEPTED


def test_real_waits(start_sandbox: Callable[..., Any]) -> None:
    """A 429 carries what the real one would: SendGrid the moment of its reset, FCM a Retry-After."""
    with start_sandbox("all=429", fcm=True) as sandbox:
        outcome = mail(sandbox)
        assert outcome.kind is Kind.THROTTLED and outcome.message == "too many requests"
        assert outcome.retry_after_ms is not None and 0 <= outcome.retry_after_ms <= 2_000
        throttled = asyncio.run(_push(sandbox))
    assert (throttled.kind, throttled.code, throttled.retry_after_ms) == (Kind.THROTTLED, "QUOTA_EXCEEDED", 1_000)


async def _push(running: Running) -> Outcome:
    token = fetch(running.account, 5)
    assert isinstance(token, Token)
    credentials = Credentials("id", None, {"base_url": running.url}, running.account, token.value)
    adapter, wire = registry.get("fcm"), Wire()
    try:
        request = adapter.build(Message("the-id", Channel.PUSH, "device", {"title": "x"}), credentials)
        answer = await wire.send(request, 5)
    finally:
        await wire.aclose()
    assert not isinstance(answer, Failure)
    return adapter.read(answer)


def test_latency(start_sandbox: Callable[..., Any]) -> None:
    """Answers come after the latency, and those of many calls at once together."""
    with start_sandbox(latency_s=0.2) as sandbox:
        began = time.monotonic()
        outcomes = asyncio.run(_texts(sandbox, (ANN,) * 100, 10, at_once=100))
        took = time.monotonic() - began
    assert {outcome.kind for outcome in outcomes} == {Kind.ACCEPTED}
    assert 0.2 <= took < 15


def test_expired_token(start_sandbox: Callable[..., Any]) -> None:
    """A token that is over is refused with the 401 that asks for a new one."""
    with start_sandbox(fcm=True, token_life_s=0) as sandbox:
        outcome = asyncio.run(_push(sandbox))
    assert (outcome.kind, outcome.code) == (Kind.CONFIG, "UNAUTHENTICATED")


def test_log(start_sandbox: Callable[..., Any]) -> None:
    """Each request is a line, with whom and what it was about and what was answered; secrets are not in it."""
    with start_sandbox("twilio=timeoutx1", "sendgrid=html", fcm=True) as sandbox:
        before = int(time.time() * 1000)
        texts(sandbox, ANN, timeout_s=4)
        mail(sandbox, "mail-1")
        asyncio.run(_push(sandbox))
        log, raw = sandbox.log, (sandbox.folder / "log.jsonl").read_text()
        mode = (sandbox.folder / "log.jsonl").stat().st_mode & 0o777
    told = [
        (line["provider"], line["status"], line["fault"], line["notification_id"], line["recipient"]) for line in log
    ]
    assert told == [
        ("twilio", None, "timeout", None, ANN),
        ("sendgrid", 502, "html", "mail-1", "a@b.example"),
        ("token", 200, None, None, None),
        ("fcm", 200, None, "the-id", "device"),
    ]
    for line in log:
        assert before <= line["time"] <= int(time.time() * 1000)
        assert line["method"] == "POST" and line["path"].startswith("/")
    assert json.loads(log[1]["body"])["subject"] == "Hello"
    assert log[1]["headers"]["authorization"] == "Bearer ***"
    assert log[0]["headers"]["authorization"] == "Basic ***"
    assert SENDGRID_KEY not in raw and "ya29" not in raw and "assertion" not in raw
    assert mode == 0o600


def test_key_file(tmp_path: Path) -> None:
    """The key file is for its owner only, looks like Google's, and goes on working after a restart on another port."""
    with started(tmp_path, fcm=True) as sandbox:
        first = sandbox.account
        assert first["token_uri"] == f"{sandbox.url}/token"
        assert (tmp_path / "account.json").stat().st_mode & 0o777 == 0o600
        assert first["type"] == "service_account" and len(first["private_key_id"]) == 40
    with started(tmp_path, fcm=True) as sandbox:
        second = sandbox.account
        assert isinstance(fetch(second, 5), Token)
        assert second["token_uri"] == f"{sandbox.url}/token"
    assert second["private_key"] == first["private_key"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "content",
    ['{"client_email": "real@shop.iam.gserviceaccount.com"}', "not JSON", "[]", '{"client_email": 5}'],
)
def test_foreign_key_file_is_left_alone(tmp_path: Path, content: str) -> None:
    """A file that the sandbox did not write is not overwritten: it may be the only copy of a real key."""
    (tmp_path / "account.json").write_text(content)
    with pytest.raises(Conflict, match="is not a service account of the sandbox"), started(tmp_path, fcm=True):
        pass
    assert (tmp_path / "account.json").read_text() == content


def test_damaged_own_key_file(tmp_path: Path) -> None:
    """A file of the sandbox's own without a usable key is named, with the way out."""
    with started(tmp_path, fcm=True) as sandbox:
        damaged = sandbox.account | {"private_key": "gone"}
    (tmp_path / "account.json").write_text(json.dumps(damaged))
    with pytest.raises(Conflict, match="holds no usable private key"), started(tmp_path, fcm=True):
        pass


def test_taken_port() -> None:
    """A port that is in use is a conflict with the way out, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} cannot be used"):
            asyncio.run(serve(SandboxConfig(port=port), print))


def test_in_process() -> None:
    """In a running loop the sandbox is a block, and leaves nothing behind."""

    async def main() -> int:
        async with running(SandboxConfig()) as sandbox:
            assert sandbox.url.startswith("http://127.0.0.1:")
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT end it at once and cleanly, even while somebody waits for an answer."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER, str(tmp_path / "log.jsonl")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        waiting = asyncio.run(_waiting(Running(url, tmp_path), lambda: process.send_signal(number)))
        assert waiting.kind is Kind.UNKNOWN
        assert process.wait(10) == 0
        assert process.stdout.read() == "ended\n"
        assert process.stderr.read() == ""


async def _waiting(sandbox: Running, act: Callable[[], None]) -> Outcome:
    """Text somebody who gets no answer, act when the request is there, and return what it came to."""
    task = asyncio.create_task(_texts(sandbox, (ANN,), 20, at_once=1))
    while not sandbox.log:  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.01)
    act()
    return (await task)[0]
