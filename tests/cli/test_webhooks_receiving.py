"""`webhooks listen` and `webhooks verify`: the receivers' side, against calls as they are made."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.signing import headers, secret_text
from notifyctl.providers.hookwire import HookAnswer, HookWire
from tests.support.command import Cli

OLD, NEW, OTHER = (secret_text(bytes([number]) * 24) for number in (1, 2, 3))
ID = "019af000-0000-7000-8000-000000000001"
BODY = (
    b'{"type":"notification.sent","version":1,"data":{"notification_id":"%s","detail":"gr\xc3\xbc\xc3\x9fe"}}'
    % ID.encode()
)
NOW = 1_800_000_000
AT = ("--at", "2027-01-15T08:00:00Z")


@pytest.fixture
def hand(bare_cli: Cli) -> Cli:
    """Somebody with secrets in files."""
    for name, text in (("old", OLD), ("new", NEW), ("other", OTHER)):
        (bare_cli.home / name).write_text(f"{text}\n")
    return bare_cli


def verify(cli: Cli, given: dict[str, str], body: bytes, *args: str, lines: bool = False) -> Any:
    """Check a call that came at a moment with headers and a body."""
    text = "POST /hook HTTP/1.1\n" + "".join(f"{name}: {value}\n" for name, value in given.items())
    (cli.home / "headers").write_text(text if lines else json.dumps(given))
    (cli.home / "body").write_bytes(body)
    files = ("--headers", str(cli.home / "headers"), "--body", str(cli.home / "body"))
    return cli.call("webhooks", "verify", *files, *args)


def signed(*secrets: bytes, body: bytes = BODY) -> dict[str, str]:
    return headers("msg_1", NOW, body, secrets or (bytes([1]) * 24,))


# verify


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("secret", ["old", "new"])
def test_a_call_during_a_rotation(hand: Cli, lines: bool, secret: str) -> None:
    """Who has the old secret and who has the new one believes it, however the headers were kept."""
    given = signed(bytes([2]) * 24, bytes([1]) * 24)
    done = verify(hand, given, BODY, "--secret", f"@{hand.home / secret}", *AT, "-o", "json", lines=lines).ok()
    assert [(each["check"], each["passed"]) for each in done.json()] == [
        ("headers", True),
        ("timestamp", True),
        ("signature", True),
    ]


@pytest.mark.parametrize(
    ("change", "secret", "at", "failed", "says"),
    [
        ({}, "other", AT, "signature", "none of its signatures is by this secret, of this body"),
        ({"webhook-signature": ""}, "old", AT, "headers", "it has no webhook-signature"),
        ({"webhook-signature": "v1a,AAAA"}, "old", AT, "signature", "its webhook-signature has none of v1"),
        ({"webhook-timestamp": "soon"}, "old", AT, "timestamp", "its webhook-timestamp is no number of seconds"),
        ({"webhook-id": "msg_2"}, "old", AT, "signature", "none of its signatures"),
        ({}, "old", ("--at", "2027-01-15T08:05:01Z"), "timestamp", "too old: 301 s, at most 300"),
        ({}, "old", ("--at", "2027-01-15T07:54:59Z"), "timestamp", "too far ahead: 301 s, at most 300"),
        ({}, "old", (*AT[:1], "2027-01-15T08:00:11Z", "--tolerance", "10s"), "timestamp", "11 s, at most 10"),
    ],
)
def test_what_is_wrong_is_said(
    hand: Cli, change: dict[str, str], secret: str, at: Sequence[str], failed: str, says: str
) -> None:
    """Which check failed and why; exit 7."""
    done = verify(hand, {**signed(), **change}, BODY, "--secret", f"@{hand.home / secret}", *at, "-o", "ndjson")
    assert done.exit_code == 7
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    [wrong] = [each for each in rows if not each["passed"]]
    assert wrong["check"] == failed
    assert says in wrong["problem"]
    assert says in done.stderr
    assert OLD not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (BODY + b"\n", "without the newline at the body's end"),
        (b"\xef\xbb\xbf" + BODY, "without the mark (BOM) at the body's beginning"),
        (json.dumps(json.loads(BODY)).encode(), "of another body with the same JSON"),
        (json.dumps(json.loads(BODY), ensure_ascii=False, indent=2).encode(), "of another body with the same JSON"),
    ],
)
def test_usual_mistakes_are_recognised(hand: Cli, kept: bytes, says: str) -> None:
    """What an editor or a framework did to the body is the first thing to look for."""
    done = verify(hand, signed(), kept, "--secret", f"@{hand.home / 'old'}", *AT)
    assert done.exit_code == 7
    assert says in done.stderr


def test_secrets_are_not_arguments(hand: Cli) -> None:
    """They come from a file, stdin or the environment; without any nothing can be checked."""
    refused = verify(hand, signed(), BODY, "--secret", OLD, *AT)
    assert refused.exit_code == 2 and OLD not in refused.stderr
    assert verify(hand, signed(), BODY, *AT).exit_code == 2
    files = ("--headers", str(hand.home / "headers"), "--body", str(hand.home / "body"))
    env = {"NOTIFYCTL_WEBHOOK_SECRET": f"{NEW} {OLD}"}
    hand.call("webhooks", "verify", *files, *AT, env=env).ok()
    hand.call("webhooks", "verify", *files, "--secret", "-", *AT, input=f"{OLD}\n").ok()
    twice = hand.call("webhooks", "verify", *files[:3], "-", "--secret", "-", *AT, input=f"{OLD}\n")
    assert twice.exit_code == 2 and "stdin" in twice.stderr
    piped = hand.call("webhooks", "verify", *files[:3], "-", *AT, input=BODY, env=env)
    assert piped.exit_code == 0


def test_files_that_are_none(hand: Cli) -> None:
    """Named, with exit 2."""
    for wrong in (("--headers", "missing", "--body", "old"), ("--headers", "old", "--body", "missing")):
        done = hand.run("webhooks", "verify", *wrong, "--secret", "@old")
        assert done.exit_code == 2 and ("missing" in done.stderr or "is no header" in done.stderr)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (b'{"webhook-id": "msg_1", "webhook-timestamp": ', "headers: it is no JSON"),
        (b"[" * 100_000, "headers: it is no JSON"),
        (b"[]", "as JSON, headers are an object"),
        (b"\xffwebhook-id: msg_1\n", "headers: it is no text in UTF-8"),
        ("webhook-id".encode("utf-16")[:-1], "headers: it is no text in UTF-8"),
        (b"webhook-id msg_1\n", "headers, line 1: it is no header"),
    ],
)
def test_headers_that_are_damaged(hand: Cli, kept: bytes, says: str) -> None:
    """They are no answer to whether the call is to be believed: exit 2, and what is wrong with the file."""
    (hand.home / "headers").write_bytes(kept)
    (hand.home / "body").write_bytes(BODY)
    done = hand.run("webhooks", "verify", "--headers", "headers", "--body", "body", "--secret", "@old")
    assert done.exit_code == 2
    assert says in done.stderr


def test_headers_as_powershell_keeps_them(hand: Cli) -> None:
    """Its `>` writes UTF-16 with a mark."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(bytes([1]) * 24).items())
    (hand.home / "headers").write_bytes(lines.encode("utf-16"))
    (hand.home / "body").write_bytes(BODY)
    hand.run("webhooks", "verify", "--headers", "headers", "--body", "body", "--secret", "@old", *AT).ok()


