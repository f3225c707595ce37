"""Every fault of the sandbox as the product meets it: over its own wire, read by its own adapters; and scripts."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from notifyctl.core.errors import UsageError
from notifyctl.core.model import Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Failure, FailureKind, Response
from notifyctl.providers.google_token import fetch
from notifyctl.providers.oauth import Token
from notifyctl.providers.wire import BODY_BYTES, Wire
from notifyctl.sandbox import (
    SENDGRID_KEY,
    TWILIO_ACCOUNT,
    TWILIO_TOKEN,
    parse_rule,
    parse_script,
)
from notifyctl.sandbox.faults import Injector
from notifyctl.sandbox.script import Script
from tests.providers.conftest import Running, started

ANN, BOB = "+15558675310", "+15558675311"
CONTENT = {"sendgrid": {"subject": "Hello", "text": "Hello!"}, "twilio": {"body": "Hello!"}, "fcm": {"title": "Hello"}}
TO = {"sendgrid": "ann@b.example", "twilio": ANN}

# By provider and code: status, what it means to the adapter (None: its own tests say), the code that is read.
CODES: dict[str, dict[str, tuple[int, Kind | None, str | None]]] = {
    "twilio": {
        "20429": (429, Kind.THROTTLED, "20429"),
        "20003": (401, Kind.CONFIG, "20003"),
        "20500": (500, Kind.UNKNOWN, "20500"),
        "21211": (400, Kind.RECIPIENT, "21211"),
        "21610": (400, Kind.RECIPIENT, "21610"),
        "21606": (400, Kind.CONFIG, "21606"),
        "21617": (400, Kind.PERMANENT, "21617"),
        "30034": (400, None, "30034"),
    },
    "fcm": {
        "UNREGISTERED": (404, Kind.RECIPIENT, "UNREGISTERED"),
        "SENDER_ID_MISMATCH": (403, Kind.RECIPIENT, "SENDER_ID_MISMATCH"),
        "INVALID_ARGUMENT": (400, Kind.RECIPIENT, "INVALID_ARGUMENT"),
        "QUOTA_EXCEEDED": (429, Kind.THROTTLED, "QUOTA_EXCEEDED"),
        "PERMISSION_DENIED": (403, Kind.CONFIG, "PERMISSION_DENIED"),
        "THIRD_PARTY_AUTH_ERROR": (401, None, "THIRD_PARTY_AUTH_ERROR"),
        "UNAVAILABLE": (503, None, "UNAVAILABLE"),
        "INTERNAL": (500, Kind.UNKNOWN, "INTERNAL"),
    },
    "sendgrid": {
        "credits": (401, Kind.CONFIG, None),
        "revoked": (401, Kind.CONFIG, None),
        "forbidden": (403, Kind.CONFIG, None),
        "unverified": (403, Kind.CONFIG, "from"),
        "address": (400, Kind.RECIPIENT, "personalizations.0.to.0.email"),
    },
}

Sent = Response | Failure


def credentials(running: Running, name: str) -> Credentials:
    """Return what signs in there."""
    base = {"base_url": running.url}
    if name == "sendgrid":
        return Credentials(SENDGRID_KEY, config={**base, "from": "shop@shop.example"})
    if name == "twilio":
        return Credentials(TWILIO_ACCOUNT, TWILIO_TOKEN, {**base, "from": "+14155552345"})
    token = fetch(running.account, 20)
    assert isinstance(token, Token)
    return Credentials("id", config=base, service_account=running.account, access_token=token.value)


def send(known: Credentials, name: str, recipients: Iterable[str]) -> list[Sent]:
    """Send to these all at once, and return what the wire says of each."""
    return send_all([(known, name, to) for to in recipients])


def send_all(messages: Iterable[tuple[Credentials, str, str]], timeout_s: float = 20) -> list[Sent]:
    """Send these all at once, with whose credentials by which provider to whom."""

    async def one(wire: Wire, known: Credentials, name: str, to: str) -> Sent:
        adapter = registry.get(name)
        request = adapter.build(Message("id", adapter.channel, to, CONTENT[name]), known)
        return await wire.send(request, timeout_s)

    async def main() -> list[Sent]:
        wire = Wire()
        try:
            return list(await asyncio.gather(*(one(wire, *message) for message in messages)))
        finally:
            await wire.aclose()

    return asyncio.run(main())


def outcome(name: str, sent: Sent) -> Outcome:
    assert isinstance(sent, Response)
    return registry.get(name).read(sent)


def texts_accepted(running: Running) -> set[str]:
    """Return to whom Twilio says it sent something."""
    url = f"{running.url}/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json?PageSize=1000"
    return {text["to"] for text in httpx.get(url, auth=(TWILIO_ACCOUNT, TWILIO_TOKEN)).json()["messages"]}


FAULTS = ("timeout", "hang", "slow", "reset", "cut", "garbage", "redirect", "html", "oversized", "gzip")
SILENT = ("timeout", "hang", "reset")
ACCEPTED = {"sendgrid": 202, "twilio": 201, "fcm": 200}


def whom(name: str, fault: str) -> str:
    """Return the recipient whom the sandbox of this module treats like this."""
    numbers = [*FAULTS, *CODES["twilio"]]
    return {
        "sendgrid": f"{fault}@b.example",
        "twilio": f"+1555867{numbers.index(fault) if fault in numbers else 9_999:04}",
        "fcm": f"device:{fault}",
    }[name]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox that treats everybody as their name, or number, says."""
    lines = [f"{name} {whom(name, fault)}: {fault}*" for name, codes in CODES.items() for fault in (*FAULTS, *codes)]
    with started(tmp_path_factory.mktemp("faulty"), fcm=True, script=parse_script("\n".join(lines), "s")) as running:
        yield running


