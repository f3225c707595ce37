"""What every part needs: the provider, the server and the sizes; and one run of ours in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import ground
from tests.benchmarks.ground import Server

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Where a part runs: a server, a folder for files, and whether it shall be quick rather than steady."""

    server: Server
    folder: Path
    quick: bool

    def size(self, full: int) -> int:
        """Return how many to send: a fifth when it shall be quick."""
        return full // 5 if self.quick else full

    @property
    def rounds(self) -> int:
        """How often everything is run, in turn."""
        return 1 if self.quick else 3


def start(url: str, stub: str, concurrency: int = 64, limit: int | None = None) -> subprocess.Popen[str]:
    """Start a dispatcher that works off what is due."""
    command = [sys.executable, "-m", "tests.benchmarks.ours", url, stub, str(concurrency)]
    if limit is not None:
        command.append(str(limit))
    return subprocess.Popen(command, cwd=ROOT, env=environment(url), stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a dispatcher and return what it did."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the dispatcher ended with exit code {process.returncode}")
    return dict(json.loads(out))


def ours(url: str, stub: str, count: int, concurrency: int = 64) -> dict[str, Any]:
    """Send `count` with one dispatcher, check that it did, and return what it says."""
    ground.fill(url, count)
    done = finish(start(url, stub, concurrency))
    assert done["sent"] == count and ground.left(url) == 0
    return done


def environment(url: str) -> dict[str, str]:
    """Return the environment of a command on that database."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "NOTIFYCTL_DATABASE_URL": url,
        "NOTIFYCTL_ENCRYPTION_KEYS": ground.KEYS,
    }