# listen


@contextmanager
def listening(cli: Cli, *args: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it at a free port; yield the process and its URL."""
    process = cli.start("webhooks", "listen", "--port", "0", *args, env=env)
    try:
        assert process.stderr is not None
        found = re.search(r"listening at (http://127\.0\.0\.1:\d+/); Ctrl-C ends it", process.stderr.readline())
        assert found
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def post(url: str, *secrets: bytes, ids: Sequence[str] = ("msg_1",), age_s: int = 0) -> list[HookAnswer]:
    """Call a receiver as the dispatcher does."""

    async def main() -> list[HookAnswer]:
        wire = HookWire(loopback=True)
        try:
            at_s = int(time.time()) - age_s
            return [await wire.post(HookCall(url, id_, BODY, secrets, at_s, 10)) for id_ in ids]
        finally:
            await wire.aclose()

    return asyncio.run(main())


def test_events_are_shown_and_checked(hand: Cli) -> None:
    """A line of JSON for each; what is not to be believed is answered so, and said why. Control-C: exit 0, a count."""
    with listening(hand, "--secret", f"@{hand.home / 'old'}", "--secret", f"@{hand.home / 'new'}") as (process, url):
        answers = post(url, bytes([1]) * 24, ids=("msg_1", "msg_1")) + post(url, bytes([2]) * 24, ids=("msg_2",))
        answers += post(url, bytes([3]) * 24, ids=("msg_3",)) + post(url, bytes([1]) * 24, ids=("msg_4",), age_s=600)
        assert httpx.get(url).status_code == 405
        assert httpx.post(url, content=bytes(2_000_000)).status_code == 413
        answers += [httpx.post(url, content=b"\xff no json")]
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [each.status if isinstance(each, HookAnswer) else each.status_code for each in answers] == [
        *(204, 204, 204, 400, 400, 400)
    ]
    rows = [json.loads(line) for line in stdout.splitlines()]
    assert [each["webhook_id"] for each in rows] == ["msg_1", "msg_1", "msg_2", "msg_3", "msg_4", None]
    assert [each["verified"] for each in rows] == [True, True, True, False, False, False]
    assert [each["repeated"] for each in rows] == [False, True, False, False, False, False]
    assert {each["type"] for each in rows[:5]} == {"notification.sent"}
    assert {each["notification_id"] for each in rows[:5]} == {ID}
    assert rows[0]["event"] == json.loads(BODY)
    assert "none of its signatures" in rows[3]["problem"]
    assert "too old" in rows[4]["problem"]
    assert rows[5]["problem"] == "it has no webhook-id and no webhook-timestamp and no webhook-signature"
    assert stderr.splitlines()[-1] == "6 events received, 1 repeated, 3 not believed"
    assert OLD not in stdout + stderr


@pytest.mark.parametrize("body", ['{"a":NaN,"b":1e999}', "-Infinity", '{"type":"x","d":["\\ud800"]}', '{"a":"1"}'])
def test_what_is_printed_is_json(hand: Cli, body: str) -> None:
    """RFC 8259, 6 and 8.2, whatever came: what is nothing of that stands there as the text that it was."""

    def no_json(text: str) -> None:
        raise AssertionError(text)

    with listening(hand, "--count", "1", "-o", "ndjson") as (process, url):
        assert httpx.post(url, content=body).status_code == 204
        stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr.splitlines()[-1]) == (0, "1 event received")
    event = json.loads(stdout, parse_constant=no_json, parse_float=no_json)["event"]
    assert event == ({"a": "1"} if "1" in body and "e999" not in body else body)


@pytest.mark.parametrize("head", [b"X-Odd: a\x1bb\r\n", b"No colon\r\n", b"Content-Length: -1\r\n"])
def test_a_request_that_is_no_http(hand: Cli, head: bytes) -> None:
    """It is the caller's fault: answered so, and no reason to show where in the code it was noticed."""
    with listening(hand) as (process, url):
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        with socket.create_connection((host, int(port)), 20) as plug:
            plug.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            assert b" 400 " in plug.recv(4_096)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert stderr.splitlines()[-1] == "0 events received"
    assert "Traceback" not in stderr and "Error handling" not in stderr


def test_callers_that_do_not_wait_for_an_answer(hand: Cli) -> None:
    """They were heard, count as any, and are no defect here: with `--count` the last one ends it, too."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with listening(hand, "--count", "3") as (process, url):
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        for sent in (request % 9, (request + b"{}") % 2, (request + b"{}") % 2, (request + b"{}") % 2):
            plug = socket.create_connection((host, int(port)), 20)
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it is reset, not closed
            plug.sendall(sent)
            plug.close()
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert len(stdout.splitlines()) == 3
    assert stderr.splitlines()[-1] == "3 events received"
    assert "Traceback" not in stderr and "Error handling" not in stderr


def test_chosen_answers_and_an_end(hand: Cli) -> None:
    """One after the other, then the last; after so many it ends by itself."""
    with listening(hand, "--answer", "503,429,410", "--count", "4") as (process, url):
        answers = post(url, bytes([1]) * 24, ids=("a", "b", "c", "d"))
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [each.status for each in answers] == [503, 429, 410, 410]
    assert [json.loads(line)["verified"] for line in stdout.splitlines()] == [None] * 4
    assert stderr.splitlines()[-1] == "4 events received"


@pytest.mark.parametrize("answer", ["", "200,", "99", "600", "ok", "٢٠٠", "200;503"])
def test_answers_that_are_none(bare_cli: Cli, answer: str) -> None:
    """Exit 2 before anything is received."""
    done = bare_cli.call("webhooks", "listen", "--port", "0", "--answer", answer)
    assert done.exit_code == 2
    assert "statuses are 200 to 599" in done.stderr


def test_a_port_that_is_taken(hand: Cli) -> None:
    """Said so, with exit 5."""
    with listening(hand) as (_, url):
        done = hand.call("webhooks", "listen", "--port", url.rstrip("/").rpartition(":")[2])
    assert done.exit_code == 5
    assert "cannot be used" in done.stderr


def test_who_reads_may_leave(hand: Cli, tmp_path: Path) -> None:
    """A pipe that is closed ends it, as it does any command."""
    with listening(hand, NOTIFYCTL_WEBHOOK_SECRET=OLD) as (process, url):
        assert process.stdout is not None
        process.stdout.close()
        post(url, bytes([1]) * 24)
        assert process.wait(20) in (141, -signal.SIGPIPE)


def test_people_get_a_line(hand: Cli) -> None:
    """Short enough for 80 columns, with the reason below."""
    with listening(hand, "-o", "table", NOTIFYCTL_WEBHOOK_SECRET=OLD) as (process, url):
        post(url, bytes([1]) * 24, ids=("a", "a"))
        post(url, bytes([2]) * 24)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    lines = [re.sub(r"^\d\d:\d\d:\d\d", "TIME", line) for line in stdout.splitlines()]
    assert lines == [
        "TIME  sent          019af000  204  signed",
        "TIME  sent          019af000  204  signed, again",
        "TIME  sent          019af000  400  not to be believed",
        "          none of its signatures is by this secret, of this body",
    ]
