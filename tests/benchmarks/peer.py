"""The systems we are measured against: an environment of their own, and one run of one of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import ground
from tests.benchmarks.ground import Server

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-bench"
CLIENTS = ("pyreqwest", "aiohttp", "httpx-over-aiohttp")
PATIENCE_S = 180


@dataclass(frozen=True)
class Run:
    """What a peer did; CPU seconds of its own process, where that is the whole of it."""

    sent: int
    seconds: float
    cpu_seconds: float | None = None


def install() -> None:
    """Make the environment, unless it is there with these requirements."""
    wanted = HERE / "requirements.txt"
    mark = ENVIRONMENT / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    if mark.exists():
        return
    print("installing the peers ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    command = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted))
    subprocess.run([_python(), *command], check=True)
    mark.touch()


def bare(client: str, stub: str, count: int, concurrency: int) -> Run:
    """Post `count` bodies with a bare client and no database."""
    return _run("bare.py", client, stub, str(count), str(concurrency), given=json.dumps(ground.BODY))


def pgqueuer(server: Server, stub: str, count: int, concurrency: int) -> Run:
    """Send `count` rows with PgQueuer."""
    with server.database() as url:
        ground.small_table(url, count)
        return _run("pgqueuer_peer.py", url, stub, str(count), str(concurrency))


def procrastinate(server: Server, stub: str, count: int, concurrency: int) -> Run:
    """Send `count` rows with Procrastinate."""
    with server.database() as url:
        ground.small_table(url, count)
        return _run("procrastinate_peer.py", url, stub, str(count), str(concurrency))


def celery(server: Server, stub: str, count: int, processes: int) -> Run:
    """Send `count` rows with Celery and a Redis of its own."""
    with server.database() as url, _redis() as redis:
        ground.small_table(url, count)
        return _run("celery_peer.py", url, stub, str(count), str(processes), redis)


def has_redis() -> bool:
    """Return whether Celery can be run."""
    return shutil.which("redis-server") is not None


def _run(script: str, *args: str, given: str = "") -> Run:
    done = subprocess.run(
        [_python(), str(HERE / "peers" / script), *args],
        input=given,
        capture_output=True,
        text=True,
        cwd=HERE / "peers",
        timeout=PATIENCE_S,
    )
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-2_000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _redis() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/")
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _python() -> str:
    return os.fspath(ENVIRONMENT / "bin" / "python")
