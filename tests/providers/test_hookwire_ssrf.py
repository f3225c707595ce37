"""What a webhook's URL can make this machine connect to: public addresses, and nothing else.

Counted twice: by listeners at the allowed ports of every address of this machine, and by the interpreter, which tells
of each `connect` before it is made. What is not this machine is refused there, so that nobody is called.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from notifyctl.core.webhook.attempt import HookCall
from notifyctl.providers import hookwire
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.providers.http.dial import Resolve
from tests.providers.peers import Loops, Peer, run, serving
from tests.support.counted import Listeners, watched
from tests.support.ssrf import ALL_4, HERE, NAMED, REDIRECTS, urls

PUBLIC = ("93.184.216.34", "2606:4700::1111", "1.1.1.1")
TARGETS = tuple(dict.fromkeys(urls()))


def answers(targets: Sequence[str], loops: Loops, resolve: Resolve | None = None, **options: Any) -> list[HookAnswer]:
    """Call each of these URLs, the way a dispatcher does."""

    async def main() -> list[HookAnswer]:
        wire = HookWire(resolve=resolve, **options)
        try:
            return [await wire.post(_call(url)) for url in targets]
        finally:
            await wire.aclose()

    return run(main(), loops)


def _call(url: str) -> HookCall:
    return HookCall(url, "msg_1", b"{}", (bytes(24),), int(time.time()), 30)


def test_there_are_enough() -> None:
    """And what counts does count: without the check every listener would see somebody."""
    assert len(TARGETS) >= 300
    assert len(set(NAMED)) >= 100
    with Listeners(443, 8443) as listeners:
        assert 8443 in listeners.ports
    # At a port of its own: at those others may listen as well, to count that nobody comes.
    with Listeners(0) as listeners, watched() as watch:
        for port in listeners.ports:
            with suppress(ConnectionRefusedError):  # that one is of the other family
                socket.create_connection(("127.0.0.1", port)).close()
        end = time.monotonic() + 60
        while not listeners.count:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert {host for host, _ in watch.dialled} == {"127.0.0.1"}


def test_urls_that_name_such_an_address(loops: Loops) -> None:
    """In any notation, with whatever else stands around it: refused before anything is asked, of names either."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [host]

    with Listeners(443, 8443) as listeners, watched() as watch:
        came = answers(TARGETS, loops, resolve)
        assert (listeners.count, watch.dialled, asked) == (0, [], [])
    assert [url for url, each in zip(TARGETS, came, strict=True) if not each.refused] == []
    assert all(each.problem for each in came)


def test_the_systems_own_names_and_notations(loops: Loops) -> None:
    """What the system's resolver makes of a name of this machine, or of an odd notation, is checked as well."""

    odd = ("127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0x7f000001", "10.1", "0xa9fea9fe", "0", "localhost")
    notations = iter([*odd, "::1", "::", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::127.0.0.1"])

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().getaddrinfo(next(notations), port, type=socket.SOCK_STREAM)
        return [str(sockaddr[0]) for *_, sockaddr in found]

    with Listeners(443, 8443) as listeners, watched() as watch:
        named = answers(HERE, loops)
        noted = answers([f"https://name{number}.example/" for number in range(14)], loops, resolve)
        assert (listeners.count, watch.dialled) == (0, [])
    assert all(each.status is None for each in named)  # not every system knows every name
    assert named[0].refused and named[1].refused
    assert all(each.refused for each in noted), noted


def test_where_this_machine_may_be_called_nobody_else_may(loops: Loops) -> None:
    """In a development profile, too: loopback it is, and no other address that is not public."""
    ours = ("127.", "::1", "0:0:0:0:0:0:0:1", "0000:", "::0:1", "0::1", "::ffff:127", "::ffff:7f00", "::FFFF:127")
    elsewhere = [each for each in NAMED if not any(one.startswith((*ours, "0:0:0:0:0:ffff:7f00")) for one in each)]
    elsewhere = [each for each in elsewhere if "%" not in str(each)]
    assert len(elsewhere) >= 90
    found = iter(elsewhere)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(found)

    with Listeners(443, 8443) as listeners, watched() as watch:
        targets = [f"https://name{number}.example:8443/" for number in range(len(elsewhere))]
        came = answers(targets, loops, resolve, loopback=True)
        came += answers([f"https://{each}/" for each in ALL_4 if not each.startswith("127.")], loops, loopback=True)
        assert (listeners.count, watch.dialled) == (0, [])
    assert [each for each in came if not each.refused] == []


@pytest.mark.parametrize("proxied", [False, True])
def test_names_that_lead_to_such_an_address(loops: Loops, proxied: bool) -> None:
    """One such address among others is enough; also where a proxy would make the connection."""
    found = iter(NAMED)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(found)

    targets = [f"https://name{number}.example:8443/" for number in range(len(NAMED))]
    with Listeners(443, 8443) as listeners, watched() as watch:
        proxy = "http://127.0.0.1:8443" if proxied else None
        came = answers(targets, loops, resolve, proxy=proxy)
        assert (listeners.count, watch.dialled) == (0, [])
    assert [each for named, each in zip(NAMED, came, strict=True) if not each.refused] == []


def test_names_that_change_between_check_and_connection(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one look for each connection, and what it found is dialled: what a second would find, nobody asks."""
    monkeypatch.setattr(hookwire, "OLDEST_S", 0.0)
    looks: dict[str, int] = {}

    async def resolve(host: str, port: int) -> Sequence[str]:
        looks[host] = looks.get(host, 0) + 1
        return PUBLIC if looks[host] % 2 else ["127.0.0.1"]

    targets = [f"https://name{number}.example:8443/" for number in range(30)]
    with Listeners(443, 8443) as listeners, watched() as watch:
        first = answers(targets, loops, resolve)
        assert set(looks.values()) == {1}
        assert {host for host, _ in watch.dialled} == set(PUBLIC)
        watch.dialled.clear()
        second = answers(targets, loops, resolve)
        assert (listeners.count, watch.dialled) == (0, [])
    assert not any(each.refused for each in first) and all(each.refused for each in second)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 200, 201, 202])
def test_redirects(loops: Loops, status: int) -> None:
    """Nobody is sent on by a receiver, whatever header it says that with."""

    async def main(port: int) -> list[HookAnswer]:
        wheres = iter(REDIRECTS)

        async def send_on(peer: Peer) -> None:
            where = next(wheres).format(port=port)
            lines = [f"{name}: {where}" for name in ("Location", "Content-Location", "Alt-Svc")]
            lines += [f"Refresh: 0; url={where}", "Content-Length: 0", "Connection: close"]
            await peer.say("\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode())

        async with serving(send_on) as server:
            wire = HookWire(loopback=True)
            came = [await wire.post(_call(server.url)) for _ in REDIRECTS]
            await wire.aclose()
            assert server.connections == len(REDIRECTS)
            return came

    with Listeners(0) as listeners, watched() as watch:
        came = run(main(next(iter(listeners.ports))), loops)
        assert listeners.count == 0
        assert not {port for _, port in watch.dialled} & listeners.ports
    assert all(each.status == status and each.is_success == (status < 300) for each in came)
