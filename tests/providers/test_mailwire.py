"""The SMTP engine over a real socket: what it says, what it classifies, and which connections it keeps."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import trustme

from notifyctl.cli import loops
from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Fault
from notifyctl.providers import mailsession, mailwire
from notifyctl.providers.contract import Credentials, Failure, FailureKind, Request, Response
from notifyctl.providers.smtp import Smtp
from notifyctl.providers.wire import Wire
from tests.support.mailserver import CLOSE, HANG, RESET, TRICKLE, USUAL, MailServer

ID = "11111111-2222-4333-8444-555555555555"
LONG_S = 30.0  # more than anything here takes on a slow machine
SHORT_S = 0.3

LoopFactory = Callable[[], asyncio.AbstractEventLoop] | None


def request(server: MailServer, login: tuple[str, str] = ("", ""), **further: Any) -> Request:
    """The request for one mail to anna, with copies; `further` are settings, or content where it has that field."""
    settings = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "Shop <shop@example.com>"}
    content = {"v": 1, "subject": "Hello", "text": "Hello!"}
    for name, value in further.items():
        (content if name in ("text", "cc", "bcc") else settings)[name] = value
    message = Message(ID, Channel.EMAIL, "anna@example.org", content)
    return Smtp().build(message, Credentials(*login, settings))


def run(act: Callable[[Wire], Awaitable[Any]], loop: LoopFactory = loops.loop_factory()) -> Any:  # noqa: B008
    """Do it with a wire, on the loop that dispatchers run on, and close that."""

    async def main() -> Any:
        wire = Wire()
        try:
            return await act(wire)
        finally:
            await wire.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


def send(asked: Request, timeout_s: float = LONG_S) -> Response | Failure:
    return run(lambda wire: wire.send(asked, timeout_s))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """An authority of our own, and the file with its certificate."""
    authority, file = trustme.CA(), tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, file


@pytest.fixture
def context(authority: tuple[trustme.CA, Path]) -> ssl.SSLContext:
    """What a server with a certificate for 127.0.0.1 needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_one_mail() -> None:
    """The envelope names everybody, the mail all but the blind copies; the date is of the moment it was sent."""
    with MailServer() as server:
        answer = send(request(server, cc=["bob@example.org"], bcc=["eve@example.org"], text="Hi\n.\n..\nend"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers["stage"], answer.headers["recipients"]) == (250, "end", "3")
    (heard,) = server.heard
    assert [line.partition(" SIZE=")[0] for line in heard.commands[1:-1]] == [
        "MAIL FROM:<shop@example.com>",
        "RCPT TO:<anna@example.org>",
        "RCPT TO:<bob@example.org>",
        "RCPT TO:<eve@example.org>",
        "DATA",
    ]
    assert heard.commands[-1] == "QUIT"
    mail = message_from_bytes(heard.mails[0])
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == ("anna@example.org", "bob@example.org", None)
    assert mail["Message-ID"] == f"<{ID}@example.com>"
    assert mail["Date"]
    assert mail.get_payload().replace("\r\n", "\n") == "Hi\n.\n..\nend\n"


@pytest.mark.parametrize("text", ["Hi", "Hi\n.\n..\n.end\n", "a\r\nb\nc\rd", "Grüße 👍" * 50, "x" * 2_000])
def test_the_size_is_that_of_the_mail(text: str) -> None:
    """It counts every octet that arrives, date and CRLFs too, and no dot that is doubled on the way (RFC 1870)."""
    with MailServer() as server:
        answer = send(request(server, text=text))
    assert isinstance(answer, Response) and answer.status == 250
    (heard,) = server.heard
    [said] = [line for line in heard.commands if line.startswith("MAIL")]
    assert said == f"MAIL FROM:<shop@example.com> SIZE={len(heard.mails[0])}"


@pytest.mark.parametrize(
    ("hostname", "settings", "greeted"),
    [
        ("mail.example.com", {}, "mail.example.com"),
        ("mail.example.com.", {}, "mail.example.com"),
        *(
            (odd, {}, "[127.0.0.1]")
            for odd in ("mail", "my_host.example.com", "-a.example.com", "a..b", "a.b-", "10.0.0.7")
        ),
        *(
            (odd, {}, "[127.0.0.1]")
            for odd in ("müller.example", "a" * 64 + ".example", ".".join(["ab"] * 90), "a b.c", "")
        ),
        ("mail.example.com", {"ehlo": "out.example.org"}, "out.example.org"),
        ("mail.example.com", {"ehlo": "bücher.example"}, "xn--bcher-kva.example"),
        ("mail.example.com", {"ehlo": "localhost"}, "localhost"),
        ("mail.example.com", {"ehlo": "[192.0.2.1]"}, "[192.0.2.1]"),
        ("mail.example.com", {"ehlo": "[IPv6:2001:db8::1]"}, "[IPv6:2001:db8::1]"),
        ("mail.example.com", {"ehlo": "[2001:DB8::1]"}, "[IPv6:2001:db8::1]"),
    ],
)
def test_the_greeting_names_a_domain_or_an_address(
    monkeypatch: pytest.MonkeyPatch, hostname: str, settings: dict[str, str], greeted: str
) -> None:
    """Only a domain or an address literal is said (RFC 5321, 4.1.2), or what is configured: servers refuse the rest."""
    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    with MailServer() as server:
        answer = send(request(server, **settings))
    assert isinstance(answer, Response) and answer.status == 250
    assert server.heard[0].commands[0] == f"EHLO {greeted}"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_encryption(security: str, context: ssl.SSLContext, authority: tuple[trustme.CA, Path]) -> None:
    """With either way to TLS, login and mail travel encrypted, and the certificate is checked."""
    settings = {"security": security, "ca_file": str(authority[1])}
    with MailServer(context=context, implicit=security == "tls") as server:
        answer = send(request(server, ("anna", "pass wörd:"), **settings))
        assert isinstance(answer, Response) and answer.status == 250
        (heard,) = server.heard
        assert heard.encrypted
        secret = next(number for number, line in enumerate(heard.commands) if line.startswith("AUTH"))
        assert security == "tls" or heard.commands.index("STARTTLS") < secret
        refused = send(request(server, ("anna", "pass wörd:"), security=security))
    assert isinstance(refused, Failure) and refused.kind is FailureKind.UNSENT
    assert refused.fault is Fault.SETTINGS
    assert "the certificate is refused" in refused.message and "ca_file" in refused.message
    assert not server.heard[-1].mails and "AUTH" not in " ".join(server.heard[-1].commands)


def test_no_downgrade() -> None:
    """Where STARTTLS is wanted and not offered, nothing is sent in the clear, the password least of all."""
    with MailServer({"EHLO": "250 AUTH PLAIN", "STARTTLS": "502 5.5.1 no"}) as server:
        answer = send(request(server, ("anna", "secret"), security="starttls"))
        assert isinstance(answer, Response) and (answer.status, answer.headers["stage"]) == (502, "starttls")
    with MailServer({"EHLO": "250 AUTH PLAIN", "STARTTLS": "220 yes"}) as stripped:
        answer = send(request(stripped, ("anna", "secret"), security="starttls"))
        assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert {"AUTH", "MAIL"}.isdisjoint(server.commands + stripped.commands)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    """A file that is not there is said, with its name."""
    with MailServer() as server:
        answer = send(request(server, security="tls", ca_file=str(tmp_path / "ca.pem")))
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert f"ca_file {tmp_path / 'ca.pem'}: No such file" in answer.message
    assert answer.fault is Fault.SETTINGS


def test_a_wrong_login_is_tried_once() -> None:
    """However many ways to log in there are: each further try brings the account nearer to being locked."""
    with MailServer({"AUTH": "535 5.7.8 wrong"}) as server:
        answer = send(request(server, ("anna", "wrong")))
    assert isinstance(answer, Response) and (answer.status, answer.headers["stage"]) == (535, "auth")
    assert server.commands.count("AUTH") == 1


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_each_refusal_is_an_answer(verb: str) -> None:
    """Whatever is refused, the reply and the stage come back, and the server is left in order."""
    stages = {"greeting": "greeting", "EHLO": "ehlo", "MAIL": "mail", "RCPT": "rcpt", "DATA": "data", ".": "end"}
    with MailServer({verb: "550-5.7.1 no\r\n550 5.7.1 and no"}) as server:
        answer = send(request(server))
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers["stage"]) == (550, stages[verb])
    assert answer.body == b"5.7.1 no\n5.7.1 and no"


