"""What goes over the wire is believed by the libraries that receivers use, during a rotation by either secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import standardwebhooks

from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.signing import secret_text
from notifyctl.core.webhook.telling import Telling, Tidings, body
from notifyctl.providers.hookwire import HookAnswer, HookWire
from tests.support.scripted import Asked, Scripted, reply

OLD, NEW, OTHER = bytes(range(24)), bytes(range(100, 124)), bytes(24)
CALLS = 2_000
AT_ONCE = 50
Make = Callable[[str], Any]


@pytest.fixture(params=["standardwebhooks", "svix.webhooks"])
def make(request: pytest.FixtureRequest) -> Make:
    """What makes a library's webhook of a secret; imported here, since one of them takes a second for that."""
    made: Make = import_module(request.param).Webhook
    return made


def posted(secrets: tuple[bytes, ...], calls: int) -> list[Asked]:
    """Make so many calls with these secrets; return what arrived."""

    def call(url: str, number: int) -> HookCall:
        event = list(WebhookEvent)[number % len(WebhookEvent)]
        of = Tidings(f"n{number}", "u", "email", "sendgrid", "sent", 1, "größe \U0001f600\u2028", None, None, None)
        text = body(Telling(event, {"detail": "x" * (number % 300)}), of, 1_800_000_000_000 + number)
        return HookCall(url, f"msg_{number}", text.encode(), secrets, int(time.time()), 20)

    async def main(url: str) -> list[HookAnswer]:
        wire, room = HookWire(loopback=True), asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> HookAnswer:
            async with room:
                return await wire.post(call(url, number))

        try:
            return await asyncio.gather(*map(one, range(calls)))
        finally:
            await wire.aclose()

    with Scripted(lambda _: reply(204)) as receiver:
        assert all(each.is_success for each in asyncio.run(main(receiver.url)))
        return receiver.asked


def test_1_both_secrets_of_a_rotation_verify(make: Make) -> None:
    """Each of 2,000 calls, by who has the old secret and by who has the new one; by nobody else."""
    arrived = posted((NEW, OLD), CALLS)
    assert len({each.headers["webhook-id"] for each in arrived}) == CALLS
    old, new, other = (make(secret_text(secret)) for secret in (OLD, NEW, OTHER))
    for each in arrived:
        old.verify(each.body, dict(each.headers))
        new.verify(each.body, dict(each.headers))
    for each in arrived[:20]:
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            other.verify(each.body, dict(each.headers))
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            new.verify(each.body + b" ", dict(each.headers))


def test_1_after_a_rotation_the_old_secret_is_worth_nothing(make: Make) -> None:
    """One signature, by the new one."""
    for each in posted((NEW,), 20):
        make(secret_text(NEW)).verify(each.body, dict(each.headers))
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            make(secret_text(OLD)).verify(each.body, dict(each.headers))
