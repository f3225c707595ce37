"""A webhook's call: what goes out, what is made of the answer, and what of the URL is ever said."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from notifyctl.core.outcome import Fault
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.signing import objection
from notifyctl.providers import hookwire
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.providers.http import lookup
from notifyctl.providers.http.dial import Resolve, addresses
from notifyctl.providers.http.lookup import Lookups
from tests.providers.peers import Answer, Loops, hang, ok, run, says, serving

OLD, NEW = bytes(range(24)), bytes(range(100, 124))
BODY = '{"type":"notification.sent","text":"grüße"}'.encode()
TOKEN = "T0pSecretPath"


def call(url: str, timeout_s: float = 5) -> HookCall:
    """Return an attempt at a receiver whose path is a secret."""
    return HookCall(f"{url}/{TOKEN}?k={TOKEN}", "msg_0123", BODY, (NEW, OLD), int(time.time()), timeout_s)


def to(*addresses: str) -> Resolve:
    """Return what resolves every name to these."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def answer(script: Answer, loops: Loops, timeout_s: float = 5) -> tuple[HookAnswer, bytes]:
    """Call a receiver that answers like this; return what is made of it, and the head that it read."""

    async def main() -> tuple[HookAnswer, bytes]:
        async with serving(script) as server:
            wire = HookWire(loopback=True)
            try:
                return await wire.post(call(server.url, timeout_s)), server.heads[0]
            finally:
                await wire.aclose()

    return run(main(), loops)


def test_what_goes_out(loops: Loops) -> None:
    """The standard's headers over the body as it is, by both secrets; the receiver believes either."""
    came, head = answer(ok, loops)
    assert (came.status, came.problem, came.body, came.is_success) == (200, None, "ok", True)
    start, *lines = head.decode().rstrip("\r\n").split("\r\n")
    assert start == f"POST /{TOKEN}?k={TOKEN} HTTP/1.1"
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("notifyctl/")
    assert headers["webhook-id"] == "msg_0123"
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (OLD, NEW):
        assert objection(headers, BODY, [secret], time.time()) is None


@pytest.mark.parametrize("status", [299, 200, 202, 204, 301, 302, 303, 307, 308, 400, 404, 410, 429, 500, 503])
def test_statuses(loops: Loops, status: int) -> None:
    """A success is 2xx and nothing else; a redirect is a failure, and is not followed."""
    location = b"Location: https://example.com/elsewhere\r\n"
    came, _ = answer(says(b"HTTP/1.1 %d X\r\n%bContent-Length: 0\r\n\r\n" % (status, location)), loops, 1)
    assert came.is_success == (200 <= status < 300)
    assert came.status == (None if status < 200 else status)
    assert (came.problem is not None and "redirects are not followed" in came.problem) == (300 <= status < 400)


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("120", 120_000),
        ("0", 0),
        ("Wed, 21 Oct 2026 07:30:00 GMT", 120_000),
        ("Wednesday, 21-Oct-26 07:30:00 GMT", 120_000),
        *((nonsense, None) for nonsense in ("-5", "1.5", "soon", "", "1e3", "0x10", "٣", "tomorrow 12:00", "5 5")),
    ],
)
def test_retry_after(loops: Loops, value: str, ms: int | None) -> None:
    """Seconds or a date of HTTP (RFC 9110, 10.2.3); what is neither is none."""
    head = f"HTTP/1.1 503 X\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    assert answer(says(head.encode()), loops)[0].retry_after_ms == ms


@pytest.mark.parametrize("own", ["", "Date: soon\r\n", "Date: 30 Nov 99999 08:00:00 GMT\r\n"])
def test_a_date_without_another(loops: Loops, own: str) -> None:
    """A small server's answer has no date of its own, or one that is none: the wait counts from the attempt."""
    until = formatdate(time.time() + 600, usegmt=True)
    head = f"HTTP/1.1 429 X\r\n{own}Retry-After: {until}\r\nContent-Length: 0\r\n\r\n"
    found = answer(says(head.encode()), loops)[0].retry_after_ms
    assert found is not None and 590_000 <= found <= 601_000
    past = "HTTP/1.1 429 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"
    assert answer(says(past.encode()), loops)[0].retry_after_ms == 0


def test_the_answers_body_is_text(loops: Loops) -> None:
    """What cannot be stored or shown is left out, and there is an end to it."""
    raw = b"a\x00b\x1b[31mc\xff\xfe\r\nd" + "€".encode() * 5_000
    came, _ = answer(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw), loops)
    assert came.is_success
    assert came.body.startswith("ab[31mc\ufffd\ufffd\nd€€")
    assert 2_040 < len(came.body.encode()) <= 2_048


