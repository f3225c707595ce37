"""A provider that takes everything at once: nginx where it is installed, else a small server of our own.

It is a process of its own, and must never be what limits a run: `limit` measures what it can do.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HTTPD = Path(__file__).with_name("httpd.py")
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    client_body_buffer_size 64k;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            add_header X-Message-Id stub always;
            return 202;
        }}
    }}
}}
"""


@contextmanager
def instant() -> Iterator[str]:
    """Yield the URL of a provider that answers 202 at once."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            command = [sys.executable, str(HTTPD), str(port), "0"]
        else:
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
            command = [program, "-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")]
        with _running(command, port) as url:
            yield url


@contextmanager
def slow(delay_ms: int) -> Iterator[str]:
    """Yield the URL of a provider that answers 202 after `delay_ms`; `/seen` returns its arrivals (see `seen`)."""
    port = _free_port()
    with _running([sys.executable, str(HTTPD), str(port), str(delay_ms)], port) as url:
        yield url


def seen(url: str) -> dict[str, float]:
    """Return when each notification arrived at the slow provider, in seconds since the epoch, by its id."""
    port = int(url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as conn:
        conn.sendall(b"GET /seen HTTP/1.1\r\nHost: stub\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: conn.recv(65_536), b""))
    return dict(json.loads(answer.split(b"\r\n\r\n", 1)[1]))


def name() -> str:
    """Return which server `instant` starts."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    return "nginx" if found else "tests/benchmarks/httpd.py"


@contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command)
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the stub did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