def test_a_refused_copy_does_not_stop_the_mail() -> None:
    """Who it is for gets it, and the answer names the copies that were refused; the other way round nobody gets it."""
    with MailServer({"RCPT": ["250 ok", "550 5.1.1 who?", "250 ok"]}) as server:
        answer = send(request(server, cc=["bob@example.org", "joe@example.org"]))
    assert isinstance(answer, Response) and answer.status == 250
    assert answer.body.endswith(b"\n\nbob@example.org: 550 5.1.1 who?")
    assert answer.headers["recipients"] == "2"
    with MailServer({"RCPT": ["550 5.1.1 who?", "250 ok"]}) as server:
        answer = send(request(server, cc=["bob@example.org"]))
    assert isinstance(answer, Response) and (answer.status, server.mails) == (550, [])


@pytest.mark.parametrize(
    "fault", [CLOSE, RESET, HANG, b"x" * 100_000, b"hello\r\n", b"999 what\r\n", b"250-ok\r\n" * 9_000]
)
@pytest.mark.parametrize("verb", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."])
def test_broken_servers(verb: str, fault: bytes) -> None:
    """Silence, garbage, and endless replies are a failure in time; the outcome is open only after the whole mail."""
    with MailServer({verb: fault}) as server:
        # To be silent about the whole mail, the server must have it before the deadline, on a slow machine too.
        deadline_s = LONG_S if fault != HANG else 5.0 if verb == "." else SHORT_S
        answer = send(request(server, ("anna", "secret")), deadline_s)
        assert isinstance(answer, Failure)
        assert answer.kind is (FailureKind.AMBIGUOUS if verb == "." else FailureKind.UNSENT)
        assert bool(server.mails) == (verb == ".")
        assert "secret" not in answer.message


def test_answers_that_nobody_asked_for() -> None:
    """A reply too many is not taken for the answer to the next command: no refused mail counts as sent."""
    with MailServer({"DATA": "354 go ahead\r\n250 2.0.0 Ok: queued as EARLY", ".": "550 5.7.1 no"}) as server:
        answer = send(request(server))
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT

    async def act(wire: Wire) -> list[Response | Failure]:
        return [await wire.send(asked, LONG_S), await wire.send(asked, LONG_S)]

    with MailServer({".": ["250 2.0.0 ok\r\n250 2.0.0 and ok", "250 2.0.0 ok"]}) as server:
        asked = request(server)
        first, second = run(act)
    assert isinstance(first, Response) and isinstance(second, Response)
    assert (first.status, second.status, len(server.heard), len(server.mails)) == (250, 250, 2, 2)


def test_a_trickle_ends_at_the_deadline() -> None:
    """A server that says a byte now and then gets no more time than any other."""
    with MailServer({"EHLO": TRICKLE}) as server:
        began = time.monotonic()
        answer = send(request(server), SHORT_S)
        took = time.monotonic() - began
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert f"no reply within {SHORT_S} s" in answer.message
    assert took < 15


@pytest.mark.parametrize("loop", [None, loops.loop_factory()], ids=["python", "fastest"])
def test_lost_in_the_middle_of_the_mail(loop: LoopFactory) -> None:
    """A connection that is lost before the mail's last line is no mail that may have been taken."""
    with MailServer(part=100_000) as server:
        asked = request(server, text="word " * 3_000_000)
        answer = run(lambda wire: wire.send(asked, LONG_S), loop)
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT


@pytest.mark.parametrize("loop", [None, loops.loop_factory()], ids=["python", "fastest"])
def test_who_stood_still_before_the_last_line(loop: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is over, and no timer has rung yet, since the whole process was stopped: the mail stays unfinished."""
    written = mailsession._written

    async def then_stands(*args: Any) -> None:
        await written(*args)
        time.sleep(3.1)  # noqa: ASYNC251 - as a process does that is stopped

    monkeypatch.setattr(mailsession, "_written", then_stands)
    with MailServer() as server:
        asked = request(server)
        answer = run(lambda wire: wire.send(asked, 3), loop)
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert server.mails == []


def test_a_server_that_reads_nothing() -> None:
    """It gets no more than its time, and keeps neither the connection nor the mail in memory."""

    async def main() -> tuple[Response | Failure, list[Any]]:
        wire = mailwire.MailWire()
        answer = await wire.send(asked, 2)
        await asyncio.sleep(0.05)
        left = [session for session in wire._closing if not session.closed]
        await wire.aclose()
        return answer, left

    with MailServer(stall=True) as server:
        asked = request(server, text="word " * 3_000_000)
        answer, left = asyncio.run(main())
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert left == []


def test_one_connection_for_many() -> None:
    """Twenty mails in turn need one connection and one login; each begins with a clean slate."""

    async def act(wire: Wire) -> None:
        for _ in range(20):
            answer = await wire.send(asked, LONG_S)
            assert isinstance(answer, Response) and answer.status == 250

    with MailServer() as server:
        asked = request(server, ("anna", "secret"))
        run(act)
    assert (len(server.heard), len(server.mails)) == (1, 20)
    assert (server.commands.count("AUTH"), server.commands.count("RSET"), server.commands.count("QUIT")) == (1, 19, 1)


def test_no_more_connections_than_allowed() -> None:
    """Many mails at once share the connections that the setting allows."""

    async def act(wire: Wire) -> list[Response | Failure]:
        return await asyncio.gather(*(wire.send(asked, LONG_S) for _ in range(30)))

    with MailServer() as server:
        asked = request(server, connections="3")
        assert all(isinstance(answer, Response) and answer.status == 250 for answer in run(act))
    assert len(server.heard) <= 3
    assert len(server.mails) == 30


def test_waiting_for_a_connection_has_an_end() -> None:
    """Who gets no connection before the deadline has sent nothing, and says why."""

    async def act(wire: Wire) -> list[Response | Failure]:
        return await asyncio.gather(*(wire.send(asked, seconds) for seconds in (1.5, SHORT_S, SHORT_S)))

    with MailServer({"EHLO": HANG}) as server:
        asked = request(server, connections="1")
        answers = run(act)
    assert all(isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT for answer in answers)
    assert ["all 1 connections stayed busy" in answer.message for answer in answers] == [False, True, True]


@pytest.mark.parametrize("end", [CLOSE, "421 4.3.2 closing", HANG])
def test_a_connection_that_went_is_replaced(end: str | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server closed between two mails costs the second one nothing but a new connection."""
    monkeypatch.setattr("notifyctl.providers.mailsession.READY_SECONDS", 0.2)

    async def act(wire: Wire) -> list[Response | Failure]:
        return [await wire.send(asked, LONG_S), await wire.send(asked, LONG_S)]

    with MailServer({"RSET": end}) as server:
        asked = request(server)
        first, second = run(act)
    assert isinstance(first, Response) and isinstance(second, Response)
    assert (first.status, second.status, len(server.heard)) == (250, 250, 2)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "."])
