"""The systems we are measured against: an environment of their own, and one run of one of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.benchmarks import ground
from tests.benchmarks.ground import Server
from tests.benchmarks.processes import Meter
from tests.benchmarks.runs import DATABASE, OWN, STUB, Run
from tests.benchmarks.stub import Stub

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-bench"
PACKAGES = HERE / "peers" / "package.json"
CLIENTS = ("pyreqwest", "aiohttp", "httpx-over-aiohttp")
NEEDS = {"BullMQ": ("node", "npm", "redis-server"), "Celery": ("redis-server",)}
PATIENCE_S = 180


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
    return [program for program in NEEDS.get(name, ()) if shutil.which(program) is None]


def bare(client: str, stub: Stub, count: int, concurrency: int) -> Run:
    """Post `count` bodies with a bare client and no database."""
    more = (client, stub.url, str(count), str(concurrency))
    return _run(Meter(), stub, "bare.py", *more, given=json.dumps(ground.BODY))


def pgqueuer(server: Server, stub: Stub, count: int, concurrency: int) -> Run:
    """Send `count` rows with PgQueuer."""
    return _send(server, Meter(), stub, "pgqueuer_peer.py", count, concurrency)


def procrastinate(server: Server, stub: Stub, count: int, concurrency: int) -> Run:
    """Send `count` rows with Procrastinate."""
    return _send(server, Meter(), stub, "procrastinate_peer.py", count, concurrency)


def celery(server: Server, stub: Stub, count: int, processes: int) -> Run:
    """Send `count` rows with Celery and a Redis of its own, which counts as a database too."""
    meter = Meter()
    with _redis(meter) as redis:
        return _send(server, meter, stub, "celery_peer.py", count, processes, redis)


def bullmq(server: Server, stub: Stub, count: int, concurrency: int) -> Run:
    """Send `count` rows with BullMQ and a Redis of its own, which counts as a database too."""
    meter = Meter()
    with _redis(meter) as redis:
        return _send(server, meter, stub, "bullmq_peer.js", count, concurrency, redis)


def _send(server: Server, meter: Meter, stub: Stub, script: str, count: int, at_once: int, *more: str) -> Run:
    meter.follow(DATABASE, server.postmaster)
    with server.database() as url:
        ground.small_table(url, count)
        done = _run(meter, stub, script, url, stub.url, str(count), str(at_once), *more)
        with psycopg.connect(url) as conn:
            sent = conn.execute("SELECT count(*) FROM outbox WHERE status = 'sent'").fetchone()
    if sent != (count,):
        raise RuntimeError(f"{script} did not mark all {count} rows sent")
    return done


def _run(meter: Meter, stub: Stub, script: str, *args: str, given: str = "") -> Run:
    command = ["node" if script.endswith(".js") else _python(), str(HERE / "peers" / script), *args]
    env = os.environ | {"NODE_PATH": str(ENVIRONMENT / "node_modules")} | stub.trust
    with tempfile.TemporaryFile("w+") as into, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        into.write(given)
        into.seek(0)
        process = subprocess.Popen(command, stdin=into, stdout=out, stderr=err, text=True, cwd=HERE / "peers", env=env)
        meter.follow(OWN, process.pid)
        meter.follow(STUB, stub.pid)
        try:
            meter.watch([process], PATIENCE_S)
        finally:
            process.kill()
            code = process.wait()
        out.seek(0)
        err.seek(0)
        if code:
            raise RuntimeError(f"{script} failed:\n{err.read()[-2_000:]}")
        said = json.loads(out.read().splitlines()[-1])
    began, ended = said["began"], said["ended"]
    return Run(said["sent"], began, ended, meter.used(began, ended), meter.busy(began, ended))


@contextmanager
def _redis(meter: Meter) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/")
    meter.follow(DATABASE, process.pid)
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