def line_of(running: Running, recipient: str) -> tuple[int | None, str | None]:
    """Return status and fault as they are logged, of the last message to this recipient."""
    line = next(line for line in reversed(running.log) if line["recipient"] == recipient)
    return line["status"], line["fault"]


@pytest.mark.slow
@pytest.mark.parametrize(("faults", "timeout_s"), [(("reset", "cut"), 20.0), (("timeout", "hang", "slow"), 8.0)])
def test_no_whole_answer(faulty: Running, faults: tuple[str, ...], timeout_s: float) -> None:
    """Silence, a byte a second, and a connection that breaks before or within the answer: all of it is ambiguous."""
    known = {name: credentials(faulty, name) for name in ACCEPTED}
    cases = [(name, fault) for name in ACCEPTED for fault in faults]
    sent = send_all([(known[name], name, whom(name, fault)) for name, fault in cases], timeout_s)
    for (name, fault), failure in zip(cases, sent, strict=True):
        assert isinstance(failure, Failure), (name, fault)
        assert failure.kind is FailureKind.AMBIGUOUS, (name, fault)
        assert line_of(faulty, whom(name, fault)) == (None if fault in SILENT else ACCEPTED[name], fault)


def test_answers_that_are_none(faulty: Running) -> None:
    """Noise, a redirect and a page are answers for the wire, and for the adapter nothing that could be a yes."""
    for fault, status in (("garbage", 201), ("redirect", 307), ("html", 502)):
        to = whom("twilio", fault)
        [sent] = send(credentials(faulty, "twilio"), "twilio", [to])
        assert isinstance(sent, Response) and sent.status == status
        assert outcome("twilio", sent).kind is Kind.UNKNOWN
        assert line_of(faulty, to) == (status, fault)
        if fault == "redirect":
            assert sent.headers["location"] == "/redirected"


def test_bodies_that_do_not_end(faulty: Running) -> None:
    """Of a body without end, and of a bomb, no more arrives than the wire takes."""
    for fault in ("oversized", "gzip"):
        for name in ("twilio", "sendgrid"):
            [sent] = send(credentials(faulty, name), name, [whom(name, fault)])
            assert isinstance(sent, Response) and sent.status == ACCEPTED[name]
            assert 10_000 < len(sent.body) <= BODY_BYTES
            assert (sent.headers.get("content-encoding") == "gzip") is (fault == "gzip")


@pytest.mark.parametrize("mib", [64, pytest.param(1_024, marks=pytest.mark.full)])
def test_bomb(tmp_path: Path, mib: int) -> None:
    """The bomb is small and whole, and goes off where somebody undoes it."""
    with (
        started(tmp_path, "sendgrid=gzip") as running,
        httpx.stream("GET", f"{running.url}/v3/scopes", headers={"Authorization": f"Bearer {SENDGRID_KEY}"}) as bomb,
    ):
        raw = b"".join(bomb.iter_raw())
    assert len(raw) < 2_000_000 and raw.endswith((2**30).to_bytes(4, "little"))
    with gzip.open(BytesIO(raw)) as inside:
        assert all(inside.read(2**20) == bytes(2**20) for _ in range(mib))
        assert mib < 1_024 or inside.read() == b""


def test_nobody_there(tmp_path: Path) -> None:
    """A sandbox that has ended refuses connections: nothing was sent, and may be sent again."""
    with started(tmp_path) as running:
        known = credentials(running, "twilio")
    [sent] = send(known, "twilio", [ANN])
    assert isinstance(sent, Failure) and sent.kind is FailureKind.UNSENT


def test_what_was_accepted_all_the_same(tmp_path: Path) -> None:
    """Where only the answer is lost the message counts as accepted, as with the real one; where it is refused, not."""
    lost = {"reset": ANN, "cut": BOB, "garbage": "+15558675312", "oversized": "+15558675313", "gzip": "+15558675314"}
    refused = {"503": "+15558675320", "21610": "+15558675321", "html": "+15558675322", "redirect": "+15558675323"}
    written = "\n".join(f"twilio {to}: {fault}" for fault, to in (lost | refused).items())
    with started(tmp_path, script=parse_script(written, "script")) as running:
        send(credentials(running, "twilio"), "twilio", (lost | refused).values())
        assert texts_accepted(running) == set(lost.values())


