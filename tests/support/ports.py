"""Sandboxes at ports that are named beforehand: one and the next, where it takes mail."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE_S = 180
"""Longer than a connection that was closed keeps its port."""
TAKEN = 5
"""The exit code of who may not have a port."""


def free() -> int:
    """Return a port that is free, as the next one is; none that the system gives to whoever connects meanwhile."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port


def listens(port: int) -> bool:
    """Return whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serving(
    start: Callable[[int], subprocess.Popen[str]], port: int | None = None
) -> tuple[subprocess.Popen[str], int]:
    """Start a sandbox at that port, or at a free one, and return it with the port when it listens there.

    Again, where somebody has that port or the next one meanwhile.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        at = free() if port is None else port
        process = start(at)
        while process.poll() is None and not listens(at):
            assert time.monotonic() < end, "the sandbox did not start"
            time.sleep(0.05)
        if process.poll() is None:
            return process, at
        _, said = process.communicate()
        assert process.returncode == TAKEN and time.monotonic() < end, said
        time.sleep(0.5)
