"""The receiver that the README shows: whoever copies it believes what notifyctl sends, and nothing else."""

from __future__ import annotations

import ast
import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.event import WebhookEvent
from notifyctl.core.webhook.signing import secret_of
from notifyctl.core.webhook.telling import Telling, Tidings, body
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.store.db.database import Database
from tests.support import seed
from tests.support.command import Cli
from tests.support.prose import README

OF = Tidings("n", "u", "email", "sendgrid", "sent", 1, "grüße", None, None, None)


def shown() -> str:
    """Return the program in the README."""
    (found,) = re.findall(r"^```python\n(import http\.server.*?)^```", README.read_text("utf-8"), re.M | re.S)
    return found


@contextmanager
def receiving(folder: Path, program: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it where its secret is, at a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", program.replace("8040", port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(400):
            with socket.socket() as plug:
                if plug.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.05)
        yield process, f"http://127.0.0.1:{port}/hook"
    finally:
        process.kill()
        process.communicate()


def post(url: str, secret: bytes, bodies: list[bytes], age_s: int = 0) -> list[HookAnswer]:
    """Call it as a dispatcher does."""

    async def main() -> list[HookAnswer]:
        wire, at_s = HookWire(loopback=True), int(time.time()) - age_s
        try:
            calls = (HookCall(url, f"msg_{n}", each, (bytes(24), secret), at_s, 10) for n, each in enumerate(bodies))
            return [await wire.post(call) for call in calls]
        finally:
            await wire.aclose()

    return asyncio.run(main())


def test_the_receiver_of_the_readme(cli: Cli, database: Database) -> None:
    """Ten lines and the secret that `webhooks create` wrote: it takes all, and refuses another's and an old one."""
    program = shown()
    assert len([line for line in program.splitlines() if line]) == 10
    seed.user(database)
    cli.call("secrets", "generate-key", "--secret-file", "keys").ok()
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS_FILE"] = str(cli.home / "keys")
    made = ("webhooks", "create", "anna", "https://example.org/hook", "--event", "*", "--secret-file", "hook.secret")
    cli.run(*made).ok()
    secret = secret_of((cli.home / "hook.secret").read_text())
    bodies = [body(Telling(event, {}), OF, int(time.time() * 1_000)).encode() for event in WebhookEvent]
    with receiving(cli.home, program) as (process, url):
        assert [each.status for each in post(url, secret, bodies)] == [204] * len(bodies)
        assert [each.status for each in post(url, bytes(24), bodies[:1])] == [400]
        assert [each.status for each in post(url, secret, bodies[:1], age_s=400)] == [400]
        assert [each.status for each in post(url, secret, bodies[1:2])] == [204]
        process.terminate()
        printed, _ = process.communicate(timeout=20)
    events = [ast.literal_eval(line) for line in printed.splitlines()]
    assert [each["type"] for each in events] == [*WebhookEvent, WebhookEvent.SENT]
    assert events[0]["data"]["category"] == "grüße"