@pytest.mark.parametrize("name", ["other.localhost", "hooks.localhost"])
def test_whose_certificate_is_another_ones_is_told_nothing(
    loops: Loops, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """TLS is verified as it is with providers: the authority and the name."""
    authority, made = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted = authority if name == "other.localhost" else trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    authority.issue_cert(name).configure_cert(made)

    async def main() -> tuple[HookAnswer, int]:
        async with serving(ok, made) as server:
            wire = HookWire(loopback=True, resolve=to("127.0.0.1"))
            try:
                return await wire.post(call(server.url.replace("127.0.0.1", "hooks.localhost"))), len(server.heads)
            finally:
                await wire.aclose()

    came, heads = run(main(), loops)
    assert came.problem is not None and came.problem.startswith("hooks.localhost: not connected: the certificate is")
    assert (came.status, came.refused, heads) == (None, False, 0)


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:10.0.0.1"], ["fe80::1%2"]])
def test_a_name_with_one_address_that_is_not_public_is_refused(loops: Loops, addresses: Sequence[str]) -> None:
    """Nothing is sent, and what is said names the address."""

    async def main() -> HookAnswer:
        wire = HookWire(resolve=to(*addresses))
        try:
            return await wire.post(call("https://hooks.example"))
        finally:
            await wire.aclose()

    came = run(main(), loops)
    assert came.refused and came.status is None
    assert came.problem is not None and addresses[-1] in came.problem


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize("name", ["localhost", "x.localhost"])
def test_a_name_of_this_machine_leads_nowhere_else(loops: Loops, name: str, loopback: bool) -> None:
    """RFC 6761, 6.3: localhost is loopback. For it http and any port were allowed, and for no other address."""

    async def main() -> HookAnswer:
        wire = HookWire(loopback=loopback, resolve=to("93.184.216.34"))
        try:
            return await wire.post(call(f"http://{name}:25" if loopback else f"https://{name}", 0.5))
        finally:
            await wire.aclose()

    came = run(main(), loops)
    assert came.refused and came.status is None
    assert came.problem == f"{name}: not connected: it resolves to 93.184.216.34, which is not this machine"


@pytest.mark.parametrize(
    "said",
    ["Cannot POST /{0}?k={0}", "<pre>Cannot POST /{0}?k={0}&amp;x=%27</pre>", "no route for /{0}", '{{"q": "k={0}"}}'],
)
def test_a_receiver_that_repeats_its_url(loops: Loops, said: str) -> None:
    """As many frameworks do with what they do not know: what is kept of it has no secret either."""
    body = said.format(TOKEN).encode()
    came, _ = answer(says(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)), loops)
    assert TOKEN not in repr(came)
    assert "…" in came.body


