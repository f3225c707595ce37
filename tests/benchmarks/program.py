"""A notifyctl to measure, by its command line only: ours, or that of an earlier commit in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEYS = "k1:" + "QUJD" * 21 + "QQ=="
SUBMITTER = Path(__file__).with_name("submitter.py")


@dataclass(frozen=True, slots=True)
class Program:
    """A notifyctl by the name it has in tables, installed beside the Python of its environment."""

    name: str
    python: Path

    def run(self, url: str, *args: str, stdin: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Run a command on that database to its end; raises CalledProcessError if it fails.

        `settings` are more of its environment.
        """
        command, env = [self.command, "-q", *args], {**environment(url), **(settings or {})}
        subprocess.run(command, env=env, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def dispatch(self, url: str, *args: str, urls: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a dispatcher whose providers are at `urls`: by the provider's name, or SSL_CERT_FILE among them."""
        command = [self.command, "-q", "dispatch", *args]
        return subprocess.Popen(
            command, env={**environment(url), **urls}, stdout=subprocess.DEVNULL, text=True, cwd="/"
        )

    def submitter(self, url: str) -> subprocess.Popen[str]:
        """Start a process that submits a notification for each line it reads (see `submitter`)."""
        return subprocess.Popen(
            [self.python, "-P", SUBMITTER, url],
            env=environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    @property
    def command(self) -> str:
        """The program's path."""
        return os.fspath(self.python.with_name("notifyctl"))


def ours() -> Program:
    """Return the one of this source tree."""
    return Program("notifyctl", Path(sys.executable))


def environment(url: str) -> dict[str, str]:
    """Return the environment of a command on that database."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "NOTIFYCTL_DATABASE_URL": url,
        "NOTIFYCTL_ENCRYPTION_KEYS": KEYS,
    }


def provider_url(provider: str, url: str) -> dict[str, str]:
    """Return the environment variable that puts a provider at that URL."""
    return {f"NOTIFYCTL_{provider.upper()}_URL": url}
