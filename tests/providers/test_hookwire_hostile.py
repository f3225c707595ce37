"""A receiver that hangs, drips, floods or lies: it costs bounded time and memory, and other receivers nothing.

The caller runs in a process of its own, so that its memory is its own; the receivers run here, on raw connections.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.hostility import BLOCK, WAYS
from tests.support.floods import FLOODS, GIGABYTE, prepare
from tests.support.scripted import Answer, Asked, Peer, Scripted, reply

GROWTH_MB = 32
LATE_MS, QUICK_MS = 5_000, 200
"""For a process that others keep from the processor: a deadline that counts anew, or a wait for it, takes longer."""
KEPT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

CALLER = """
import asyncio, json, pathlib, re, sys, time
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.providers.hookwire import HookWire

given = json.load(sys.stdin)

def peak():
    return int(re.search("VmHWM: *\\t*(.*) kB", pathlib.Path("/proc/self/status").read_text())[1])

def call(url, timeout_s):
    return HookCall(url, "msg_1", b"{}" * 500, (bytes(24), bytes(24)), int(time.time()), timeout_s)

async def main():
    wire = HookWire(loopback=True)

    async def one(url, timeout_s):
        began = time.monotonic()
        came = await wire.post(call(url, timeout_s))
        ms = (time.monotonic() - began) * 1_000
        return url, came.status, came.problem, came.body, came.retry_after_ms, ms

    alone = [await one(given["good"], 20) for _ in range(given["calls"])]
    await asyncio.gather(*(one(given["good"], 20) for _ in range(len(given["bad"]))))
    before = peak()
    bad = [asyncio.create_task(one(url, given["timeout_s"])) for url in given["bad"]]
    beside = [await one(given["good"], 20) for _ in range(given["calls"])]
    waiting = sum(not each.done() for each in bad)
    bad = await asyncio.gather(*bad)
    await wire.aclose()
    return {"alone": alone, "beside": beside, "waiting": waiting, "bad": bad, "kB": peak() - before}

print(json.dumps(asyncio.run(main())))
"""


HANGING = {name for name, way in WAYS.items() if way.hangs}


def _hostile(asked: Asked) -> Answer:
    name = asked.path.strip("/").replace("_", " ")
    return FLOODS[name] if name in FLOODS else lambda peer: WAYS[name].act(peer, "http://127.0.0.1:1")


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a machine that takes connections, and says nothing to any greeting of TLS."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as plug:
        yield f"https://127.0.0.1:{plug.getsockname()[1]}/"


def called(good: str, bad: list[str], timeout_s: int, calls: int = 50) -> dict[str, Any]:
    """Run the caller; return what it says of its calls, of which so many are good."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALLER],
        input=json.dumps({"good": good, "bad": bad, "timeout_s": timeout_s, "calls": calls}),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("each", "timeout_s", "calls"),
    [pytest.param(4, 10, 50, marks=pytest.mark.slow), pytest.param(100, 20, 200, marks=pytest.mark.full)],
)
def test_4_hostile_receivers(deaf: str, each: int, timeout_s: int, calls: int) -> None:
    """The deadline holds, memory is flat, what is kept is short and clean, and the others are served meanwhile."""
    names = [*WAYS, *FLOODS]
    prepare()
    with ExitStack() as stack:
        good = stack.enter_context(Scripted(lambda _: reply(200, b"ok")))
        bad = stack.enter_context(Scripted(_hostile))
        urls = [f"{bad.url}/{name.replace(' ', '_')}" for name in names] + [deaf]
        told = called(good.url, urls * each, timeout_s, calls)
    late = [(url, ms) for url, *_, ms in told["bad"] if ms > timeout_s * 1_000 + LATE_MS]
    assert late == []
    assert told["kB"] / 1_024 <= GROWTH_MB
    assert all(status == 200 for _, status, *_ in told["alone"] + told["beside"])
    assert told["waiting"] >= each * len(HANGING)  # all the good ones were served before the bad ones' time was over
    assert _median(told["beside"]) <= max(2 * _median(told["alone"]), QUICK_MS)
    for url, status, problem, body, retry_after_ms, _ in told["bad"]:
        assert len(body.encode()) <= 2_048
        assert not KEPT.search(body)
        assert problem is None or "_" not in problem  # which stands in each path
        assert retry_after_ms is None or retry_after_ms >= 0
        assert (problem is None) == (status is not None and 200 <= status < 300), url
    outcomes = Counter((url, status) for url, status, *_ in told["bad"])
    assert outcomes[f"{bad.url}/a_gigabyte", 200] == each
    assert outcomes[f"{bad.url}/a_bomb_in_a_bomb", 500] == each
    for name in HANGING:
        assert outcomes[f"{bad.url}/{name.replace(' ', '_')}", None] == each


def _median(calls: list[list[Any]]) -> float:
    return sorted(call[-1] for call in calls)[len(calls) // 2]


def test_little_of_a_gigabyte_is_read() -> None:
    """Who says more than anybody keeps is cut off, and not listened to."""
    said = []

    async def flood(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
        with suppress(ConnectionError):
            while len(said) < GIGABYTE // len(BLOCK):
                await peer.say(BLOCK)
                said.append(len(BLOCK))
        raise ConnectionResetError

    with Scripted(lambda _: reply(200)) as good, Scripted(lambda _: flood) as bad:
        told = called(good.url, [bad.url], 20)
    assert told["bad"][0][1] == 200
    assert sum(said) < 50_000_000  # what the system's own buffers take