@pytest.mark.parametrize(
    "said",
    [
        r'{"path": "\/services\/T000\/secretXX+YY"}',
        "no route services/T000/secretXX+YY",
        "unknown hook secretXX+YY",
        "no page /services/T000/secretXX+YY?token=t0ken/with space&amp;x=1",
        '{"token": "t0ken/with space"}',
        r'{"token": "t0ken\/with space"}',
        "token t0ken%2fwith%20space",
        "token t0ken%2Fwith+space is void",
        "secretxx+yy",
    ],
)
def test_a_receiver_that_repeats_its_url_in_its_own_spelling(loops: Loops, said: str) -> None:
    """Frameworks decode, escape and take apart what they repeat, each in its own way; words of the answer stay."""

    async def main() -> HookAnswer:
        body = said.encode() + b" sorry"
        script = says(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        async with serving(script) as server:
            wire = HookWire(loopback=True)
            try:
                url = f"{server.url}/services/T000/secretXX+YY?token=t0ken%2Fwith%20space&x=1"
                return await wire.post(HookCall(url, "msg_0123", BODY, (NEW,), int(time.time()), 5))
            finally:
                await wire.aclose()

    came = run(main(), loops)
    assert "…" in came.body and came.body.endswith(" sorry")
    assert not any(part in came.body.lower() for part in ("secretxx", "t0ken", "with space")), came.body


def test_the_url_is_never_said(loops: Loops) -> None:
    """It may be a secret: what an attempt says of itself has the host alone, however it ends."""

    async def main(url: str) -> HookAnswer:
        wire = HookWire(resolve=to("127.0.0.1"))
        try:
            return await wire.post(call(url))
        finally:
            await wire.aclose()

    for url in (
        "https://hooks.example",
        "https://user@hooks.example",
        "http://hooks.example",
        "https://[::1",
        "ftp://x",
    ):
        came = run(main(url), loops)
        assert came.refused
        assert TOKEN not in repr(came)
    came, _ = answer(hang, loops, 0.3)
    assert came.status is None and not came.refused
    assert came.problem == "127.0.0.1: no whole answer within 0.3 s"
    assert TOKEN not in repr(came) + repr(call("https://hooks.example"))
    assert repr(NEW) not in repr(call("https://hooks.example"))


@pytest.mark.parametrize("oldest_s", [0.0, 60.0])
def test_a_name_that_changes_between_two_calls(loops: Loops, monkeypatch: pytest.MonkeyPatch, oldest_s: float) -> None:
    """A connection that is kept leads to an address that was checked; each new one is checked for itself."""
    monkeypatch.setattr(hookwire, "OLDEST_S", oldest_s)
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(answers)

    async def main() -> tuple[list[HookAnswer], int]:
        async with serving(ok) as server:
            wire = HookWire(loopback=True, resolve=resolve)
            try:
                url = server.url.replace("127.0.0.1", "hooks.localhost")
                return [await wire.post(call(url)) for _ in range(2)], server.connections
            finally:
                await wire.aclose()

    came, connections = run(main(), loops)
    assert connections == 1
    assert came[0].is_success
    assert came[1].refused == (oldest_s == 0.0)
    assert came[1].is_success == (oldest_s > 0.0)


def test_names_that_hang_keep_nobody_from_anything(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers are resolved meanwhile, the deadline holds, and nobody waits for such a name at the end."""
    asked, over, real = [], threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        if not host.startswith("slow"):
            return real(host, *more, **named)
        asked.append(host)
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

    async def main() -> tuple[list[HookAnswer], Sequence[str]]:
        wire = HookWire()
        urls = [f"https://slow{number % 10}.example" for number in range(40)]
        calls = [asyncio.create_task(wire.post(call(url, 8))) for url in urls]
        while len(asked) < 10:  # noqa: ASYNC110  # threads ask
            await asyncio.sleep(0.01)
        found = await addresses("127.0.0.1", 443)
        assert not any(each.done() for each in calls)
        came = await asyncio.gather(*calls)
        await wire.aclose()
        return came, found

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        came, found = run(main(), loops)
        assert not over.is_set()
    finally:
        over.set()
    assert found == ["127.0.0.1"]
    assert len(asked) == 10  # each name once, whoever asks
    assert all(each.problem is not None and "resolving the name took longer" in each.problem for each in came), came
    assert all(each.fault is Fault.ROUTE and each.ms < 7_900 for each in came), came


def test_names_that_hang_again_leave_room_for_the_others(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were slow once share few places; a name that nobody knows yet has one at once."""
    monkeypatch.setattr(lookup, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(lookup, "SLOW_AT_ONCE", 1)
    monkeypatch.setattr(lookup, "SLOW_S", 0.05)
    over, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        asked.append(host)
        if host.startswith("slow") and not over.wait(0.1 if asked.count(host) == 1 else 20):
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    async def main() -> tuple[Sequence[str], int]:
        lookups = Lookups()
        slow = [f"slow{number}" for number in range(8)]
        await asyncio.gather(*(lookups.addresses(each, 443) for each in slow), return_exceptions=True)
        again = [asyncio.create_task(lookups.addresses(each, 443)) for each in slow]
        await asyncio.sleep(0)
        found = await asyncio.wait_for(lookups.addresses("good", 443), 15)
        hanging = sum(not each.done() for each in again)
        over.set()
        await asyncio.gather(*again)
        return found, hanging

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        assert run(main(), loops) == (["192.0.2.1"], 8)
    finally:
        over.set()


def test_a_name_that_does_not_exist(loops: Loops) -> None:
    """It is a failure like any other, and not a refusal of ours."""

    async def main() -> HookAnswer:
        wire = HookWire()
        try:
            return await wire.post(call("https://hooks.nobody.invalid"))
        finally:
            await wire.aclose()

    came = run(main(), loops)
    assert came.status is None and not came.refused
    assert came.problem is not None and came.problem.startswith("hooks.nobody.invalid: not connected: ")
