"""A whole small world: three providers that are the sandbox, and a user who can be reached."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.support.command import Cli, Result
from tests.support.sandbox import Sandbox

KEYS = "k1:" + "QUJD" * 21 + "QQ=="


class World:
    """A command line whose three providers are the sandbox, and a user anna with an address on every channel."""

    def __init__(self, cli: Cli, server: Sandbox) -> None:
        self.cli = cli
        self.sandbox = server
        cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
        self._add_providers()
        self.ok("users", "create", "anna", "--email", "anna@example.org")
        self.ok("users", "contacts", "add", "anna", "sms", "+14155552345")
        self.ok("users", "contacts", "add", "anna", "push", "device-anna")

    def deliveries(self) -> Counter[str]:
        """Return how often each mail was accepted by the sandbox, by its notification."""
        accepted = (each for each in self.sandbox.requests("sendgrid") if each["status"] == 202)
        return Counter(each["notification_id"] for each in accepted)

    def _add_providers(self) -> None:
        facts, base = self.sandbox.facts, f"base_url={self.sandbox.url}"
        sender = ("--set", "from=alerts@example.com")
        self.ok(
            "providers", "add", "sendgrid", "--api-key", "-", "--set", base, *sender, input=facts["sendgrid"]["api_key"]
        )
        twilio = f"{facts['twilio']['api_key']}\n{facts['twilio']['api_secret']}\n"
        sender = ("--set", "from=+15005550006")
        self.ok(
            "providers", "add", "twilio", "--api-key", "-", "--api-secret", "-", "--set", base, *sender, input=twilio
        )
        self.ok("providers", "add", "fcm", "--credentials", facts["fcm"]["credentials"], "--set", base)

    def ok(self, *args: str, input: str | None = None) -> Result:
        """Run a command that has to succeed."""
        return self.cli.call(*args, input=input).ok()

    def send(self, channel: str, *args: str, user: str = "anna") -> str:
        """Submit a notification and return its id."""
        subject = () if channel == "sms" else ("--subject", "Hello")
        done = self.ok("send", user, "--channel", channel, *subject, "--body", "Hello there", *args, "-o", "id")
        return done.stdout.strip()

    def show(self, notification_id: str) -> dict[str, Any]:
        """Return a notification as `notifications show` has it."""
        shown = self.ok("notifications", "show", notification_id, "-o", "json").json()
        return dict(shown[0] if isinstance(shown, list) else shown)

    def dispatch(self, *args: str) -> dict[str, Any]:
        """Run `dispatch --once` and return its report."""
        return dict(self.ok("dispatch", "--once", *args, "-o", "json").json())

    def dispatch_until(self, done: Callable[[], bool], timeout: float = 30.0) -> None:
        """Run `dispatch --once` again and again, as cron does, until `done`."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, "it did not come to its end in time"
            self.dispatch()
            time.sleep(0.1)


def stop(process: subprocess.Popen[str], how: int = signal.SIGTERM, timeout: float = 30) -> tuple[int, str, str]:
    """Stop a process and return its exit code and output."""
    process.send_signal(how)
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err
