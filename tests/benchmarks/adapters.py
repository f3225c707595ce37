"""What one notification costs beside database and network: its payload, its request, and what the answer means."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from notifyctl.core import content
from notifyctl.core.audience import message
from notifyctl.core.decide import Attempt, decide
from notifyctl.core.model import Message
from notifyctl.providers import registry
from notifyctl.providers.contract import Credentials, Request, Response, builder
from tests.benchmarks.report import Table
from tests.benchmarks.runs import Place
from tests.support.claims import claim

ID = "11111111-2222-4333-8444-555555555555"
TEXT = "Hello Ann,\n\nyour order 1234 is on its way, see https://shop.example/orders/1234.\n" * 2
SID = "SM" + "1f3a" * 8
STEPS = ("parse", "address", "build, unprepared", "build", "build, unchecked", "read", "decide")


@dataclass(frozen=True)
class Case:
    """A usual notification of one provider, and the usual answer."""

    provider: str
    credentials: Credentials
    to: str
    content: dict[str, Any]
    answer: Response


CASES = (
    Case(
        "sendgrid",
        Credentials("SG.key", config={"from": "Shop <shop@shop.example>"}),
        "ann@example.com",
        {"v": 1, "subject": "Your order 1234 is on its way", "text": TEXT},
        Response(202, {"x-message-id": "14c5d75ce93.dfd.64b469"}, b""),
    ),
    Case(
        "twilio",
        Credentials("AC" + "0" * 32, "token", {"from": "+14155552345"}),
        "+15558675310",
        {"v": 1, "body": TEXT[:80]},
        Response(
            201,
            {},
            json.dumps(
                {
                    "sid": SID,
                    "status": "queued",
                    "direction": "outbound-api",
                    "body": TEXT[:80],
                    "to": "+15558675310",
                    "from": "+14155552345",
                    "num_segments": "1",
                    "error_code": None,
                    "subresource_uris": {"media": f"/2010-04-01/Accounts/AC/Messages/{SID}/Media.json"},
                }
            ).encode(),
        ),
    ),
    Case(
        "fcm",
        Credentials("key-id", service_account={"project_id": "shop"}, access_token="ya29.token"),
        "t0ken:" + "aB3" * 48,
        {"v": 1, "title": "Your order 1234", "body": "It is on its way.", "data": {"order": "1234"}},
        Response(200, {}, b'{\n  "name": "projects/shop/messages/0:1500415314455276%31bd1c9631bd1c96"\n}\n'),
    ),
    Case(
        "smtp",
        Credentials("", None, {"host": "mail.example", "from": "Shop <shop@shop.example>"}),
        "ann@example.com",
        {"v": 1, "subject": "Your order 1234 is on its way", "text": TEXT},
        Response(250, {"stage": "end"}, b"2.0.0 Ok: queued as 4F2A31"),
    ),
)


def measure(place: Place) -> list[Table]:
    """Time each step by itself."""
    batches = 5 if place.quick else 25
    facts = {case.provider: {step: us(work, batches) for step, work in _steps(case).items()} for case in CASES}
    rows = [(name, *(f"{found[step]:.2f}" if step in found else "" for step in STEPS)) for name, found in facts.items()]
    notes = ("build, unchecked: the same body and request made of the same message without a look at it",)
    return [Table("The adapters' share: µs a notification", ("provider", *STEPS), rows, facts, notes)]


def us(work: Callable[[], object], batches: int, calls: int = 1_000) -> float:
    """Return the processor's time for a call, in microseconds: that of the batch with the least disturbance."""
    times = []
    for _ in range(batches):
        began = time.thread_time()
        for _ in range(calls):
            work()
        times.append((time.thread_time() - began) / calls * 1e6)
    return min(times)


def _steps(case: Case) -> dict[str, Callable[[], object]]:
    adapter = registry.get(case.provider)
    payload = content.canonical(case.content)
    ready = message(ID, adapter.channel, case.content, case.to)
    build, attempt = builder(adapter, case.credentials), Attempt(claim(provider=case.provider), 1, 2)
    outcome = adapter.read(case.answer)
    steps: dict[str, Callable[[], object]] = {
        "parse": lambda: content.parse(payload, adapter.channel),
        "address": lambda: message(ID, adapter.channel, case.content, case.to),
        "build, unprepared": lambda: adapter.build(ready, case.credentials),
        "build": lambda: build(ready),
        "read": lambda: adapter.read(case.answer),
        "decide": lambda: decide(attempt, outcome, 0.5),
    }
    if case.provider == "sendgrid":
        unchecked = _unchecked(build(ready))
        assert unchecked(ready) == build(ready)
        steps["build, unchecked"] = lambda: unchecked(ready)
    return steps


def _unchecked(like: Request) -> Callable[[Message], Request]:
    """Return what makes SendGrid's request and trusts every field to be there and as it should be."""
    source, url, headers = {"email": "shop@shop.example", "name": "Shop"}, like.url, like.headers

    def build(message: Message) -> Request:
        given = message.content
        person = {"to": [{"email": message.to}], "custom_args": {"notification_id": message.notification_id}}
        parts = [{"type": "text/plain", "value": given["text"]}]
        mail = {"personalizations": [person], "from": source, "subject": given["subject"], "content": parts}
        return Request("POST", url, headers, orjson.dumps(mail))

    return build
