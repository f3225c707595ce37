"""A provider sandbox in a process of its own, and what it was asked."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from notifyctl.cli.app import main
from tests.support import nursery
from tests.support.command import Cli

PROVIDERS = ("sendgrid", "twilio", "fcm", "smtp")


class Sandbox:
    """`notifyctl sandbox` on a free port.

    `url` is the base URL of every provider, `facts` the document it printed at its start: credentials by provider.
    """

    def __init__(self, cli: Cli, *options: str) -> None:
        self.log = cli.home / "requests.ndjson"
        self.service_account = cli.home / "service-account.json"
        files = ("--log", str(self.log), "--service-account", str(self.service_account))
        command = ["sandbox", "--port", "0", *files, "-o", "json", *options]
        self._begin(cli, command)
        self.facts: dict[str, Any] = json.loads(self._first_line(cli.home / "sandbox.out"))
        self.url: str = self.facts["url"]

    @property
    def env(self) -> dict[str, str]:
        """The environment that makes it every provider."""
        return {f"NOTIFYCTL_{name}_URL": self.url for name in ("SENDGRID", "TWILIO", "FCM")}

    def requests(self, provider: str | None = None) -> list[dict[str, Any]]:
        """Return the messages it got so far, oldest first; of one provider (or `token`), or of all."""
        wanted = (provider,) if provider else PROVIDERS
        return [line for line in _lines(self.log) if line["provider"] in wanted and line["method"] != "GET"]

    def questions(self, provider: str | None = None) -> list[dict[str, Any]]:
        """Return what it was asked about messages and credentials so far, oldest first."""
        wanted = (provider,) if provider else PROVIDERS
        return [line for line in _lines(self.log) if line["provider"] in wanted and line["method"] == "GET"]

    def stop(self) -> int | None:
        """End it and return its exit code."""
        self._process.terminate()
        self._process.join(10)
        self._process.kill()
        self._process.join()
        return self._process.exitcode

    def _begin(self, cli: Cli, command: list[str]) -> None:
        self._process = nursery.start(main, command, env=cli.env, folder=cli.home, name="sandbox")

    def _is_alive(self) -> bool:
        return self._process.is_alive()

    def _first_line(self, out: Path) -> str:
        end = time.monotonic() + 60
        while not out.exists() or not out.read_text().endswith("\n"):
            assert self._is_alive(), "the sandbox ended as it began"
            assert time.monotonic() < end, "the sandbox says nothing"
            time.sleep(0.01)
        return out.read_text().splitlines()[0]


class SandboxCommand(Sandbox):
    """The same, begun as an operator begins it: for a test that looks at its command line and its environment."""

    def stop(self) -> int:
        """End it and return its exit code."""
        self._command.terminate()
        try:
            return self._command.wait(10)
        finally:
            self._command.kill()
            self._command.wait()

    def _begin(self, cli: Cli, command: list[str]) -> None:
        with (cli.home / "sandbox.out").open("w") as out:
            self._command = cli.start(*command, stdout=out, stderr=subprocess.DEVNULL)

    def _is_alive(self) -> bool:
        return self._command.poll() is None


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
