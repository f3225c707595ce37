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

import psycopg

from tests.benchmarks import ground
from tests.benchmarks.ground import Server

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-bench"
PACKAGES = HERE / "peers" / "package.json"
CLIENTS = ("pyreqwest", "aiohttp", "httpx-over-aiohttp")
NEEDS = {"BullMQ": ("node", "npm", "redis-server"), "Celery": ("redis-server",)}
PATIENCE_S = 180


@dataclass(frozen=True)
class Run:
    """What a peer did; CPU seconds of its own process, where that is the whole of it."""

    sent: int
    seconds: float
    cpu_seconds: float | None = None


def install() -> None:
    """Make the environment, unless it is there with these requirements; BullMQ's packages where it can be run."""
    _install_python()
    if not _missing("BullMQ"):
        _install_node()


def lacking(name: str) -> list[str]:
    """Return what is missing here to run that peer: programs, or packages that could not be installed."""
    if missing := _missing(name):
        return missing
    return [] if name != "BullMQ" or _mark(PACKAGES).exists() else ["bullmq package: npm could not install it"]


def _missing(name: str) -> list[str]:
    return [program for program in NEEDS[name] if shutil.which(program) is None]


def bare(client: str, stub: str, count: int, concurrency: int) -> Run:
    """Post `count` bodies with a bare client and no database."""
    return _run("bare.py", client, stub, str(count), str(concurrency), given=json.dumps(ground.BODY))


def pgqueuer(server: Server, stub: str, count: int, concurrency: int) -> Run:
    """Send `count` rows with PgQueuer."""
    return _send(server, "pgqueuer_peer.py", stub, count, concurrency)


def procrastinate(server: Server, stub: str, count: int, concurrency: int) -> Run:
    """Send `count` rows with Procrastinate."""
    return _send(server, "procrastinate_peer.py", stub, count, concurrency)


def celery(server: Server, stub: str, count: int, processes: int) -> Run:
    """Send `count` rows with Celery and a Redis of its own."""
    with _redis() as redis:
        return _send(server, "celery_peer.py", stub, count, processes, redis)


def bullmq(server: Server, stub: str, count: int, concurrency: int) -> Run:
    """Send `count` rows with BullMQ and a Redis of its own."""
    with _redis() as redis:
        return _send(server, "bullmq_peer.js", stub, count, concurrency, redis)


def _send(server: Server, script: str, stub: str, count: int, at_once: int, *more: str) -> Run:
    with server.database() as url:
        ground.small_table(url, count)
        done = _run(script, url, stub, str(count), str(at_once), *more)
        with psycopg.connect(url) as conn:
            sent = conn.execute("SELECT count(*) FROM outbox WHERE status = 'sent'").fetchone()
    if sent != (count,):
        raise RuntimeError(f"{script} did not mark all {count} rows sent")
    return done


def _run(script: str, *args: str, given: str = "") -> Run:
    program = "node" if script.endswith(".js") else _python()
    done = subprocess.run(
        [program, str(HERE / "peers" / script), *args],
        input=given,
        capture_output=True,
        text=True,
        cwd=HERE / "peers",
        env=os.environ | {"NODE_PATH": str(ENVIRONMENT / "node_modules")},
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


def _install_python() -> None:
    wanted = HERE / "requirements.txt"
    mark = _mark(wanted)
    if mark.exists():
        return
    print("installing the peers ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    command = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted))
    subprocess.run([_python(), *command], check=True)
    mark.touch()


def _install_node() -> None:
    mark = _mark(PACKAGES)
    if mark.exists():
        return
    print("installing BullMQ ...", file=sys.stderr)
    shutil.copy(PACKAGES, ENVIRONMENT)
    quiet = ("--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
    install = ["npm", "install", "--prefix", str(ENVIRONMENT), *quiet]
    if subprocess.run(install, check=False, stdout=subprocess.DEVNULL).returncode == 0:
        mark.touch()


def _mark(wanted: Path) -> Path:
    return ENVIRONMENT / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]


def _python() -> str:
    return os.fspath(ENVIRONMENT / "bin" / "python")