def test_a_421_ends_the_connection(verb: str) -> None:
    """After "closing transmission channel" nothing more is said on it."""

    async def act(wire: Wire) -> list[Response | Failure]:
        return [await wire.send(asked, LONG_S), await wire.send(asked, LONG_S)]

    with MailServer({verb: ["421 4.7.0 too much", USUAL[verb]]}) as server:
        asked = request(server)
        first, second = run(act)
    assert isinstance(first, Response) and first.status == 421
    assert isinstance(second, Response) and second.status == 250
    assert len(server.heard) == 2
    assert "RSET" not in server.commands


@pytest.mark.parametrize("end", ["421 4.7.0 too many messages in this connection", CLOSE])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_takes_so_many_mails_a_connection(verb: str, end: str | bytes) -> None:
    """RFC 5321, 3.8: it may close at any time. The next mail goes over a new connection, and nothing is lost by it."""

    async def act(wire: Wire) -> list[Response | Failure]:
        return [await wire.send(asked, LONG_S) for _ in range(3)]

    with MailServer({verb: [USUAL[verb], end, USUAL[verb]]}) as server:
        asked = request(server)
        answers = run(act)
    assert [isinstance(each, Response) and each.status for each in answers] == [250, 250, 250]
    assert (len(server.heard), len(server.mails)) == (2, 3)