@pytest.mark.parametrize(("name", "fault"), [(name, code) for name, codes in CODES.items() for code in codes])
def test_codes(faulty: Running, name: str, fault: str) -> None:
    """A provider's own code comes with its status and in its body, so that the adapter reads what it is."""
    status, kind, code = CODES[name][fault]
    [sent] = send(credentials(faulty, name), name, [whom(name, fault)])
    assert line_of(faulty, whom(name, fault)) == (status, fault)
    found = outcome(name, sent)
    assert (found.http_status, found.code) == (status, code)
    assert kind is None or found.kind is kind


def test_token_codes(tmp_path: Path) -> None:
    """The token endpoint refuses by name, too."""
    with started(tmp_path, "token=invalid_client", fcm=True) as running:
        assert not isinstance(fetch(running.account, 20), Token)
        assert (running.log[-1]["provider"], running.log[-1]["status"]) == ("token", 401)


@pytest.mark.parametrize("rule", ["twilio=429@120", "twilio=503@120", "twilio=20429@120", "sendgrid=429@120"])
def test_wait(tmp_path: Path, rule: str) -> None:
    """A rule names the Retry-After, which wins over SendGrid's own reset."""
    name = rule.partition("=")[0]
    with started(tmp_path, rule) as running:
        [sent] = send(credentials(running, name), name, [TO[name]])
    assert outcome(name, sent).retry_after_ms == 120_000


def test_messages_and_questions_apart() -> None:
    """Questions count and draw for themselves: asking for receipts does not change which messages go wrong."""
    rules = [parse_rule("twilio=503:0.5x20"), parse_rule("twilio.read=429x1"), parse_rule("twilio=receipt:30005:0.5")]

    def messages(questions: int) -> list[bool]:
        injector, struck = Injector(rules, seed=3), []
        for _ in range(100):
            struck.append(injector.strike("twilio", ANN) is not None)
            for _ in range(questions):
                injector.strike("twilio", None, sends=False)
                injector.fate("twilio", ANN)
        return struck

    assert messages(0) == messages(3)
    assert sum(messages(0)) == 20


@pytest.mark.parametrize("name", ["reads", "sends"])
def test_only(name: str) -> None:
    """`.send` and `.read` name one of the two."""
    injector = Injector([parse_rule(f"twilio.{name[:-1]}=503")], seed=None)
    assert (injector.strike("twilio", ANN) is not None) is (name == "sends")
    assert (injector.strike("twilio", None, sends=False) is not None) is (name == "reads")


SCRIPT = """
# the morning it went down
sendgrid: ok 503x2 hang ok*   # and came back
sendgrid ann@b.example: 400 ok

twilio.read: 429*
fcm abc:APA91b-x: UNREGISTERED
"""


def test_script_plays() -> None:
    """Steps in their order, `x2` twice, the last for ever with `*`; a recipient's line first, and for itself."""
    script = Script(parse_script(SCRIPT, "s.txt"))

    def play(provider: str, to: str | None, *, sends: bool = True) -> str | None:
        told, rule = script.play(provider, to, sends=sends)
        return (rule.fault if rule else "ok") if told else None

    assert [play("sendgrid", f"{number}@b.example") for number in range(7)] == [
        *("ok", "503", "503", "hang", "ok", "ok", "ok")
    ]
    assert [play("sendgrid", "ann@b.example") for _ in range(4)] == ["400", "ok", "ok", "ok"]
    assert [play("twilio", None, sends=False) for _ in range(3)] == ["429"] * 3
    assert play("twilio", ANN) is None and play("sendgrid", None, sends=False) is None
    assert [play("fcm", "abc:APA91b-x") for _ in range(2)] == ["UNREGISTERED", "ok"]
    assert play("fcm", "other") is None


def test_script_before_rules(tmp_path: Path) -> None:
    """What a script says nothing about, the rules decide."""
    script = parse_script(f"twilio {ANN}: ok 21610", "s.txt")
    with started(tmp_path, "twilio=503", script=script) as running:
        known = credentials(running, "twilio")
        statuses = [outcome("twilio", send(known, "twilio", [to])[0]).http_status for to in (ANN, BOB, ANN, BOB, ANN)]
    assert statuses == [201, 503, 400, 503, 201]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("sendgrid ok ok", 1, "is no line of a script"),
        ("\n\nmail: ok", 3, "'mail' is none of"),
        ("all: 503", 1, "'all' is none of"),
        ("twilio: ok\ntwilio:", 2, "nothing happens"),
        ("# x\ntwilio: ok* 503", 2, "last step only"),
        ("twilio: 503 ok ok?", 1, "'ok?' is no step"),
        ("twilio: ok\n\ntwilio: 21299", 3, "no fault '21299'"),
        ("twilio: 503:0.5", 1, "is no step"),
        ("twilio: ok\nfcm: ok\ntwilio: 503", 3, "already"),
        ("twilio: hang@5", 1, "only an answer can ask to wait"),
    ],
)
def test_what_is_no_script(text: str, line: int, says: str) -> None:
    """A mistake is told with its file, its line and how it is written."""
    with pytest.raises(UsageError) as refused:
        parse_script(text, "s.txt")
    assert refused.value.message.startswith(f"s.txt, line {line}: ")
    assert says in refused.value.message
    assert refused.value.hint