def test_other_credentials_need_another_connection() -> None:
    """Nobody sends under a login that was replaced."""

    async def act(wire: Wire) -> None:
        await wire.send(request(server, ("anna", "old")), LONG_S)
        await wire.send(request(server, ("anna", "new")), LONG_S)

    with MailServer() as server:
        run(act)
    assert len(server.heard) == 2
    assert server.heard[0].commands[1] != server.heard[1].commands[1]


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody needs for a while is given back, with a farewell, and the pool is forgotten with it."""
    monkeypatch.setattr(mailwire, "IDLE_SECONDS", 0.2)

    async def main() -> dict[Any, Any]:
        wire = mailwire.MailWire()
        await wire.send(request(server), LONG_S)
        end = time.monotonic() + LONG_S
        while not server.heard[0].ended and time.monotonic() < end:  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0.02)
        return wire._pools

    with MailServer() as server:
        assert asyncio.run(main()) == {}
    assert server.commands[-1] == "QUIT"


def test_cancelling_closes() -> None:
    """A call that is cancelled leaves no connection in the middle of a mail to the next one."""

    async def act(wire: Wire) -> Response | Failure:
        task = asyncio.create_task(wire.send(request(server), LONG_S))
        while "DATA" not in server.commands:  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return await wire.send(request(server), LONG_S)

    with MailServer({"DATA": [HANG, USUAL["DATA"]]}) as server:
        answer = run(act)
    assert isinstance(answer, Response) and answer.status == 250
    assert len(server.heard) == 2


def test_nothing_after_the_end() -> None:
    """A wire that was closed sends nothing more, and its connections are gone."""

    async def main() -> Response | Failure:
        wire = Wire()
        await wire.send(request(server), LONG_S)
        await wire.aclose()
        return await wire.send(request(server), LONG_S)

    with MailServer() as server:
        answer = asyncio.run(main())
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "spoiled",
    [
        {"url": "smtp://127.0.0.1"},
        {"url": "smtp://:25"},
        {"url": "smtp+odd://127.0.0.1:25"},
        {"url": "smtp://127.0.0.1:25?connections=x"},
        {"method": "POST"},
        {"headers": {}},
        {"headers": {"Mail-From": "<a@b.c>", "Rcpt-To": "<d@e.f>", "Authorization": "Basic ?"}},
        {"headers": {"Mail-From": "<a@b.c>", "Rcpt-To": ""}},
        {"headers": {"Mail-From": "<a\r\nDATA@b.c>", "Rcpt-To": "<d@e.f>"}},
        {"headers": {"Mail-From": "<ä@b.c>", "Rcpt-To": "<d@e.f>"}},
    ],
)
def test_what_cannot_be_sent(spoiled: dict[str, Any]) -> None:
    """A third party's adapter may ask for anything; what makes no sense is unsent, and no command is smuggled in."""
    with MailServer() as server:
        answer = send(replace(request(server), **spoiled))
    assert isinstance(answer, Failure) and answer.kind is FailureKind.UNSENT
    assert server.mails == []


def test_noop_only_logs_in() -> None:
    """The question that a check of the credentials asks sends nothing."""
    credentials = Credentials("anna", "secret", {"host": "127.0.0.1", "security": "none", "from": "a@example.com"})
    with MailServer() as server:
        config = {**credentials.config, "port": server.port}
        answer = send(Smtp().checkup(replace(credentials, config=config)))
    assert isinstance(answer, Response) and (answer.status, answer.headers["stage"]) == (250, "noop")
    assert Smtp().read_checkup(answer) is None
    assert server.commands == ["EHLO", "AUTH", "NOOP", "QUIT"]
